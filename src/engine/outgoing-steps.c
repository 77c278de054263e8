#include <config.h>

#include "engine/outgoing-private.h"

#include <errno.h>

#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/move.h"
#include "engine/outgoing.h"
#include "engine/tombstone.h"
#include "peer/channel.h"
#include "peer/message.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/store.h"
#include "store/vms.h"

/* The steps of a migration, each with its undoing; the longest one, 'move',
 * is in move.c. */

/* How long a correspondent's agent may take to say ACCEPTED.  Replies to one
 * that does not would be dropped at its switch until the store tells it. */
#define ACCEPT_MS 1000

/* How long the destination may take to say ABORTED.  Without a grant its
 * guest will never run, whether we hear so or not. */
#define ABORT_MS 3000

/* A guest that left: its switch's last packets for it reach its tap. */
#define DRAIN_MS 200

/* How long the store may take to reserve a generation.  A rollback gives it
 * back whenever the store is there again. */
#define RESERVE_MS 30000

/* The steps.  'listen' includes the start of a QEMU on a loaded host; 'move'
 * ends by itself, after the grant at the latest. */
static step_func run_check, undo_check, run_reserve, undo_reserve,
    run_listen, undo_listen, run_announce, run_release;

const struct step outgoing_steps[] = {
    { "check", run_check, undo_check, 10000, false },
    { "reserve", run_reserve, undo_reserve, 24 * 3600 * 1000, false },
    { "listen", run_listen, undo_listen, 30000, false },
    { "move", move_run, move_undo, 24 * 3600 * 1000, true },
    { "announce", run_announce, NULL, 24 * 3600 * 1000, false },
    { "release", run_release, NULL, 24 * 3600 * 1000, false },
};
const size_t outgoing_n_steps = ARRAY_SIZE(outgoing_steps);

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

static enum step_result
undo_check(void *o_, struct err *err OVS_UNUSED)
{
    struct outgoing *o = o_;

    if (o->guest) {
        o->guest->role = GUEST_OWN;
    }
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
    if (!o->target.uri) {
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
    /* Who has declined has forgotten us, but if packets went there, those that
     * it gives back have to find us here. */
    if (!o->aborted && (!o->declined.code || o->flipped)) {
        outgoing_say(o, MESSAGE_ABORT, &o->said_abort, NULL);
        if (e->now_ms < o->undo_since + ABORT_MS) {
            return STEP_WAIT;
        }
    }
    /* What it gave back may still be on its way, or wait its turn. */
    if (e->now_ms < o->undo_since + ABORT_MS
        && (o->n_returned < o->returned_there
            || (o->giving && !move_give_back(o)))) {
        return STEP_WAIT;
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
