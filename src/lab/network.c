#include <config.h>

#include "lab/network.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/netns.h"
#include "base/process.h"
#include "lab/plan.h"

#define IP_TIMEOUT_MS 60000

enum node_kind { NODE_ROUTER, NODE_HOST, NODE_WIRE, NODE_OTHER, N_NODE_KINDS };

/* What is collected for a node until run_node(). */
struct node {
    char netns[PLAN_NETNS_LEN];
    enum node_kind kind;
    struct ds batch;            /* For "ip -batch". */
    struct ds batch6;           /* For "ip -6 -batch". */
    struct svec devices;        /* Ends of veths. */
};

struct builder {
    const struct labfile *file;
    struct state *state;
    struct shash nodes;
    struct ds links;            /* For "ip -batch" on the machine. */
};

struct sysctl {
    const char *key, *value;
};

static const struct sysctl router_sysctls[] = {
    { "net/ipv4/ip_forward", "1" },
    { "net/ipv4/conf/all/rp_filter", "1" },
    { "net/ipv4/conf/default/rp_filter", "1" },
    { "net/ipv4/conf/all/send_redirects", "0" },
    { "net/ipv4/conf/default/send_redirects", "0" },
    { "net/ipv6/conf/all/forwarding", "1" },
    { "net/ipv6/conf/default/accept_dad", "0" },
    { "net/ipv6/conf/default/accept_ra", "0" },
};

/* A host's kernel keeps off what belongs to its switch. */
static const struct sysctl host_sysctls[] = {
    { "net/ipv4/conf/all/arp_ignore", "1" },
    { "net/ipv6/conf/default/disable_ipv6", "1" },
};
static const struct sysctl wire_sysctls[] = {
    { "net/ipv6/conf/default/disable_ipv6", "1" },
};
static const struct sysctl other_sysctls[] = {
    { "net/ipv6/conf/default/accept_dad", "0" },
    { "net/ipv6/conf/default/accept_ra", "0" },
};

static const struct {
    const struct sysctl *rows;
    size_t n;
} sysctls[N_NODE_KINDS] = {
    [NODE_ROUTER] = { router_sysctls, ARRAY_SIZE(router_sysctls) },
    [NODE_HOST] = { host_sysctls, ARRAY_SIZE(host_sysctls) },
    [NODE_WIRE] = { wire_sysctls, ARRAY_SIZE(wire_sysctls) },
    [NODE_OTHER] = { other_sysctls, ARRAY_SIZE(other_sysctls) },
};

static int add_nodes(struct builder *, struct err *);
static void plan_core(struct builder *);
static void plan_core_routes(struct builder *);
static void plan_site(struct builder *, const struct labfile_site *);
static void plan_service(struct builder *, const char *node,
                         const char *site, unsigned int n);
static void plan_outside(struct builder *);
static void plan_endpoints(struct builder *);
static int realize(struct builder *, struct err *);

int
network_create(const struct labfile *file, struct state *state,
               struct err *err)
{
    struct builder b = { .file = file, .state = state };
    const struct labfile_site *site;
    struct shash_node *entry;

    shash_init(&b.nodes);
    ds_init(&b.links);
    int error = add_nodes(&b, err);
    if (!error) {
        plan_core(&b);
        YAML_MAP_FOR_EACH (site, &file->sites) {
            plan_site(&b, site);
        }
        plan_core_routes(&b);
        for (size_t i = 0; i < plan_n_stores(file); i++) {
            char store[PLAN_STORE_LEN];

            plan_service(&b, plan_store(i, store), plan_store_site(file, i),
                         PLAN_STORE - i);
        }
        plan_service(&b, "manager", file->manager.site, PLAN_MANAGER);
        plan_outside(&b);
        plan_endpoints(&b);
        error = realize(&b, err);
    }

    SHASH_FOR_EACH (entry, &b.nodes) {
        struct node *node = entry->data;

        ds_destroy(&node->batch);
        ds_destroy(&node->batch6);
        svec_destroy(&node->devices);
    }
    shash_destroy_free_data(&b.nodes);
    ds_destroy(&b.links);
    return error;
}

/* Creates the namespace of 'name'. */
static int
add_node(struct builder *b, const char *name, enum node_kind kind,
         struct err *err)
{
    struct node *node = xzalloc(sizeof *node);
    int saved;

    plan_netns(b->state->lab, name, node->netns);
    node->kind = kind;
    ds_init(&node->batch);
    ds_init(&node->batch6);
    svec_init(&node->devices);
    shash_add_once(&b->nodes, name, node);
    ds_put_cstr(&node->batch, "link set lo up\n");

    if (netns_exists(node->netns)) {
        return err_set(err, EEXIST, "namespace %s exists already; \"ip netns "
                       "delete %s\" removes it", node->netns, node->netns);
    }
    int error = state_add_netns(b->state, node->netns, err);
    error = error ? error : state_make_dir(b->state, name, err);
    error = error ? error : netns_create(node->netns, err);
    error = error ? error : netns_push(node->netns, &saved, err);
    if (!error) {
        for (size_t i = 0; !error && i < sysctls[kind].n; i++) {
            error = netns_write_sysctl(sysctls[kind].rows[i].key,
                                       sysctls[kind].rows[i].value, err);
        }
        netns_pop(saved);
    }
    return error;
}

static int
add_site(struct builder *b, const struct labfile_site *site,
         struct err *err)
{
    char name[LAB_NAME_LEN + 8];

    snprintf(name, sizeof name, "%s-router", site->item.name);
    int error = add_node(b, name, NODE_ROUTER, err);
    if (!error && labfile_find_link(b->file, site->item.name)) {
        snprintf(name, sizeof name, "%s-wire", site->item.name);
        error = add_node(b, name, NODE_WIRE, err);
    }
    for (size_t i = 0; !error && i < site->hosts.n; i++) {
        error = add_node(b, site->hosts.items[i], NODE_HOST, err);
    }
    return error;
}

static int
add_nodes(struct builder *b, struct err *err)
{
    const struct labfile_endpoint *endpoint;
    const struct labfile_outside *outside;
    const struct labfile_site *site;

    int error = add_node(b, "core", NODE_ROUTER, err);
    YAML_MAP_FOR_EACH (site, &b->file->sites) {
        error = error ? error : add_site(b, site, err);
    }
    YAML_MAP_FOR_EACH (endpoint, &b->file->endpoints) {
        error = error ? error : add_node(b, endpoint->item.name,
                                         NODE_OTHER, err);
    }
    YAML_MAP_FOR_EACH (outside, &b->file->outside) {
        error = error ? error : add_node(b, outside->item.name,
                                         NODE_OTHER, err);
    }
    for (size_t i = 0; i < plan_n_stores(b->file); i++) {
        char store[PLAN_STORE_LEN];

        error = error ? error : add_node(b, plan_store(i, store), NODE_OTHER,
                                         err);
    }
    error = error ? error : add_node(b, "manager", NODE_OTHER, err);
    return error;
}

static struct node *
get_node(struct builder *b, const char *name)
{
    return shash_find_data(&b->nodes, name);
}

/* Adds a command for "ip" inside 'node'. */
static void __attribute__((format(printf, 2, 3)))
ip(struct node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ds_put_format_valist(&node->batch, format, args);
    va_end(args);
    ds_put_char(&node->batch, '\n');
}

static void __attribute__((format(printf, 2, 3)))
ip6(struct node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ds_put_format_valist(&node->batch6, format, args);
    va_end(args);
    ds_put_char(&node->batch6, '\n');
}

/* Joins two nodes with a veth pair. */
static void
join(struct builder *b, struct node *one, const char *if_one,
     struct node *other, const char *if_other)
{
    ds_put_format(&b->links, "link add name %s netns %s type veth "
                  "peer name %s netns %s\n", if_one, one->netns, if_other,
                  other->netns);
    svec_add(&one->devices, if_one);
    svec_add(&other->devices, if_other);
    ip(one, "link set %s up", if_one);
    ip(other, "link set %s up", if_other);
}

/* Joins 'node', by 'ifname', to a port of bridge 'bridge' of 'router'. */
static void
join_bridge(struct builder *b, struct node *node, const char *ifname,
            struct node *router, const char *bridge, const char *port)
{
    join(b, node, ifname, router, port);
    ip(router, "link set %s master %s", port, bridge);
}

static void
add_bridge(struct node *node, const char *name)
{
    ip(node, "link add name %s type bridge stp_state 0 forward_delay 0 "
       "mcast_snooping 0", name);
    ip(node, "link set %s up", name);
}

static const char *
family_option(enum addr_family family)
{
    return family == ADDR_V4 ? "" : " nodad";
}

/* "iif NAME from PREFIX" passes; what is not passed is dropped by
 * filter_end().  For IPv4, rp_filter does the same. */
static void
filter_pass(struct node *node, const char *ifname,
            const struct prefix *prefix)
{
    char text[PREFIX_STRLEN];

    if (!addr_is_none(&prefix->addr)) {
        ip6(node, "rule add pref 1000 iif %s from %s lookup main", ifname,
            prefix_format(prefix, text));
    }
}

static void
filter_end(struct node *node, const char *ifname)
{
    ip6(node, "rule add pref 1001 iif %s from fe80::/10 lookup main",
        ifname);
    ip6(node, "rule add pref 1002 iif %s blackhole", ifname);
}

/* Does a gateway of 'network' sit at 'site'? */
static bool
speaks_at(const struct labfile *file, const struct labfile_network *network,
          const struct labfile_site *site)
{
    for (size_t i = 0; i < network->gateways.n; i++) {
        if (labfile_find_host(file, network->gateways.items[i], NULL)
            == site) {
            return true;
        }
    }
    return false;
}

static void
plan_core(struct builder *b)
{
    struct node *core = get_node(b, "core");
    char addr[ADDR_STRLEN];

    add_bridge(core, "mgmt");
    ip(core, "addr add %s/24 dev mgmt", plan_mgmt(0, 1, addr));
}

/* The core's route to each network that has gateways. */
static void
plan_core_routes(struct builder *b)
{
    struct node *core = get_node(b, "core");
    const struct labfile_network *network;
    const struct labfile_site *site;
    char addr[ADDR_STRLEN];

    YAML_MAP_FOR_EACH (network, &b->file->networks) {
        ADDR_FOR_EACH_FAMILY (family) {
            struct ds hops = DS_EMPTY_INITIALIZER;
            char prefix[PREFIX_STRLEN];

            YAML_MAP_FOR_EACH (site, &b->file->sites) {
                if (speaks_at(b->file, network, site)
                    && !addr_is_none(&site->wan[family].addr)) {
                    ds_put_format(&hops, " nexthop via %s", plan_transit(
                        plan_site_number(b->file, site->item.name), family,
                        1, addr));
                }
            }
            if (hops.length && !addr_is_none(&network->prefix[family].addr)) {
                prefix_format(&network->prefix[family], prefix);
                ip(core, "route add %s%s", prefix, ds_cstr(&hops));
            }
            ds_destroy(&hops);
        }
    }
}

/* The link between a site's router and the core. */
static void
plan_uplink(struct builder *b, const struct labfile_site *site,
            struct node *router)
{
    unsigned int number = plan_site_number(b->file, site->item.name);
    struct node *core = get_node(b, "core");
    char name[LAB_NAME_LEN + 8], port[PLAN_IFNAME_LEN];
    char ours[ADDR_STRLEN], theirs[ADDR_STRLEN], text[PREFIX_STRLEN];

    plan_ifname("s-", site->item.name, port);
    snprintf(name, sizeof name, "%s-wire", site->item.name);
    struct node *wire = get_node(b, name);
    if (wire) {
        join(b, router, "core", wire, "site");
        join(b, wire, "core", core, port);
    } else {
        join(b, router, "core", core, port);
    }

    ADDR_FOR_EACH_FAMILY (family) {
        int len = family == ADDR_V4 ? 30 : 64;

        plan_transit(number, family, 0, theirs);
        plan_transit(number, family, 1, ours);
        ip(router, "addr add %s/%d dev core%s", ours, len,
           family_option(family));
        ip(core, "addr add %s/%d dev %s%s", theirs, len, port,
           family_option(family));
        ip(router, "route add default via %s", theirs);
        if (!addr_is_none(&site->wan[family].addr)) {
            ip(core, "route add %s via %s",
               prefix_format(&site->wan[family], text), ours);
        }
    }
    plan_transit(number, ADDR_V4, 1, ours);
    ip(core, "route add %s/24 via %s", plan_mgmt(number, 0, theirs), ours);
}

/* The routes to the networks for which a host of this site speaks. */
static void
plan_gateways(struct builder *b, const struct labfile_site *site,
              struct node *router)
{
    const struct labfile_network *network;
    char addr[ADDR_STRLEN], prefix[PREFIX_STRLEN];

    YAML_MAP_FOR_EACH (network, &b->file->networks) {
        ADDR_FOR_EACH_FAMILY (family) {
            struct ds hops = DS_EMPTY_INITIALIZER;

            for (size_t i = 0; i < network->gateways.n; i++) {
                unsigned int n;

                if (labfile_find_host(b->file, network->gateways.items[i],
                                      &n) == site
                    && !addr_is_none(&site->wan[family].addr)) {
                    struct in6_addr hop = labfile_wan_address(site, family,
                                                              n);
                    ds_put_format(&hops, " nexthop via %s dev wan",
                                  addr_format(&hop, addr));
                }
            }
            if (hops.length && !addr_is_none(&network->prefix[family].addr)) {
                prefix_format(&network->prefix[family], prefix);
                ip(router, "route add %s%s", prefix, ds_cstr(&hops));
            }
            ds_destroy(&hops);
        }
    }
}

/* What the routers let pass of a site, in IPv6. */
static void
plan_filter(struct builder *b, const struct labfile_site *site,
            struct node *router)
{
    struct node *core = get_node(b, "core");
    const struct labfile_network *network;
    char port[PLAN_IFNAME_LEN];
    struct prefix transit;

    plan_ifname("s-", site->item.name, port);
    plan_prefix(ADDR_V6, &transit);
    filter_pass(core, port, &transit);
    filter_pass(core, port, &site->wan[ADDR_V6]);
    filter_pass(router, "wan", &site->wan[ADDR_V6]);
    YAML_MAP_FOR_EACH (network, &b->file->networks) {
        if (speaks_at(b->file, network, site)) {
            filter_pass(core, port, &network->prefix[ADDR_V6]);
            filter_pass(router, "wan", &network->prefix[ADDR_V6]);
        }
    }
    filter_end(core, port);
    filter_end(router, "wan");
}

static void
plan_host(struct builder *b, const struct labfile_site *site,
          struct node *router, unsigned int n)
{
    unsigned int number = plan_site_number(b->file, site->item.name);
    const char *name = site->hosts.items[n - 1];
    struct node *host = get_node(b, name);
    char port[PLAN_IFNAME_LEN], addr[ADDR_STRLEN];

    join_bridge(b, host, "wan", router, "wan",
                plan_ifname("w-", name, port));
    join_bridge(b, host, "mgmt", router, "mgmt",
                plan_ifname("m-", name, port));
    ip(host, "addr add %s/24 dev mgmt", plan_mgmt(number, n + 1, addr));
    ip(host, "route add default via %s", plan_mgmt(number, 1, addr));
}

static void
plan_site(struct builder *b, const struct labfile_site *site)
{
    unsigned int number = plan_site_number(b->file, site->item.name);
    char name[LAB_NAME_LEN + 8], addr[ADDR_STRLEN];

    snprintf(name, sizeof name, "%s-router", site->item.name);
    struct node *router = get_node(b, name);

    add_bridge(router, "wan");
    add_bridge(router, "mgmt");
    ADDR_FOR_EACH_FAMILY (family) {
        struct in6_addr own = labfile_wan_address(site, family, 0);

        if (!addr_is_none(&own)) {
            ip(router, "addr add %s/%d dev wan%s", addr_format(&own, addr),
               site->wan[family].len, family_option(family));
        }
    }
    ip(router, "addr add %s/24 dev mgmt", plan_mgmt(number, 1, addr));
    plan_uplink(b, site, router);
    for (unsigned int n = 1; n <= site->hosts.n; n++) {
        plan_host(b, site, router, n);
    }
    plan_gateways(b, site, router);
    plan_filter(b, site, router);
}

/* A node of the store's or the manager's, on the management network of a
 * site, or of the core for null. */
static void
plan_service(struct builder *b, const char *name, const char *site,
             unsigned int n)
{
    unsigned int number = plan_site_number(b->file, site);
    char router[LAB_NAME_LEN + 8], addr[ADDR_STRLEN];
    struct node *node = get_node(b, name);

    snprintf(router, sizeof router, "%s-router", site ? site : "");
    join_bridge(b, node, "mgmt",
                get_node(b, site ? router : "core"), "mgmt", name);
    ip(node, "addr add %s/24 dev mgmt", plan_mgmt(number, n, addr));
    ip(node, "route add default via %s", plan_mgmt(number, 1, addr));
}

/* The core's address in the network of 'outside': the first that nobody
 * has. */
static struct in6_addr
outside_router(const struct labfile *file, enum addr_family family,
               const struct labfile_outside *outside)
{
    const struct prefix *prefix = &outside->address[family].prefix;
    const struct labfile_outside *other;
    struct in6_addr addr;
    bool taken;

    addr = prefix->addr;
    do {
        addr = addr_plus(&addr, 1);
        taken = false;
        YAML_MAP_FOR_EACH (other, &file->outside) {
            taken |= addr_equals(&other->address[family].addr, &addr);
        }
    } while (taken);
    return addr;
}

static void
plan_outside(struct builder *b)
{
    struct node *core = get_node(b, "core");
    const struct labfile_outside *outside;
    struct svec known = SVEC_EMPTY_INITIALIZER;

    if (!b->file->outside.n) {
        return;
    }
    add_bridge(core, "outside");
    YAML_MAP_FOR_EACH (outside, &b->file->outside) {
        struct node *node = get_node(b, outside->item.name);
        char port[PLAN_IFNAME_LEN], text[ADDR_STRLEN];

        join_bridge(b, node, "eth0", core, "outside",
                    plan_ifname("o-", outside->item.name, port));
        ADDR_FOR_EACH_FAMILY (family) {
            const struct labfile_ifaddr *own = &outside->address[family];

            if (addr_is_none(&own->addr)) {
                continue;
            }
            struct in6_addr router = outside_router(b->file, family,
                                                    outside);
            ip(node, "addr add %s/%d dev eth0%s",
               addr_format(&own->addr, text), own->prefix.len,
               family_option(family));
            addr_format(&router, text);
            ip(node, "route add default via %s", text);
            if (!svec_contains_unsorted(&known, text)) {
                svec_add(&known, text);
                ip(core, "addr add %s/%d dev outside%s", text,
                   own->prefix.len, family_option(family));
                if (family == ADDR_V6) {
                    filter_pass(core, "outside", &own->prefix);
                }
            }
        }
    }
    filter_end(core, "outside");
    svec_destroy(&known);
}

/* An endpoint's interface stays down until its switch port is there: what it
 * sends before would be lost, and it would wait a second to try again. */
static void
plan_endpoints(struct builder *b)
{
    const struct labfile_endpoint *endpoint;

    YAML_MAP_FOR_EACH (endpoint, &b->file->endpoints) {
        struct node *node = get_node(b, endpoint->item.name);
        struct node *host = get_node(b, endpoint->host);
        char port[PLAN_IFNAME_LEN];

        join(b, node, "eth0", host,
             plan_ifname("e-", endpoint->item.name, port));
        ip(node, "link set eth0 down");
    }
}

/* Runs "ip -batch" with 'batch' in 'netns', or on the machine.  Addresses may
 * be of either family; rules without any are for IPv6 only with 'v6'. */
static int
run_ip(const char *netns, bool v6, const struct ds *batch, struct err *err)
{
    char *both[] = { "ip", "-batch", "-", NULL };
    char *only6[] = { "ip", "-6", "-batch", "-", NULL };
    struct process_spec spec = { .argv = v6 ? only6 : both, .netns = netns };

    return (batch->length
            ? process_run(&spec, batch->string, IP_TIMEOUT_MS, NULL, err)
            : 0);
}

/* Open vSwitch's userspace datapath and packet sockets see what the kernel
 * would leave to hardware: unfinished checksums, oversized segments. */
static void
disable_offloads(const struct node *node)
{
    static const uint32_t commands[] = {
        ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO,
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (size_t i = 0; fd >= 0 && i < node->devices.n; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(commands); j++) {
            struct ethtool_value value = { .cmd = commands[j] };
            struct ifreq ifr = { .ifr_data = (void *) &value };

            ovs_strzcpy(ifr.ifr_name, node->devices.names[i],
                        sizeof ifr.ifr_name);
            ignore(ioctl(fd, SIOCETHTOOL, &ifr));
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int
realize(struct builder *b, struct err *err)
{
    struct shash_node *entry;

    int error = run_ip(NULL, false, &b->links, err);
    SHASH_FOR_EACH (entry, &b->nodes) {
        struct node *node = entry->data;
        int saved;

        error = error ? error : netns_push(node->netns, &saved, err);
        if (!error) {
            disable_offloads(node);
            netns_pop(saved);
            error = run_ip(node->netns, false, &node->batch, err);
            error = error ? error : run_ip(node->netns, true, &node->batch6,
                                           err);
            if (error) {
                return err_add(err, error, "%s", entry->name);
            }
        }
    }
    return error;
}

bool
network_has_netem(const char *netns)
{
    char *add[] = { "tc", "qdisc", "add", "dev", "lo", "root", "netem",
                    "delay", "1ms", NULL };
    char *del[] = { "tc", "qdisc", "del", "dev", "lo", "root", NULL };
    struct process_spec spec = { .argv = add, .netns = netns };

    if (process_run(&spec, NULL, 5000, NULL, NULL)) {
        return false;
    }
    spec.argv = del;
    process_run(&spec, NULL, 5000, NULL, NULL);
    return true;
}

int
network_set_endpoint(const struct labfile *file, const struct state *state,
                     const struct labfile_endpoint *endpoint,
                     const char *mac, struct err *err)
{
    const struct labfile_network *network
        = labfile_find_network(file, endpoint->network);
    struct ds batch = DS_EMPTY_INITIALIZER;
    char netns[PLAN_NETNS_LEN], text[ADDR_STRLEN];

    if (mac) {
        ds_put_format(&batch, "link set eth0 address %s\n", mac);
    }
    ds_put_cstr(&batch, "link set eth0 up\n");
    ADDR_FOR_EACH_FAMILY (family) {
        const struct in6_addr *addr = &endpoint->address[family];

        if (!addr_is_none(addr)) {
            ds_put_format(&batch, "addr replace %s/%d dev eth0%s\n",
                          addr_format(addr, text),
                          network->prefix[family].len,
                          family_option(family));
            ds_put_format(&batch, "route replace default via %s\n",
                          addr_format(&network->gateway[family], text));
        }
    }

    plan_netns(state->lab, endpoint->item.name, netns);
    int error = run_ip(netns, false, &batch, err);
    ds_destroy(&batch);
    return error ? err_add(err, error, "%s", endpoint->item.name) : 0;
}
