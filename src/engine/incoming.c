#include <config.h>

#include "engine/incoming-private.h"

#include <errno.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "core/hold.h"
#include "engine/admission.h"
#include "engine/journal.h"
#include "engine/spool.h"
#include "engine/tombstone.h"
#include "hypervisor/hypervisor.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "peer/message.h"
#include "store/bindings.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/networks.h"
#include "store/store.h"
#include "store/vms.h"

/* A source that has said nothing for so long before its grant, and has no
 * connection, has given up. */
#define SILENCE_MS 60000

/* After this, the switch's own answer to a router's question for a new
 * address is as good as certain. */
#define ROUTER_WARM_TIMES 3

/* A fence that does not come is given up this long after the measured delay
 * of its path. */
#define FENCE_GRACE_MS 50

/* How long packets that came here wait for a source that is away. */
#define RETURN_MS 20000

struct incoming *
incoming_find(const struct engine *e, const struct uuid *migration)
{
    struct incoming *in;

    HMAP_FOR_EACH_WITH_HASH (in, node, uuid_hash(migration), &e->incoming) {
        if (uuid_equals(&in->migration, migration)) {
            return in;
        }
    }
    return NULL;
}

static struct incoming *
find_for(struct engine *e, const struct message *m)
{
    struct uuid migration = message_get_uuid(m->body, "migration");
    struct incoming *in = incoming_find(e, &migration);

    if (in && !uuid_equals(&in->source, &m->from)) {
        char *what = xasprintf("\"%s\" for a migration that is another "
                               "host's", message_name(m->type));

        channel_refuse(e->c.channel, &m->from, what);
        free(what);
        return NULL;
    }
    if (in) {
        in->heard = e->now_ms;
    }
    return in;
}

struct incoming *
incoming_add(struct engine *e, const struct uuid *migration,
             const struct uuid *source, const struct generation *generation,
             const struct vm *vm)
{
    struct incoming *in = xzalloc(sizeof *in);

    in->migration = *migration;
    in->source = *source;
    in->generation = *generation;
    in->state = INCOMING_PREPARING;
    in->heard = e->now_ms;
    in->hold = hold_create();
    in->spool = spool_open(e->c.journal_dir, migration);
    in->guest = guest_add(e, vm, GUEST_INCOMING);
    in->guest->generation = *generation;
    hmap_insert(&e->incoming, &in->node, uuid_hash(migration));
    return in;
}

/* Its journal stays: it goes when it is over, not when the agent ends. */
static void
incoming_free(struct engine *e, struct incoming *in)
{
    hmap_remove(&e->incoming, &in->node);
    hold_destroy(in->hold);
    spool_close(in->spool);
    free(in);
}

static void
incoming_end(struct engine *e, struct incoming *in)
{
    journal_remove(e->c.journal_dir, &in->migration);
    spool_remove(e->c.journal_dir, &in->migration);
    incoming_free(e, in);
}

/* Preparing. */

static void
decline(struct engine *e, const struct uuid *source,
        const struct uuid *migration, const struct err *err)
{
    struct message *m = message_create(MESSAGE_DECLINED, migration);

    json_object_put(m->body, "code", json_integer_create(err->code));
    json_object_put_string(m->body, "text", err->text);
    channel_send(e->c.channel, source, m);
}

static uint64_t
memory_in_use(const struct engine *e)
{
    const struct guest *g;
    uint64_t kib = 0;

    HMAP_FOR_EACH (g, node, &e->guests) {
        kib += g->vm.memory_kib;
    }
    return kib / 1024;
}

/* Can the VM come here at all? */
static int
check(const struct engine *e, const struct vm *vm, struct err *err)
{
    uint64_t used = memory_in_use(e);

    if (guest_find(e, &vm->uuid)) {
        return err_set(err, EEXIST, "\"%s\" is on %s already", vm->name,
                       e->c.name);
    }
    if (used + vm->memory_kib / 1024 > e->c.memory_mib) {
        return err_set(err, ENOMEM, "%s has %"PRIu64" MiB for VMs, %"PRIu64
                       " of them in use: \"%s\" with %"PRIu64" MiB does not "
                       "fit", e->c.name, e->c.memory_mib, used, vm->name,
                       vm->memory_kib / 1024);
    }
    return 0;
}

void
incoming_handle_prepare(struct engine *e, const struct message *m)
{
    struct uuid migration = message_get_uuid(m->body, "migration");
    struct err err = ERR_INIT;
    struct vm vm;
    int error;

    struct incoming *in = incoming_find(e, &migration);
    if (in) {
        /* Asked again, on another connection: so the answer, if there was
         * one, is lost, and no grant can be on its way. */
        if (in->state == INCOMING_LISTENING
            && uuid_equals(&in->source, &m->from)) {
            in->state = INCOMING_PREPARING;
        }
        return;
    }
    error = message_to_vm(message_get_object(m->body, "vm"), &vm, &err);
    if (!error) {
        error = check(e, &vm, &err);
    }
    if (!error) {
        error = admission_ask(e, m, &vm, &err);
    }
    if (error == EINPROGRESS) {
        return;                 /* It is asked again. */
    } else if (error) {
        decline(e, &m->from, &migration, &err);
        return;
    }

    engine_connect(e, &m->from);

    struct generation generation = message_get_generation(m->body);
    incoming_add(e, &migration, &m->from, &generation, &vm);
    for (size_t i = 0; i < vm.n_nics; i++) {
        store_watch_network(e->c.store, &vm.nics[i].interface.network);
        tombstone_return(e, &vm.nics[i].interface.uuid);
    }
}

/* Lets the site's router learn the new addresses before they are needed. */
static void
warm_router(struct engine *e, const struct guest *g)
{
    const struct datapath_uplink *uplink
        = datapath_get_uplink(e->c.datapath);

    for (size_t i = 0; i < g->vm.n_nics; i++) {
        ADDR_FOR_EACH_FAMILY (family) {
            const struct in6_addr *mobile = &g->nics[i].mobile.of[family];
            const struct in6_addr *router = &uplink->router_ip.of[family];
            uint8_t buf[FRAME_BUILT_MAX];

            if (addr_is_none(mobile) || addr_is_none(router)) {
                continue;
            }
            size_t n = frame_build_neighbor_request(buf, uplink->mac, mobile,
                                                    router);
            for (int k = 0; k < ROUTER_WARM_TIMES; k++) {
                of_switch_packet_out(e->c.of_switch, buf, n, OFPP_CONTROLLER,
                                     uplink->wan);
            }
        }
    }
}

static void
send_prepared(struct engine *e, struct incoming *in,
              const struct migration_target *target)
{
    struct message *m = message_create(MESSAGE_PREPARED, &in->migration);
    struct json *list;

    json_object_put_string(m->body, "uri", target->uri);
    if (target->ticket) {
        json_object_put_string(m->body, "ticket", target->ticket);
    }
    list = message_put_list(m->body, "interfaces");
    for (size_t i = 0; i < in->guest->vm.n_nics; i++) {
        struct json *o = json_object_create();

        message_put_uuid(o, "interface",
                         &in->guest->vm.nics[i].interface.uuid);
        message_put_addrs(o, "mobile", &in->guest->nics[i].mobile);
        json_array_add(list, o);
    }
    channel_send(e->c.channel, &in->source, m);
}

static int
save(struct engine *e, const struct incoming *in, struct err *err)
{
    struct journal_entry entry = {
        .migration = in->migration,
        .source = in->source,
        .destination = e->c.host,
        .generation = in->generation,
        .vm = in->guest->vm,
    };

    for (size_t i = 0; i < entry.vm.n_nics; i++) {
        entry.mobile[i] = in->guest->nics[i].mobile;
    }
    return journal_save(e->c.journal_dir, &entry, err);
}

static int
listen_for(struct engine *e, struct incoming *in,
           struct migration_target *target, struct err *err)
{
    struct channel_delay delay;
    struct host source;

    int error = hosts_get(e->c.store, &in->source, &source, err);
    if (error) {
        return error;
    }
    channel_get_delay(e->c.channel, &in->source, &delay);
    return hypervisor_listen(e->c.hypervisor, &in->guest->vm, source.name,
                             MAX(delay.rtt_us, 0), target, err);
}

static void
prepare(struct engine *e, struct incoming *in)
{
    struct migration_target target = { .uri = NULL };
    struct err err = ERR_INIT;

    int error = guest_present(e, in->guest, DATAPATH_HOLD, &err);
    error = error ? error : listen_for(e, in, &target, &err);
    if (error == EINPROGRESS) {
        return;
    } else if (error) {
        decline(e, &in->source, &in->migration, &err);
        incoming_abort(e, in, false);
        return;
    }

    if (save(e, in, &err)) {
        migration_target_finish(&target);
        decline(e, &in->source, &in->migration, &err);
        incoming_abort(e, in, false);
        return;
    }
    warm_router(e, in->guest);
    guest_listen(e, in->guest);
    guest_bind(e, in->guest, false);
    guest_tell(e, in->guest, VM_LISTENING, "");
    send_prepared(e, in, &target);
    migration_target_finish(&target);
    in->state = INCOMING_LISTENING;
}

void
incoming_handle_expect(struct engine *e, const struct message *m)
{
    struct incoming *in = find_for(e, m);
    const struct json_array *list = message_get_list(m->body, "fences");

    for (size_t i = 0; in && i < list->n; i++) {
        struct uuid from = message_get_uuid(list->elems[i], "from");
        struct uuid to = message_get_uuid(list->elems[i], "to");
        size_t nic;

        if (guest_find_interface(e, &to, &nic) == in->guest) {
            incoming_expect(in, &from, nic,
                            message_get_integer(list->elems[i], "delay_ms")
                            + FENCE_GRACE_MS);
        }
    }
}

/* The grant, and after it. */

void
incoming_handle_grant(struct engine *e, const struct message *m)
{
    struct incoming *in = find_for(e, m);
    struct generation generation = message_get_generation(m->body);

    if (!in || in->state == INCOMING_ABORTING
        || in->state == INCOMING_PREPARING
        || generation_compare(&generation, &in->generation)) {
        struct uuid migration = message_get_uuid(m->body, "migration");
        struct message *refused = message_create(MESSAGE_REFUSED,
                                                 &migration);

        if (!incoming_find(e, &migration)) {
            admission_check_source(e, &migration, &m->from, "a grant for a "
                                   "migration that it does not drive");
        }
        json_object_put_string(refused->body, "text",
                               "the destination does not expect it");
        channel_send(e->c.channel, &m->from, refused);
        return;
    }
    in->granted = true;
    in->wanted = message_get_integer(m->body, "relayed");
    in->granted_ms = e->now_ms;
    if (in->state == INCOMING_LISTENING) {
        in->state = INCOMING_LOADING;
    } else {
        in->running_told = false;       /* It did not hear us. */
        in->settled_told = false;
    }
}

/* Lets QEMU go; '*why' says so if it has ended since.  False if it does not
 * run, or not yet. */
static bool
let_go(struct engine *e, struct incoming *in, struct err *why)
{
    int error = in->runs && !in->guest->ended ? 0
                : hypervisor_grant(e->c.hypervisor, &in->guest->vm.uuid, why);

    if (error == EINPROGRESS) {
        return false;
    } else if (error == ESRCH) {
        /* It ran here, and ended.  The source must never take it back. */
        in->guest->ended = true;
    } else if (error) {
        struct message *m = message_create(MESSAGE_REFUSED, &in->migration);

        json_object_put_string(m->body, "text", why->text);
        channel_send(e->c.channel, &in->source, m);
        incoming_abort(e, in, false);
        return false;
    }
    if (!in->resumed_us
        && (in->guest->ended || in->state == INCOMING_RESUMED)) {
        in->resumed_us = e->now.wall_us;        /* No event says when. */
    }
    if (!in->runs) {
        in->runs = true;
        incoming_open(e, in);
    }
    return true;
}

static void
begin_settling(struct engine *e, struct incoming *in, const struct err *why)
{
    guest_bind(e, in->guest, true);
    in->bound = guest_tell(e, in->guest,
                           in->guest->ended ? VM_FAILED : VM_RUNNING,
                           in->guest->ended ? why->text : "");
    in->state = INCOMING_SETTLING;
}

static void
load(struct engine *e, struct incoming *in)
{
    struct err why = ERR_INIT;

    if (let_go(e, in, &why)) {
        begin_settling(e, in, &why);
    }
}

void
incoming_handle_event(struct engine *e, const struct hypervisor_event *event)
{
    struct incoming *in;

    HMAP_FOR_EACH (in, node, &e->incoming) {
        if (!uuid_equals(&in->guest->vm.uuid, &event->vm)) {
            continue;
        }
        if (event->kind == HYPERVISOR_RESUMED) {
            in->resumed_us = event->timestamp_us;
        } else if (event->kind == HYPERVISOR_EXITED
                   && in->state == INCOMING_LISTENING) {
            struct err err;

            err_set(&err, EIO, "QEMU ended on %s: %s", e->c.name,
                    event->text);
            decline(e, &in->source, &in->migration, &err);
            incoming_abort(e, in, false);
            return;
        }
    }
}

static void
tell_running(struct engine *e, struct incoming *in)
{
    if (in->running_told || !in->resumed_us) {
        return;
    }
    struct message *m = message_create(MESSAGE_RUNNING, &in->migration);

    json_object_put(m->body, "resumed_us",
                    json_integer_create(in->resumed_us));
    in->running_told = !channel_send(e->c.channel, &in->source, m);
}

/* What the store refuses, it will refuse the next time, too. */
static bool
is_recorded(struct engine *e, const struct incoming *in)
{
    return write_result(e->c.store, in->bound, NULL) != WRITE_PENDING;
}

/* Does the store say that it is ours?  Then so has the source. */
static bool
is_ours(const struct engine *e, const struct incoming *in)
{
    struct vm_order order;

    return (!vms_get(e->c.store, &in->guest->vm.uuid, &order, NULL)
            && uuid_equals(&order.host, &e->c.host));
}

static void
settle(struct engine *e, struct incoming *in)
{
    incoming_close(e, in);
    if (!in->direct || !engine_is_acked(e, in->direct)
        || in->settled_told || !is_recorded(e, in)) {
        return;
    } else if (!in->granted && is_ours(e, in)) {
        in->settled_told = true;        /* By the agent before us. */
        in->state = INCOMING_MOVED;
        return;
    } else if (!incoming_has_all(e, in)) {
        return;
    }

    const struct hold_counters *c = hold_counters(in->hold);
    struct message *m = message_create(MESSAGE_SETTLED, &in->migration);
    json_object_put(m->body, "relayed", json_integer_create(c->relayed));
    json_object_put(m->body, "held", json_integer_create(c->held));
    json_object_put(m->body, "fences", json_integer_create(c->fences));
    json_object_put(m->body, "missed", json_integer_create(c->missed));
    json_object_put(m->body, "granted", json_integer_create(in->wanted));
    in->settled_told = !channel_send(e->c.channel, &in->source, m);
    if (in->settled_told) {
        in->state = INCOMING_MOVED;
    }
}

/* Once the store says that the VM is ours, it is a guest like any other. */
static void
finish(struct engine *e, struct incoming *in)
{
    if (!in->settled_told) {
        in->state = INCOMING_SETTLING;
    } else if (is_ours(e, in)) {
        in->guest->role = GUEST_OWN;
        incoming_end(e, in);
    }
}

/* Giving up. */

void
incoming_handle_abort(struct engine *e, const struct message *m)
{
    struct incoming *in = find_for(e, m);

    if (!in) {
        struct uuid migration = message_get_uuid(m->body, "migration");

        admission_forget(e, &migration, &m->from);
        channel_send(e->c.channel, &m->from,
                     message_create(MESSAGE_ABORTED, &migration));
    } else if (in->state == INCOMING_PREPARING
               || in->state == INCOMING_LISTENING) {
        incoming_abort(e, in, true);
    } else if (in->state == INCOMING_ABORTING) {
        in->tell_aborted = true;
    }
    /* After a grant nobody may abort: there is no answer. */
}

void
incoming_abort(struct engine *e, struct incoming *in, bool tell)
{
    in->state = INCOMING_ABORTING;
    in->tell_aborted = tell;
    in->abort_since = e->now_ms;
}

/* From now on our switch's packets for it are its source's. */
static int
bury(struct engine *e, struct incoming *in)
{
    if (!e->resumed) {
        return EAGAIN;
    }
    for (size_t i = 0; i < in->guest->vm.n_nics; i++) {
        int error = engine_set_interface(
            e, &in->guest->vm.nics[i].interface, NULL);

        if (error) {
            return error;
        }
    }
    engine_connect(e, &in->source);
    tombstone_add(e, in->guest, &in->source);
    in->buried = engine_sync(e);
    return 0;
}

/* What came here directly is the guest's, which runs at the source.  It waits,
 * for a while, until the source has said that it takes it: one that has just
 * died may still look connected, and one that has just begun does not yet know
 * what it is about. */
static bool
has_returned(struct engine *e, struct incoming *in)
{
    bool connected = channel_epoch(e->c.channel, &in->source) != 0;
    bool waits = (!in->tell_aborted
                  && hold_counters(in->hold)->direct > in->n_returned);
    bool late = e->now_ms >= in->abort_since + RETURN_MS;

    if (!in->buried && bury(e, in) && !late) {
        return false;           /* Not before the store is there. */
    }
    if (!connected) {
        engine_connect(e, &in->source);
    }
    if (waits && !late) {
        return false;
    }
    if (in->buried && !engine_is_acked(e, in->buried) && !late) {
        incoming_return_frames(e, in);
        return false;
    }
    engine_drain_hold(e);
    incoming_return_frames(e, in);
    return late || !channel_has_frames(e->c.channel, &in->source);
}

static void
run_abort(struct engine *e, struct incoming *in)
{
    if (!has_returned(e, in) || guest_dismantle(e, in->guest, NULL)) {
        return;                 /* Not yet, or it is to be tried again. */
    }
    if (in->tell_aborted) {
        struct message *m = message_create(MESSAGE_ABORTED, &in->migration);

        json_object_put(m->body, "returned",
                        json_integer_create(in->n_returned));
        channel_send(e->c.channel, &in->source, m);
    }
    guest_remove(e, in->guest, true);
    incoming_end(e, in);
}

/* It was granted: it runs, or QEMU had not heard so when our last process
 * died.  What it had must be presented again. */
static void
present_again(struct engine *e, struct incoming *in)
{
    struct err why = ERR_INIT;
    bool present = (store_is_ready(e->c.store)
                    && !guest_present(e, in->guest, DATAPATH_HOLD, NULL));

    if (!let_go(e, in, &why)) {
        return;
    }
    incoming_pass(e, in);
    tell_running(e, in);
    if (present) {
        begin_settling(e, in, &why);
        pace_open_beside(&in->pace, e->now_ms);
    }
}

/* Before the grant: has the source given up?  Its ABORT may have been lost
 * with its connection, but it also tells the store. */
static bool
is_given_up(struct engine *e, struct incoming *in)
{
    struct migration row;

    if (channel_epoch(e->c.channel, &in->source)) {
        in->heard = e->now_ms;
    }
    return (e->now_ms - in->heard > SILENCE_MS
            || (!migrations_get(e->c.store, &in->migration, &row, NULL)
                && (row.state == MOVE_ROLLED_BACK
                    || row.state == MOVE_FAILED)));
}

/* After the grant: has a person said that it runs at the source after all?  A
 * source by itself takes a guest back only if we refused it. */
static bool
is_taken_back(struct engine *e, struct incoming *in)
{
    struct migration row;

    if (in->store_seqno == store_seqno(e->c.store)) {
        return false;
    }
    in->store_seqno = store_seqno(e->c.store);
    return (!migrations_get(e->c.store, &in->migration, &row, NULL)
            && (row.state == MOVE_ROLLED_BACK || row.state == MOVE_FAILED));
}

static void
incoming_run_one(struct engine *e, struct incoming *in)
{
    if (in->state > INCOMING_LISTENING && in->state < INCOMING_ABORTING
        && is_taken_back(e, in)) {
        engine_note(e, "migration", in->guest->vm.name, true,
                    "\"%s\" was taken back by its source: it ends on %s",
                    in->guest->vm.name, e->c.name);
        incoming_abort(e, in, false);
    }
    switch (in->state) {
    case INCOMING_PREPARING:
        prepare(e, in);
        break;
    case INCOMING_LISTENING:
        if (is_given_up(e, in)) {
            incoming_abort(e, in, false);
            in->abort_since -= RETURN_MS;       /* Nobody will ask. */
        }
        break;
    case INCOMING_LOADING:
        load(e, in);
        break;
    case INCOMING_RESUMED:
        present_again(e, in);
        break;
    case INCOMING_SETTLING:
        incoming_pass(e, in);
        tell_running(e, in);
        settle(e, in);
        break;
    case INCOMING_MOVED:
        incoming_pass(e, in);
        tell_running(e, in);
        finish(e, in);
        break;
    case INCOMING_ABORTING:
        run_abort(e, in);
        break;
    }
}

bool
incoming_are_known(const struct engine *e)
{
    const struct incoming *in;

    HMAP_FOR_EACH (in, node, &e->incoming) {
        if ((in->state == INCOMING_RESUMED && !in->guest->ticket)
            || (in->state == INCOMING_ABORTING && !in->buried
                && e->now_ms < in->abort_since + RETURN_MS)) {
            return false;
        }
    }
    return true;
}

void
incoming_run(struct engine *e)
{
    struct incoming *in;
    struct message *m;

    while ((m = admission_next(e))) {
        incoming_handle_prepare(e, m);
        message_destroy(m);
    }
    HMAP_FOR_EACH_SAFE (in, node, &e->incoming) {
        incoming_run_one(e, in);
    }
}

void
incoming_wait(struct engine *e)
{
    struct incoming *in;

    admission_wait(e);
    HMAP_FOR_EACH (in, node, &e->incoming) {
        incoming_wait_frames(e, in);
        if (in->state == INCOMING_LISTENING) {
            poll_timer_wait_until(in->heard + SILENCE_MS);
        }
    }
}

void
incoming_format(const struct engine *e, struct ds *s)
{
    static const char *const states[] = {
        [INCOMING_PREPARING] = "preparing",
        [INCOMING_LISTENING] = "listening",
        [INCOMING_LOADING] = "loading",
        [INCOMING_RESUMED] = "resumed",
        [INCOMING_SETTLING] = "settling",
        [INCOMING_MOVED] = "moved",
        [INCOMING_ABORTING] = "aborting",
    };
    const struct incoming *in;

    HMAP_FOR_EACH (in, node, &e->incoming) {
        ds_put_format(s, "migration "UUID_FMT": %s comes, %s\n",
                      UUID_ARGS(&in->migration), in->guest->vm.name,
                      states[in->state]);
    }
}

void
incoming_destroy(struct engine *e)
{
    struct incoming *in;

    HMAP_FOR_EACH_SAFE (in, node, &e->incoming) {
        incoming_free(e, in);
    }
}
