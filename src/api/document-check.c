#include <config.h>

#include "api/document.h"

#include <string.h>

#include "packets.h"
#include "util.h"

#include "api/document-owners.h"
#include "api/show.h"
#include "base/problems.h"
#include "store/hosts.h"
#include "store/rows.h"
#include "store/session.h"

static bool
has(const struct prefix *prefix)
{
    return !addr_is_none(&prefix->addr);
}

/* Reports an address that is not in 'prefix'. */
static void
check_inside(const struct prefix *prefix,       /* Of each family. */
             const struct addr_pair *pair, const char *kind,
             const char *name, const char *member, const char *of,
             struct problems *problems)
{
    ADDR_FOR_EACH_FAMILY (f) {
        char text[ADDR_STRLEN];

        if (!addr_is_none(&pair->of[f])
            && (!has(&prefix[f])
                || !prefix_contains(&prefix[f], &pair->of[f]))) {
            problems_add(problems, "%s.%s.%s: %s is not in %s", kind, name,
                         member, addr_format(&pair->of[f], text), of);
        }
    }
}

static void
check_pool(const struct document *document, const struct document_site *site,
           const struct addr_range *pool, struct problems *problems)
{
    enum addr_family f = addr_family(&pool->first);
    const char *member = f == ADDR_V4 ? "pool" : "pool6";

    if (!has(&site->prefix[f])
        || !prefix_contains(&site->prefix[f], &pool->first)
        || !prefix_contains(&site->prefix[f], &pool->last)) {
        problems_add(problems, "sites.%s.%s: is not in the site's network",
                     site->name, member);
        return;
    }
    if (!addr_is_none(&site->router.of[f])
        && addr_range_contains(pool, &site->router.of[f])) {
        problems_add(problems, "sites.%s.%s: contains the site's router",
                     site->name, member);
    }
    for (size_t i = 0; i < document->n_hosts; i++) {
        const struct document_host *host = &document->hosts[i];

        if (!strcmp(host->site, site->name)
            && !addr_is_none(&host->addresses.of[f])
            && addr_range_contains(pool, &host->addresses.of[f])) {
            problems_add(problems, "sites.%s.%s: contains the address of "
                         "host %s", site->name, member, host->name);
        }
    }
    for (size_t i = 0; i < site->n_pools; i++) {
        const struct addr_range *other = &site->pools[i];

        if (other < pool && addr_family(&other->first) == f
            && (addr_range_contains(pool, &other->first)
                || addr_range_contains(other, &pool->first))) {
            problems_add(problems, "sites.%s.%s: two ranges overlap",
                         site->name, member);
        }
    }
}

/* Sites' networks are routed, so no two may overlap. */
static void
check_overlap(const struct document_site *site,
              const struct prefix other[N_ADDR_FAMILIES],
              const char *other_name, struct problems *problems)
{
    ADDR_FOR_EACH_FAMILY (f) {
        if (has(&site->prefix[f]) && has(&other[f])
            && prefix_overlaps(&site->prefix[f], &other[f])) {
            problems_add(problems, "sites.%s.wan%s: overlaps with that of "
                         "site %s", site->name, f == ADDR_V6 ? "6" : "",
                         other_name);
        }
    }
}

static void
check_site_overlaps(const struct store *store,
                    const struct document *document,
                    const struct document_site *site,
                    struct problems *problems)
{
    const struct dbrec_site *row;

    for (const struct document_site *other = document->sites; other < site;
         other++) {
        check_overlap(site, other->prefix, other->name, problems);
    }
    DBREC_SITE_FOR_EACH (row, store->idl) {
        struct site other;

        if (!document_find_site(document, row->name)
            && !rows_site(row, &other, NULL)) {
            check_overlap(site, other.prefix, other.name, problems);
        }
    }
}

static void
check_site(const struct store *store, const struct document *document,
           const struct document_site *site, struct problems *problems)
{
    check_inside(site->prefix, &site->router, "sites", site->name, "router",
                 "its network", problems);
    for (size_t i = 0; i < site->n_pools; i++) {
        check_pool(document, site, &site->pools[i], problems);
    }
    check_site_overlaps(store, document, site, problems);
    if (document_find_host(document, site->name)
        || session_host(store, site->name)) {
        problems_add(problems, "sites.%s: a host has this name", site->name);
    }
}

static void
check_host(const struct store *store, const struct document *document,
           const struct document_host *host, struct problems *problems)
{
    const struct document_site *site = document_find_site(document,
                                                          host->site);
    const struct dbrec_site *site_row = session_site(store, host->site);
    const struct dbrec_host *row = session_host(store, host->name);
    struct site stored;

    if (document_find_host(document, host->name) != host) {
        problems_add(problems, "hosts.%s: is at two sites", host->name);
    }
    if (!site && !site_row) {
        problems_add(problems, "hosts.%s.site: there is no site %s",
                     host->name, host->site);
    }
    if (row && row->site && strcmp(row->site->name, host->site)) {
        problems_add(problems, "hosts.%s.site: is at site %s already, and "
                     "hosts do not move", host->name, row->site->name);
    }
    if (session_site(store, host->name)) {
        problems_add(problems, "hosts.%s: a site has this name", host->name);
    }
    if (site) {
        check_inside(site->prefix, &host->addresses, "hosts", host->name,
                     "address", "its site's network", problems);
    } else if (site_row && !rows_site(site_row, &stored, NULL)) {
        check_inside(stored.prefix, &host->addresses, "hosts", host->name,
                     "address", "its site's network", problems);
    }
    for (size_t i = 0; i < document->n_hosts; i++) {
        const struct document_host *other = &document->hosts[i];

        ADDR_FOR_EACH_FAMILY (f) {
            if (other < host && !addr_is_none(&host->addresses.of[f])
                && addr_equals(&host->addresses.of[f],
                               &other->addresses.of[f])) {
                problems_add(problems, "hosts.%s.address: host %s has it "
                             "too", host->name, other->name);
            }
        }
    }
}

static bool
host_exists(const struct store *store, const struct document *document,
            const char *name)
{
    return document_find_host(document, name) || session_host(store, name);
}

static void
check_network(const struct store *store, const struct document *document,
              const struct document_network *network,
              struct problems *problems)
{
    const struct dbrec_network *row = session_network(store, network->name);
    const struct dbrec_network *other;

    if (!has(&network->prefix[ADDR_V4]) && !has(&network->prefix[ADDR_V6])) {
        problems_add(problems, "networks.%s: needs a prefix or a prefix6",
                     network->name);
    }
    check_inside(network->prefix, &network->gateway, "networks",
                 network->name, "gateway", "its prefix", problems);
    for (size_t i = 0; i < network->n_gateways; i++) {
        if (!host_exists(store, document, network->gateways[i])) {
            problems_add(problems, "networks.%s.gateways: there is no host "
                         "%s", network->name, network->gateways[i]);
        }
    }
    if (!network->id) {
        return;
    }
    if (row && row->id != network->id) {
        problems_add(problems, "networks.%s.id: is %"PRId64" already, and "
                     "ids do not change", network->name, row->id);
    }
    DBREC_NETWORK_FOR_EACH (other, store->idl) {
        if (other != row && other->id == network->id) {
            problems_add(problems, "networks.%s.id: network %s has it",
                         network->name, other->name);
        }
    }
    for (size_t i = 0; i < document->n_networks; i++) {
        if (&document->networks[i] < network
            && document->networks[i].id == network->id) {
            problems_add(problems, "networks.%s.id: network %s has it",
                         network->name, document->networks[i].name);
        }
    }
}

/* What a network's document or row says about addresses. */
static bool
get_network(const struct store *store, const struct document *document,
            const char *name, struct prefix prefix[N_ADDR_FAMILIES],
            struct addr_pair *gateway)
{
    const struct document_network *network = document_find_network(document,
                                                                   name);
    const struct dbrec_network *row = session_network(store, name);
    struct network stored;

    if (network) {
        memcpy(prefix, network->prefix, sizeof network->prefix);
        *gateway = network->gateway;
        return true;
    }
    if (row && !rows_network(row, &stored, NULL)) {
        memcpy(prefix, stored.prefix, sizeof stored.prefix);
        *gateway = stored.gateway;
        return true;
    }
    return false;
}

static bool
is_network_or_broadcast(const struct prefix *prefix,
                        const struct in6_addr *address)
{
    struct in6_addr last = addr_plus(&prefix->addr,
                                     (1ULL << (32 - prefix->len)) - 1);

    return addr_equals(address, &prefix->addr) || addr_equals(address, &last);
}

static void
check_nic_addresses(const struct store *store,
                    const struct document *document,
                    const struct document_nic *nic, const char *where,
                    struct problems *problems)
{
    struct prefix prefix[N_ADDR_FAMILIES];
    struct addr_pair gateway;

    if (!nic->network[0]) {
        return;                 /* Reported already. */
    }
    if (!get_network(store, document, nic->network, prefix, &gateway)) {
        problems_add(problems, "%s.network: there is no network %s", where,
                     nic->network);
        return;
    }
    if (addr_pair_is_none(&nic->home)) {
        problems_add(problems, "%s.address: is missing (or address6)",
                     where);
    }
    ADDR_FOR_EACH_FAMILY (f) {
        const struct in6_addr *address = &nic->home.of[f];
        char text[ADDR_STRLEN];

        if (addr_is_none(address)) {
            continue;
        }
        addr_format(address, text);
        if (!has(&prefix[f]) || !prefix_contains(&prefix[f], address)) {
            problems_add(problems, "%s.address%s: %s is not in network %s",
                         where, f == ADDR_V6 ? "6" : "", text, nic->network);
        } else if (addr_equals(address, &gateway.of[f])) {
            problems_add(problems, "%s.address%s: %s is the gateway", where,
                         f == ADDR_V6 ? "6" : "", text);
        } else if (f == ADDR_V4
                   && is_network_or_broadcast(&prefix[f], address)) {
            problems_add(problems, "%s.address: %s is not a host's address",
                         where, text);
        }
    }
}

/* On one network nobody has a MAC or a home address of another.  From now on
 * 'nic' has what is its own. */
static void
check_nic_unique(struct document_owners *owners, const struct document_vm *vm,
                 const struct document_nic *nic, const char *where,
                 struct problems *problems)
{
    const char *owner = document_owners_find_mac(owners, nic->network,
                                                 nic->mac);

    if (owner) {
        problems_add(problems, "%s.mac: "ETH_ADDR_FMT" is %s's", where,
                     ETH_ADDR_ARGS(nic->mac), owner);
    }
    ADDR_FOR_EACH_FAMILY (f) {
        const struct in6_addr *home = &nic->home.of[f];
        char text[ADDR_STRLEN];

        owner = (addr_is_none(home) ? NULL
                 : document_owners_find_home(owners, nic->network, home));
        if (owner) {
            problems_add(problems, "%s.address%s: %s is %s's", where,
                         f == ADDR_V6 ? "6" : "", addr_format(home, text),
                         owner);
        }
    }
    document_owners_add(owners, nic->network, nic->mac, &nic->home, vm->name);
}

/* A VM or endpoint that exists must be as the document says. */
static void
check_unchanged(const struct document_vm *vm, const char *where,
                struct dbrec_interface *const *rows, size_t n,
                struct problems *problems)
{
    if (n != vm->n_nics) {
        problems_add(problems, "%s: exists with %"PRIuSIZE" interfaces; "
                     "delete it first", where, n);
        return;
    }
    for (size_t i = 0; i < vm->n_nics; i++) {
        const struct document_nic *nic = &vm->nics[i];
        bool found = false;

        for (size_t j = 0; j < n && !found; j++) {
            struct interface interface;

            found = (rows[j]->network
                     && !strcmp(rows[j]->network->name, nic->network)
                     && !rows_interface(rows[j], &interface, NULL)
                     && addr_pair_equals(&interface.home, &nic->home)
                     && (!nic->has_mac
                         || eth_addr_equals(interface.mac, nic->mac)));
        }
        if (!found) {
            problems_add(problems, "%s: exists with another network, address "
                         "or MAC; delete it first", where);
        }
    }
}

static void
check_existing_vm(const struct document_vm *vm, const struct dbrec_vm *row,
                  const char *where, struct problems *problems)
{
    check_unchanged(vm, where, row->interfaces, row->n_interfaces, problems);
    if (vm->memory_kib != row->memory_kib) {
        problems_add(problems, "%s.memory: is %"PRId64" KiB already, and is "
                     "pinned; delete the VM first", where, row->memory_kib);
    }
    if (vm->vcpus != row->vcpus) {
        problems_add(problems, "%s.vcpus: is %"PRId64" already, and is "
                     "pinned; delete the VM first", where, row->vcpus);
    }
    if (strcmp(vm->image, row->image)
        || (vm->machine[0] && strcmp(vm->machine, row->machine))
        || (vm->cpu[0] && strcmp(vm->cpu, row->cpu))) {
        problems_add(problems, "%s: exists with another image, machine type "
                     "or CPU, which are pinned; delete the VM first", where);
    }
}

/* A new VM on a host that says how much memory it has.  Those that one
 * document brings are looked at one by one: the agents see them together. */
static void
check_memory(const struct store *store, const struct document_vm *vm,
             const char *where, struct problems *problems)
{
    const struct dbrec_host *host = session_host(store, vm->host);
    size_t n_vms;

    if (!host || host->memory_mib <= 0) {
        return;
    }

    int64_t used = show_used_kib(store, host, &n_vms) / 1024;
    if (used + (int64_t) (vm->memory_kib / 1024) > host->memory_mib) {
        problems_add(problems, "%s.memory: %s has %"PRId64" MiB for VMs, "
                     "%"PRId64" of them in use: %"PRIu64" MiB do not fit",
                     where, vm->host, host->memory_mib, used,
                     (uint64_t) vm->memory_kib / 1024);
    }
}

static void
check_vm(const struct store *store, const struct document *document,
         struct document_owners *owners, const struct document_vm *vm,
         struct problems *problems)
{
    char *where = (document->create_only ? xstrdup(vm->name)
                   : xasprintf("%s.%s", vm->is_endpoint ? "endpoints" : "vms",
                               vm->name));
    const struct dbrec_vm *row
        = vm->is_endpoint ? NULL : session_vm(store, vm->name);
    const struct dbrec_endpoint *endpoint
        = vm->is_endpoint ? session_endpoint(store, vm->name) : NULL;

    if (vm->host[0] && !host_exists(store, document, vm->host)) {
        problems_add(problems, "%s.host: there is no host %s", where,
                     vm->host);
    }
    if (row) {
        check_existing_vm(vm, row, where, problems);
    } else if (endpoint) {
        check_unchanged(vm, where, endpoint->interfaces,
                        endpoint->n_interfaces, problems);
    } else if (!vm->is_endpoint) {
        check_memory(store, vm, where, problems);
    }
    for (size_t i = 0; i < vm->n_nics; i++) {
        char *at = (vm->n_nics == 1 ? xstrdup(where)
                    : xasprintf("%s.nics[%"PRIuSIZE"]", where, i));

        check_nic_addresses(store, document, &vm->nics[i], at, problems);
        check_nic_unique(owners, vm, &vm->nics[i], at, problems);
        free(at);
    }
    free(where);
}

void
document_check(const struct store *store, const struct document *document,
               struct problems *problems)
{
    for (size_t i = 0; i < document->n_sites; i++) {
        check_site(store, document, &document->sites[i], problems);
    }
    for (size_t i = 0; i < document->n_hosts; i++) {
        check_host(store, document, &document->hosts[i], problems);
    }
    for (size_t i = 0; i < document->n_networks; i++) {
        check_network(store, document, &document->networks[i], problems);
    }

    struct document_owners *owners = document_owners_create(store, document);
    for (size_t i = 0; i < document->n_vms; i++) {
        check_vm(store, document, owners, &document->vms[i], problems);
    }
    document_owners_destroy(owners);
}
