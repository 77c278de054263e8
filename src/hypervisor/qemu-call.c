#include <config.h>
#include "hypervisor/qemu-private.h"

#include <errno.h>
#include <string.h>

#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

static void
call_clear(struct qemu_vm *vm, struct call *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (i >= c->n_answered && vm->qmp) {
            qmp_forget(vm->qmp, c->ids[i]);
        }
        json_destroy(c->results[i]);
    }
    memset(c, 0, sizeof *c);
}

void
calls_clear(struct qemu_vm *vm)
{
    for (size_t i = 0; i < N_CALLS; i++) {
        call_clear(vm, &vm->calls[i]);
    }
}

bool
call_begin(struct qemu_vm *vm, enum call_id id)
{
    struct call *c = &vm->calls[id];
    long long now = vm->qemu->up.now;
    if (c->n && now - c->touched > QEMU_FORGET_MS) {
        call_clear(vm, c);
    }
    c->touched = now;
    return !c->n;
}

static void
add(struct qemu_vm *vm, enum call_id id, uint64_t command_id, bool tolerant)
{
    struct call *c = &vm->calls[id];
    ovs_assert(c->n < CALL_MAX);
    c->ids[c->n] = command_id;
    c->tolerant[c->n] = tolerant;
    c->n++;
}

void
call_add(struct qemu_vm *vm, enum call_id id, const char *command,
         struct json *arguments)
{
    add(vm, id, qmp_send(vm->qmp, command, arguments), false);
}

void
call_add_fd(struct qemu_vm *vm, enum call_id id, const char *command,
            struct json *arguments, int fd)
{
    add(vm, id, qmp_send_fd(vm->qmp, command, arguments, fd), false);
}

void
call_add_tolerant(struct qemu_vm *vm, enum call_id id, const char *command,
                  struct json *arguments)
{
    add(vm, id, qmp_send(vm->qmp, command, arguments), true);
}

bool
call_is_pending(const struct qemu_vm *vm, enum call_id id)
{
    return vm->calls[id].n > 0;
}

bool
call_was_unread(const struct qemu_vm *vm, enum call_id id)
{
    const struct call *c = &vm->calls[id];

    return c->n && qmp_was_unread(vm->qmp, c->ids[c->n - 1]);
}

int
call_end_with_results(struct qemu_vm *vm, enum call_id id,
                      struct json *results[], size_t n, struct err *err)
{
    struct call *c = &vm->calls[id];
    qmp_flush(vm->qmp);
    while (c->n_answered < c->n) {
        struct err refusal = ERR_INIT;
        size_t i = c->n_answered;
        int error = qmp_reply(vm->qmp, c->ids[i], &c->results[i], &refusal);
        if (error == EINPROGRESS) {
            return error;
        }
        if (error && !c->error.code
            && !(c->tolerant[i] && error == EREMOTEIO)) {
            c->error = refusal;
        }
        c->n_answered++;
    }

    int error = c->error.code;
    if (error) {
        err_set(err, error, "%s", c->error.text);
    } else {
        for (size_t i = 0; i < n && i < c->n; i++) {
            results[i] = c->results[i];
            c->results[i] = NULL;
        }
    }
    call_clear(vm, c);
    return error;
}

int
call_end(struct qemu_vm *vm, enum call_id id, struct err *err)
{
    return call_end_with_results(vm, id, NULL, 0, err);
}

static const struct json *
member(const struct json *object, const char *name, enum json_type type)
{
    const struct json *json
        = object && object->type == JSON_OBJECT
          ? shash_find_data(json_object(object), name) : NULL;
    return json && json->type == type ? json : NULL;
}

const char *
qemu_json_string(const struct json *object, const char *name)
{
    const struct json *json = member(object, name, JSON_STRING);
    return json ? json_string(json) : "";
}

uint64_t
qemu_json_integer(const struct json *object, const char *name)
{
    const struct json *json = member(object, name, JSON_INTEGER);
    return json && json_integer(json) > 0 ? json_integer(json) : 0;
}

const struct json *
qemu_json_object(const struct json *object, const char *name)
{
    return member(object, name, JSON_OBJECT);
}
