#include <config.h>

#include "api/actions.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "smap.h"
#include "util.h"

#include "api/objects.h"
#include "api/request.h"
#include "api/show.h"
#include "base/problems.h"
#include "core/vm.h"
#include "store/rows.h"
#include "store/session.h"

/* POST /vms/{name}/migrations. */

#define MAX_OPTIONS 16
#define OPTION_LEN 63

const struct field actions_migrate_fields[] = {
    { "to", FIELD_NAME, true, "host, or site: then the host with the most "
      "free memory there" },
    { "options", FIELD_OBJECT, false, "for the agents, as with_disk; values "
      "are strings, numbers or booleans" },
    { NULL },
};

struct option {
    char key[OPTION_LEN + 1];
    char value[OPTION_LEN + 1];
};

struct migrate_write {
    struct uuid insert;         /* The migration's UUID. */
    struct uuid vm;
    char to[NAME_LEN + 1];
    long long now;
    struct option options[MAX_OPTIONS];
    size_t n_options;
};

/* The host of 'site' with the most free memory that 'vm' fits in. */
static const struct dbrec_host *
pick_host(const struct store *store, const struct dbrec_site *site,
          const struct dbrec_vm *vm, struct err *err)
{
    const struct dbrec_host *host, *best = NULL;
    int64_t best_free = 0;
    size_t n = 0;

    DBREC_HOST_FOR_EACH (host, store->idl) {
        size_t n_vms;

        if (host->site != site) {
            continue;
        }
        n++;

        /* One that does not say how much it has is taken if need be. */
        int64_t free_kib = host->memory_mib * 1024
            - show_used_kib(store, host, &n_vms);
        bool fits = host->memory_mib <= 0 || free_kib >= vm->memory_kib;
        if (fits && (!best || free_kib > best_free)) {
            best = host;
            best_free = free_kib;
        }
    }
    if (!best) {
        err_set(err, n ? EBUSY : ENOENT, n ? "no host of site \"%s\" has "
                "%"PRId64" MiB free" : "site \"%s\" has no host", site->name,
                vm->memory_kib / 1024);
    }
    return best;
}

/* What 'to' means. */
static const struct dbrec_host *
find_destination(const struct store *store, const char *to,
                 const struct dbrec_vm *vm, const struct dbrec_host *source,
                 struct err *err)
{
    const struct dbrec_site *site = session_site(store, to);
    const struct dbrec_host *host = session_host(store, to);

    if (site) {
        if (source->site == site) {
            err_set(err, EBUSY, "VM \"%s\" is at site \"%s\" already, on "
                    "host \"%s\"; name a host", vm->name, to, source->name);
            return NULL;
        }
        return pick_host(store, site, vm, err);
    }
    if (!host) {
        err_set(err, EINVAL, "there is no host and no site \"%s\"", to);
    } else if (host == source) {
        err_set(err, EBUSY, "VM \"%s\" is on host \"%s\" already", vm->name,
                to);
        return NULL;
    }
    return host;
}

static bool
is_migrating(const struct store *store, const struct dbrec_vm *vm)
{
    const struct dbrec_migration *row;

    DBREC_MIGRATION_FOR_EACH (row, store->idl) {
        if (row->vm == vm && !rows_migration_has_ended(row)) {
            return true;
        }
    }
    return vm->migration != NULL;
}

/* Checks all that can be checked here; the agents check the rest. */
static int
check(const struct store *store, const struct migrate_write *write,
      const struct dbrec_vm **vm, const struct dbrec_host **source,
      const struct dbrec_host **destination, struct err *err)
{
    *vm = SESSION_ROW(store, vm, &write->vm);
    if (!*vm) {
        return err_set(err, ENOENT, "it is gone");
    }
    if (is_migrating(store, *vm)) {
        return err_set(err, EBUSY, "VM \"%s\" is being migrated already",
                       (*vm)->name);
    }

    const char *state = show_vm_state(store, *vm);
    *source = show_vm_host(store, *vm);
    if (strcmp(state, "running") || !*source) {
        return err_set(err, EBUSY, "VM \"%s\" is %s; only a running VM can "
                       "be migrated", (*vm)->name, state);
    }
    *destination = find_destination(store, write->to, *vm, *source, err);
    return *destination ? 0 : err ? err->code : EINVAL;
}

static int
build_migrate(struct store *store, struct ovsdb_idl_txn *txn,
              const void *data, struct err *err)
{
    const struct migrate_write *write = data;
    const struct dbrec_host *source, *destination;
    const struct dbrec_vm *vm;

    if (SESSION_ROW(store, migration, &write->insert)) {
        return 0;               /* Done before the connection broke. */
    }
    int error = check(store, write, &vm, &source, &destination, err);
    if (error) {
        return error;
    }

    const struct dbrec_migration *row
        = dbrec_migration_insert_persist_uuid(txn, &write->insert);
    struct smap options = SMAP_INITIALIZER(&options);
    for (size_t i = 0; i < write->n_options; i++) {
        smap_replace(&options, write->options[i].key,
                     write->options[i].value);
    }
    dbrec_vm_verify_migration(vm);
    dbrec_migration_set_vm(row, vm);
    dbrec_migration_set_vm_name(row, vm->name);
    dbrec_migration_set_source(row, source);
    dbrec_migration_set_source_name(row, source->name);
    dbrec_migration_set_writer(row, session_writer(source));
    dbrec_migration_set_destination(row, destination);
    dbrec_migration_set_destination_name(row, destination->name);
    dbrec_migration_set_state(row, "requested");
    dbrec_migration_set_options(row, &options);
    dbrec_migration_set_created(row, write->now);
    session_add_event(store, txn, "migration", vm->name, write->now,
                      "requested: %s -> %s", source->name,
                      destination->name);
    smap_destroy(&options);
    return 0;
}

static void
migrate_done(struct request *request)
{
    struct json *json = objects_get_uuid(request->store,
                                         objects_find_kind("migrations"),
                                         &request->target);

    if (json) {
        request->location = xasprintf("/api/v1/migrations/"UUID_FMT,
                                      UUID_ARGS(&request->target));
        request_reply(request, 202, json);
    } else {
        request_problem(request, 503, "the migration was requested, but has "
                        "not been seen yet");
    }
}

static bool
format_option(const struct json *json, char value[OPTION_LEN + 1])
{
    switch (json->type) {
    case JSON_STRING:
        ovs_strlcpy(value, json_string(json), OPTION_LEN + 1);
        return strlen(json_string(json)) <= OPTION_LEN;
    case JSON_INTEGER:
        snprintf(value, OPTION_LEN + 1, "%"PRId64, json_integer(json));
        return true;
    case JSON_REAL:
        snprintf(value, OPTION_LEN + 1, "%g", json_real(json));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        ovs_strlcpy(value, json->type == JSON_TRUE ? "true" : "false",
                    OPTION_LEN + 1);
        return true;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_SERIALIZED_OBJECT:
    case JSON_N_TYPES:
        return false;
    }
    OVS_NOT_REACHED();
}

static void
parse_options(const struct json *body, struct migrate_write *write,
              struct problems *problems)
{
    const struct json *options = fields_find(body, "options");
    const struct shash_node *node;

    if (!options || options->type != JSON_OBJECT) {
        return;
    }
    SHASH_FOR_EACH (node, json_object(options)) {
        struct option *option = &write->options[write->n_options];

        if (write->n_options >= MAX_OPTIONS) {
            problems_add(problems, "options: more than %d", MAX_OPTIONS);
            return;
        }
        if (!fields_is_name(node->name)
            || !format_option(node->data, option->value)) {
            problems_add(problems, "options.%.80s: must be a short string, a "
                         "number or a boolean", node->name);
            continue;
        }
        ovs_strlcpy(option->key, node->name, sizeof option->key);
        write->n_options++;
    }
}

void
actions_migrate_vm(struct request *request)
{
    static const struct write_class class = {
        .what = "requesting a migration", .build = build_migrate,
    };
    struct problems problems = PROBLEMS_INIT;
    struct migrate_write write = { .now = request->wall_now };
    const struct dbrec_host *source, *destination;
    const struct dbrec_vm *vm = actions_find_vm(request);
    struct err err = ERR_INIT;

    if (!vm) {
        return;
    }
    fields_check(actions_migrate_fields, request->body, "", &problems);
    parse_options(request->body, &write, &problems);
    if (problems.n) {
        request_problems(request, "the migration was not started",
                         &problems);
        problems_finish(&problems);
        return;
    }

    write.vm = *ROW_UUID(vm);
    ovs_strlcpy(write.to, fields_string(request->body, "to"),
                sizeof write.to);
    if (check(request->store, &write, &vm, &source, &destination, &err)) {
        request_error(request, &err);
        return;
    }
    uuid_generate(&write.insert);
    request->target = write.insert;
    request_wait(request, write_queue(request->store, &class, &write.vm,
                                      &write, sizeof write), migrate_done);
}

/* POST /migrations/{id}/cancel. */

struct cancel_write {
    struct uuid migration;
    long long now;
};

static int
build_cancel(struct store *store, struct ovsdb_idl_txn *txn,
             const void *data, struct err *err)
{
    const struct cancel_write *write = data;
    const struct dbrec_migration *row = SESSION_ROW(store, migration,
                                                    &write->migration);

    if (!row) {
        return err_set(err, ENOENT, "it is gone");
    }
    if (rows_migration_has_ended(row)) {
        return err_set(err, EBUSY, "the migration has ended: %s", row->state);
    }
    if (!row->cancel) {
        dbrec_migration_set_cancel(row, true);
        session_add_event(store, txn, "migration", row->vm_name, write->now,
                          "is to be cancelled");
    }
    return 0;
}

static void
migration_done(struct request *request)
{
    struct json *json = objects_get(request->store,
                                    objects_find_kind("migrations"),
                                    request->name);

    if (json) {
        request_reply(request, 202, json);
    } else {
        request_problem(request, 404, "it is gone already");
    }
}

/* The migration of the path; answers if there is none. */
static bool
find_migration(struct request *request, struct uuid *uuid)
{
    bool found = (uuid_from_string(uuid, request->name)
                  && SESSION_ROW(request->store, migration, uuid));

    if (!found) {
        request_problem(request, 404, "there is no migration \"%.80s\"",
                        request->name);
    }
    return found;
}

void
actions_cancel_migration(struct request *request)
{
    static const struct write_class class = {
        .what = "cancelling a migration", .build = build_cancel,
    };
    struct cancel_write data = { .now = request->wall_now };

    if (find_migration(request, &data.migration)) {
        request_wait(request, write_queue(request->store, &class,
                                          &data.migration, &data,
                                          sizeof data), migration_done);
    }
}

/* POST /migrations/{id}/resolve. */

const struct field actions_resolve_fields[] = {
    { "runs_on", FIELD_NAME, true, "The host on which the VM runs: the "
      "migration's source or its destination." },
    { NULL }
};

struct resolve_write {
    struct uuid migration;
    char runs_on[NAME_LEN + 1];
    long long now;
};

static int
build_resolve(struct store *store, struct ovsdb_idl_txn *txn,
              const void *data, struct err *err)
{
    const struct resolve_write *write = data;
    const struct dbrec_migration *row = SESSION_ROW(store, migration,
                                                    &write->migration);
    const struct dbrec_host *host = session_host(store, write->runs_on);

    if (!row) {
        return err_set(err, ENOENT, "it is gone");
    }
    if (strcmp(row->state, migration_state_name(MOVE_STUCK))) {
        return err_set(err, EBUSY, "the migration is %s; only one that is "
                       "stuck needs somebody's word", row->state);
    }
    if (!host || (host != row->source && host != row->destination)) {
        return err_set(err, EINVAL, "the VM can run on %s or on %s only",
                       row->source_name, row->destination_name);
    }
    dbrec_migration_set_runs_on(row, host);
    session_add_event(store, txn, "migration", row->vm_name, write->now,
                      "is said to run on %s", write->runs_on);
    return 0;
}

void
actions_resolve_migration(struct request *request)
{
    static const struct write_class class = {
        .what = "resolving a migration", .build = build_resolve,
    };
    struct problems problems = PROBLEMS_INIT;
    struct resolve_write data = { .now = request->wall_now };

    if (!find_migration(request, &data.migration)) {
        return;
    }
    fields_check(actions_resolve_fields, request->body, "", &problems);
    if (problems.n) {
        request_problems(request, "nothing was said", &problems);
        problems_finish(&problems);
        return;
    }
    ovs_strlcpy(data.runs_on, fields_string(request->body, "runs_on"),
                sizeof data.runs_on);
    request_wait(request, write_queue(request->store, &class, &data.migration,
                                      &data, sizeof data), migration_done);
}
