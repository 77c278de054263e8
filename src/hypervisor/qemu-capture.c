#include <config.h>
#include "hypervisor/qemu-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hypervisor/capture.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* Two filters on each NIC, in this order:
 *
 *      tap --> buffer --> redirector --> guest
 *                             |
 *                             `--> chardev --> 'struct capture'
 *
 * The buffer delays packets by 500 us; its timer runs on the guest's clock,
 * so when the guest stops it keeps everything.  Then the redirector is
 * switched on and the buffer off, which pushes what it has kept through the
 * redirector, in order.  Adding a filter puts it behind the others. */
#define BUFFER_INTERVAL_US 500

static struct json *
object(const char *name, const char *value)
{
    struct json *json = json_object_create();
    json_object_put_string(json, name, value);
    return json;
}

static struct json *
filter(const char *type, size_t nic)
{
    struct json *json = object("qom-type", type);
    json_object_put_format(json, "netdev", "net%zu", nic);
    json_object_put_string(json, "queue", "tx");
    return json;
}

static void
add_arm(struct qemu_vm *vm, size_t nic)
{
    /* QEMU's working folder is io/, inside the VM's own. */
    struct json *addr_data = json_object_create();
    json_object_put_format(addr_data, "path", "../capture%zu", nic);
    struct json *addr = object("type", "unix");
    json_object_put(addr, "data", addr_data);
    struct json *data = json_object_create();
    json_object_put(data, "addr", addr);
    json_object_put(data, "server", json_boolean_create(false));
    struct json *backend = object("type", "socket");
    json_object_put(backend, "data", data);
    struct json *chardev = json_object_create();
    json_object_put_format(chardev, "id", "capture%zu", nic);
    json_object_put(chardev, "backend", backend);
    call_add(vm, CALL_CAPTURE, "chardev-add", chardev);

    struct json *buffer = filter("filter-buffer", nic);
    json_object_put_format(buffer, "id", "buffer%zu", nic);
    json_object_put(buffer, "interval",
                    json_integer_create(BUFFER_INTERVAL_US));
    call_add(vm, CALL_CAPTURE, "object-add", buffer);

    struct json *redirector = filter("filter-redirector", nic);
    json_object_put_format(redirector, "id", "redirector%zu", nic);
    json_object_put_format(redirector, "outdev", "capture%zu", nic);
    json_object_put_string(redirector, "status", "off");
    call_add(vm, CALL_CAPTURE, "object-add", redirector);
}

/* Removing a buffer lets out what it holds.  What is not there need not be
 * removed. */
static void
add_disarm(struct qemu_vm *vm, size_t nic)
{
    static const char *const ids[] = { "redirector", "buffer" };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct json *json = json_object_create();
        json_object_put_format(json, "id", "%s%zu", ids[i], nic);
        call_add_tolerant(vm, CALL_CAPTURE, "object-del", json);
    }
    struct json *json = json_object_create();
    json_object_put_format(json, "id", "capture%zu", nic);
    call_add_tolerant(vm, CALL_CAPTURE, "chardev-remove", json);
}

static void
add_status(struct qemu_vm *vm, const char *kind, size_t nic, bool on)
{
    struct json *json = json_object_create();
    json_object_put_format(json, "path", "/objects/%s%zu", kind, nic);
    json_object_put_string(json, "property", "status");
    json_object_put_string(json, "value", on ? "on" : "off");
    call_add(vm, CALL_CAPTURE, "qom-set", json);
}

static int
listen_all(struct qemu_vm *vm, struct err *err)
{
    if (!vm->capture) {
        vm->capture = capture_create();
    }
    int error = 0;
    for (size_t i = 0; i < vm->n_nics && !error; i++) {
        char *path = xasprintf("%s/capture%zu", vm->folder, i);
        error = capture_listen(vm->capture, i, path,
                               vm->qemu->credentials.uid,
                               vm->qemu->credentials.gid, err);
        free(path);
    }
    return error;
}

static void
unlisten_all(struct qemu_vm *vm)
{
    capture_destroy(vm->capture);
    vm->capture = NULL;
    for (size_t i = 0; i < VM_MAX_NICS; i++) {
        char *path = xasprintf("%s/capture%zu", vm->folder, i);
        unlink(path);
        free(path);
    }
}

static void
add_commands(struct qemu_vm *vm, enum capture_mode mode)
{
    for (size_t i = 0; i < vm->n_nics; i++) {
        switch (mode) {
        case CAPTURE_OFF:
            add_disarm(vm, i);
            break;
        case CAPTURE_ARMED:
            add_disarm(vm, i);  /* What a dead agent may have left. */
            add_arm(vm, i);
            break;
        case CAPTURE_OPEN:
            add_status(vm, "redirector", i, true);
            add_status(vm, "buffer", i, false);
            break;
        case CAPTURE_CLOSED:
            add_status(vm, "redirector", i, false);
            break;
        }
    }
}

/* One change of mode after the other: if another one is in flight, it ends
 * first, however it ends. */
static int
set_mode(struct qemu_vm *vm, enum capture_mode mode, struct err *err)
{
    if (call_is_pending(vm, CALL_CAPTURE) && vm->capture_goal != mode) {
        enum capture_mode other = vm->capture_goal;
        int error = call_end(vm, CALL_CAPTURE, NULL);
        if (error == EINPROGRESS) {
            return error;
        } else if (!error) {
            vm->capture_mode = other;
        }
    }
    if (call_begin(vm, CALL_CAPTURE)) {
        int error = mode == CAPTURE_ARMED ? listen_all(vm, err) : 0;
        if (error) {
            return error;
        }
        vm->capture_goal = mode;
        add_commands(vm, mode);
    }
    int error = call_end(vm, CALL_CAPTURE, err);
    if (!error) {
        vm->capture_mode = mode;
        if (mode == CAPTURE_OFF) {
            unlisten_all(vm);
        }
    }
    return error;
}

int
qemu_set_capture(struct hypervisor *hv, const struct uuid *uuid,
                 enum capture_mode mode, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (mode == CAPTURE_OFF && (!vm || !vm->process)) {
        if (vm) {
            unlisten_all(vm);
            vm->capture_mode = CAPTURE_OFF;
        }
        return 0;
    }
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (mode == vm->capture_mode && mode != CAPTURE_OFF
        && !call_is_pending(vm, CALL_CAPTURE)) {
        return 0;
    }
    if (mode > CAPTURE_ARMED && !vm->capture) {
        return err_set(err, EINVAL, "its packets are not captured");
    }
    return set_mode(vm, mode, err);
}

struct capture *
qemu_capture(struct hypervisor *hv, const struct uuid *uuid)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    return vm ? vm->capture : NULL;
}
