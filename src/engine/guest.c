#include <config.h>

#include "engine/guest.h"

#include <errno.h>

#include "dp-packet.h"
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
#include "store/bindings.h"
#include "store/claims.h"
#include "store/store.h"
#include "store/vms.h"

#define MAX_BINDINGS 16         /* Of one interface. */

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
        error = engine_set_interface(e, interface, err);
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
guest_forget(struct engine *e, struct guest *g)
{
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        injector_close(g->nics[i].injector);
    }
    stop_listening(g);
    hmap_remove(&e->guests, &g->node);
    free(g);
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
    }
    if (g->told != VM_ABSENT) {
        instances_delete(e->c.store, &g->vm.uuid, &g->generation);
    }
    engine_sync(e);
    guest_forget(e, g);
}
