#include <config.h>

#include "lab/labfile-check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/shash.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/problems.h"
#include "lab/labfile.h"
#include "lab/plan.h"
#include "lab/state.h"

struct checker {
    const char *name;
    const struct labfile *file;
    struct problems *problems;
    struct shash names;         /* Of everything, to 'const char *' kind. */
    struct shash homes;         /* "NETWORK ADDRESS" to its owner's name. */
};

#define COMPLAIN(C, AT, FORMAT, ...) \
    problems_add((C)->problems, "%s:%d:%d: " FORMAT, (C)->name, \
                 (AT)->line, (AT)->column, ##__VA_ARGS__)

static void check_names(struct checker *);
static void check_site(struct checker *, const struct labfile_site *);
static void check_sites_overlap(struct checker *);
static void check_link(struct checker *, const struct labfile_link *);
static void check_network(struct checker *, const struct labfile_network *);
static void check_vms(struct checker *);
static void check_outside(struct checker *, const struct labfile_outside *);
static void check_place(struct checker *, const char *key,
                        const char *site);
static void check_stores(struct checker *);

void
labfile_check(const char *name, bool is_lab, const struct labfile *file,
              struct problems *problems)
{
    struct checker c = { name, file, problems, SHASH_INITIALIZER(&c.names),
                         SHASH_INITIALIZER(&c.homes) };
    const struct labfile_network *network;
    const struct labfile_outside *outside;
    const struct labfile_site *site;
    const struct labfile_link *link;

    if (is_lab && !file->name) {
        problems_add(problems, "%s:1:1: the file lacks \"lab\": the lab's "
                     "name", name);
    }
    if (is_lab && !file->sites.n) {
        problems_add(problems, "%s:1:1: the lab has no site", name);
    }
    if (file->sites.n > LAB_MAX_SITES) {
        problems_add(problems, "%s:1:1: more than %d sites", name,
                     LAB_MAX_SITES);
        return;
    }

    check_names(&c);
    YAML_MAP_FOR_EACH (site, &file->sites) {
        check_site(&c, site);
    }
    check_sites_overlap(&c);
    YAML_MAP_FOR_EACH (link, &file->links) {
        check_link(&c, link);
    }
    YAML_MAP_FOR_EACH (network, &file->networks) {
        check_network(&c, network);
    }
    check_vms(&c);
    YAML_MAP_FOR_EACH (outside, &file->outside) {
        check_outside(&c, outside);
    }
    check_place(&c, "store", file->store.place.site);
    check_place(&c, "manager", file->manager.site);
    check_stores(&c);

    shash_destroy(&c.names);
    shash_destroy_free_data(&c.homes);
}

static bool
name_is_valid(const char *name)
{
    size_t len = strlen(name);

    return (len >= 1 && len <= LAB_NAME_LEN
            && isalnum((unsigned char) name[0])
            && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                      "UVWXYZ0123456789-_") == len);
}

/* Everything shares one space of names, because "--to" and "lab exec" take
 * names of several kinds. */
static void
check_name(struct checker *c, const struct yamlfile_at *at, const char *name,
           const char *kind)
{
    const char *other = shash_find_data(&c->names, name);

    if (!name_is_valid(name)) {
        COMPLAIN(c, at, "\"%.60s\" cannot be a name: expected 1 to %d "
                 "letters, digits, '-' or '_'", name, LAB_NAME_LEN);
    } else if (other) {
        COMPLAIN(c, at, "%s \"%s\": %s has this name already", kind, name,
                 other);
    } else {
        shash_add(&c->names, name, kind);
    }
}

static void
check_map_names(struct checker *c, const struct yamlfile_map *map,
                size_t item_size, const char *kind)
{
    for (size_t i = 0; i < map->n; i++) {
        const struct yamlfile_item *item = (const void *) (
            (const char *) map->items + i * item_size);
        check_name(c, &item->at, item->name, kind);
    }
}

static void
check_names(struct checker *c)
{
    static const char *const reserved[] = { "core", "store", "manager", "pki" };
    const struct labfile *file = c->file;
    const struct labfile_site *site;
    const struct yamlfile_at top = { 1, 1 };

    if (file->name && !name_is_valid(file->name)) {
        COMPLAIN(c, &top, "lab: \"%.60s\" cannot be a name", file->name);
    } else if (file->name && state_is_reserved(file->name)) {
        COMPLAIN(c, &top, "lab: \"%s\" cannot be a lab's name: its folder "
                 "is that of a part of a real machine", file->name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        shash_add(&c->names, reserved[i], "a part of every lab");
    }
    for (size_t i = 1; i < MIN(plan_n_stores(file), LAB_MAX_STORES); i++) {
        char store[PLAN_STORE_LEN];

        shash_add(&c->names, plan_store(i, store), "a server of the store");
    }
    YAML_MAP_FOR_EACH (site, &file->sites) {
        char router[LAB_NAME_LEN + 8], wire[LAB_NAME_LEN + 8];

        check_name(c, &site->item.at, site->item.name, "a site");
        snprintf(router, sizeof router, "%.31s-router", site->item.name);
        shash_add_once(&c->names, router, "a site's router");
        snprintf(wire, sizeof wire, "%.31s-wire", site->item.name);
        shash_add_once(&c->names, wire, "a site's link");
        for (size_t i = 0; i < site->hosts.n; i++) {
            check_name(c, &site->item.at, site->hosts.items[i], "a host");
        }
    }
    check_map_names(c, &file->vms, sizeof(struct labfile_vm), "a VM");
    check_map_names(c, &file->endpoints, sizeof(struct labfile_endpoint),
                    "an endpoint");
    check_map_names(c, &file->outside, sizeof(struct labfile_outside),
                    "an outside host");
}

/* How many addresses 'prefix' has, at most UINT32_MAX. */
static uint64_t
prefix_size(const struct prefix *prefix)
{
    int bits = (addr_family(&prefix->addr) == ADDR_V4 ? 32 : 128)
               - prefix->len;

    return bits >= 32 ? UINT32_MAX : 1ULL << bits;
}

static void
check_pool(struct checker *c, const struct labfile_site *site,
           enum addr_family family)
{
    const struct addr_range *pool = &site->pool[family];
    const struct prefix *wan = &site->wan[family];
    const char *key = family == ADDR_V4 ? "pool" : "pool6";
    char text[ADDR_STRLEN];

    if (addr_is_none(&pool->first)) {
        return;
    }
    if (addr_is_none(&wan->addr) || !prefix_contains(wan, &pool->first)
        || !prefix_contains(wan, &pool->last)) {
        COMPLAIN(c, &site->item.at, "site \"%s\": %s is not inside its %s",
                 site->item.name, key, family == ADDR_V4 ? "wan" : "wan6");
        return;
    }
    for (unsigned int n = 0; n <= site->hosts.n; n++) {
        struct in6_addr addr = labfile_wan_address(site, family, n);
        if (addr_range_contains(pool, &addr)) {
            COMPLAIN(c, &site->item.at, "site \"%s\": %s contains %s, which "
                     "is the address of its %s%s", site->item.name, key,
                     addr_format(&addr, text), n ? "host " : "router",
                     n ? site->hosts.items[n - 1] : "");
        }
    }
}

static void
check_site(struct checker *c, const struct labfile_site *site)
{
    if (addr_is_none(&site->wan[ADDR_V4].addr)
        && addr_is_none(&site->wan[ADDR_V6].addr)) {
        COMPLAIN(c, &site->item.at, "site \"%s\" has neither wan nor wan6",
                 site->item.name);
        return;
    }
    if (site->hosts.n > LAB_MAX_HOSTS) {
        COMPLAIN(c, &site->item.at, "site \"%s\" has more than %d hosts",
                 site->item.name, LAB_MAX_HOSTS);
        return;
    }
    ADDR_FOR_EACH_FAMILY (family) {
        const struct prefix *wan = &site->wan[family];

        if (!addr_is_none(&wan->addr)
            && prefix_size(wan) < site->hosts.n + 3) {
            COMPLAIN(c, &site->item.at, "site \"%s\": %s is too small for "
                     "its hosts", site->item.name,
                     family == ADDR_V4 ? "wan" : "wan6");
        } else {
            check_pool(c, site, family);
        }
    }
}

/* Complains if 'prefix', whose owner is at 'at', is one of the lab's own. */
static void
check_reserved(struct checker *c, const struct yamlfile_at *at,
               const struct prefix *prefix)
{
    struct prefix ours;
    char text[PREFIX_STRLEN];

    if (addr_is_none(&prefix->addr)) {
        return;
    }
    plan_prefix(addr_family(&prefix->addr), &ours);
    if (prefix_overlaps(prefix, &ours)) {
        COMPLAIN(c, at, "%s is what labs use for themselves",
                 prefix_format(&ours, text));
    }
}

static void
check_sites_overlap(struct checker *c)
{
    const struct labfile_site *a, *b;

    YAML_MAP_FOR_EACH (a, &c->file->sites) {
        ADDR_FOR_EACH_FAMILY (family) {
            const struct prefix *wan = &a->wan[family];

            check_reserved(c, &a->item.at, wan);
            for (b = c->file->sites.items; b < a; b++) {
                if (!addr_is_none(&wan->addr)
                    && !addr_is_none(&b->wan[family].addr)
                    && prefix_overlaps(wan, &b->wan[family])) {
                    COMPLAIN(c, &a->item.at, "the networks of sites \"%s\" "
                             "and \"%s\" overlap", b->item.name,
                             a->item.name);
                }
            }
        }
    }
}

/* Complains if 'prefix' overlaps with a site's network. */
static void
check_against_sites(struct checker *c, const struct yamlfile_item *item,
                    const struct prefix *prefix)
{
    const struct labfile_site *site;

    if (addr_is_none(&prefix->addr)) {
        return;
    }
    YAML_MAP_FOR_EACH (site, &c->file->sites) {
        const struct prefix *wan = &site->wan[addr_family(&prefix->addr)];
        if (!addr_is_none(&wan->addr) && prefix_overlaps(prefix, wan)) {
            COMPLAIN(c, &item->at, "\"%s\" overlaps with the network of "
                     "site \"%s\"", item->name, site->item.name);
        }
    }
}

static void
check_link(struct checker *c, const struct labfile_link *link)
{
    if (!labfile_find_site(c->file, link->item.name)) {
        COMPLAIN(c, &link->item.at, "link \"%s\": there is no such site",
                 link->item.name);
    }
    if (link->jitter_us > link->delay_us) {
        COMPLAIN(c, &link->item.at, "link \"%s\": jitter is more than delay",
                 link->item.name);
    }
}

static void
check_gateways(struct checker *c, const struct labfile_network *network)
{
    for (size_t i = 0; i < network->gateways.n; i++) {
        if (!labfile_find_host(c->file, network->gateways.items[i], NULL)) {
            COMPLAIN(c, &network->item.at, "network \"%s\": gateway "
                     "\"%.60s\" is not a host", network->item.name,
                     network->gateways.items[i]);
        }
    }
}

static void
check_network(struct checker *c, const struct labfile_network *network)
{
    static const char *const encaps[] = { "gre", "vxlan", "geneve" };
    const char *name = network->item.name;
    const struct yamlfile_at *at = &network->item.at;
    bool any = false;

    if (!name_is_valid(name)) {
        COMPLAIN(c, at, "\"%.60s\" cannot be a name", name);
    }
    ADDR_FOR_EACH_FAMILY (family) {
        const struct prefix *prefix = &network->prefix[family];
        const struct in6_addr *gateway = &network->gateway[family];

        any |= !addr_is_none(&prefix->addr);
        if (!addr_is_none(gateway) && (addr_is_none(&prefix->addr)
                                       || !prefix_contains(prefix,
                                                           gateway))) {
            COMPLAIN(c, at, "network \"%s\": %s is not inside its %s", name,
                     family == ADDR_V4 ? "gateway" : "gateway6",
                     family == ADDR_V4 ? "prefix" : "prefix6");
        }
        check_against_sites(c, &network->item, prefix);
        check_reserved(c, at, prefix);
    }
    if (!any) {
        COMPLAIN(c, at, "network \"%s\" has neither prefix nor prefix6",
                 name);
    }

    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(encaps); i++) {
        known |= network->encap && !strcmp(network->encap, encaps[i]);
    }
    if (network->encap && !known) {
        COMPLAIN(c, at, "network \"%s\": encap is not gre, vxlan or geneve",
                 name);
    } else if (network->encap && network->mode != NETWORK_OVERLAY) {
        COMPLAIN(c, at, "network \"%s\": encap is only for mode overlay",
                 name);
    }
    check_gateways(c, network);
}

/* Is 'addr' the first of 'prefix', or IPv4's broadcast address? */
static bool
is_special(const struct prefix *prefix, const struct in6_addr *addr)
{
    if (addr_family(addr) == ADDR_V4) {
        struct in6_addr last = addr_plus(&prefix->addr,
                                         prefix_size(prefix) - 1);
        if (addr_equals(addr, &last)) {
            return true;
        }
    }
    return addr_equals(addr, &prefix->addr);
}

static void
check_home(struct checker *c, const struct yamlfile_item *item,
           const struct labfile_network *network, enum addr_family family,
           const struct in6_addr *addr)
{
    const struct prefix *prefix = &network->prefix[family];
    char text[ADDR_STRLEN];

    addr_format(addr, text);
    if (addr_is_none(&prefix->addr) || !prefix_contains(prefix, addr)) {
        COMPLAIN(c, &item->at, "\"%s\": %s is not inside network \"%s\"",
                 item->name, text, network->item.name);
    } else if (is_special(prefix, addr)
               || addr_equals(addr, &network->gateway[family])) {
        COMPLAIN(c, &item->at, "\"%s\": %s is the address of network "
                 "\"%s\" itself or of its gateway", item->name, text,
                 network->item.name);
    } else {
        char *key = xasprintf("%s %s", network->item.name, text);
        const char *other = shash_find_data(&c->homes, key);

        if (other) {
            COMPLAIN(c, &item->at, "\"%s\": %s is the address of \"%s\" "
                     "already", item->name, text, other);
        } else {
            shash_add(&c->homes, key, xstrdup(item->name));
        }
        free(key);
    }
}

static void
check_interface(struct checker *c, const struct yamlfile_item *item,
                const char *host, const char *network_name,
                const struct in6_addr address[N_ADDR_FAMILIES])
{
    const struct labfile_network *network
        = labfile_find_network(c->file, network_name);

    if (!labfile_find_host(c->file, host, NULL)) {
        COMPLAIN(c, &item->at, "\"%s\": there is no host \"%.60s\"",
                 item->name, host);
    }
    if (!network) {
        COMPLAIN(c, &item->at, "\"%s\": there is no network \"%.60s\"",
                 item->name, network_name);
        return;
    }
    if (addr_is_none(&address[ADDR_V4]) && addr_is_none(&address[ADDR_V6])) {
        COMPLAIN(c, &item->at, "\"%s\" has neither address nor address6",
                 item->name);
    }
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&address[family])) {
            check_home(c, item, network, family, &address[family]);
        }
    }
}

static void
check_vms(struct checker *c)
{
    const struct labfile_endpoint *endpoint;
    const struct labfile_vm *vm;

    YAML_MAP_FOR_EACH (vm, &c->file->vms) {
        check_interface(c, &vm->item, vm->host, vm->network, vm->address);
        if (strcmp(vm->image, "mini") && vm->image[0] != '/') {
            COMPLAIN(c, &vm->item.at, "\"%s\": image is neither \"mini\" nor "
                     "an absolute path", vm->item.name);
        }
    }
    YAML_MAP_FOR_EACH (endpoint, &c->file->endpoints) {
        check_interface(c, &endpoint->item, endpoint->host,
                        endpoint->network, endpoint->address);
    }
}

static void
check_outside(struct checker *c, const struct labfile_outside *outside)
{
    const struct yamlfile_item *item = &outside->item;
    const struct labfile_outside *other;
    bool any = false;

    ADDR_FOR_EACH_FAMILY (family) {
        const struct labfile_ifaddr *ours = &outside->address[family];

        if (addr_is_none(&ours->addr)) {
            continue;
        }
        any = true;
        check_against_sites(c, item, &ours->prefix);
        check_reserved(c, &item->at, &ours->prefix);
        if (is_special(&ours->prefix, &ours->addr)) {
            COMPLAIN(c, &item->at, "\"%s\": its address is the network's",
                     item->name);
        }
        for (other = c->file->outside.items; other < outside; other++) {
            const struct labfile_ifaddr *theirs = &other->address[family];

            if (addr_is_none(&theirs->addr)) {
                continue;
            }
            if (addr_equals(&ours->addr, &theirs->addr)) {
                COMPLAIN(c, &item->at, "\"%s\" has the address of \"%s\"",
                         item->name, other->item.name);
            } else if (prefix_overlaps(&ours->prefix, &theirs->prefix)
                       && ours->prefix.len != theirs->prefix.len) {
                COMPLAIN(c, &item->at, "the networks of \"%s\" and \"%s\" "
                         "overlap", other->item.name, item->name);
            }
        }
    }
    if (!any) {
        COMPLAIN(c, &item->at, "\"%s\" has neither address nor address6",
                 item->name);
    }
}

static void
check_place(struct checker *c, const char *key, const char *site)
{
    if (site && !labfile_find_site(c->file, site)) {
        problems_add(c->problems, "%s: %s: there is no site \"%.60s\"",
                     c->name, key, site);
    }
}

static void
check_stores(struct checker *c)
{
    const struct labfile_store *store = &c->file->store;

    if (store->sites.n > LAB_MAX_STORES) {
        problems_add(c->problems, "%s: store: more than %d sites", c->name,
                     LAB_MAX_STORES);
    }
    if (store->sites.n && (store->nodes || store->place.site)) {
        problems_add(c->problems, "%s: store: sites says it all, there can "
                     "be neither site nor nodes", c->name);
    }
    for (size_t i = 0; i < store->sites.n; i++) {
        if (strcmp(store->sites.items[i], "core")) {
            check_place(c, "store", store->sites.items[i]);
        }
    }
}
