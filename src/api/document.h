#ifndef API_DOCUMENT_H
#define API_DOCUMENT_H 1

/* A document of what somebody wants: sites, hosts, networks, VMs, endpoints.
 *
 *      document_parse()        JSON -> values; what each says by itself
 *      document_check()        values against each other and the store
 *      document_write()        one transaction: all of it or nothing
 *
 * All problems are reported, not only the first one.  Writing the same
 * document again changes nothing.  Objects that it does not name stay as
 * they are.  What is pinned at a VM's creation cannot be changed by it, and
 * 'host' only says where a VM begins: a VM that moved stays where it is.
 *
 * Keys that only a lab needs ("lab", "links", "outside", "store", "manager")
 * are accepted and left alone.
 *
 * Defaults: a site's router is the first address of its network, and its
 * n-th host has the (n+1)-th; a network's gateway is the last usable address
 * of an IPv4 prefix, and PREFIX::fffe of an IPv6 one; a MAC address is made
 * of the name and the interface's number, see document_default_mac(). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/uuid.h"

#include "api/fields.h"
#include "core/vm.h"
#include "store/write.h"

struct json;
struct problems;

#define DOCUMENT_MAX_RANGES 8   /* Pools of a site, of each family. */
#define DOCUMENT_MAX_GATEWAYS 16
#define DOCUMENT_NAME_LEN (NAME_LEN + 1)

struct document_site {
    char name[DOCUMENT_NAME_LEN];
    struct prefix prefix[N_ADDR_FAMILIES];
    struct addr_pair router;
    struct addr_range pools[N_ADDR_FAMILIES * DOCUMENT_MAX_RANGES];
    size_t n_pools;
};

struct document_host {
    char name[DOCUMENT_NAME_LEN];
    char site[DOCUMENT_NAME_LEN];
    struct addr_pair addresses;
    uint64_t memory_mib;        /* 0: what its agent says. */
};

struct document_network {
    char name[DOCUMENT_NAME_LEN];
    uint32_t id;                /* 0: any. */
    struct prefix prefix[N_ADDR_FAMILIES];
    struct addr_pair gateway;
    uint16_t mtu;
    char gateways[DOCUMENT_MAX_GATEWAYS][DOCUMENT_NAME_LEN];
    size_t n_gateways;
};

struct document_nic {
    char network[DOCUMENT_NAME_LEN];
    struct addr_pair home;
    struct eth_addr mac;
    bool has_mac;               /* Or is it the default? */
};

/* A VM or an endpoint. */
struct document_vm {
    char name[DOCUMENT_NAME_LEN];
    bool is_endpoint;
    char host[DOCUMENT_NAME_LEN];
    struct document_nic nics[VM_MAX_NICS];
    size_t n_nics;

    /* Of a VM only. */
    uint64_t memory_kib;
    unsigned int vcpus;
    char image[256];
    char machine[64];           /* "": the host's. */
    char cpu[64];               /* "": the host's. */
    bool stopped;               /* Not to be started. */
};

struct document {
    struct document_site *sites;
    struct document_host *hosts;
    struct document_network *networks;
    struct document_vm *vms;    /* Endpoints too. */
    size_t n_sites, n_hosts, n_networks, n_vms;
    bool create_only;           /* Refuse what exists already... */
    struct uuid insert;         /* ...but the first VM, if it is this row. */
    long long now;              /* Of the events, wall clock, in ms. */
};

extern const struct field document_fields[];
extern const struct field document_vm_fields[]; /* With "name". */

/* Returns a document in any case; it is good if 'problems' stays empty. */
struct document *document_parse(const struct json *, struct problems *);

/* One VM, which must not exist yet. */
struct document *document_parse_vm(const struct json *, struct problems *);
void document_destroy(struct document *);

/* What the document says about the object of this name; null: nothing. */
const struct document_site *document_find_site(const struct document *,
                                               const char *name);
const struct document_host *document_find_host(const struct document *,
                                               const char *name);
const struct document_network *document_find_network(const struct document *,
                                                     const char *name);

void document_check(const struct store *, const struct document *,
                    struct problems *);

/* Takes 'document'.  Refused if it does not pass document_check() any more
 * when its turn comes. */
write_ticket document_write(struct store *, struct document *);

/* Of the 'index'-th interface of 'name': 52:54:00 and 24 bits of a hash. */
struct eth_addr document_default_mac(const char *name, unsigned int index);

#endif /* api/document.h */
