#include <config.h>

#include "engine/outgoing.h"

#include <errno.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/journal.h"
#include "engine/move.h"
#include "engine/outgoing-private.h"
#include "engine/tombstone.h"
#include "peer/channel.h"
#include "peer/message.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/store.h"
#include "store/vms.h"

/* How long a correspondent's agent may take to say ACCEPTED.  Replies to one
 * that does not would be dropped at its switch until the store tells it. */
#define ACCEPT_MS 1000

/* How long the destination may take to say ABORTED.  Without a grant its
 * guest will never run, whether we hear so or not. */
#define ABORT_MS 3000

/* A guest that left: its switch's last packets for it reach its tap. */
#define DRAIN_MS 200

#define DOWNTIME_MS 5           /* Unless the request says otherwise. */

/* How long the store may take to reserve a generation.  A rollback gives it
 * back whenever the store is there again. */
#define RESERVE_MS 30000

/* The steps.  'listen' includes the start of a QEMU on a loaded host; 'move'
 * ends by itself, after the grant at the latest. */
static step_func run_check, run_reserve, undo_reserve, run_listen,
    undo_listen, run_announce, run_release;

const struct step outgoing_steps[] = {
    { "check", run_check, NULL, 10000, false },
    { "reserve", run_reserve, undo_reserve, 24 * 3600 * 1000, false },
    { "listen", run_listen, undo_listen, 30000, false },
    { "move", move_run, move_undo, 24 * 3600 * 1000, true },
    { "announce", run_announce, NULL, 24 * 3600 * 1000, false },
    { "release", run_release, NULL, 24 * 3600 * 1000, false },
};
const size_t outgoing_n_steps = ARRAY_SIZE(outgoing_steps);

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

/* check */

static enum step_result
run_check(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;
    struct guest *g = guest_find(e, &o->vm.uuid);
    struct host host;

    if (!g || g->ended || g->stopping) {
        err_set(err, ENOENT, "\"%s\" does not run on %s", o->vm.name,
                e->c.name);
        return STEP_FAILED;
    }
    if (g->role != GUEST_OWN && g->role != GUEST_LEAVING) {
        return STEP_WAIT;       /* Its last move is not quite over. */
    }
    if (uuid_equals(&o->destination, &e->c.host)) {
        err_set(err, EINVAL, "\"%s\" is on %s already", o->vm.name,
                e->c.name);
        return STEP_FAILED;
    }
    if (hosts_get(e->c.store, &o->destination, &host, err)) {
        return STEP_FAILED;
    }
    ovs_strlcpy(o->destination_name, host.name, sizeof o->destination_name);
    if (!host.channel[0]) {
        err_set(err, ENOTCONN, "the agent of %s has never been seen",
                host.name);
        return STEP_FAILED;
    }
    engine_connect(e, &o->destination);
    if (!channel_epoch(e->c.channel, &o->destination)) {
        err_set(err, ENOTCONN, "the agent of %s does not answer", host.name);
        return STEP_WAIT;
    }
    g->role = GUEST_LEAVING;
    o->guest = g;
    o->old = g->generation;
    return STEP_DONE;
}

/* reserve */

static enum step_result
run_reserve(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (!o->reserve_since) {
        o->reserve_since = e->now_ms;
    }
    if (e->now_ms >= o->reserve_since + RESERVE_MS) {
        err_set(err, ETIMEDOUT, "the store has not answered for %d s",
                RESERVE_MS / 1000);
        return STEP_FAILED;
    }
    if (!o->reserve) {
        struct vm_order order;

        if (vms_get(e->c.store, &o->vm.uuid, &order, err)) {
            return STEP_WAIT;
        }
        o->generation = (struct generation) {
            .epoch = store_epoch(e->c.store),
            .counter = order.counter + 1,
            .host = o->destination,
        };
        o->reserve = vms_reserve(e->c.store, &o->vm.uuid, &o->migration,
                                 order.counter);
    }
    switch (write_result(e->c.store, o->reserve, err)) {
    case WRITE_PENDING:
        return STEP_WAIT;
    case WRITE_DONE:
        o->row.counter = o->generation.counter;
        return STEP_DONE;
    case WRITE_REFUSED:
    case WRITE_LOST:
        return STEP_FAILED;
    }
    OVS_NOT_REACHED();
}

static enum step_result
undo_reserve(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (!o->unreserve) {
        o->unreserve = vms_unreserve(e->c.store, &o->vm.uuid, &o->migration);
    }
    switch (write_result(e->c.store, o->unreserve, err)) {
    case WRITE_PENDING:
        return STEP_WAIT;
    case WRITE_DONE:
    case WRITE_REFUSED:         /* It is somebody else's by now. */
    case WRITE_LOST:
        return STEP_DONE;
    }
    OVS_NOT_REACHED();
}

/* listen */

static struct message *
make_prepare(struct outgoing *o)
{
    struct message *m = message_create(MESSAGE_PREPARE, &o->migration);

    json_object_put(m->body, "vm", message_from_vm(&o->vm));
    message_put_generation(m->body, &o->generation);
    return m;
}

static enum step_result
run_listen(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (o->declined.code) {
        *err = o->declined;
        return STEP_FAILED;
    }
    if (!o->uri) {
        outgoing_say(o, MESSAGE_PREPARE, &o->said_prepare, make_prepare);
        return STEP_WAIT;
    }

    channel_warm(e->c.channel, &o->destination, e->now.mono_us);
    if (!o->asked_idle) {
        move_ask_correspondents(o);
        o->asked_idle = e->now_ms;
        return STEP_WAIT;
    }
    if (!o->n_peers && !move_find_correspondents(o)) {
        return STEP_WAIT;
    }
    bool all = move_tell_accept(o);
    if (!all && e->now_ms < o->asked_idle + ACCEPT_MS) {
        return STEP_WAIT;
    }
    move_tell_expect(o);
    return STEP_DONE;
}

static enum step_result
undo_listen(void *o_, struct err *err OVS_UNUSED)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (!o->undo_since) {
        o->undo_since = e->now_ms;
        move_tell_forget(o);
    }
    if (!o->aborted && !o->declined.code) {
        outgoing_say(o, MESSAGE_ABORT, &o->said_abort, NULL);
        if (e->now_ms < o->undo_since + ABORT_MS) {
            return STEP_WAIT;
        }
    }
    if (o->guest) {
        o->guest->role = GUEST_OWN;
    }
    return STEP_DONE;
}

/* announce */

static enum step_result
run_announce(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (o->refused.code) {
        o->settled = true;      /* It has forgotten that it once came. */
    }
    if (!o->settled) {
        /* A destination that lost its connection is asked again. */
        outgoing_say(o, MESSAGE_GRANT, &o->said_grant, move_make_grant);
        err_set(err, ETIMEDOUT, "%s runs \"%s\" but has not settled",
                o->destination_name, o->vm.name);
        return STEP_WAIT;
    }
    if (!o->moved) {
        o->moved = vms_moved(e->c.store, &o->vm.uuid, &o->migration,
                             &o->destination);
    }
    switch (write_result(e->c.store, o->moved, err)) {
    case WRITE_PENDING:
        return STEP_WAIT;
    case WRITE_DONE:
    case WRITE_REFUSED:
    case WRITE_LOST:
        return STEP_DONE;
    }
    OVS_NOT_REACHED();
}

/* release */

static enum step_result
run_release(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    struct engine *e = o->engine;

    if (!o->guest) {
        return STEP_DONE;
    }
    if (!o->buried) {
        tombstone_add(e, o->guest, &o->destination);
        o->buried = e->now_ms;
    }
    if (e->now_ms < o->buried + DRAIN_MS) {
        return STEP_WAIT;
    }

    int error = guest_dismantle(e, o->guest, err);
    if (error) {
        return error == EINPROGRESS ? STEP_WAIT : STEP_FAILED;
    }
    guest_remove(e, o->guest, true);
    o->guest = NULL;
    return STEP_DONE;
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

    if (mark.mode > STEP_BACK) {
        return true;            /* The file goes with the migration. */
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

static struct outgoing *
outgoing_add(struct engine *e, const struct uuid *migration,
             const struct vm *vm, const struct uuid *destination)
{
    struct outgoing *o = xzalloc(sizeof *o);

    o->engine = e;
    o->migration = *migration;
    o->destination = *destination;
    o->vm = *vm;
    o->began_us = o->phase_us = e->now.mono_us;
    ovs_list_init(&o->kept);
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

/* Where does a migration go on that was in step 'move' when its agent died?
 * QEMU knows: it has sent everything, and then the grant may have gone, too,
 * or it has not, and then no grant has. */
static void
resume_move(struct outgoing *o, const struct hypervisor_info *info)
{
    if (info->migration == MIGRATION_COMPLETED
        || info->migration == MIGRATION_DEVICE) {
        o->armed = o->opened = o->flipped = o->paused = true;
        o->said_grant = UINT_MAX;       /* Perhaps; not on this connection. */
        o->stopped_us = o->engine->now.wall_us;
    } else {
        struct err err;

        o->flipped = true;      /* Perhaps; taking it back does no harm. */
        err_set(&err, ESHUTDOWN, "the agent was restarted during the copy");
        o->run.cause = err;
        o->run.mark.mode = STEP_BACK;
    }
}

/* What the hypervisor found of 'vm'; false if there is nothing. */
static bool
find_info(const struct engine *e, const struct uuid *vm,
          struct hypervisor_info *info)
{
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(e->c.hypervisor, &infos);
    bool found = false;

    for (size_t i = 0; i < n && !found; i++) {
        found = uuid_equals(&infos[i].vm, vm);
        if (found) {
            *info = infos[i];
        }
    }
    free(infos);
    return found;
}

static void
resume_one(struct engine *e, const struct journal_entry *entry)
{
    struct guest *g = guest_find(e, &entry->vm.uuid);
    struct hypervisor_info info;
    bool found = find_info(e, &entry->vm.uuid, &info);
    struct outgoing *o = outgoing_add(e, &entry->migration, &entry->vm,
                                      &entry->destination);

    if (!g && found) {
        /* The store has it elsewhere already, but it has not left. */
        g = guest_adopt(e, &entry->vm, GUEST_LEAVING);
    }
    o->run.mark = entry->mark;
    o->generation = entry->generation;
    o->guest = g;
    o->phase = outgoing_n_steps;
    o->phase_failed = true;
    if (entry->cause[0]) {
        err_set(&o->run.cause, ECANCELED, "%s", entry->cause);
    }
    migrations_get(e->c.store, &o->migration, &o->row, NULL);
    ovs_strlcpy(o->destination_name, o->row.destination_name,
                sizeof o->destination_name);
    engine_connect(e, &o->destination);
    if (g) {
        g->role = GUEST_LEAVING;
    }
    if (o->run.mark.mode != STEP_FORWARD) {
        return;
    }
    if (outgoing_steps[o->run.mark.at].run != move_run) {
        if (!step_is_committed(&o->run)) {
            o->run.mark.mode = STEP_BACK;
            err_set(&o->run.cause, ESHUTDOWN,
                    "the agent was restarted before the copy");
        }
        o->running = step_is_committed(&o->run);
        return;
    }

    if (found) {
        resume_move(o, &info);
    }
}

void
outgoing_resume(struct engine *e)
{
    struct ovs_list entries = OVS_LIST_INITIALIZER(&entries);
    struct journal_entry *entry;

    journal_load(e->c.journal_dir, &entries);
    LIST_FOR_EACH_POP (entry, node, &entries) {
        if (uuid_equals(&entry->source, &e->c.host)) {
            resume_one(e, entry);
        }
        free(entry);
    }
}

static void
outgoing_free(struct engine *e, struct outgoing *o)
{
    hmap_remove(&e->outgoing, &o->node);
    move_forget_kept(o);
    free(o->peers);
    free(o->fences_wanted);
    free(o->uri);
    free(o);
}

static void
outgoing_end(struct engine *e, struct outgoing *o)
{
    enum migration_state state
        = (o->run.mark.mode == STEP_FINISHED ? MOVE_COMPLETED
           : o->run.mark.mode == STEP_STUCK ? MOVE_STUCK
           : o->phase_failed ? MOVE_ROLLED_BACK : MOVE_FAILED);

    outgoing_report(o, state, true);
    engine_note(e, "migration", o->vm.name, state != MOVE_COMPLETED,
                "\"%s\" from %s to %s: %s%s%s", o->vm.name, e->c.name,
                o->destination_name, migration_state_name(state),
                o->run.cause.code ? ": " : "", o->run.cause.text);
    o->over = true;
    if (state != MOVE_STUCK) {
        journal_remove(e->c.journal_dir, &o->migration);
    }
}

/* Forgets a migration once the store says, too, that it has ended; before
 * that its row would look like a new request. */
static void
outgoing_forget(struct engine *e, struct outgoing *o)
{
    struct migration row;
    int error = migrations_get(e->c.store, &o->migration, &row, NULL);

    if (error == ENOENT || (!error && migration_state_is_final(row.state)
                            && row.state != MOVE_STUCK)) {
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
    size_t cookie = 0;
    struct uuid uuid;

    while (e->resumed && migrations_next_here(e->c.store, &cookie, &uuid)) {
        struct migration row;

        if (!outgoing_find(e, &uuid)
            && !migrations_get(e->c.store, &uuid, &row, NULL)
            && row.state == MOVE_REQUESTED) {
            outgoing_begin(e, &row);
        }
    }

    struct outgoing *o;
    HMAP_FOR_EACH_SAFE (o, node, &e->outgoing) {
        if (o->over) {
            outgoing_forget(e, o);
        } else {
            outgoing_step(e, o);
        }
    }
}

/* Steps look at the clock; nothing of theirs is further away than this. */
#define TICK_MS 20

void
outgoing_wait(struct engine *e)
{
    const struct outgoing *o;

    HMAP_FOR_EACH (o, node, &e->outgoing) {
        if (!o->over) {
            poll_timer_wait_until(e->now_ms + TICK_MS);
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
        ds_put_format(s, "migration "UUID_FMT": %s to %s, %s %s%s%s\n",
                      UUID_ARGS(&o->migration), o->vm.name,
                      o->destination_name, modes[o->run.mark.mode],
                      outgoing_steps[o->run.mark.at].name,
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
    if (!o->uri) {
        o->uri = xstrdup(message_get_string(m->body, "uri"));
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
        o->settled = true;
        o->held = message_get_integer(m->body, "held");
        o->fences = message_get_integer(m->body, "fences");
        o->fences_missed = message_get_integer(m->body, "missed");
        break;
    case MESSAGE_ABORTED:
        o->aborted = true;
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
    struct outgoing *o = outgoing_find(e, &r->migration);

    if (o && uuid_equals(&r->from, &o->destination)) {
        move_returned(o, r);
    }
}
