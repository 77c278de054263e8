#ifndef LAB_LABFILE_H
#define LAB_LABFILE_H 1

/* Lab files: sites, hosts, networks, VMs and endpoints, in YAML.
 *
 * "watari apply" reads the same files; what exists only in a lab (links,
 * outside hosts, where the store is) means nothing there.  A struct labfile
 * that labfile_read() returned without problems is consistent: every name
 * that it mentions exists, every address is where it may be. */

#include <stdbool.h>

#include "base/yamlfile.h"
#include "core/addr.h"
#include "core/vm.h"

#define LAB_NAME_LEN 31         /* Of labs, sites, hosts, endpoints, VMs. */
#define LAB_MAX_SITES 60
#define LAB_MAX_HOSTS 200       /* At a site. */
#define LAB_MAX_STORES 5

struct json;

/* An interface's address, with the length of its network's prefix. */
struct labfile_ifaddr {
    struct in6_addr addr;
    struct prefix prefix;
};

struct labfile_site {
    struct yamlfile_item item;
    struct prefix wan[N_ADDR_FAMILIES];         /* None: not this family. */
    struct addr_range pool[N_ADDR_FAMILIES];    /* None: no pool. */
    struct yamlfile_texts hosts;
};

/* One direction of a site's link to the core; both are alike. */
struct labfile_link {
    struct yamlfile_item item;      /* Named like its site. */
    uint64_t delay_us, jitter_us;
    uint64_t loss_ppm;
    uint64_t rate;              /* Bits per second; 0: unlimited. */
};

struct labfile_network {
    struct yamlfile_item item;
    struct prefix prefix[N_ADDR_FAMILIES];
    struct in6_addr gateway[N_ADDR_FAMILIES];   /* The guests' router. */
    int mode;                   /* enum network_mode */
    char *encap;                /* "gre", ... or null. */
    struct yamlfile_texts gateways; /* Hosts. */
};

struct labfile_vm {
    struct yamlfile_item item;
    char *host, *network, *image;
    struct in6_addr address[N_ADDR_FAMILIES];
    uint64_t memory;            /* Bytes. */
    int64_t vcpus;
};

struct labfile_endpoint {
    struct yamlfile_item item;
    char *host, *network;
    struct in6_addr address[N_ADDR_FAMILIES];
};

struct labfile_outside {
    struct yamlfile_item item;
    struct labfile_ifaddr address[N_ADDR_FAMILIES];
};

struct labfile_place {
    char *site;                 /* Null: on the core. */
};

/* Servers of one store: so many at one place, or one at each site. */
struct labfile_store {
    struct labfile_place place;
    int64_t nodes;              /* 0: not given. */
    struct yamlfile_texts sites;    /* Or "core". */
};

struct labfile {
    char *name;                 /* Null for "watari apply". */
    struct yamlfile_map sites, links, networks, vms, endpoints, outside;
    struct labfile_store store;
    struct labfile_place manager;
};

/* Reads and checks 'file'; what is wrong with it goes to 'problems'.  A lab
 * needs a name and at least one site.  The caller ends with labfile_free(),
 * whatever the result is. */
int labfile_read(const char *file, bool is_lab, struct labfile *,
                 struct problems *, struct err *);
void labfile_free(struct labfile *);

/* The site of 'host', with the host's number there, from 1; null if there is
 * no such host. */
const struct labfile_site *labfile_find_host(const struct labfile *,
                                             const char *host,
                                             unsigned int *number);
const struct labfile_site *labfile_find_site(const struct labfile *,
                                             const char *name);
const struct labfile_link *labfile_find_link(const struct labfile *,
                                             const char *site);
const struct labfile_network *labfile_find_network(const struct labfile *,
                                                   const char *name);

/* The address of the router (0) or the n-th host (n) on the site's network;
 * none if it does not have that family. */
struct in6_addr labfile_wan_address(const struct labfile_site *,
                                    enum addr_family, unsigned int n);

/* The table of a whole file, for manuals. */
extern const struct yamlfile_table labfile_table;

#endif /* lab/labfile.h */
