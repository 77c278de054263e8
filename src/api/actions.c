#include <config.h>

#include "api/actions.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

#include "api/document.h"
#include "api/objects.h"
#include "api/request.h"
#include "api/show.h"
#include "base/problems.h"
#include "store/rows.h"
#include "store/session.h"

/* Answers with the object that was written. */
static void
reply_with(struct request *request, int status, const char *plural)
{
    const struct object_kind *kind = objects_find_kind(plural);
    struct json *json = (request->name
                         ? objects_get(request->store, kind, request->name)
                         : objects_get_uuid(request->store, kind,
                                            &request->target));

    if (json) {
        request_reply(request, status, json);
    } else {
        request_problem(request, 404, "it is gone already");
    }
}

const struct dbrec_vm *
actions_find_vm(struct request *request)
{
    const struct dbrec_vm *vm = NULL;
    struct uuid uuid;

    if (uuid_from_string(&uuid, request->name)) {
        vm = SESSION_ROW(request->store, vm, &uuid);
    } else {
        vm = session_vm(request->store, request->name);
    }
    if (!vm) {
        request_problem(request, 404, "there is no VM \"%.80s\"",
                        request->name);
    }
    return vm;
}

/* PUT /config. */

static void
apply_done(struct request *request)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "result", "applied");
    request_reply(request, 200, json);
}

void
actions_apply(struct request *request)
{
    struct problems problems = PROBLEMS_INIT;
    struct document *document = document_parse(request->body, &problems);

    document->now = request->wall_now;
    document_check(request->store, document, &problems);
    if (problems.n) {
        request_problems(request, "nothing was applied", &problems);
        document_destroy(document);
    } else {
        request_wait(request, document_write(request->store, document),
                     apply_done);
    }
    problems_finish(&problems);
}

/* POST /vms. */

static void
create_done(struct request *request)
{
    request->location = xasprintf("/api/v1/vms/%s", request->name);
    reply_with(request, 201, "vms");
}

void
actions_create_vm(struct request *request)
{
    struct problems problems = PROBLEMS_INIT;
    struct document *document = document_parse_vm(request->body, &problems);
    const char *name = document->n_vms ? document->vms[0].name : "";

    if (!problems.n && session_vm(request->store, name)) {
        request_problem(request, 409, "there is a VM \"%s\" already", name);
        document_destroy(document);
        return;
    }
    document->now = request->wall_now;
    document_check(request->store, document, &problems);
    if (problems.n) {
        request_problems(request, "the VM was not created", &problems);
        document_destroy(document);
    } else {
        request->name = xstrdup(name);
        request_wait(request, document_write(request->store, document),
                     create_done);
    }
    problems_finish(&problems);
}

/* POST /vms/{name}/start and stop. */

struct power_write {
    struct uuid vm;
    bool running;
    long long now;
};

static int
build_power(struct store *store, struct ovsdb_idl_txn *txn,
            const void *data, struct err *err)
{
    const struct power_write *write = data;
    const struct dbrec_vm *vm = SESSION_ROW(store, vm, &write->vm);

    if (!vm) {
        return err_set(err, ENOENT, "it is gone");
    }
    if (!write->running && vm->migration) {
        return err_set(err, EBUSY, "VM \"%s\" is being migrated; wait, or "
                       "cancel the migration", vm->name);
    }

    const char *power = write->running ? "running" : "stopped";
    if (strcmp(vm->power, power)) {
        dbrec_vm_verify_migration(vm);
        dbrec_vm_set_power(vm, power);
        session_add_event(store, txn, "vm", vm->name, write->now,
                          "is to be %s", power);
    }
    return 0;
}

static void
power_done(struct request *request)
{
    reply_with(request, 200, "vms");
}

static void
set_power(struct request *request, bool running)
{
    static const struct write_class class = {
        .what = "switching a VM", .build = build_power,
    };
    const struct dbrec_vm *vm = actions_find_vm(request);

    if (vm) {
        struct power_write data = {
            .vm = *ROW_UUID(vm), .running = running,
            .now = request->wall_now,
        };

        request_wait(request, write_queue(request->store, &class, &data.vm,
                                          &data, sizeof data), power_done);
    }
}

void
actions_start_vm(struct request *request)
{
    set_power(request, true);
}

void
actions_stop_vm(struct request *request)
{
    set_power(request, false);
}

/* DELETE /vms/{name}. */

struct delete_write {
    struct uuid vm;
    bool force;
    long long now;
};

/* Rows that refer to the VM go with it; its hosts see that, and clean up. */
static int
build_delete(struct store *store, struct ovsdb_idl_txn *txn,
             const void *data, struct err *err)
{
    const struct delete_write *write = data;
    const struct dbrec_vm *vm = SESSION_ROW(store, vm, &write->vm);
    const struct dbrec_instance *instance, *next_instance;
    const struct dbrec_binding *binding, *next_binding;

    if (!vm) {
        return 0;
    }
    const char *state = show_vm_state(store, vm);
    if (!write->force
        && (vm->migration || (strcmp(state, "stopped")
                              && strcmp(state, "failed")
                              && strcmp(state, "pending")))) {
        return err_set(err, EBUSY, "VM \"%s\" is %s; stop it first",
                       vm->name, state);
    }
    DBREC_INSTANCE_FOR_EACH_SAFE (instance, next_instance, store->idl) {
        if (instance->vm == vm) {
            dbrec_instance_delete(instance);
        }
    }
    DBREC_BINDING_FOR_EACH_SAFE (binding, next_binding, store->idl) {
        for (size_t i = 0; i < vm->n_interfaces; i++) {
            if (binding->interface == vm->interfaces[i]) {
                dbrec_binding_delete(binding);
                break;
            }
        }
    }
    session_add_event(store, txn, "vm", vm->name, write->now, "deleted");
    dbrec_vm_verify_migration(vm);
    dbrec_vm_delete(vm);
    return 0;
}

static void
delete_done(struct request *request)
{
    request_reply(request, 204, NULL);
}

void
actions_delete_vm(struct request *request)
{
    static const struct write_class class = {
        .what = "deleting a VM",
        .build = build_delete,
        .retry_conflicts = true,        /* A host may add a row meanwhile. */
    };
    const struct dbrec_vm *vm = actions_find_vm(request);

    if (vm) {
        struct delete_write data = {
            .vm = *ROW_UUID(vm), .force = request->force,
            .now = request->wall_now,
        };

        request_wait(request, write_queue(request->store, &class, &data.vm,
                                          &data, sizeof data), delete_done);
    }
}
