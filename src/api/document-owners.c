#include <config.h>

#include "api/document-owners.h"

#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "packets.h"
#include "sset.h"
#include "util.h"

#include "api/document.h"
#include "store/rows.h"
#include "store/session.h"

struct owned {
    struct hmap_node node;
    const char *network, *owner;
    struct in6_addr key;        /* A home address, or a MAC and zeros. */
    bool is_mac;
};

struct document_owners {
    struct hmap owned;
};

/* A MAC as a key. */
static struct in6_addr
mac_key(struct eth_addr mac)
{
    struct in6_addr key = in6addr_any;

    memcpy(&key, &mac, sizeof mac);
    return key;
}

static uint32_t
owned_hash(const char *network, const struct in6_addr *key, bool is_mac)
{
    return hash_string(network, hash_bytes(key, sizeof *key, is_mac));
}

static const char *
find(const struct document_owners *owners, const char *network,
     const struct in6_addr *key, bool is_mac)
{
    const struct owned *owned;

    HMAP_FOR_EACH_WITH_HASH (owned, node, owned_hash(network, key, is_mac),
                             &owners->owned) {
        if (owned->is_mac == is_mac && addr_equals(&owned->key, key)
            && !strcmp(owned->network, network)) {
            return owned->owner;
        }
    }
    return NULL;
}

static void
add(struct document_owners *owners, const char *network,
    const struct in6_addr *key, bool is_mac, const char *owner)
{
    if (!find(owners, network, key, is_mac)) {
        struct owned *owned = xmalloc(sizeof *owned);

        owned->network = network;
        owned->owner = owner;
        owned->key = *key;
        owned->is_mac = is_mac;
        hmap_insert(&owners->owned, &owned->node,
                    owned_hash(network, key, is_mac));
    }
}

static void
add_rows(struct document_owners *owners, struct dbrec_interface *const *rows,
         size_t n, const char *owner)
{
    for (size_t i = 0; i < n; i++) {
        struct interface interface;

        if (rows[i]->network && !rows_interface(rows[i], &interface, NULL)) {
            document_owners_add(owners, rows[i]->network->name,
                                interface.mac, &interface.home, owner);
        }
    }
}

struct document_owners *
document_owners_create(const struct store *store,
                       const struct document *document)
{
    struct document_owners *owners = xzalloc(sizeof *owners);
    struct sset vms = SSET_INITIALIZER(&vms);
    struct sset endpoints = SSET_INITIALIZER(&endpoints);
    const struct dbrec_endpoint *endpoint;
    const struct dbrec_vm *vm;

    hmap_init(&owners->owned);
    for (size_t i = 0; i < document->n_vms; i++) {
        sset_add(document->vms[i].is_endpoint ? &endpoints : &vms,
                 document->vms[i].name);
    }
    DBREC_VM_FOR_EACH (vm, store->idl) {
        if (!sset_contains(&vms, vm->name)) {
            add_rows(owners, vm->interfaces, vm->n_interfaces, vm->name);
        }
    }
    DBREC_ENDPOINT_FOR_EACH (endpoint, store->idl) {
        if (!sset_contains(&endpoints, endpoint->name)) {
            add_rows(owners, endpoint->interfaces, endpoint->n_interfaces,
                     endpoint->name);
        }
    }
    sset_destroy(&vms);
    sset_destroy(&endpoints);
    return owners;
}

void
document_owners_destroy(struct document_owners *owners)
{
    struct owned *owned;

    if (owners) {
        HMAP_FOR_EACH_POP (owned, node, &owners->owned) {
            free(owned);
        }
        hmap_destroy(&owners->owned);
        free(owners);
    }
}

void
document_owners_add(struct document_owners *owners, const char *network,
                    struct eth_addr mac, const struct addr_pair *home,
                    const char *owner)
{
    struct in6_addr key = mac_key(mac);

    add(owners, network, &key, true, owner);
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&home->of[family])) {
            add(owners, network, &home->of[family], false, owner);
        }
    }
}

const char *
document_owners_find_mac(const struct document_owners *owners,
                         const char *network, struct eth_addr mac)
{
    struct in6_addr key = mac_key(mac);

    return find(owners, network, &key, true);
}

const char *
document_owners_find_home(const struct document_owners *owners,
                          const char *network, const struct in6_addr *home)
{
    return find(owners, network, home, false);
}
