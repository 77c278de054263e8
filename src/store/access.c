#include <config.h>

#include "store/access.h"

#include <stdlib.h>
#include <string.h>

#include "svec.h"
#include "util.h"

#include "store/rows.h"
#include "store/session.h"

#define MAX_COLUMNS 10
#define MAX_REPORTS 20          /* Of one sweep. */
#define PROBE_MS 60000          /* As ours, see store.c. */

/* An agent may write a row whose 'writer' column holds its name: insert and
 * delete it, if 'insert', and update these columns. */
static const struct rule {
    const char *table;
    const char *writer;
    bool insert;
    const char *columns[MAX_COLUMNS];
} rules[] = {
    { "Host", "cn", false,
      { "addresses", "channel", "facts", "memory_mib" } },
    /* An address of a detected endpoint, too: whoever may insert interfaces
     * gains nothing by it. */
    { "Interface", "writer", true, { "home", "hosts", "inside", "writer" } },
    { "VM", "writer", false, { "generation", "host", "migration", "writer" } },
    { "Endpoint", "writer", true, { NULL } },
    { "Instance", "writer", true, { "reason", "since", "state" } },
    { "Binding", "writer", true, { "mobile", "state" } },
    { "Claim", "writer", true, { "since", "state" } },
    { "Migration", "writer", false,
      { "copied", "counter", "error", "figures", "finished", "phases",
        "state", "step", "total" } },
    { "Event", "host", true, { NULL } },
};

/* The role. */

static const struct dbrec_rbac_permission *
find_permission(const struct dbrec_rbac_role *role, const char *table)
{
    for (size_t i = 0; i < role->n_permissions; i++) {
        if (!strcmp(role->key_permissions[i], table)) {
            return role->value_permissions[i];
        }
    }
    return NULL;
}

static struct dbrec_rbac_permission *
set_rule(struct ovsdb_idl_txn *txn, const struct dbrec_rbac_role *role,
         const struct rule *rule)
{
    const struct dbrec_rbac_permission *row
        = find_permission(role, rule->table);
    const char *columns[MAX_COLUMNS];
    size_t n;

    if (!row) {
        row = dbrec_rbac_permission_insert(txn);
    }
    for (n = 0; n < MAX_COLUMNS && rule->columns[n]; n++) {
        columns[n] = rule->columns[n];
    }
    dbrec_rbac_permission_set_table(row, rule->table);
    dbrec_rbac_permission_set_authorization(
        row, CONST_CAST(const char **, &rule->writer), 1);
    dbrec_rbac_permission_set_insert_delete(row, rule->insert);
    dbrec_rbac_permission_set_update(row, columns, n);
    return CONST_CAST(struct dbrec_rbac_permission *, row);
}

static void
set_rules(struct store *store, struct ovsdb_idl_txn *txn)
{
    const struct dbrec_rbac_permission *row, *next;
    struct dbrec_rbac_permission *values[ARRAY_SIZE(rules)];
    const char *keys[ARRAY_SIZE(rules)];
    const struct dbrec_rbac_role *role;

    DBREC_RBAC_ROLE_FOR_EACH (role, store->idl) {
        if (!strcmp(role->name, ACCESS_ROLE)) {
            break;
        }
    }
    if (!role) {
        role = dbrec_rbac_role_insert(txn);
        dbrec_rbac_role_set_name(role, ACCESS_ROLE);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        keys[i] = rules[i].table;
        values[i] = set_rule(txn, role, &rules[i]);
    }
    DBREC_RBAC_PERMISSION_FOR_EACH_SAFE (row, next, store->idl) {
        bool used = false;

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
            used |= row == values[i];
        }
        if (!used) {
            dbrec_rbac_permission_delete(row);
        }
    }
    dbrec_rbac_role_set_permissions(role, keys, values, ARRAY_SIZE(rules));
}

/* Connections. */

static const struct dbrec_connection *
find_connection(const struct dbrec_global *global, const char *target)
{
    for (size_t i = 0; i < global->n_connections; i++) {
        if (!strcmp(global->connections[i]->target, target)) {
            return global->connections[i];
        }
    }
    return NULL;
}

/* Those that are not referred to go by themselves. */
static void
set_connections(struct ovsdb_idl_txn *txn, const struct dbrec_global *global,
                const char *listen)
{
    struct svec targets = SVEC_EMPTY_INITIALIZER;
    struct dbrec_connection **rows;
    int64_t probe = PROBE_MS;
    const char *target;
    size_t i;

    char *copy = xstrdup(listen), *save = NULL;
    for (char *word = strtok_r(copy, ", ", &save); word;
         word = strtok_r(NULL, ", ", &save)) {
        svec_add(&targets, word);
    }
    free(copy);
    svec_sort_unique(&targets);

    rows = xcalloc(targets.n + 1, sizeof *rows);
    SVEC_FOR_EACH (i, target, &targets) {
        const struct dbrec_connection *row = find_connection(global, target);

        if (!row) {
            row = dbrec_connection_insert(txn);
            dbrec_connection_set_target(row, target);
        }
        dbrec_connection_set_role(row, ACCESS_ROLE);
        dbrec_connection_set_inactivity_probe(row, &probe, 1);
        rows[i] = CONST_CAST(struct dbrec_connection *, row);
    }
    dbrec_global_set_connections(global, rows, targets.n);
    free(rows);
    svec_destroy(&targets);
}

void
access_set_role(struct store *store, struct ovsdb_idl_txn *txn,
                const struct dbrec_global *global, const char *listen)
{
    set_rules(store, txn);
    if (listen) {
        set_connections(txn, global, listen);
    }
}

/* Sweeping. */

struct sweep {
    struct store *store;
    struct ovsdb_idl_txn *txn;
    long long now;
    int n_reports;
};

/* Of a row that has none: it is from before there were rules. */
#define GIVE_WRITER(TABLE, ROW, HOST) \
    do { \
        if (!(ROW)->writer[0] && (HOST) && (HOST)->cn[0]) { \
            dbrec_##TABLE##_set_writer(ROW, (HOST)->cn); \
        } \
    } while (0)

/* When 'vm' has left where it was for good; LLONG_MAX: it moves. */
static long long
time_left(const struct store *store, const struct dbrec_vm *vm)
{
    struct ovsdb_idl_index *index = store->index[SESSION_MIGRATION_BY_VM];
    const struct dbrec_migration *row;
    long long last = vm->migration ? LLONG_MAX : 0;

    struct dbrec_migration *key = dbrec_migration_index_init_row(index);
    dbrec_migration_index_set_vm(key, vm);
    DBREC_MIGRATION_FOR_EACH_EQUAL (row, key, index) {
        last = MAX(last, row->finished ? row->finished + ACCESS_LEAVE_MS
                   : LLONG_MAX);
    }
    dbrec_migration_index_destroy_row(key);
    return last;
}

/* Lets those have an interface of 'vm' that have it. */
static void
set_first_hosts(const struct dbrec_vm *vm, const struct dbrec_interface *row)
{
    struct dbrec_host *hosts[2];
    size_t n = 0;

    hosts[n++] = CONST_CAST(struct dbrec_host *, vm->host);
    if (vm->migration && vm->migration->destination
        && vm->migration->destination != vm->host) {
        hosts[n++] = CONST_CAST(struct dbrec_host *,
                                vm->migration->destination);
    }
    dbrec_interface_set_hosts(row, hosts, n);
}

/* Gives a VM's interfaces to its host, and takes them from those that it has
 * left.  Returns when that is to be, LLONG_MAX if there are none. */
static long long
sweep_vm(const struct sweep *s, const struct dbrec_vm *vm)
{
    struct dbrec_host *host = CONST_CAST(struct dbrec_host *, vm->host);
    long long left = time_left(s->store, vm), next = LLONG_MAX;

    GIVE_WRITER(vm, vm, host);
    for (size_t i = 0; host && i < vm->n_interfaces; i++) {
        const struct dbrec_interface *row = vm->interfaces[i];

        GIVE_WRITER(interface, row, host);
        if (row->n_hosts == 1 && row->hosts[0] == host) {
            continue;
        } else if (!row->n_hosts) {
            set_first_hosts(vm, row);
        } else if (s->now >= left) {
            dbrec_interface_set_hosts(row, &host, 1);
        } else {
            next = left;
        }
    }
    return next;
}

/* What nobody has to believe. */
static void
report(struct sweep *s, const char *writer, const char *what, const char *of)
{
    if (s->n_reports++ < MAX_REPORTS) {
        session_add_event(s->store, s->txn, "access", writer, s->now,
                          "\"%s\" wrote %s of %s, which is not its to write: "
                          "nobody heeds it, and it was deleted", writer, what,
                          of);
    }
}

static void
sweep_bindings(struct sweep *s)
{
    const struct dbrec_binding *row, *next;

    DBREC_BINDING_FOR_EACH_SAFE (row, next, s->store->idl) {
        GIVE_WRITER(binding, row, row->host);
        if (row->host && !rows_binding_is_honest(row)) {
            report(s, row->writer, "a binding",
                   row->interface ? row->interface->mac : "an interface");
            dbrec_binding_delete(row);
        }
    }
}

static void
sweep_instances(struct sweep *s)
{
    const struct dbrec_instance *row, *next;

    DBREC_INSTANCE_FOR_EACH_SAFE (row, next, s->store->idl) {
        GIVE_WRITER(instance, row, row->host);
        if (row->host && !rows_instance_is_honest(row)) {
            report(s, row->writer, "an instance",
                   row->vm ? row->vm->name : "a VM");
            dbrec_instance_delete(row);
        }
    }
}

static void
sweep_claims(struct sweep *s)
{
    const struct dbrec_claim *row, *next;

    DBREC_CLAIM_FOR_EACH_SAFE (row, next, s->store->idl) {
        GIVE_WRITER(claim, row, row->host);
        if (row->host && (!rows_is_written_by(row->writer, row->host)
                          || row->site != row->host->site)) {
            report(s, row->writer, "a claim", row->address);
            dbrec_claim_delete(row);
        }
    }
}

long long
access_sweep(struct store *store, struct ovsdb_idl_txn *txn,
             long long wall_now)
{
    struct sweep s = { .store = store, .txn = txn, .now = wall_now };
    const struct dbrec_migration *migration;
    long long next = LLONG_MAX;
    const struct dbrec_vm *vm;

    DBREC_VM_FOR_EACH (vm, store->idl) {
        next = MIN(next, sweep_vm(&s, vm));
    }
    DBREC_MIGRATION_FOR_EACH (migration, store->idl) {
        GIVE_WRITER(migration, migration, migration->source);
    }
    sweep_bindings(&s);
    sweep_instances(&s);
    sweep_claims(&s);
    return next;
}
