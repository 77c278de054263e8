#include <config.h>

#include "store/session.h"

#include <stdlib.h>
#include <string.h>

#include "ovsdb-idl.h"
#include "util.h"

/* Which rows an agent's replica holds.
 *
 * First only the tables that are small: sites, hosts, pools, networks.  From
 * the own Host row and its site follow claims, VMs, endpoints and
 * migrations; from those the networks that are present; from those
 * interfaces and bindings.  Each arrival may widen the next condition. */

struct watched {
    struct hmap_node node;
    struct uuid network;
    size_t n;                   /* Watches minus unwatches. */
};

static void set_conditions(struct store *);

static struct watched *
find_watched(const struct store *store, const struct uuid *network)
{
    struct watched *watched;

    HMAP_FOR_EACH_WITH_HASH (watched, node, uuid_hash(network),
                             &store->watched) {
        if (uuid_equals(&watched->network, network)) {
            return watched;
        }
    }
    return NULL;
}

void
store_watch_network(struct store *store, const struct uuid *network)
{
    struct watched *watched = find_watched(store, network);

    if (!watched) {
        watched = xzalloc(sizeof *watched);
        watched->network = *network;
        hmap_insert(&store->watched, &watched->node, uuid_hash(network));
    }
    watched->n++;
    conditions_run(store);
}

void
store_unwatch_network(struct store *store, const struct uuid *network)
{
    struct watched *watched = find_watched(store, network);

    if (watched && !--watched->n) {
        hmap_remove(&store->watched, &watched->node);
        free(watched);
        conditions_run(store);
    }
}

void
conditions_init(struct store *store)
{
    hmap_init(&store->watched);
    if (store->host_name) {
        set_conditions(store);
    }
}

void
conditions_destroy(struct store *store)
{
    struct watched *watched;

    HMAP_FOR_EACH_POP (watched, node, &store->watched) {
        free(watched);
    }
    hmap_destroy(&store->watched);
    free(store->present);
}

struct uuid_set {
    struct uuid *uuids;
    size_t n, allocated;
};

static void
uuid_set_add(struct uuid_set *set, const struct uuid *uuid)
{
    if (set->n == set->allocated) {
        set->uuids = x2nrealloc(set->uuids, &set->allocated,
                                sizeof *set->uuids);
    }
    set->uuids[set->n++] = *uuid;
}

static int
compare_uuids(const void *a, const void *b)
{
    return uuid_compare_3way(a, b);
}

static void
uuid_set_sort(struct uuid_set *set)
{
    size_t n = 0;

    if (set->n) {
        qsort(set->uuids, set->n, sizeof *set->uuids, compare_uuids);
    }
    for (size_t i = 0; i < set->n; i++) {
        if (!n || !uuid_equals(&set->uuids[n - 1], &set->uuids[i])) {
            set->uuids[n++] = set->uuids[i];
        }
    }
    set->n = n;
}

/* Does this host need the networks of 'vm'?  If it is to be here, if a
 * migration brings it, and as long as a restored store does not know where
 * it is. */
static bool
vm_concerns_us(const struct store *store, const struct dbrec_vm *vm)
{
    const struct uuid *us = &store->host;
    const struct dbrec_migration *migration = vm->migration;

    return (!vm->host || uuid_equals(ROW_UUID(vm->host), us)
            || (migration && (uuid_equals(ROW_UUID(migration->source), us)
                              || uuid_equals(ROW_UUID(migration->destination),
                                             us))));
}

static struct uuid_set
find_present_networks(const struct store *store)
{
    struct uuid_set set = { NULL, 0, 0 };
    const struct dbrec_endpoint *endpoint;
    const struct dbrec_network *network;
    const struct watched *watched;
    const struct dbrec_vm *vm;

    HMAP_FOR_EACH (watched, node, &store->watched) {
        uuid_set_add(&set, &watched->network);
    }
    DBREC_VM_FOR_EACH (vm, store->idl) {
        for (size_t i = 0; vm_concerns_us(store, vm) && i < vm->n_networks;
             i++) {
            uuid_set_add(&set, ROW_UUID(vm->networks[i]));
        }
    }
    DBREC_ENDPOINT_FOR_EACH (endpoint, store->idl) {
        for (size_t i = 0; i < endpoint->n_networks; i++) {
            uuid_set_add(&set, ROW_UUID(endpoint->networks[i]));
        }
    }
    DBREC_NETWORK_FOR_EACH (network, store->idl) {
        for (size_t i = 0; i < network->n_gateways; i++) {
            if (uuid_equals(ROW_UUID(network->gateways[i]), &store->host)) {
                uuid_set_add(&set, ROW_UUID(network));
            }
        }
    }
    uuid_set_sort(&set);
    return set;
}

static bool
same_present(const struct store *store, const struct uuid_set *set)
{
    return (store->n_present == set->n
            && !memcmp(store->present ? store->present : &UUID_ZERO,
                       set->uuids ? set->uuids : &UUID_ZERO,
                       set->n * sizeof *set->uuids));
}

void
conditions_run(struct store *store)
{
    if (!store->host_name) {
        return;
    }

    const struct dbrec_host *host = session_host(store, store->host_name);
    store->host = *ROW_UUID(host);

    const struct uuid *site = host ? ROW_UUID(host->site) : &UUID_ZERO;
    struct uuid_set set = find_present_networks(store);
    if (same_present(store, &set)
        && uuid_equals(&store->host, &store->asked_host)
        && uuid_equals(site, &store->asked_site)) {
        free(set.uuids);
        if (!store->settled) {
            set_conditions(store);
        }
        return;
    }

    free(store->present);
    store->present = set.uuids;
    store->n_present = set.n;
    store->asked_host = store->host;
    store->asked_site = *site;
    set_conditions(store);
}

/* Hands 'condition' to the IDL.  To set the same condition again is free,
 * and says whether its rows have arrived. */
static void
set_condition(struct store *store, const struct ovsdb_idl_table_class *class,
              struct ovsdb_idl_condition *condition)
{
    unsigned int seqno = ovsdb_idl_set_condition(store->idl, class,
                                                 condition);
    if (seqno != ovsdb_idl_get_condition_seqno(store->idl)) {
        store->settled = false;
    }
    ovsdb_idl_condition_destroy(condition);
}

/* A condition without clauses holds for no row. */
static void
set_conditions(struct store *store)
{
    const struct uuid *site = &store->asked_site;
    const struct uuid *host = &store->asked_host;
    struct ovsdb_idl_condition claims, vms, endpoints, instances, migrations,
        interfaces, bindings, events;
    struct ovsdb_idl_condition *all[] = {
        &claims, &vms, &endpoints, &instances, &migrations, &interfaces,
        &bindings, &events,
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        ovsdb_idl_condition_init(all[i]);
    }
    if (!uuid_is_zero(host)) {
        dbrec_claim_add_clause_host(&claims, OVSDB_F_EQ, host);
        dbrec_claim_add_clause_site(&claims, OVSDB_F_EQ, site);
        dbrec_vm_add_clause_host(&vms, OVSDB_F_EQ, host);
        dbrec_vm_add_clause_host(&vms, OVSDB_F_EQ, NULL);
        dbrec_vm_add_clause_migration(&vms, OVSDB_F_NE, NULL);
        dbrec_endpoint_add_clause_host(&endpoints, OVSDB_F_EQ, host);
        dbrec_instance_add_clause_host(&instances, OVSDB_F_EQ, host);
        dbrec_migration_add_clause_source(&migrations, OVSDB_F_EQ, host);
        dbrec_migration_add_clause_destination(&migrations, OVSDB_F_EQ, host);
        dbrec_binding_add_clause_host(&bindings, OVSDB_F_EQ, host);
    }
    for (size_t i = 0; i < store->n_present; i++) {
        const struct uuid *network = &store->present[i];

        dbrec_interface_add_clause_network(&interfaces, OVSDB_F_EQ, network);
        dbrec_binding_add_clause_network(&bindings, OVSDB_F_EQ, network);
    }

    /* A condition that was on its way when the connection broke passes for
     * acknowledged from then on, before the next connection has answered. */
    store->settled = store->in_sync;
    set_condition(store, &dbrec_table_claim, &claims);
    set_condition(store, &dbrec_table_vm, &vms);
    set_condition(store, &dbrec_table_endpoint, &endpoints);
    set_condition(store, &dbrec_table_instance, &instances);
    set_condition(store, &dbrec_table_migration, &migrations);
    set_condition(store, &dbrec_table_interface, &interfaces);
    set_condition(store, &dbrec_table_binding, &bindings);
    set_condition(store, &dbrec_table_event, &events);
}
