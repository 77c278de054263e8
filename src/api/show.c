#include <config.h>

#include "api/show.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "smap.h"
#include "svec.h"
#include "util.h"

#include "store/bindings.h"
#include "store/rows.h"
#include "store/session.h"

/* The steps of a migration in their order; others come behind them. */
static const char *const step_order[] = {
    "check", "reserve", "listen", "move", "announce", "release",
};

/* The dbrec_ row that begins with a row's header. */
#define CAST(TABLE, ROW) \
    CONTAINER_OF(ROW, const struct dbrec_##TABLE, header_)

static void
put_uuid(struct json *json, const char *name, const struct uuid *uuid)
{
    if (uuid && !uuid_is_zero(uuid)) {
        json_object_put_format(json, name, UUID_FMT, UUID_ARGS(uuid));
    } else {
        json_object_put(json, name, json_null_create());
    }
}

/* Null and "" become null. */
static void
put_string(struct json *json, const char *name, const char *s)
{
    json_object_put(json, name,
                    s && s[0] ? json_string_create(s) : json_null_create());
}

static void
put_integer(struct json *json, const char *name, int64_t value)
{
    json_object_put(json, name, json_integer_create(value));
}

/* Puts strings with a colon as NAME6, others as NAME. */
static void
put_by_family(struct json *json, const char *name, char **strings, size_t n)
{
    const char *of[2] = { NULL, NULL };
    char name6[32];

    for (size_t i = 0; i < n; i++) {
        of[!!strchr(strings[i], ':')] = strings[i];
    }
    snprintf(name6, sizeof name6, "%s6", name);
    put_string(json, name, of[0]);
    put_string(json, name6, of[1]);
}

static void
put_smap(struct json *json, const char *name, const struct smap *smap)
{
    struct json *object = json_object_create();
    const struct smap_node *node;

    SMAP_FOR_EACH (node, smap) {
        json_object_put_string(object, node->key, node->value);
    }
    json_object_put(json, name, object);
}

static struct json *
begin(const struct ovsdb_idl_row *row)
{
    struct json *json = json_object_create();

    put_uuid(json, "uuid", &row->uuid);
    return json;
}

/* Puts a sorted list of names; takes and destroys 'names'. */
static void
put_names(struct json *json, const char *member, struct svec *names)
{
    struct json *list = json_array_create_empty();

    svec_sort(names);
    for (size_t i = 0; i < names->n; i++) {
        json_array_add(list, json_string_create(names->names[i]));
    }
    json_object_put(json, member, list);
    svec_destroy(names);
}

struct json *
show_site(const struct store *store, const struct ovsdb_idl_row *row_,
          bool details)
{
    const struct dbrec_site *row = CAST(site, row_);
    struct json *json = begin(row_);
    const struct dbrec_pool *pool;
    const struct dbrec_host *host;
    char *pools[2] = { NULL, NULL };
    struct svec hosts = SVEC_EMPTY_INITIALIZER;

    put_string(json, "name", row->name);
    put_by_family(json, "prefix", row->prefixes, row->n_prefixes);
    put_by_family(json, "router", row->routers, row->n_routers);
    DBREC_POOL_FOR_EACH (pool, store->idl) {
        if (pool->site == row) {
            char **text = &pools[!!strchr(pool->first, ':')];
            char *old = *text;

            *text = xasprintf("%s%s%s-%s", old ? old : "", old ? "," : "",
                              pool->first, pool->last);
            free(old);
        }
    }
    put_string(json, "pool", pools[0]);
    put_string(json, "pool6", pools[1]);
    free(pools[0]);
    free(pools[1]);

    DBREC_HOST_FOR_EACH (host, store->idl) {
        if (host->site == row) {
            svec_add(&hosts, host->name);
        }
    }
    put_integer(json, "hosts", hosts.n);
    if (details) {
        put_names(json, "host_names", &hosts);
    } else {
        svec_destroy(&hosts);
    }
    return json;
}

struct json *
show_host(const struct store *store, const struct ovsdb_idl_row *row_,
          bool details)
{
    const struct dbrec_host *row = CAST(host, row_);
    struct json *json = begin(row_);
    size_t n_vms;
    int64_t used = show_used_kib(store, row, &n_vms);

    put_string(json, "name", row->name);
    put_string(json, "site", row->site ? row->site->name : NULL);
    put_string(json, "state", row->channel[0] ? "up" : "unknown");
    put_by_family(json, "address", row->addresses, row->n_addresses);
    put_string(json, "channel", row->channel);
    put_integer(json, "memory_mib", row->memory_mib);
    put_integer(json, "memory_used_mib", used / 1024);
    put_integer(json, "vms", n_vms);
    if (details) {
        put_smap(json, "facts", &row->facts);
    }
    return json;
}

struct json *
show_network(const struct store *store OVS_UNUSED,
             const struct ovsdb_idl_row *row_, bool details)
{
    const struct dbrec_network *row = CAST(network, row_);
    struct json *json = begin(row_);

    put_string(json, "name", row->name);
    put_integer(json, "id", row->id);
    put_string(json, "mode", row->mode);
    put_string(json, "encap", row->encap);
    put_by_family(json, "prefix", row->prefixes, row->n_prefixes);
    put_by_family(json, "gateway", row->routers, row->n_routers);
    put_integer(json, "mtu", row->mtu);
    if (details) {
        struct svec names = SVEC_EMPTY_INITIALIZER;

        for (size_t i = 0; i < row->n_gateways; i++) {
            svec_add(&names, row->gateways[i]->name);
        }
        put_names(json, "gateways", &names);
    }
    return json;
}

static int
compare_interfaces(const void *a_, const void *b_)
{
    const struct dbrec_interface *const *a = a_, *const *b = b_;
    return rows_compare_interfaces((*a)->pci, ROW_UUID(*a),
                                   (*b)->pci, ROW_UUID(*b));
}

static void
put_interface(const struct store *store, struct json *json,
              const struct dbrec_interface *row)
{
    struct binding binding;
    char text[ADDR_STRLEN];
    bool bound = (row && bindings_find_newest(store, ROW_UUID(row), true,
                                              &binding));

    put_string(json, "network",
               row && row->network ? row->network->name : NULL);
    put_by_family(json, "address", row ? row->home : NULL,
                  row ? row->n_home : 0);
    put_string(json, "mac", row ? row->mac : NULL);
    put_string(json, "mobile", bound ? addr_format(
                   &binding.mobile.of[ADDR_V4], text) : NULL);
    put_string(json, "mobile6", bound ? addr_format(
                   &binding.mobile.of[ADDR_V6], text) : NULL);
}

/* The first interface flat; with 'details' all of them in "nics". */
static void
put_interfaces(const struct store *store, struct json *json,
               struct dbrec_interface **rows, size_t n, bool details)
{
    struct dbrec_interface **sorted = xmemdup(rows, n * sizeof *rows);

    qsort(sorted, n, sizeof *sorted, compare_interfaces);
    put_interface(store, json, n ? sorted[0] : NULL);
    if (details) {
        struct json *nics = json_array_create_empty();

        for (size_t i = 0; i < n; i++) {
            struct json *nic = begin(&sorted[i]->header_);

            put_interface(store, nic, sorted[i]);
            put_string(nic, "pci", sorted[i]->pci);
            json_array_add(nics, nic);
        }
        json_object_put(json, "nics", nics);
    }
    free(sorted);
}

/* The instance that the VM's state is taken from: the newest, but one that
 * runs comes first.  While a VM moves, the one that waits at the destination
 * is newer, but the VM still runs at the source. */
static const struct dbrec_instance *
state_instance(const struct store *store, const struct dbrec_vm *vm)
{
    struct ovsdb_idl_index *index = store->index[SESSION_INSTANCE_BY_VM];
    struct dbrec_instance *key = dbrec_instance_index_init_row(index);
    const struct dbrec_instance *row, *best = NULL;
    struct generation best_gen;
    bool best_lives = false;

    dbrec_instance_index_set_vm(key, vm);
    DBREC_INSTANCE_FOR_EACH_EQUAL (row, key, index) {
        struct generation gen = rows_generation(row->epoch, row->counter,
                                                row->host);
        bool lives = (!strcmp(row->state, "running")
                      || !strcmp(row->state, "paused"));

        if (row->host && !rows_instance_is_honest(row)) {
            continue;
        }
        if (!best || lives > best_lives
            || (lives == best_lives
                && generation_compare(&gen, &best_gen) > 0)) {
            best = row;
            best_gen = gen;
            best_lives = lives;
        }
    }
    dbrec_instance_index_destroy_row(key);
    return best;
}

const struct dbrec_host *
show_vm_host(const struct store *store, const struct dbrec_vm *vm)
{
    const struct dbrec_instance *instance = state_instance(store, vm);

    return instance && instance->host ? instance->host : vm->host;
}

const char *
show_vm_state(const struct store *store, const struct dbrec_vm *vm)
{
    const struct dbrec_instance *instance = state_instance(store, vm);

    if (vm->migration && !strcmp(vm->migration->state,
                                 migration_state_name(MOVE_STUCK))) {
        return "stuck";
    }
    if (vm->migration && instance && !strcmp(instance->state, "running")) {
        return "migrating";
    }
    return (instance ? instance->state
            : !strcmp(vm->power, "running") ? "pending" : "stopped");
}

int64_t
show_used_kib(const struct store *store, const struct dbrec_host *host,
              size_t *n_vms)
{
    struct ovsdb_idl_index *instances = store->index[SESSION_INSTANCE_BY_HOST];
    struct ovsdb_idl_index *vms = store->index[SESSION_VM_BY_HOST];
    struct dbrec_instance *instance_key
        = dbrec_instance_index_init_row(instances);
    struct dbrec_vm *vm_key = dbrec_vm_index_init_row(vms);
    const struct dbrec_instance *instance;
    const struct dbrec_vm *vm;
    int64_t used = 0;

    /* The VMs of which show_vm_host() says this host: by their instance, or,
     * without one, by where they are to be. */
    *n_vms = 0;
    dbrec_instance_index_set_host(instance_key, host);
    DBREC_INSTANCE_FOR_EACH_EQUAL (instance, instance_key, instances) {
        if (instance->vm && state_instance(store, instance->vm) == instance) {
            used += instance->vm->memory_kib;
            ++*n_vms;
        }
    }
    dbrec_vm_index_set_host(vm_key, host);
    DBREC_VM_FOR_EACH_EQUAL (vm, vm_key, vms) {
        instance = state_instance(store, vm);
        if (!instance || !instance->host) {
            used += vm->memory_kib;
            ++*n_vms;
        }
    }
    dbrec_instance_index_destroy_row(instance_key);
    dbrec_vm_index_destroy_row(vm_key);
    return used;
}

struct json *
show_vm(const struct store *store, const struct ovsdb_idl_row *row_,
        bool details)
{
    const struct dbrec_vm *row = CAST(vm, row_);
    const struct dbrec_host *host = show_vm_host(store, row);
    const struct dbrec_instance *instance = state_instance(store, row);
    struct json *json = begin(row_);

    put_string(json, "name", row->name);
    put_string(json, "host", host ? host->name : NULL);
    put_string(json, "site", host && host->site ? host->site->name : NULL);
    put_string(json, "state", show_vm_state(store, row));
    put_string(json, "power", row->power);
    put_string(json, "reason", instance ? instance->reason : NULL);
    put_integer(json, "memory_mib", row->memory_kib / 1024);
    put_integer(json, "vcpus", row->vcpus);
    put_string(json, "image", row->image);
    put_integer(json, "generation", row->generation);
    put_uuid(json, "migration", ROW_UUID(row->migration));
    put_interfaces(store, json, row->interfaces, row->n_interfaces, details);
    if (details) {
        put_string(json, "machine", row->machine);
        put_string(json, "cpu", row->cpu);
        put_integer(json, "memory_kib", row->memory_kib);
    }
    return json;
}

struct json *
show_endpoint(const struct store *store, const struct ovsdb_idl_row *row_,
              bool details)
{
    const struct dbrec_endpoint *row = CAST(endpoint, row_);
    const struct dbrec_host *host = row->host;
    struct json *json = begin(row_);
    struct binding binding;

    if (row->n_interfaces
        && bindings_find_newest(store, ROW_UUID(row->interfaces[0]), true,
                                &binding)) {
        host = SESSION_ROW(store, host, &binding.generation.host);
    }
    put_string(json, "name", row->name);
    put_string(json, "host", host ? host->name : NULL);
    put_string(json, "site", host && host->site ? host->site->name : NULL);
    put_string(json, "kind", row->kind);
    put_interfaces(store, json, row->interfaces, row->n_interfaces, details);
    return json;
}

/* The name of the VM or endpoint that has an interface, null if none has. */
static const char *
owner_name(const struct store *store, const struct uuid *interface)
{
    enum store_table table;
    struct uuid uuid;

    if (!session_owner(store, interface, &table, &uuid)) {
        return NULL;
    }
    return (table == STORE_VM ? SESSION_ROW(store, vm, &uuid)->name
            : SESSION_ROW(store, endpoint, &uuid)->name);
}

struct json *
show_binding(const struct store *store, const struct ovsdb_idl_row *row_,
             bool details OVS_UNUSED)
{
    const struct dbrec_binding *row = CAST(binding, row_);
    const struct uuid *interface = session_binding_interface(row);
    struct json *json = begin(row_);
    struct binding newest;
    bool is_newest
        = (bindings_find_newest(store, interface, true, &newest)
           && newest.generation.epoch == row->epoch
           && newest.generation.counter == row->counter);

    put_string(json, "name", owner_name(store, interface));
    put_uuid(json, "interface", interface);
    put_string(json, "network", row->network ? row->network->name : NULL);
    put_by_family(json, "address", row->interface ? row->interface->home
                  : NULL, row->interface ? row->interface->n_home : 0);
    put_string(json, "host", row->host ? row->host->name : NULL);
    put_by_family(json, "mobile", row->mobile, row->n_mobile);
    put_string(json, "state", row->state);
    put_integer(json, "epoch", row->epoch);
    put_integer(json, "counter", row->counter);
    json_object_put(json, "current", json_boolean_create(is_newest));
    return json;
}

static size_t
step_rank(const char *step)
{
    for (size_t i = 0; i < ARRAY_SIZE(step_order); i++) {
        if (!strcmp(step_order[i], step)) {
            return i;
        }
    }
    return ARRAY_SIZE(step_order);
}

/* The store keeps phases in no order. */
static struct json *
phases_to_json(const struct dbrec_migration *row)
{
    struct json *phases = json_array_create_empty();

    for (size_t rank = 0; rank <= ARRAY_SIZE(step_order); rank++) {
        for (size_t i = 0; i < row->n_phases; i++) {
            if (step_rank(row->key_phases[i]) == rank) {
                struct json *phase = json_object_create();

                json_object_put_string(phase, "name", row->key_phases[i]);
                json_object_put(phase, "ms",
                                json_real_create(row->value_phases[i]));
                json_array_add(phases, phase);
            }
        }
    }
    return phases;
}

struct json *
show_migration(const struct store *store OVS_UNUSED,
               const struct ovsdb_idl_row *row_, bool details)
{
    const struct dbrec_migration *row = CAST(migration, row_);
    struct json *json = begin(row_);
    bool ended = rows_migration_has_ended(row);

    put_string(json, "name", row->vm_name);
    put_string(json, "vm", row->vm_name);
    put_string(json, "from", row->source_name);
    put_string(json, "to", row->destination_name);
    put_string(json, "state", row->state);
    put_string(json, "result", ended ? row->state : NULL);
    put_string(json, "step", row->step);
    put_string(json, "error", row->error);
    put_integer(json, "copied", row->copied);
    put_integer(json, "total", row->total);
    json_object_put(json, "cancel", json_boolean_create(row->cancel));
    put_string(json, "runs_on", row->runs_on ? row->runs_on->name : NULL);
    put_integer(json, "counter", row->counter);
    put_integer(json, "time", row->created);
    put_integer(json, "created", row->created);
    put_integer(json, "finished", row->finished);
    for (size_t i = 0; i < row->n_figures; i++) {
        if (!shash_find(json_object(json), row->key_figures[i])) {
            json_object_put(json, row->key_figures[i],
                            json_real_create(row->value_figures[i]));
        }
    }
    if (details) {
        put_smap(json, "options", &row->options);
        json_object_put(json, "phases", phases_to_json(row));
    }
    return json;
}

struct json *
show_event(const struct store *store OVS_UNUSED,
           const struct ovsdb_idl_row *row_, bool details OVS_UNUSED)
{
    const struct dbrec_event *row = CAST(event, row_);
    struct json *json = begin(row_);

    put_integer(json, "time", row->time);
    put_string(json, "kind", row->kind);
    put_string(json, "object", row->object);
    put_string(json, "host", row->host);
    put_string(json, "text", row->text);
    return json;
}
