#include <config.h>
#include "hypervisor/qemu-private.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/qemu-args.h"
#include "hypervisor/qemu-probe.h"
#include "hypervisor/qemu-watchdog.h"
#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "util.h"
#include "uuid.h"

struct qemu *
qemu_cast(const struct hypervisor *hv)
{
    return CONTAINER_OF(hv, struct qemu, up);
}

struct qemu_vm *
qemu_find(const struct qemu *q, const struct uuid *uuid)
{
    struct qemu_vm *vm;
    HMAP_FOR_EACH_WITH_HASH (vm, node, uuid_hash(uuid), &q->vms) {
        if (uuid_equals(&vm->uuid, uuid)) {
            return vm;
        }
    }
    return NULL;
}

int
qemu_find_ready(const struct hypervisor *hv, const struct uuid *uuid,
                struct qemu_vm **vmp, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (!vm) {
        return err_set(err, ENOENT, "it is not here");
    }
    if (!vm->process) {
        return err_set(err, ESRCH, "%s",
                       *vm->error ? vm->error : "no QEMU runs it");
    }
    int error = qmp_status(vm->qmp, err);
    if (!error && vm->state != VM_STARTING) {
        *vmp = vm;
        return 0;
    }
    /* When a session breaks, QEMU is about to end, or there will be another
     * one.  Only one that does not answer at all is a failure. */
    return error == ETIMEDOUT ? error : EINPROGRESS;
}

void
qemu_add_event(struct qemu_vm *vm, enum hypervisor_event_kind kind,
               long long timestamp_us)
{
    struct qemu *q = vm->qemu;
    if (q->n_events >= QEMU_MAX_EVENTS) {
        return;                 /* Nobody listens. */
    }
    struct qemu_event *e = xzalloc(sizeof *e);
    e->event.vm = vm->uuid;
    e->event.kind = kind;
    e->event.migration = vm->migration;
    e->event.timestamp_us = timestamp_us;
    ovs_strlcpy(e->event.text, vm->error, sizeof e->event.text);
    ovs_list_push_back(&q->events, &e->node);
    q->n_events++;
}

/* Decides between KVM and TCG, which may take until the probe has ended. */
static int
decide_accelerator(struct qemu *q, const char *wanted, struct err *err)
{
    if (!strcmp(wanted, "kvm") || !strcmp(wanted, "tcg")) {
        q->kvm = !strcmp(wanted, "kvm");
        return 0;
    }
    if (strcmp(wanted, "auto")) {
        return err_set(err, EINVAL, "the accelerator \"%s\" is neither "
                       "\"tcg\", \"kvm\" nor \"auto\"", wanted);
    }
    return (access("/dev/kvm", F_OK) ? 0
            : probe_start(q->run_dir, &q->credentials, &q->probe, err));
}

static void
qemu_close(struct hypervisor *hv)
{
    struct qemu *q = qemu_cast(hv);
    struct qemu_vm *vm;
    HMAP_FOR_EACH_SAFE (vm, node, &q->vms) {
        qemu_vm_destroy(vm);
    }
    hmap_destroy(&q->vms);
    struct hypervisor_event event;
    while (hv->class->next_event(hv, &event)) {
        continue;
    }
    watchdogs_forget(&q->old_watchdogs);
    probe_destroy(q->probe);
    free(q->run_dir);
    free(q->image_dir);
    free(q->address);
    free(q->watchdog_program);
    free(q);
}

static int
qemu_open(const struct hypervisor_config *config, struct hypervisor **hvp,
          struct err *err)
{
    struct in6_addr addr6;
    struct in_addr addr4;
    if (inet_pton(AF_INET, config->address, &addr4) != 1
        && inet_pton(AF_INET6, config->address, &addr6) != 1) {
        return err_set(err, EINVAL, "\"%s\" is no address that migrations "
                       "could come to", config->address);
    }

    struct qemu *q = xzalloc(sizeof *q);
    q->up.class = &qemu_class;
    q->run_dir = xstrdup(config->run_dir);
    q->image_dir = xstrdup(config->image_dir);
    q->address = xstrdup(config->address);
    q->watchdog_program = xstrdup(config->watchdog);
    q->tls = config->tls;
    hmap_init(&q->vms);
    ovs_list_init(&q->events);
    ovs_list_init(&q->old_watchdogs);

    int error = credentials_parse(config->user, &q->credentials, err);
    if (!error && mkdir(q->run_dir, 0755) && errno != EEXIST) {
        error = err_set(err, errno, "%s: %s", q->run_dir,
                        ovs_strerror(errno));
    }
    error = error ? error : decide_accelerator(q, config->accelerator, err);
    if (error) {
        qemu_close(&q->up);
        return error;
    }
    *hvp = &q->up;
    return 0;
}

static void
qemu_run(struct hypervisor *hv)
{
    struct qemu *q = qemu_cast(hv);
    if (q->probe) {
        int error = probe_run(q->probe, hv->now);
        if (error != EINPROGRESS) {
            q->kvm = !error;
            probe_destroy(q->probe);
            q->probe = NULL;
        }
    }
    struct qemu_vm *vm;
    HMAP_FOR_EACH (vm, node, &q->vms) {
        qemu_vm_run(vm);
    }
    watchdogs_reap(&q->old_watchdogs);
}

static void
qemu_wait(struct hypervisor *hv)
{
    struct qemu *q = qemu_cast(hv);
    if (q->probe) {
        probe_wait(q->probe);
    }
    struct qemu_vm *vm;
    HMAP_FOR_EACH (vm, node, &q->vms) {
        qemu_vm_wait(vm);
    }
    if (!ovs_list_is_empty(&q->events)) {
        poll_immediate_wake();
    }
}

static int
read_run_dir(struct qemu *q, struct err *err)
{
    DIR *dir = opendir(q->run_dir);
    if (!dir) {
        return err_set(err, errno, "%s: %s", q->run_dir,
                       ovs_strerror(errno));
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct uuid uuid;
        if (uuid_from_string(&uuid, entry->d_name) && !qemu_find(q, &uuid)) {
            qemu_vm_adopt(qemu_vm_create(q, &uuid));
        }
    }
    closedir(dir);
    return 0;
}

static int
qemu_adopt(struct hypervisor *hv, struct err *err)
{
    struct qemu *q = qemu_cast(hv);
    if (!q->adopted) {
        int error = read_run_dir(q, err);
        if (error) {
            return error;
        }
        q->adopted = true;
    }
    struct qemu_vm *vm;
    HMAP_FOR_EACH (vm, node, &q->vms) {
        if (vm->state == VM_STARTING) {
            int error = qmp_status(vm->qmp, NULL);
            if (!error || error == EINPROGRESS) {
                return EINPROGRESS;
            }
        }
    }
    return 0;
}

static size_t
qemu_list(const struct hypervisor *hv, struct hypervisor_info **infos)
{
    const struct qemu *q = qemu_cast(hv);
    size_t n = 0;
    *infos = xcalloc(hmap_count(&q->vms) + 1, sizeof **infos);
    struct qemu_vm *vm;
    HMAP_FOR_EACH (vm, node, &q->vms) {
        qemu_vm_get_info(vm, &(*infos)[n++]);
    }
    return n;
}

static bool
qemu_next_event(struct hypervisor *hv, struct hypervisor_event *event)
{
    struct qemu *q = qemu_cast(hv);
    if (ovs_list_is_empty(&q->events)) {
        return false;
    }
    struct qemu_event *e = CONTAINER_OF(ovs_list_pop_front(&q->events),
                                        struct qemu_event, node);
    q->n_events--;
    *event = e->event;
    free(e);
    return true;
}

static int
qemu_query(struct hypervisor *hv, const struct uuid *uuid,
           struct hypervisor_info *info, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (!vm) {
        memset(info, 0, sizeof *info);
        info->vm = *uuid;
        info->state = VM_ABSENT;
        return 0;
    }
    if (!vm->process || vm->state == VM_STARTING) {
        qemu_vm_get_info(vm, info);
        return 0;
    }

    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (call_begin(vm, CALL_QUERY)) {
        call_add(vm, CALL_QUERY, "query-migrate", NULL);
        call_add(vm, CALL_QUERY, "query-status", NULL);
    }
    struct json *results[2];
    error = call_end_with_results(vm, CALL_QUERY, results, 2, err);
    if (error) {
        return error;
    }
    qemu_vm_get_info(vm, info);
    info->migration = qemu_migration_status(qemu_json_string(results[0],
                                                             "status"));
    info->state = qemu_vm_state(vm, qemu_json_string(results[1], "status"));
    const char *why = qemu_json_string(results[0], "error-desc");
    if (*why) {
        ovs_strlcpy(info->error, why, sizeof info->error);
    }
    json_destroy(results[0]);
    json_destroy(results[1]);
    return 0;
}

static struct qemu_vm *
find_or_create(struct qemu *q, const struct uuid *uuid)
{
    struct qemu_vm *vm = qemu_find(q, uuid);
    return vm ? vm : qemu_vm_create(q, uuid);
}

static int
qemu_prepare(struct hypervisor *hv, const struct vm *record, struct err *err)
{
    int error = qemu_args_check(record, err);
    return error ? error : qemu_vm_prepare(
        find_or_create(qemu_cast(hv), &record->uuid), record, err);
}

static int
qemu_boot(struct hypervisor *hv, const struct vm *record, struct err *err)
{
    struct qemu *q = qemu_cast(hv);
    int error = qemu_args_check(record, err);
    if (error) {
        return error;
    }
    if (q->probe) {
        return EINPROGRESS;     /* Until we know the accelerator. */
    }
    struct qemu_vm *vm = find_or_create(q, &record->uuid);
    if (!vm->process && !vm->starting) {
        error = qemu_vm_start(vm, record, false, err);
        return error ? error : EINPROGRESS;
    }
    error = qemu_find_ready(hv, &record->uuid, &vm, err);
    if (error != EINPROGRESS) {
        vm->starting = false;
    }
    if (!error && vm->state != VM_RUNNING) {
        error = err_set(err, EEXIST, "its QEMU is here, but the guest is %s",
                        vm->incoming && !vm->granted ? "being received"
                        : vm->state == VM_SENT ? "elsewhere" : "paused");
    }
    return error;
}

static int
qemu_stop(struct hypervisor *hv, const struct uuid *uuid,
          unsigned int grace_ms, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    return vm ? qemu_vm_end(vm, grace_ms, err) : 0;
}

static int
qemu_destroy(struct hypervisor *hv, const struct uuid *uuid, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (!vm) {
        return 0;
    }
    int error = qemu_vm_end(vm, 0, err);
    error = error ? error : qemu_vm_remove(vm, err);
    if (!error) {
        qemu_vm_destroy(vm);
    }
    return error;
}

const struct hypervisor_class qemu_class = {
    .type = "qemu",
    .open = qemu_open,
    .close = qemu_close,
    .run = qemu_run,
    .wait = qemu_wait,
    .adopt = qemu_adopt,
    .list = qemu_list,
    .next_event = qemu_next_event,
    .query = qemu_query,
    .prepare = qemu_prepare,
    .boot = qemu_boot,
    .stop = qemu_stop,
    .destroy = qemu_destroy,
    .set_capture = qemu_set_capture,
    .capture = qemu_capture,
    .send = qemu_send,
    .set_limits = qemu_set_limits,
    .proceed = qemu_proceed,
    .take_back = qemu_take_back,
    .cancel = qemu_cancel,
    .listen = qemu_listen,
    .grant = qemu_grant,
};
