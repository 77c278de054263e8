#include <config.h>

#include "lab/labfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/util.h"
#include "util.h"

#include "lab/labfile-check.h"

static yamlfile_parse_func parse_v4, parse_v6, parse_prefix4, parse_prefix6,
    parse_range4, parse_range6, parse_ifaddr4, parse_ifaddr6;

#define FIELD(STRUCT, MEMBER, KEY, TYPE, ...) \
    { .key = KEY, .type = TYPE, .offset = offsetof(struct STRUCT, MEMBER), \
      ##__VA_ARGS__ }
#define PARSED(STRUCT, MEMBER, KEY, PARSE, ...) \
    FIELD(STRUCT, MEMBER, KEY, YAML_PARSED, .parse = PARSE, ##__VA_ARGS__)
#define TABLE(WHAT, STRUCT, FIELDS) \
    { WHAT, FIELDS, ARRAY_SIZE(FIELDS), sizeof(struct STRUCT) }

static const struct yamlfile_field site_fields[] = {
    PARSED(labfile_site, wan[ADDR_V4], "wan", parse_prefix4,
           .help = "the site's own IPv4 network; .1 is its router"),
    PARSED(labfile_site, wan[ADDR_V6], "wan6", parse_prefix6,
           .help = "the site's own IPv6 network; ::1 is its router"),
    PARSED(labfile_site, pool[ADDR_V4], "pool", parse_range4,
           .help = "mobile IPv4 addresses, FIRST-LAST"),
    PARSED(labfile_site, pool[ADDR_V6], "pool6", parse_range6,
           .help = "mobile IPv6 addresses, FIRST-LAST"),
    FIELD(labfile_site, hosts, "hosts", YAML_TEXTS,
          .help = "names; the n-th has address .(1+n) and ::(1+n)"),
};
static const struct yamlfile_table site_table
    = TABLE("a site", labfile_site, site_fields);

static const struct yamlfile_field link_fields[] = {
    FIELD(labfile_link, delay_us, "delay", YAML_DURATION, .max = 60000000,
          .preset = "0ms", .help = "each way"),
    FIELD(labfile_link, jitter_us, "jitter", YAML_DURATION, .max = 60000000,
          .preset = "0ms", .help = "added to the delay, at random"),
    FIELD(labfile_link, loss_ppm, "loss", YAML_PERCENT, .preset = "0%",
          .help = "packets lost at random, each way"),
    FIELD(labfile_link, rate, "rate", YAML_RATE, .preset = "0",
          .help = "bits per second, each way; 0 is unlimited"),
};
static const struct yamlfile_table link_table
    = TABLE("a link", labfile_link, link_fields);

static const char *const modes[] = {
    [NETWORK_REWRITE] = "rewrite", [NETWORK_OVERLAY] = "overlay",
    [NETWORK_ANCHOR] = "anchor", [NETWORK_READDRESS] = "readdress", NULL,
};

static const struct yamlfile_field network_fields[] = {
    PARSED(labfile_network, prefix[ADDR_V4], "prefix", parse_prefix4,
           .help = "IPv4 home addresses"),
    PARSED(labfile_network, prefix[ADDR_V6], "prefix6", parse_prefix6,
           .help = "IPv6 home addresses"),
    PARSED(labfile_network, gateway[ADDR_V4], "gateway", parse_v4,
           .help = "the guests' router; default: the last address"),
    PARSED(labfile_network, gateway[ADDR_V6], "gateway6", parse_v6,
           .help = "the guests' IPv6 router; default: PREFIX::fffe"),
    FIELD(labfile_network, mode, "mode", YAML_CHOICE, .choices = modes,
          .preset = "rewrite", .help = "how packets find moved endpoints"),
    FIELD(labfile_network, encap, "encap", YAML_TEXT,
          .help = "gre, vxlan or geneve, for mode overlay"),
    FIELD(labfile_network, gateways, "gateways", YAML_TEXTS,
          .help = "hosts whose switch speaks for it to the outside"),
};
static const struct yamlfile_table network_table
    = TABLE("a network", labfile_network, network_fields);

static const struct yamlfile_field vm_fields[] = {
    FIELD(labfile_vm, host, "host", YAML_TEXT, .required = true,
          .help = "where it starts"),
    FIELD(labfile_vm, network, "network", YAML_TEXT, .required = true,
          .help = "the network of its interface"),
    PARSED(labfile_vm, address[ADDR_V4], "address", parse_v4,
           .help = "IPv4 home address"),
    PARSED(labfile_vm, address[ADDR_V6], "address6", parse_v6,
           .help = "IPv6 home address"),
    FIELD(labfile_vm, memory, "memory", YAML_SIZE, .preset = "256M",
          .min = 16 << 20, .max = 1LL << 40, .help = "such as 256M"),
    FIELD(labfile_vm, vcpus, "vcpus", YAML_INT, .preset = "1", .min = 1,
          .max = 255, .help = "virtual processors"),
    FIELD(labfile_vm, image, "image", YAML_TEXT, .preset = "mini",
          .help = "mini, or a path"),
};
static const struct yamlfile_table vm_table
    = TABLE("a VM", labfile_vm, vm_fields);

static const struct yamlfile_field endpoint_fields[] = {
    FIELD(labfile_endpoint, host, "host", YAML_TEXT, .required = true,
          .help = "whose switch it is behind"),
    FIELD(labfile_endpoint, network, "network", YAML_TEXT, .required = true,
          .help = "the network of its interface"),
    PARSED(labfile_endpoint, address[ADDR_V4], "address", parse_v4,
           .help = "IPv4 home address"),
    PARSED(labfile_endpoint, address[ADDR_V6], "address6", parse_v6,
           .help = "IPv6 home address"),
};
static const struct yamlfile_table endpoint_table
    = TABLE("an endpoint", labfile_endpoint, endpoint_fields);

static const struct yamlfile_field outside_fields[] = {
    PARSED(labfile_outside, address[ADDR_V4], "address", parse_ifaddr4,
           .help = "ADDRESS/LENGTH"),
    PARSED(labfile_outside, address[ADDR_V6], "address6", parse_ifaddr6,
           .help = "ADDRESS/LENGTH"),
};
static const struct yamlfile_table outside_table
    = TABLE("an outside host", labfile_outside, outside_fields);

static const struct yamlfile_field place_fields[] = {
    FIELD(labfile_place, site, "site", YAML_TEXT,
          .help = "a site; default: on the core"),
};
static const struct yamlfile_table place_table
    = TABLE("a place", labfile_place, place_fields);

static const struct yamlfile_field store_fields[] = {
    FIELD(labfile_store, place.site, "site", YAML_TEXT,
          .help = "a site; default: on the core"),
    FIELD(labfile_store, nodes, "nodes", YAML_INT, .min = 1,
          .max = LAB_MAX_STORES, .help = "servers of its cluster there"),
    FIELD(labfile_store, sites, "sites", YAML_TEXTS,
          .help = "instead of site and nodes: sites, or core, with a server "
          "each"),
};
static const struct yamlfile_table store_table
    = TABLE("the store", labfile_store, store_fields);

#define MAP(MEMBER, TABLE_, ...) \
    FIELD(labfile, MEMBER, #MEMBER, YAML_MAP, .table = TABLE_, ##__VA_ARGS__)

static const struct yamlfile_field fields[] = {
    FIELD(labfile, name, "lab", YAML_TEXT, .help = "the lab's name"),
    MAP(sites, &site_table, .help = "places with their own addresses"),
    MAP(links, &link_table, .help = "between a site and the core"),
    MAP(networks, &network_table, .help = "what VMs share"),
    MAP(vms, &vm_table, .help = "virtual machines"),
    MAP(endpoints, &endpoint_table, .help = "behind a host's switch"),
    MAP(outside, &outside_table, .help = "hosts without a switch of ours"),
    FIELD(labfile, store, "store", YAML_STRUCT, .table = &store_table,
          .help = "where the store is"),
    FIELD(labfile, manager, "manager", YAML_STRUCT, .table = &place_table,
          .help = "where the manager is"),
};
const struct yamlfile_table labfile_table = TABLE("the file", labfile, fields);

#define GATEWAY6 0xfffe         /* In the prefix, where it has so many. */

/* A gateway that is not given. */
static void
fill_gateways(struct labfile *file)
{
    struct labfile_network *network;

    YAML_MAP_FOR_EACH (network, &file->networks) {
        const struct prefix *v4 = &network->prefix[ADDR_V4];
        const struct prefix *v6 = &network->prefix[ADDR_V6];
        struct in6_addr *gateways = network->gateway;

        if (!addr_is_none(&v4->addr) && v4->len <= 30
            && addr_is_none(&gateways[ADDR_V4])) {
            gateways[ADDR_V4] = addr_plus(&v4->addr,
                                          (1ULL << (32 - v4->len)) - 2);
        }
        if (!addr_is_none(&v6->addr) && addr_is_none(&gateways[ADDR_V6])) {
            gateways[ADDR_V6] = addr_plus(&v6->addr,
                                          v6->len <= 112 ? GATEWAY6 : 1);
        }
    }
}

int
labfile_read(const char *name, bool is_lab, struct labfile *file,
             struct problems *problems, struct err *err)
{
    memset(file, 0, sizeof *file);
    int error = yamlfile_load(name, &labfile_table, file, problems, err);
    if (!error && !problems->n) {
        fill_gateways(file);
        labfile_check(name, is_lab, file, problems);
    }
    return error ? error : problems_result(problems, err);
}

void
labfile_free(struct labfile *file)
{
    yamlfile_free(&labfile_table, file);
}

const struct labfile_site *
labfile_find_host(const struct labfile *file, const char *host,
                  unsigned int *number)
{
    const struct labfile_site *site;

    YAML_MAP_FOR_EACH (site, &file->sites) {
        for (size_t i = 0; i < site->hosts.n; i++) {
            if (!strcmp(site->hosts.items[i], host)) {
                if (number) {
                    *number = i + 1;
                }
                return site;
            }
        }
    }
    return NULL;
}

/* Returns the item of 'map', which holds 'struct TYPE', named 'name'. */
#define FIND(TYPE, MAP, NAME) \
    const struct TYPE *item; \
    YAML_MAP_FOR_EACH (item, MAP) { \
        if (!strcmp(item->item.name, NAME)) { \
            return item; \
        } \
    } \
    return NULL

const struct labfile_site *
labfile_find_site(const struct labfile *file, const char *name)
{
    FIND(labfile_site, &file->sites, name);
}

const struct labfile_link *
labfile_find_link(const struct labfile *file, const char *site)
{
    FIND(labfile_link, &file->links, site);
}

const struct labfile_network *
labfile_find_network(const struct labfile *file, const char *name)
{
    FIND(labfile_network, &file->networks, name);
}

struct in6_addr
labfile_wan_address(const struct labfile_site *site, enum addr_family family,
                    unsigned int n)
{
    const struct prefix *wan = &site->wan[family];

    return (addr_is_none(&wan->addr) ? in6addr_any
            : addr_plus(&wan->addr, n + 1));
}

static int
parse_family(const char *text, enum addr_family family,
             struct in6_addr *addr, struct err *err)
{
    struct in6_addr parsed;

    int error = addr_parse(text, &parsed, err);
    if (!error && addr_family(&parsed) != family) {
        error = err_set(err, EINVAL, "\"%.50s\" is not an IPv%d address",
                        text, family == ADDR_V4 ? 4 : 6);
    }
    if (!error) {
        *addr = parsed;
    }
    return error;
}

static int
parse_v4(const char *text, void *addr, struct err *err)
{
    return parse_family(text, ADDR_V4, addr, err);
}

static int
parse_v6(const char *text, void *addr, struct err *err)
{
    return parse_family(text, ADDR_V6, addr, err);
}

static int
parse_prefix(const char *text, enum addr_family family,
             struct prefix *prefix, struct err *err)
{
    struct prefix parsed;

    int error = prefix_parse(text, &parsed, err);
    if (!error && addr_family(&parsed.addr) != family) {
        error = err_set(err, EINVAL, "\"%.50s\" is not an IPv%d prefix",
                        text, family == ADDR_V4 ? 4 : 6);
    }
    if (!error) {
        *prefix = parsed;
    }
    return error;
}

static int
parse_prefix4(const char *text, void *prefix, struct err *err)
{
    return parse_prefix(text, ADDR_V4, prefix, err);
}

static int
parse_prefix6(const char *text, void *prefix, struct err *err)
{
    return parse_prefix(text, ADDR_V6, prefix, err);
}

static int
parse_range(const char *text, enum addr_family family,
            struct addr_range *range, struct err *err)
{
    struct addr_range parsed;

    int error = addr_range_parse(text, &parsed, err);
    if (!error && addr_family(&parsed.first) != family) {
        error = err_set(err, EINVAL, "\"%.80s\" is not a range of IPv%d "
                        "addresses", text, family == ADDR_V4 ? 4 : 6);
    }
    if (!error) {
        *range = parsed;
    }
    return error;
}

static int
parse_range4(const char *text, void *range, struct err *err)
{
    return parse_range(text, ADDR_V4, range, err);
}

static int
parse_range6(const char *text, void *range, struct err *err)
{
    return parse_range(text, ADDR_V6, range, err);
}

/* "203.0.113.10/24" */
static int
parse_ifaddr(const char *text, enum addr_family family,
             struct labfile_ifaddr *ifaddr, struct err *err)
{
    struct labfile_ifaddr parsed;
    char addr[ADDR_STRLEN];
    const char *slash = strchr(text, '/');
    int max = family == ADDR_V4 ? 30 : 126;

    if (!slash || slash - text >= ADDR_STRLEN) {
        return err_set(err, EINVAL, "\"%.60s\" is not ADDRESS/LENGTH", text);
    }
    ovs_strlcpy(addr, text, slash - text + 1);
    int error = parse_family(addr, family, &parsed.addr, err);
    if (error) {
        return error;
    }

    char *end;
    long int len = strtol(slash + 1, &end, 10);
    if (*end || end == slash + 1 || len < 1 || len > max) {
        return err_set(err, EINVAL, "\"%.60s\": the length is not in 1..%d",
                       text, max);
    }
    parsed.prefix.addr = parsed.addr;
    parsed.prefix.len = len;
    struct in6_addr mask = prefix_mask(&parsed.prefix);
    for (int i = family == ADDR_V4 ? 12 : 0; i < 16; i++) {
        parsed.prefix.addr.s6_addr[i] &= mask.s6_addr[i];
    }
    *ifaddr = parsed;
    return 0;
}

static int
parse_ifaddr4(const char *text, void *ifaddr, struct err *err)
{
    return parse_ifaddr(text, ADDR_V4, ifaddr, err);
}

static int
parse_ifaddr6(const char *text, void *ifaddr, struct err *err)
{
    return parse_ifaddr(text, ADDR_V6, ifaddr, err);
}
