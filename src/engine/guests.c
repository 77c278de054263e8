#include <config.h>

#include "engine/guests.h"

#include <errno.h>

#include "dp-packet.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "engine/engine-private.h"
#include "engine/tombstone.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/shortcut.h"
#include "hypervisor/tap.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/networks.h"
#include "store/store.h"
#include "store/vms.h"

/* How long a guest may take to switch itself off. */
#define SHUTDOWN_GRACE_MS 5000

#define MAX_BINDINGS 16         /* Of one interface. */

static void guest_run(struct engine *, struct guest *,
                      const struct vm_order *);

struct guest *
guest_find(const struct engine *e, const struct uuid *vm)
{
    struct guest *g;

    HMAP_FOR_EACH_WITH_HASH (g, node, uuid_hash(vm), &e->guests) {
        if (uuid_equals(&g->vm.uuid, vm)) {
            return g;
        }
    }
    return NULL;
}

struct guest *
guest_find_interface(const struct engine *e, const struct uuid *interface,
                     size_t *nic)
{
    struct guest *g;

    HMAP_FOR_EACH (g, node, &e->guests) {
        for (size_t i = 0; i < g->vm.n_nics; i++) {
            if (uuid_equals(&g->vm.nics[i].interface.uuid, interface)) {
                *nic = i;
                return g;
            }
        }
    }
    return NULL;
}

struct guest *
guest_add(struct engine *e, const struct vm *vm, enum guest_role role)
{
    struct guest *g = xzalloc(sizeof *g);

    g->vm = *vm;
    g->role = role;
    g->told = VM_ABSENT;
    hmap_insert(&e->guests, &g->node, uuid_hash(&vm->uuid));
    return g;
}

/* Presenting: addresses, taps, ports, flows. */

static int
take_addresses(struct engine *e, struct guest *g, size_t i, struct err *err)
{
    struct guest_nic *nic = &g->nics[i];

    ADDR_FOR_EACH_FAMILY (family) {
        if (addr_is_none(&g->vm.nics[i].interface.home.of[family])
            || !addr_is_none(&nic->mobile.of[family])) {
            continue;
        }
        int error = claims_take(e->c.store, family, e->now.wall_us / 1000,
                                &nic->mobile.of[family], err);
        if (error == ENOENT
            && claims_n_available(e->c.store, family)) {
            return EINPROGRESS; /* The agent is claiming more. */
        } else if (error) {
            return err_set(err, ENOSPC, "the site's pool of IPv%d addresses "
                           "is exhausted; add addresses to its pool or "
                           "remove endpoints", family == ADDR_V4 ? 4 : 6);
        }
    }
    return 0;
}

static int
ensure_interface(struct engine *e, const struct interface *interface,
                 struct err *err)
{
    struct network network;
    int error;

    error = networks_get(e->c.store, &interface->network, &network, err);
    if (!error) {
        datapath_set_network(e->c.datapath, &network);
        datapath_set_interface(e->c.datapath, interface);
    }
    return error;
}

static int
present_nic(struct engine *e, struct guest *g, size_t i,
            enum datapath_delivery delivery, struct err *err)
{
    const struct interface *interface = &g->vm.nics[i].interface;
    char tap[HYPERVISOR_TAP_LEN];
    int error;

    hypervisor_tap_name(&g->vm.uuid, i, tap);
    error = bridge_add_port(e->c.bridge, tap, &interface->uuid,
                            interface->mac, err);
    if (!error) {
        error = take_addresses(e, g, i, err);
    }
    if (!error) {
        error = ensure_interface(e, interface, err);
    }
    if (!error) {
        struct datapath_here here = {
            .port = bridge_find_port(e->c.bridge, tap)->number,
            .mobile = g->nics[i].mobile,
            .delivery = delivery,
        };

        tombstone_fill(e, &interface->uuid, &here);
        datapath_set_here(e->c.datapath, &interface->uuid, &here);
    }
    return error;
}

int
guest_present(struct engine *e, struct guest *g,
              enum datapath_delivery delivery, struct err *err)
{
    int error = hypervisor_prepare(e->c.hypervisor, &g->vm, err);

    for (size_t i = 0; i < g->vm.n_nics && !error; i++) {
        error = present_nic(e, g, i, delivery, err);
    }
    if (error) {
        return error;
    }
    if (delivery == DATAPATH_HOLD) {
        guest_set_shortcuts(e, g, false);
    }
    if (!g->ticket) {
        g->ticket = engine_sync(e);
    }
    if (!engine_is_acked(e, g->ticket)) {
        return EINPROGRESS;
    }
    g->present = true;
    return 0;
}

uint64_t
guest_set_delivery(struct engine *e, struct guest *g,
                   enum datapath_delivery delivery)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        const struct uuid *uuid = &g->vm.nics[i].interface.uuid;
        const struct datapath_here *old
            = datapath_get_here(e->c.datapath, uuid);

        if (old) {
            struct datapath_here here = *old;

            here.delivery = delivery;
            datapath_set_here(e->c.datapath, uuid, &here);
        }
    }
    return engine_sync(e);
}

void
guest_set_shortcuts(struct engine *e, const struct guest *g, bool set)
{
    for (size_t i = 0; e->shortcuts && i < g->vm.n_nics; i++) {
        uint8_t key[SHORTCUT_KEY_LEN];
        char tap[HYPERVISOR_TAP_LEN];

        if (!datapath_held_key(e->c.datapath, &g->vm.nics[i].interface.uuid,
                               key)) {
            continue;
        }
        if (set) {
            hypervisor_tap_name(&g->vm.uuid, i, tap);
            shortcuts_add(e->shortcuts, key, tap, NULL);
        } else {
            shortcuts_remove(e->shortcuts, key);
        }
    }
}

/* What the store is told. */

/* What the store still says about an earlier stay here, from before a crash
 * of the host, or before a move that was rolled back. */
static void
forget_older(struct engine *e, const struct guest *g, size_t i)
{
    const struct uuid *uuid = &g->vm.nics[i].interface.uuid;
    struct binding all[MAX_BINDINGS];
    size_t n = MIN(bindings_list(e->c.store, uuid, all, MAX_BINDINGS),
                   MAX_BINDINGS);

    for (size_t k = 0; k < n; k++) {
        if (uuid_equals(&all[k].generation.host, &e->c.host)
            && generation_compare(&all[k].generation, &g->generation) < 0) {
            bindings_delete(e->c.store, uuid, &all[k].generation);
            instances_delete(e->c.store, &g->vm.uuid, &all[k].generation);
            if (!addr_pair_equals(&all[k].mobile, &g->nics[i].mobile)) {
                claims_rest(e->c.store, &all[k].mobile,
                            e->now.wall_us / 1000);
            }
        }
    }
}

write_ticket
guest_bind(struct engine *e, struct guest *g, bool active)
{
    write_ticket ticket = 0;

    for (size_t i = 0; i < g->vm.n_nics; i++) {
        struct binding binding = {
            .interface = g->vm.nics[i].interface.uuid,
            .generation = g->generation,
            .mobile = g->nics[i].mobile,
            .active = active,
        };

        ticket = bindings_put(e->c.store, &binding);
        if (active) {
            forget_older(e, g, i);
            struct datapath_out out = {
                .kind = DATAPATH_HERE,
                .generation = g->generation,
            };

            datapath_set_out(e->c.datapath, &binding.interface, &out);
        }
    }
    engine_sync(e);
    g->bound = true;
    return ticket;
}

write_ticket
guest_tell(struct engine *e, struct guest *g, enum vm_state state,
           const char *reason)
{
    struct instance instance = {
        .vm = g->vm.uuid,
        .generation = g->generation,
        .state = state,
        .since = e->now.wall_us / 1000,
    };

    g->told = state;
    ovs_strlcpy(instance.reason, reason, sizeof instance.reason);
    return instances_put(e->c.store, &instance);
}

void
guest_inject(struct engine *e OVS_UNUSED, struct guest *g, size_t i,
             const struct dp_packet *packet)
{
    struct guest_nic *nic = &g->nics[i];
    struct frame_fence fence;

    if (frame_parse_fence(dp_packet_data(packet), dp_packet_size(packet),
                          &fence)) {
        return;                 /* A late repetition.  It is not for guests. */
    }
    if (!nic->injector) {
        char tap[HYPERVISOR_TAP_LEN];

        hypervisor_tap_name(&g->vm.uuid, i, tap);
        if (injector_open(tap, &nic->injector, NULL)) {
            return;             /* No tap, no guest. */
        }
    }
    injector_send(nic->injector, packet);
}

void
guest_listen(struct engine *e OVS_UNUSED, struct guest *g)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        char tap[HYPERVISOR_TAP_LEN];

        hypervisor_tap_name(&g->vm.uuid, i, tap);
        if (!g->nics[i].listener
            && listener_open(tap, &g->nics[i].listener, NULL)) {
            g->nics[i].listener = NULL;
        }
    }
}

static void
stop_listening(struct guest *g)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        listener_close(g->nics[i].listener);
        g->nics[i].listener = NULL;
    }
}

bool
guest_is_awake(struct engine *e OVS_UNUSED, struct guest *g)
{
    bool listens = false;

    for (size_t i = 0; i < g->vm.n_nics; i++) {
        struct listener *listener = g->nics[i].listener;

        if (listener && listener_heard(listener)) {
            stop_listening(g);
            return true;
        }
        listens = listens || listener;
    }
    return !listens;
}

void
guest_wait_awake(const struct guest *g)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        if (g->nics[i].listener) {
            listener_wait(g->nics[i].listener);
        }
    }
}

/* Ending. */

int
guest_dismantle(struct engine *e, struct guest *g, struct err *err)
{
    bool gone = true;

    stop_listening(g);
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        char tap[HYPERVISOR_TAP_LEN];

        injector_close(g->nics[i].injector);
        g->nics[i].injector = NULL;
        hypervisor_tap_name(&g->vm.uuid, i, tap);
        if (bridge_find_port(e->c.bridge, tap)) {
            bridge_remove_port(e->c.bridge, tap);
            gone = false;
        }
    }
    int error = hypervisor_destroy(e->c.hypervisor, &g->vm.uuid, err);
    return error ? error : gone ? 0 : EINPROGRESS;
}

void
guest_remove(struct engine *e, struct guest *g, bool keep_here)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        const struct uuid *uuid = &g->vm.nics[i].interface.uuid;

        if (!keep_here) {
            datapath_set_here(e->c.datapath, uuid, NULL);
        }
        if (g->bound) {
            bindings_delete(e->c.store, uuid, &g->generation);
        }
        if (!addr_pair_is_none(&g->nics[i].mobile)) {
            claims_rest(e->c.store, &g->nics[i].mobile,
                        e->now.wall_us / 1000);
        }
        injector_close(g->nics[i].injector);
    }
    stop_listening(g);
    if (g->told != VM_ABSENT) {
        instances_delete(e->c.store, &g->vm.uuid, &g->generation);
    }
    engine_sync(e);
    hmap_remove(&e->guests, &g->node);
    free(g);
}

/* Own guests: what the store wants. */

/* Finds in the store what an earlier agent had given to the guest; there may
 * be a newer binding of another host, if the guest is on its way. */
static void
recall(struct engine *e, struct guest *g)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        struct binding list[MAX_BINDINGS];
        size_t n = bindings_list(e->c.store, &g->vm.nics[i].interface.uuid,
                                 list, MAX_BINDINGS);

        for (size_t k = 0; k < MIN(n, MAX_BINDINGS); k++) {
            if (uuid_equals(&list[k].generation.host, &e->c.host)) {
                g->generation = list[k].generation;
                g->nics[i].mobile = list[k].mobile;
                g->bound = true;
                break;
            }
        }
    }
    if (g->bound) {
        g->told = VM_RUNNING;
    }
}

struct guest *
guest_adopt(struct engine *e, const struct vm *vm, enum guest_role role)
{
    struct guest *g = guest_add(e, vm, role);

    recall(e, g);
    return g;
}

/* Takes the next generation for a VM that starts. */
static int
advance(struct engine *e, struct guest *g, const struct vm_order *order)
{
    struct err err = ERR_INIT;

    if (g->generation.counter) {
        return 0;
    }
    if (!g->advance) {
        g->advance = vms_advance(e->c.store, &g->vm.uuid, order->counter);
        g->advance_counter = order->counter + 1;
        return EINPROGRESS;
    }
    switch (write_result(e->c.store, g->advance, &err)) {
    case WRITE_PENDING:
        return EINPROGRESS;
    case WRITE_DONE:
        g->generation = (struct generation) {
            .epoch = store_epoch(e->c.store),
            .counter = g->advance_counter,
            .host = e->c.host,
        };
        return 0;
    case WRITE_REFUSED:
    case WRITE_LOST:
        g->advance = 0;         /* With what the store says by then. */
        return EINPROGRESS;
    }
    OVS_NOT_REACHED();
}

static void
fail(struct engine *e, struct guest *g, const struct err *err)
{
    g->ended = true;
    engine_note(e, "vm", g->vm.name, true, "cannot start \"%s\" on %s: %s",
                g->vm.name, e->c.name, err->text);
    if (g->generation.counter) {
        guest_tell(e, g, VM_FAILED, err->text);
    }
}

static void
start(struct engine *e, struct guest *g, const struct vm_order *order)
{
    struct err err = ERR_INIT;
    unsigned int seqno = bridge_seqno(e->c.bridge);

    if (g->told == VM_RUNNING && g->present && g->bridge_seqno == seqno) {
        return;
    }

    int error = advance(e, g, order);

    if (!error) {
        if (g->told == VM_ABSENT) {
            guest_tell(e, g, VM_STARTING, "");
        }
        error = guest_present(e, g, DATAPATH_DIRECT, &err);
    }
    if (!error && !g->bound) {
        guest_bind(e, g, true);
    }
    if (!error) {
        error = hypervisor_boot(e->c.hypervisor, &g->vm, &err);
    }
    if (!error) {
        g->bridge_seqno = seqno;
    }
    if (!error && g->told != VM_RUNNING) {
        guest_tell(e, g, VM_RUNNING, "");
        engine_note(e, "vm", g->vm.name, false, "\"%s\" runs on %s",
                    g->vm.name, e->c.name);
    } else if (error && error != EINPROGRESS) {
        fail(e, g, &err);
    }
}

static void
stop(struct engine *e, struct guest *g)
{
    struct err err = ERR_INIT;
    int error = hypervisor_stop(e->c.hypervisor, &g->vm.uuid,
                                SHUTDOWN_GRACE_MS, &err);

    g->stopping = true;
    if (!error) {
        error = guest_dismantle(e, g, &err);
    }
    if (!error) {
        engine_note(e, "vm", g->vm.name, false, "\"%s\" is stopped",
                    g->vm.name);
        guest_remove(e, g, false);
    } else if (error != EINPROGRESS) {
        engine_note(e, "vm", g->vm.name, true, "cannot stop \"%s\" on %s: %s",
                    g->vm.name, e->c.name, err.text);
    }
}

/* Does the store say that it runs elsewhere, as of a newer generation? */
static bool
is_superseded(struct engine *e, const struct guest *g)
{
    struct binding b;

    return (g->vm.n_nics && g->generation.counter
            && bindings_find_newest(e->c.store,
                                    &g->vm.nics[0].interface.uuid, true, &b)
            && !uuid_equals(&b.generation.host, &e->c.host)
            && generation_compare(&b.generation, &g->generation) > 0);
}

static void
guest_run(struct engine *e, struct guest *g, const struct vm_order *order)
{
    if (g->role != GUEST_OWN) {
        return;                 /* A migration has it. */
    }
    if (!order || !order->power || g->stopping || is_superseded(e, g)) {
        stop(e, g);
    } else if (!g->ended) {
        start(e, g, order);
    }
}

/* It listens, or did, and no journal knows it: nobody will ever grant. */
static void
end_unknown(struct engine *e, const struct hypervisor_info *info)
{
    struct vm_order order = { .vm = { .uuid = info->vm } };

    ovs_strlcpy(order.vm.name, info->name, sizeof order.vm.name);
    vms_get(e->c.store, &info->vm, &order, NULL);
    guest_add(e, &order.vm, GUEST_OWN)->stopping = true;
}

void
guests_adopt(struct engine *e)
{
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(e->c.hypervisor, &infos);

    for (size_t i = 0; i < n; i++) {
        struct vm_order order;

        bool ours = (!vms_get(e->c.store, &infos[i].vm, &order, NULL)
                     && uuid_equals(&order.host, &e->c.host));
        if (!guest_find(e, &infos[i].vm)
            && (infos[i].state == VM_LISTENING
                || (infos[i].state == VM_FAILED && !ours))) {
            end_unknown(e, &infos[i]);
            continue;
        }
        if ((infos[i].state != VM_RUNNING && infos[i].state != VM_PAUSED
             && infos[i].state != VM_SENT)
            || guest_find(e, &infos[i].vm) || !ours) {
            continue;
        }
        struct guest *g = guest_adopt(e, &order.vm, GUEST_OWN);
        engine_note(e, "vm", g->vm.name, false, "found \"%s\" running on %s",
                    g->vm.name, e->c.name);
    }
    free(infos);
}

/* Does anything have to be done about the guests?  Not while packets of a
 * move wake the loop thousands of times a second. */
static bool
is_anything_to_do(const struct engine *e)
{
    const struct guest *g;

    if (e->store_seqno != store_seqno(e->c.store)) {
        return true;
    }
    HMAP_FOR_EACH (g, node, &e->guests) {
        bool runs = (g->told == VM_RUNNING && g->present && !g->stopping
                     && g->bridge_seqno == bridge_seqno(e->c.bridge));

        if (g->role == GUEST_OWN && !runs && (!g->ended || g->stopping)) {
            return true;
        }
    }
    return false;
}

void
guests_run(struct engine *e)
{
    if (!e->resumed || !store_is_ready(e->c.store)
        || !is_anything_to_do(e)) {
        return;
    }
    e->store_seqno = store_seqno(e->c.store);

    struct uuid *uuids;
    size_t n = vms_list_here(e->c.store, &uuids);
    for (size_t i = 0; i < n; i++) {
        struct vm_order order;

        if (!guest_find(e, &uuids[i])
            && !vms_get(e->c.store, &uuids[i], &order, NULL)
            && order.power && uuid_is_zero(&order.migration)) {
            guest_add(e, &order.vm, GUEST_OWN);
        }
    }
    free(uuids);

    struct guest *g;
    HMAP_FOR_EACH_SAFE (g, node, &e->guests) {
        struct vm_order order;
        int error = vms_get(e->c.store, &g->vm.uuid, &order, NULL);

        if (!error || error == ENOENT) {
            guest_run(e, g, error ? NULL : &order);
        }
    }
}

void
guests_handle_event(struct engine *e, const struct hypervisor_event *event)
{
    struct guest *g = guest_find(e, &event->vm);

    if (!g || g->role != GUEST_OWN || g->stopping
        || event->kind != HYPERVISOR_EXITED) {
        return;
    }
    g->ended = true;
    engine_note(e, "vm", g->vm.name, true, "\"%s\" ended on %s: %s",
                g->vm.name, e->c.name, event->text);
    guest_tell(e, g, VM_FAILED, event->text);
}

bool
guests_are_complete(const struct engine *e)
{
    const struct guest *g;

    if (!e->resumed) {
        return false;
    }
    HMAP_FOR_EACH (g, node, &e->guests) {
        if (g->bound && !g->ticket && !g->ended && g->told == VM_RUNNING) {
            return false;       /* Not in the datapath yet. */
        }
    }
    return true;
}

void
guests_format(const struct engine *e, struct ds *s)
{
    static const char *const roles[] = {
        [GUEST_OWN] = "own",
        [GUEST_INCOMING] = "incoming",
        [GUEST_LEAVING] = "leaving",
    };
    const struct guest *g;

    HMAP_FOR_EACH (g, node, &e->guests) {
        char buf[GENERATION_STRLEN];

        ds_put_format(s, "guest %s: %s, %s, generation %s%s%s%s%s\n",
                      g->vm.name, roles[g->role], vm_state_name(g->told),
                      generation_format(&g->generation, buf),
                      g->present ? ", present" : ", not present",
                      g->bound ? ", bound" : "", g->ended ? ", ended" : "",
                      g->stopping ? ", stopping" : "");
    }
}

void
guests_destroy(struct engine *e)
{
    struct guest *g;

    HMAP_FOR_EACH_SAFE (g, node, &e->guests) {
        for (size_t i = 0; i < g->vm.n_nics; i++) {
            injector_close(g->nics[i].injector);
        }
        stop_listening(g);
        hmap_remove(&e->guests, &g->node);
        free(g);
    }
}
