#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <string.h>

#include "hash.h"
#include "ovsdb-idl.h"
#include "util.h"

#include "store/session.h"

/* A server that says nothing for so long is asked whether it lives, and given
 * up after the same time.  A short time would cut us off from one that is
 * busy, which is no gain where there is no other. */
#define PROBE_INTERVAL_MS 60000
#define CLUSTER_PROBE_INTERVAL_MS 10000

/* So long after the last server of a cluster was lost we take one whose
 * history is shorter than what we have seen. */
#define HISTORY_PATIENCE_MS 10000

struct change {
    struct store_change change;
    struct ovs_list node;       /* In 'changes'. */
    struct hmap_node hmap_node; /* In 'changes_by_uuid'. */
};

struct binding_interface {
    struct hmap_node node;      /* In 'binding_interfaces'. */
    struct uuid binding, interface;
};

static const struct ovsdb_idl_table_class *const tables[N_STORE_TABLES] = {
    [STORE_GLOBAL] = &dbrec_table_global,
    [STORE_SITE] = &dbrec_table_site,
    [STORE_POOL] = &dbrec_table_pool,
    [STORE_HOST] = &dbrec_table_host,
    [STORE_NETWORK] = &dbrec_table_network,
    [STORE_INTERFACE] = &dbrec_table_interface,
    [STORE_VM] = &dbrec_table_vm,
    [STORE_ENDPOINT] = &dbrec_table_endpoint,
    [STORE_INSTANCE] = &dbrec_table_instance,
    [STORE_BINDING] = &dbrec_table_binding,
    [STORE_CLAIM] = &dbrec_table_claim,
    [STORE_MIGRATION] = &dbrec_table_migration,
    [STORE_EVENT] = &dbrec_table_event,
};

/* Only a manager knows of these. */
static const struct ovsdb_idl_column *const access_columns[] = {
    &dbrec_connection_col_target,
    &dbrec_connection_col_role,
    &dbrec_connection_col_inactivity_probe,
    &dbrec_rbac_role_col_name,
    &dbrec_rbac_role_col_permissions,
    &dbrec_rbac_permission_col_table,
    &dbrec_rbac_permission_col_authorization,
    &dbrec_rbac_permission_col_insert_delete,
    &dbrec_rbac_permission_col_update,
};

static void create_indexes(struct store *);
static void collect_changes(struct store *);

struct store *
store_create(const char *remote, const char *host)
{
    struct store *store = xzalloc(sizeof *store);

    store->idl = ovsdb_idl_create(remote, &dbrec_idl_class, false, true);
    ovsdb_idl_set_leader_only(store->idl, false);
    store->one_server = !strchr(remote, ',');
    ovsdb_idl_set_probe_interval(store->idl, store->one_server
                                 ? PROBE_INTERVAL_MS
                                 : CLUSTER_PROBE_INTERVAL_MS);
    for (size_t i = 0; i < N_STORE_TABLES; i++) {
        ovsdb_idl_add_table(store->idl, tables[i]);
        for (size_t j = 0; j < tables[i]->n_columns; j++) {
            ovsdb_idl_add_column(store->idl, &tables[i]->columns[j]);
            ovsdb_idl_track_add_column(store->idl, &tables[i]->columns[j]);
        }
    }
    for (size_t i = 0; !host && i < ARRAY_SIZE(access_columns); i++) {
        ovsdb_idl_add_column(store->idl, access_columns[i]);
    }
    ovsdb_idl_set_write_changed_only_all(store->idl, true);
    create_indexes(store);
    store->owners = owners_create();

    store->host_name = nullable_xstrdup(host);
    ovs_list_init(&store->changes);
    hmap_init(&store->changes_by_uuid);
    hmap_init(&store->binding_interfaces);
    sset_init(&store->taken);
    write_init(store);
    conditions_init(store);
    return store;
}

void
store_destroy(struct store *store)
{
    if (store) {
        struct binding_interface *bi;
        struct store_change change;

        while (store_next_change(store, &change)) {
            continue;
        }
        HMAP_FOR_EACH_POP (bi, node, &store->binding_interfaces) {
            free(bi);
        }
        hmap_destroy(&store->binding_interfaces);
        hmap_destroy(&store->changes_by_uuid);
        conditions_destroy(store);
        write_destroy(store);
        sset_destroy(&store->taken);
        owners_destroy(store->owners);
        ovsdb_idl_destroy(store->idl);
        free(store->host_name);
        free(store);
    }
}

/* The IDL refuses a server whose log is shorter than that of the last one:
 * in a cluster it lags behind.  But a store that was restored from a backup
 * begins a new log.  Where no other server is left, or none does better for
 * a while, that is what has happened. */
static void
accept_history(struct store *store, long long now)
{
    if (store->in_sync) {
        store->away_since = 0;
        return;
    }
    if (!store->away_since) {
        store->away_since = now;
    }
    if (store->one_server || now >= store->away_since + HISTORY_PATIENCE_MS) {
        ovsdb_idl_reset_min_index(store->idl);
    }
}

void
store_run(struct store *store, long long now)
{
    ovsdb_idl_run(store->idl);
    if (!ovsdb_idl_is_connected(store->idl)) {
        store->in_sync = false;
    }
    if (store->seqno != ovsdb_idl_get_seqno(store->idl)) {
        store->in_sync = ovsdb_idl_is_connected(store->idl);
        store->seqno = ovsdb_idl_get_seqno(store->idl);
        collect_changes(store);
        conditions_run(store);
    } else if (!store->settled) {
        conditions_run(store);
    }
    accept_history(store, now);
    write_run(store, now);
}

void
store_wait(struct store *store)
{
    ovsdb_idl_wait(store->idl);
    write_wait(store);
}

bool
store_is_connected(const struct store *store)
{
    return ovsdb_idl_is_connected(store->idl);
}

bool
store_is_ready(const struct store *store)
{
    return (ovsdb_idl_has_ever_connected(store->idl)
            && (!store->host_name
                || (!uuid_is_zero(&store->host) && store->settled)));
}

unsigned int
store_seqno(const struct store *store)
{
    return store->seqno;
}

uint32_t
store_epoch(const struct store *store)
{
    const struct dbrec_global *global = session_global(store);

    return global ? global->epoch : 0;
}

const struct uuid *
store_host(const struct store *store)
{
    return uuid_is_zero(&store->host) ? NULL : &store->host;
}

bool
store_next_change(struct store *store, struct store_change *out)
{
    if (ovs_list_is_empty(&store->changes)) {
        return false;
    }

    struct change *change = CONTAINER_OF(ovs_list_pop_front(&store->changes),
                                         struct change, node);
    hmap_remove(&store->changes_by_uuid, &change->hmap_node);
    *out = change->change;
    if (out->table != STORE_BINDING) {
        out->gone = !session_row(store, tables[out->table], &out->uuid);
    }
    free(change);
    return true;
}

static void
add_change(struct store *store, enum store_table table,
           const struct uuid *uuid)
{
    uint32_t hash = hash_int(table, uuid_hash(uuid));
    struct change *change;

    HMAP_FOR_EACH_WITH_HASH (change, hmap_node, hash,
                             &store->changes_by_uuid) {
        if (change->change.table == table
            && uuid_equals(&change->change.uuid, uuid)) {
            return;
        }
    }

    change = xzalloc(sizeof *change);
    change->change.table = table;
    change->change.uuid = *uuid;
    ovs_list_push_back(&store->changes, &change->node);
    hmap_insert(&store->changes_by_uuid, &change->hmap_node, hash);
}

static struct binding_interface *
find_binding_interface(const struct store *store, const struct uuid *binding)
{
    struct binding_interface *bi;

    HMAP_FOR_EACH_WITH_HASH (bi, node, uuid_hash(binding),
                             &store->binding_interfaces) {
        if (uuid_equals(&bi->binding, binding)) {
            return bi;
        }
    }
    return NULL;
}

const struct uuid *
session_binding_interface(const struct dbrec_binding *row)
{
    return &dbrec_binding_get_interface(row, OVSDB_TYPE_UUID)->keys[0].uuid;
}

/* Bindings are looked at by interface.  A row that is gone cannot say whose
 * it was, hence the map. */
static void
add_binding_change(struct store *store, const struct uuid *binding)
{
    const struct dbrec_binding *row = SESSION_ROW(store, binding, binding);
    struct binding_interface *bi = find_binding_interface(store, binding);

    if (row && !bi) {
        bi = xmalloc(sizeof *bi);
        bi->binding = *binding;
        bi->interface = *session_binding_interface(row);
        hmap_insert(&store->binding_interfaces, &bi->node,
                    uuid_hash(binding));
    }
    if (bi) {
        add_change(store, STORE_BINDING, &bi->interface);
        if (!row) {
            hmap_remove(&store->binding_interfaces, &bi->node);
            free(bi);
        }
    }
}

static void
collect_changes(struct store *store)
{
    for (enum store_table table = 0; table < N_STORE_TABLES; table++) {
        const struct ovsdb_idl_row *row;

        for (row = ovsdb_idl_track_get_first(store->idl, tables[table]); row;
             row = ovsdb_idl_track_get_next(row)) {
            if (table == STORE_BINDING) {
                add_binding_change(store, &row->uuid);
            } else {
                add_change(store, table, &row->uuid);
            }
            if (table == STORE_CLAIM) {
                claims_note_change(store, &row->uuid);
            }
        }
    }
    ovsdb_idl_track_clear(store->idl);
}

static void
create_indexes(struct store *store)
{
    static const struct {
        enum session_index index;
        const struct ovsdb_idl_column *column[2];
    } indexes[] = {
        { SESSION_HOST_BY_NAME, { &dbrec_host_col_name } },
        { SESSION_SITE_BY_NAME, { &dbrec_site_col_name } },
        { SESSION_NETWORK_BY_NAME, { &dbrec_network_col_name } },
        { SESSION_VM_BY_NAME, { &dbrec_vm_col_name } },
        { SESSION_VM_BY_HOST, { &dbrec_vm_col_host } },
        { SESSION_ENDPOINT_BY_NAME, { &dbrec_endpoint_col_name } },
        { SESSION_INTERFACE_BY_MAC,
          { &dbrec_interface_col_network, &dbrec_interface_col_mac } },
        { SESSION_INSTANCE_BY_VM, { &dbrec_instance_col_vm } },
        { SESSION_INSTANCE_BY_HOST, { &dbrec_instance_col_host } },
        { SESSION_BINDING_BY_INTERFACE, { &dbrec_binding_col_interface } },
        { SESSION_BINDING_BY_HOST, { &dbrec_binding_col_host } },
        { SESSION_CLAIM_BY_ADDRESS, { &dbrec_claim_col_address } },
        { SESSION_CLAIM_BY_HOST, { &dbrec_claim_col_host } },
        { SESSION_MIGRATION_BY_VM, { &dbrec_migration_col_vm } },
    };

    BUILD_ASSERT_DECL(ARRAY_SIZE(indexes) == N_SESSION_INDEXES);
    for (size_t i = 0; i < ARRAY_SIZE(indexes); i++) {
        const struct ovsdb_idl_column *const *c = indexes[i].column;

        store->index[indexes[i].index]
            = c[1] ? ovsdb_idl_index_create2(store->idl, c[0], c[1])
            : ovsdb_idl_index_create1(store->idl, c[0]);
    }
}

/* Lookups. */

const struct ovsdb_idl_row *
session_row(const struct store *store,
            const struct ovsdb_idl_table_class *class,
            const struct uuid *uuid)
{
    const struct ovsdb_idl_row *row
        = ovsdb_idl_get_row_for_uuid(store->idl, class, uuid);

    return row && row->new_datum ? row : NULL;
}

const struct dbrec_global *
session_global(const struct store *store)
{
    return dbrec_global_first(store->idl);
}

const struct dbrec_host *
session_own_host(const struct store *store)
{
    return SESSION_ROW(store, host, &store->host);
}

const char *
session_writer(const struct dbrec_host *host)
{
    return host ? host->cn : "";
}

int
session_check_own(const struct store *store,
                  const struct generation *generation,
                  const struct uuid *row_host, struct err *err)
{
    if (!session_own_host(store)
        || !uuid_equals(&store->host, &generation->host)
        || (row_host && !uuid_equals(row_host, &store->host))) {
        return err_set(err, EPERM, "this generation is another host's");
    }
    return 0;
}

/* Functions that find a row by its unique name. */
#define DEFINE_FIND_BY_NAME(TABLE, INDEX) \
    const struct dbrec_##TABLE * \
    session_##TABLE(const struct store *store, const char *name) \
    { \
        struct ovsdb_idl_index *index = store->index[INDEX]; \
        struct dbrec_##TABLE *key = dbrec_##TABLE##_index_init_row(index); \
        const struct dbrec_##TABLE *row; \
        \
        dbrec_##TABLE##_index_set_name(key, name); \
        row = dbrec_##TABLE##_index_find(index, key); \
        dbrec_##TABLE##_index_destroy_row(key); \
        return row; \
    }
DEFINE_FIND_BY_NAME(host, SESSION_HOST_BY_NAME)
DEFINE_FIND_BY_NAME(site, SESSION_SITE_BY_NAME)
DEFINE_FIND_BY_NAME(network, SESSION_NETWORK_BY_NAME)
DEFINE_FIND_BY_NAME(vm, SESSION_VM_BY_NAME)
DEFINE_FIND_BY_NAME(endpoint, SESSION_ENDPOINT_BY_NAME)

const struct dbrec_interface *
session_interface(const struct store *store,
                  const struct dbrec_network *network, const char *mac)
{
    struct ovsdb_idl_index *index = store->index[SESSION_INTERFACE_BY_MAC];
    struct dbrec_interface *key = dbrec_interface_index_init_row(index);

    dbrec_interface_index_set_network(key, network);
    dbrec_interface_index_set_mac(key, mac);
    const struct dbrec_interface *row
        = dbrec_interface_index_find(index, key);
    dbrec_interface_index_destroy_row(key);
    return row;
}

const struct dbrec_claim *
session_claim(const struct store *store, const char *address)
{
    struct ovsdb_idl_index *index = store->index[SESSION_CLAIM_BY_ADDRESS];
    struct dbrec_claim *key = dbrec_claim_index_init_row(index);

    dbrec_claim_index_set_address(key, address);
    const struct dbrec_claim *row = dbrec_claim_index_find(index, key);
    dbrec_claim_index_destroy_row(key);
    return row;
}
