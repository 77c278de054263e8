#include <config.h>

#include "api/objects.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "ovsdb-idl.h"
#include "util.h"

#include "api/api-private.h"
#include "api/show.h"
#include "api/stream.h"
#include "store/session.h"

/* Where objects of a kind come from. */
struct object_source {
    enum store_table table;
    const struct ovsdb_idl_table_class *class;
    show_func *show;
    bool by_time;               /* Sorted by time, not by name. */
};

static struct object_source sources[] = {
    { STORE_SITE, &dbrec_table_site, show_site },
    { STORE_HOST, &dbrec_table_host, show_host },
    { STORE_NETWORK, &dbrec_table_network, show_network },
    { STORE_VM, &dbrec_table_vm, show_vm },
    { STORE_ENDPOINT, &dbrec_table_endpoint, show_endpoint },
    { STORE_BINDING, &dbrec_table_binding, show_binding },
    { STORE_MIGRATION, &dbrec_table_migration, show_migration, true },
    { STORE_EVENT, &dbrec_table_event, show_event, true },
};

const struct object_kind object_kinds[] = {
    { "sites", "site", "routed locations with addresses of their own",
      &sources[0] },
    { "hosts", "host", "machines at sites", &sources[1] },
    { "networks", "network", "IP prefixes that VMs share", &sources[2] },
    { "vms", "vm", "virtual machines", &sources[3] },
    { "endpoints", "endpoint", "other things with a home address",
      &sources[4] },
    { "bindings", "binding", "where interfaces are", &sources[5] },
    { "services", "service", "groups of endpoints", NULL },
    { "migrations", "migration", "moves of VMs", &sources[6] },
    { "policies", "policy", "scripts that decide where things are", NULL },
    { "events", "event", "what happened", &sources[7] },
    { "links", "link", "measured paths between switches", NULL },
};
const size_t n_object_kinds = ARRAY_SIZE(object_kinds);

const struct object_kind *
objects_find_kind(const char *plural)
{
    for (size_t i = 0; i < n_object_kinds; i++) {
        if (!strcmp(object_kinds[i].plural, plural)) {
            return &object_kinds[i];
        }
    }
    return NULL;
}

static const struct object_kind *
find_kind_by_table(enum store_table table)
{
    for (size_t i = 0; i < n_object_kinds; i++) {
        if (object_kinds[i].source
            && object_kinds[i].source->table == table) {
            return &object_kinds[i];
        }
    }
    return NULL;
}

static const char *
string_member(const struct json *json, const char *name)
{
    const struct json *member = shash_find_data(json_object(json), name);

    return member && member->type == JSON_STRING ? json_string(member) : "";
}

static int64_t
integer_member(const struct json *json, const char *name)
{
    const struct json *member = shash_find_data(json_object(json), name);

    return member && member->type == JSON_INTEGER ? json_integer(member) : 0;
}

static int
compare_names(const void *a_, const void *b_)
{
    const struct json *const *a = a_, *const *b = b_;
    int cmp = strcmp(string_member(*a, "name"), string_member(*b, "name"));

    return cmp ? cmp : strcmp(string_member(*a, "uuid"),
                              string_member(*b, "uuid"));
}

static int
compare_times(const void *a_, const void *b_)
{
    const struct json *const *a = a_, *const *b = b_;
    int64_t a_time = integer_member(*a, "time");
    int64_t b_time = integer_member(*b, "time");

    return (a_time != b_time ? (a_time < b_time ? -1 : 1)
            : strcmp(string_member(*a, "uuid"), string_member(*b, "uuid")));
}

struct json *
objects_list(struct store *store, const struct object_kind *kind,
             size_t limit)
{
    const struct object_source *source = kind->source;
    struct json *list = json_array_create_empty();
    const struct ovsdb_idl_row *row;

    if (!source) {
        return list;
    }
    for (row = ovsdb_idl_first_row(store->idl, source->class); row;
         row = ovsdb_idl_next_row(row)) {
        json_array_add(list, source->show(store, row, false));
    }

    struct json_array *array = json_array(list);
    if (array->n) {
        qsort(array->elems, array->n, sizeof *array->elems,
              source->by_time ? compare_times : compare_names);
    }
    if (limit && array->n > limit) {
        size_t n_drop = array->n - limit;

        for (size_t i = 0; i < n_drop; i++) {
            json_destroy(array->elems[i]);
        }
        memmove(array->elems, array->elems + n_drop,
                limit * sizeof *array->elems);
        array->n = limit;
    }
    return list;
}

struct json *
objects_get_uuid(struct store *store, const struct object_kind *kind,
                 const struct uuid *uuid)
{
    const struct object_source *source = kind->source;
    const struct ovsdb_idl_row *row
        = source ? session_row(store, source->class, uuid) : NULL;

    return row ? source->show(store, row, true) : NULL;
}

struct json *
objects_get(struct store *store, const struct object_kind *kind,
            const char *name)
{
    const struct ovsdb_idl_row *row = NULL;
    struct uuid uuid;

    if (!kind->source) {
        return NULL;
    }
    if (uuid_from_string(&uuid, name)) {
        return objects_get_uuid(store, kind, &uuid);
    }
    switch (kind->source->table) {
    case STORE_SITE:
        row = (const void *) session_site(store, name);
        break;
    case STORE_HOST:
        row = (const void *) session_host(store, name);
        break;
    case STORE_NETWORK:
        row = (const void *) session_network(store, name);
        break;
    case STORE_VM:
        row = (const void *) session_vm(store, name);
        break;
    case STORE_ENDPOINT:
        row = (const void *) session_endpoint(store, name);
        break;
    case STORE_GLOBAL:
    case STORE_POOL:
    case STORE_INTERFACE:
    case STORE_INSTANCE:
    case STORE_BINDING:
    case STORE_CLAIM:
    case STORE_MIGRATION:
    case STORE_EVENT:
    case N_STORE_TABLES:
        break;                  /* Have no names. */
    }
    return row ? kind->source->show(store, row, true) : NULL;
}

struct json *
objects_unfinished_migrations(struct store *store)
{
    struct json *list = json_array_create_empty();
    const struct dbrec_migration *row;

    DBREC_MIGRATION_FOR_EACH (row, store->idl) {
        if (!row->finished) {
            json_array_add(list, show_migration(store, &row->header_, true));
        }
    }
    return list;
}

/* Sends the object of 'table' and 'uuid', or that it is gone. */
static void
send_object(struct api *api, enum store_table table, const struct uuid *uuid)
{
    const struct object_kind *kind = find_kind_by_table(table);

    if (!kind) {
        return;
    }
    struct json *json = objects_get_uuid(api->store, kind, uuid);
    if (!json) {
        json = json_object_create();
        json_object_put_format(json, "uuid", UUID_FMT, UUID_ARGS(uuid));
        json_object_put(json, "gone", json_boolean_create(true));
        if (table == STORE_EVENT) {
            json_destroy(json);         /* Trimmed: no news. */
            return;
        }
    }
    streams_send(api, kind->singular, json);
}

/* The bindings of an interface, and who has it. */
static void
send_bindings(struct api *api, const struct uuid *interface)
{
    struct ovsdb_idl_index *index
        = api->store->index[SESSION_BINDING_BY_INTERFACE];
    struct dbrec_binding *key = session_binding_key(api->store, interface);
    const struct dbrec_binding *binding;
    enum store_table table;
    struct uuid owner;

    DBREC_BINDING_FOR_EACH_EQUAL (binding, key, index) {
        send_object(api, STORE_BINDING, ROW_UUID(binding));
    }
    dbrec_binding_index_destroy_row(key);
    if (session_owner(api->store, interface, &table, &owner)) {
        send_object(api, table, &owner);
    }
}

void
objects_send_change(struct api *api, const struct store_change *change)
{
    const struct dbrec_instance *instance;

    switch (change->table) {
    case STORE_BINDING:
        send_bindings(api, &change->uuid);
        break;

    case STORE_INSTANCE:
        instance = SESSION_ROW(api->store, instance, &change->uuid);
        if (instance && instance->vm) {
            send_object(api, STORE_VM, ROW_UUID(instance->vm));
        }
        break;

    case STORE_SITE:
    case STORE_HOST:
    case STORE_NETWORK:
    case STORE_VM:
    case STORE_ENDPOINT:
    case STORE_MIGRATION:
    case STORE_EVENT:
        send_object(api, change->table, &change->uuid);
        break;

    case STORE_GLOBAL:
    case STORE_POOL:
    case STORE_INTERFACE:
    case STORE_CLAIM:
    case N_STORE_TABLES:
        break;
    }
}
