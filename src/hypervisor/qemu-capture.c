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
 *                             `--> chardev, a file --> 'struct capture'
 *
 * The buffer delays packets by 500 us; its timer runs on the guest's clock,
 * so when the guest stops it keeps everything.  Then the redirector is
 * switched on and the buffer off, which pushes what it has kept through the
 * redirector, in order.  Adding a filter puts it behind the others.
 *
 * The file is in memory (RUN_DIR is below /run), and what QEMU has written to
 * it is there whatever becomes of us.  While nobody looks after an open
 * capture, watari-watchdog closes it if the guest runs on, so that it neither
 * goes deaf nor fills the file. */
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
    struct json *data = json_object_create();
    json_object_put_format(data, "out", "../capture%zu", nic);
    json_object_put(data, "append", json_boolean_create(true));
    struct json *backend = object("type", "file");
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

static struct json *
status(const char *kind, size_t nic, bool on)
{
    struct json *json = json_object_create();
    json_object_put_format(json, "path", "/objects/%s%zu", kind, nic);
    json_object_put_string(json, "property", "status");
    json_object_put_string(json, "value", on ? "on" : "off");
    return json;
}

static char *
file_name(const struct qemu_vm *vm, size_t nic)
{
    return xasprintf("%s/capture%zu", vm->folder, nic);
}

/* Empty files, whatever was in them. */
static int
make_files(struct qemu_vm *vm, struct err *err)
{
    int error = 0;
    capture_destroy(vm->capture);
    vm->capture = capture_create();
    for (size_t i = 0; i < vm->n_nics && !error; i++) {
        char *path = file_name(vm, i);
        error = capture_make(vm->capture, i, path,
                             vm->qemu->credentials.uid,
                             vm->qemu->credentials.gid, err);
        free(path);
    }
    return error;
}

void
qemu_capture_end(struct qemu_vm *vm)
{
    capture_destroy(vm->capture);
    vm->capture = NULL;
    vm->capture_mode = CAPTURE_OFF;
    for (size_t i = 0; i < VM_MAX_NICS; i++) {
        char *path = file_name(vm, i);
        unlink(path);
        free(path);
    }
}

void
qemu_capture_adopt(struct qemu_vm *vm)
{
    struct capture *capture = capture_create();
    size_t n = 0;
    for (size_t i = 0; i < vm->n_nics; i++) {
        char *path = file_name(vm, i);
        n += !capture_open(capture, i, path, NULL);
        free(path);
    }
    if (n) {
        vm->capture = capture;
    } else {
        capture_destroy(capture);
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
            call_add(vm, CALL_CAPTURE, "qom-set",
                     status("redirector", i, true));
            call_add(vm, CALL_CAPTURE, "qom-set", status("buffer", i, false));
            break;
        case CAPTURE_CLOSED:
            /* One that a dead agent had armed may be half there. */
            call_add_tolerant(vm, CALL_CAPTURE, "qom-set",
                              status("redirector", i, false));
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
        int error = mode == CAPTURE_ARMED ? make_files(vm, err) : 0;
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
            qemu_capture_end(vm);
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
            qemu_capture_end(vm);
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
