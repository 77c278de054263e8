#include <config.h>

#include "engine/outgoing.h"

#include <errno.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guests.h"
#include "engine/journal.h"
#include "engine/move.h"
#include "engine/outgoing-private.h"
#include "peer/channel.h"
#include "peer/message.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/store.h"
#include "store/vms.h"

#define DOWNTIME_MS 5           /* Unless the request says otherwise. */

struct outgoing *
outgoing_find(const struct engine *e, const struct uuid *migration)
{
    struct outgoing *o;

    HMAP_FOR_EACH_WITH_HASH (o, node, uuid_hash(migration), &e->outgoing) {
        if (uuid_equals(&o->migration, migration)) {
            return o;
        }
    }
    return NULL;
}

bool
outgoing_say(struct outgoing *o, enum message_type type,
             unsigned int *said, struct message *(*make)(struct outgoing *))
{
    struct channel *channel = o->engine->c.channel;
    unsigned int epoch = channel_epoch(channel, &o->destination);

    channel_connect(channel, &o->destination);
    if (!epoch || *said == epoch) {
        return *said && *said == epoch;
    }
    struct message *m = (make ? make(o)
                         : message_create(type, &o->migration));
    if (!channel_send(channel, &o->destination, m)) {
        *said = epoch;
    }
    return *said == epoch;
}

/* Marks and reports. */

static bool
save(void *o_, struct step_mark mark)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;
    struct journal_entry entry = {
        .migration = o->migration,
        .source = e->c.host,
        .destination = o->destination,
        .generation = o->generation,
        .vm = o->vm,
        .mark = mark,
    };
    struct err err;

    if (mark.mode == STEP_STUCK) {
        return true;            /* Asked again, QEMU and D know as much. */
    }
    ovs_strlcpy(entry.cause, o->run.cause.text, sizeof entry.cause);
    if (journal_save(e->c.journal_dir, &entry, &err)) {
        engine_note(e, "migration", o->vm.name, true, "%s", err.text);
        return false;
    }
    return true;
}

/* The life of a migration. */

static void
read_limits(struct outgoing *o)
{
    char buf[32];
    struct store *store = o->engine->c.store;

    o->limits.bandwidth = strtoull(
        migrations_option(store, &o->migration, "bandwidth", buf,
                          sizeof buf), NULL, 10);
    o->limits.downtime_ms = strtoul(
        migrations_option(store, &o->migration, "downtime_ms", buf,
                          sizeof buf), NULL, 10);
    if (!o->limits.downtime_ms) {
        o->limits.downtime_ms = DOWNTIME_MS;
    }
}

static void
refuse(struct engine *e, struct migration *row, const struct err *err)
{
    row->state = MOVE_FAILED;
    ovs_strlcpy(row->error, err->text, sizeof row->error);
    row->finished = e->now.wall_us / 1000;
    migrations_put(e->c.store, row);
}

struct outgoing *
outgoing_add(struct engine *e, const struct uuid *migration,
             const struct vm *vm, const struct uuid *destination)
{
    struct outgoing *o = xzalloc(sizeof *o);

    o->engine = e;
    o->migration = *migration;
    o->destination = *destination;
    o->vm = *vm;
    o->began_us = o->phase_us = e->now.mono_us;
    ovs_list_init(&o->returned);
    o->run = (struct step_run) {
        .steps = outgoing_steps,
        .n_steps = outgoing_n_steps,
        .aux = o,
        .save = save,
    };
    hmap_insert(&e->outgoing, &o->node, uuid_hash(migration));
    return o;
}

/* A migration that the store requests and that does not run yet. */
static void
outgoing_begin(struct engine *e, struct migration *row)
{
    struct err err = ERR_INIT;
    struct vm_order order;
    int error = vms_get(e->c.store, &row->vm, &order, &err);

    if (error == EAGAIN) {
        return;
    }
    if (!error && row->cancel) {
        error = err_set(&err, ECANCELED, "cancelled");
    }
    if (error) {
        refuse(e, row, &err);
        return;
    }

    struct outgoing *o = outgoing_add(e, &row->uuid, &order.vm,
                                      &row->destination);
    o->row = *row;
    read_limits(o);
    engine_note(e, "migration", o->vm.name, false,
                "moving \"%s\" from %s to %s", o->vm.name, e->c.name,
                row->destination_name);
}

static void
outgoing_free(struct engine *e, struct outgoing *o)
{
    hmap_remove(&e->outgoing, &o->node);
    move_forget_returned(o);
    free(o->peers);
    free(o->fences_wanted);
    migration_target_finish(&o->target);
    free(o);
}

static void
outgoing_end(struct engine *e, struct outgoing *o)
{
    struct err lost;
    enum migration_state state
        = (o->run.mark.mode == STEP_FINISHED ? MOVE_COMPLETED
           : o->run.mark.mode == STEP_STUCK ? MOVE_STUCK
           : o->phase_failed ? MOVE_ROLLED_BACK : MOVE_FAILED);

    if (o->run.mark.mode == STEP_UNDONE && o->guest
        && guests_check_lost(e, o->guest, &lost)) {
        state = MOVE_FAILED;    /* There is nothing to go back to. */
        err_add(&o->run.cause, lost.code, "%s", lost.text);
    }
    outgoing_report(o, state, true);
    engine_note(e, "migration", o->vm.name, state != MOVE_COMPLETED,
                "\"%s\" from %s to %s: %s%s%s", o->vm.name, e->c.name,
                o->destination_name, migration_state_name(state),
                o->run.cause.code ? ": " : "", o->run.cause.text);
    o->over = true;
    if (state == MOVE_STUCK) {
        o->running = false;
        o->refused = (struct err) ERR_INIT;
        o->asked_ms = e->now_ms;
    }
}

/* Forgets a migration once the store says, too, that it has ended.  Before
 * that its row would look like a new request; and if we died, nobody would
 * ever tell the store. */
static void
outgoing_forget(struct engine *e, struct outgoing *o)
{
    struct migration row;
    int error = migrations_get(e->c.store, &o->migration, &row, NULL);

    if (error == ENOENT || (!error && migration_state_is_final(row.state)
                            && row.state != MOVE_STUCK)) {
        journal_remove(e->c.journal_dir, &o->migration);
        outgoing_free(e, o);
    }
}

static void
outgoing_step(struct engine *e, struct outgoing *o)
{
    struct migration row;

    if (!migrations_get(e->c.store, &o->migration, &row, NULL) && row.cancel
        && !o->cancel) {
        struct err err;

        o->cancel = true;
        err_set(&err, ECANCELED, "cancelled");
        step_cancel(&o->run, &err);
    }
    move_relay(o);
    if (o->giving) {
        move_give_back(o);
    }
    bool ended = step_run(&o->run, e->now_ms);
    if (o->run.mark.mode == STEP_BACK && o->run.mark.at > 0) {
        o->phase_failed = true;
    }
    outgoing_count_phase(o);
    if (ended) {
        outgoing_end(e, o);
    } else {
        outgoing_report(o, MOVE_RUNNING, false);
    }
}

void
outgoing_run(struct engine *e)
{
    struct migration *rows = NULL;
    size_t n = e->resumed ? migrations_list_here(e->c.store, &rows) : 0;

    for (size_t i = 0; i < n; i++) {
        if (rows[i].state == MOVE_REQUESTED
            && !outgoing_find(e, &rows[i].uuid)) {
            outgoing_begin(e, &rows[i]);
        }
    }
    free(rows);

    struct outgoing *o;
    HMAP_FOR_EACH_SAFE (o, node, &e->outgoing) {
        if (o->over && o->run.mark.mode == STEP_STUCK) {
            outgoing_run_stuck(o);
        } else if (o->over) {
            outgoing_forget(e, o);
        } else {
            outgoing_step(e, o);
        }
    }
}

/* Steps look at the clock; nothing of theirs is further away than this. */
#define TICK_MS 20
#define PACE_TICK_MS 1          /* While a guest gets what waits for it. */

void
outgoing_wait(struct engine *e)
{
    const struct outgoing *o;

    HMAP_FOR_EACH (o, node, &e->outgoing) {
        if (!o->over) {
            poll_timer_wait_until(e->now_ms
                                  + (o->giving ? PACE_TICK_MS : TICK_MS));
        } else if (o->run.mark.mode == STEP_STUCK) {
            poll_timer_wait_until(o->asked_ms + OUTGOING_ASK_MS);
        }
    }
}

void
outgoing_format(const struct engine *e, struct ds *s)
{
    static const char *const modes[] = {
        [STEP_FORWARD] = "doing", [STEP_BACK] = "undoing",
        [STEP_FINISHED] = "finished", [STEP_UNDONE] = "undone",
        [STEP_STUCK] = "stuck",
    };
    const struct outgoing *o;

    HMAP_FOR_EACH (o, node, &e->outgoing) {
        ds_put_format(s, "migration "UUID_FMT": %s to %s, %s %s%s%s%s\n",
                      UUID_ARGS(&o->migration), o->vm.name,
                      o->destination_name, modes[o->run.mark.mode],
                      outgoing_steps[o->run.mark.at].name,
                      o->cancel ? ", to be cancelled" : "",
                      o->run.cause.code ? ": " : "", o->run.cause.text);
    }
}

void
outgoing_destroy(struct engine *e)
{
    struct outgoing *o;

    HMAP_FOR_EACH_SAFE (o, node, &e->outgoing) {
        outgoing_free(e, o);
    }
}

/* What others say. */

static void
handle_prepared(struct outgoing *o, const struct message *m)
{
    const struct json_array *list = message_get_list(m->body, "interfaces");

    for (size_t i = 0; i < list->n; i++) {
        struct uuid uuid = message_get_uuid(list->elems[i], "interface");

        for (size_t nic = 0; nic < o->vm.n_nics; nic++) {
            if (uuid_equals(&o->vm.nics[nic].interface.uuid, &uuid)) {
                o->mobile[nic] = message_get_addrs(list->elems[i], "mobile");
            }
        }
    }
    if (!o->target.uri) {
        const char *ticket = message_get_string(m->body, "ticket");

        ovs_strlcpy(o->target.host, o->destination_name,
                    sizeof o->target.host);
        o->target.uri = xstrdup(message_get_string(m->body, "uri"));
        o->target.ticket = *ticket ? xstrdup(ticket) : NULL;
    }
}

static void
handle_accepted(struct outgoing *o, const struct message *m)
{
    for (size_t i = 0; i < o->n_peers; i++) {
        if (uuid_equals(&o->peers[i].host, &m->from)) {
            o->peers[i].accepted = true;
        }
    }
}

/* Does a SETTLED answer our latest grant?  What we relayed before an earlier
 * one may not be there. */
static bool
is_latest(const struct outgoing *o, const struct message *m)
{
    return (!message_has(m->body, "granted")
            || (o->said_grant && o->said_grant != UINT_MAX
                && message_get_integer(m->body, "granted")
                   == o->granted_captured));
}

static void
handle_from_destination(struct outgoing *o, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_PREPARED:
        handle_prepared(o, m);
        break;
    case MESSAGE_DECLINED:
        err_set(&o->declined, MAX(1, message_get_integer(m->body, "code")),
                "%s", message_get_string(m->body, "text"));
        break;
    case MESSAGE_RUNNING:
        o->running = true;
        o->resumed_us = message_get_integer(m->body, "resumed_us");
        break;
    case MESSAGE_REFUSED:
        if (!o->running || step_is_committed(&o->run)) {
            err_set(&o->refused, ENOEXEC, "%s: %s", o->destination_name,
                    message_get_string(m->body, "text"));
        }
        break;
    case MESSAGE_SETTLED:
        if (!is_latest(o, m)) {
            break;
        }
        o->settled = true;
        o->held = message_get_integer(m->body, "held");
        o->fences = message_get_integer(m->body, "fences");
        o->fences_missed = message_get_integer(m->body, "missed");
        break;
    case MESSAGE_ABORTED:
        o->aborted = true;
        o->returned_there = message_get_integer(m->body, "returned");
        break;
    case MESSAGE_HELLO:
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_PREPARE:
    case MESSAGE_ACCEPT:
    case MESSAGE_ACCEPTED:
    case MESSAGE_EXPECT:
    case MESSAGE_FLIP:
    case MESSAGE_FORGET:
    case MESSAGE_GRANT:
    case MESSAGE_ABORT:
    case N_MESSAGES:
        break;                  /* None of a destination's. */
    }
}

void
outgoing_handle_message(struct engine *e, const struct message *m)
{
    struct uuid migration = message_get_uuid(m->body, "migration");
    struct outgoing *o = outgoing_find(e, &migration);

    if (!o) {
        return;                 /* It has ended. */
    }
    if (m->type == MESSAGE_ACCEPTED) {
        handle_accepted(o, m);
    } else if (uuid_equals(&m->from, &o->destination)) {
        handle_from_destination(o, m);
    } else {
        char *what = xasprintf("\"%s\" for a migration that goes to another "
                               "host", message_name(m->type));

        channel_refuse(e->c.channel, &m->from, what);
        free(what);
    }
}

void
outgoing_handle_event(struct engine *e, const struct hypervisor_event *event)
{
    struct outgoing *o;

    HMAP_FOR_EACH (o, node, &e->outgoing) {
        if (uuid_equals(&o->vm.uuid, &event->vm)
            && event->kind == HYPERVISOR_STOPPED) {
            move_stopped(o, event->timestamp_us);
        }
    }
}

void
outgoing_returned(struct engine *e, const struct relayed *r)
{
    struct outgoing *o = outgoing_find(e, &r->relay.about);

    if (o && uuid_equals(&r->from, &o->destination)) {
        move_returned(o, r);
    } else if (o) {
        channel_refuse(e->c.channel, &r->from, "frames for a VM that goes to "
                       "another host");
    }
}
