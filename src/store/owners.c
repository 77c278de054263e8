#include <config.h>

#include "store/session.h"

#include "util.h"

/* Whose is an interface?
 *
 * The rows of VMs and endpoints say which interfaces they have, and the IDL
 * has no index for the other way.  So a map is made when somebody asks, and
 * is good until the replica changes. */

struct owner {
    struct hmap_node node;
    struct uuid interface;
    enum store_table table;
    struct uuid uuid;
};

struct owners {
    struct hmap by_interface;
    unsigned int seqno;         /* Of the replica that it was made from. */
};

static void
clear(struct owners *owners)
{
    struct owner *owner;

    HMAP_FOR_EACH_POP (owner, node, &owners->by_interface) {
        free(owner);
    }
}

static void
add(struct owners *owners, struct dbrec_interface *const *interfaces,
    size_t n, enum store_table table, const struct uuid *uuid)
{
    for (size_t i = 0; i < n; i++) {
        struct owner *owner = xmalloc(sizeof *owner);

        owner->interface = *ROW_UUID(interfaces[i]);
        owner->table = table;
        owner->uuid = *uuid;
        hmap_insert(&owners->by_interface, &owner->node,
                    uuid_hash(&owner->interface));
    }
}

static void
make(const struct store *store, struct owners *owners)
{
    const struct dbrec_endpoint *endpoint;
    const struct dbrec_vm *vm;

    clear(owners);
    DBREC_VM_FOR_EACH (vm, store->idl) {
        add(owners, vm->interfaces, vm->n_interfaces, STORE_VM, ROW_UUID(vm));
    }
    DBREC_ENDPOINT_FOR_EACH (endpoint, store->idl) {
        add(owners, endpoint->interfaces, endpoint->n_interfaces,
            STORE_ENDPOINT, ROW_UUID(endpoint));
    }
    owners->seqno = store->seqno;
}

struct owners *
owners_create(void)
{
    struct owners *owners = xzalloc(sizeof *owners);

    hmap_init(&owners->by_interface);
    return owners;
}

void
owners_destroy(struct owners *owners)
{
    clear(owners);
    hmap_destroy(&owners->by_interface);
    free(owners);
}

bool
session_owner(const struct store *store, const struct uuid *interface,
              enum store_table *table, struct uuid *uuid)
{
    struct owners *owners = store->owners;
    const struct owner *owner;

    if (owners->seqno != store->seqno) {
        make(store, owners);
    }
    HMAP_FOR_EACH_WITH_HASH (owner, node, uuid_hash(interface),
                             &owners->by_interface) {
        if (uuid_equals(&owner->interface, interface)) {
            *table = owner->table;
            *uuid = owner->uuid;
            return true;
        }
    }
    return false;
}
