#include <config.h>
#include "bench/l2.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json-get.h"
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/l2-network.h"
#include "bench/monitor.h"
#include "bench/wallclock.h"
#include "core/vm.h"
#include "hypervisor/qemu-args.h"
#include "lab/machine.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "packets.h"
#include "probe/clock.h"
#include "svec.h"
#include "util.h"
#include "uuid.h"

#define READY_MARK "WATARI-GUEST-READY"
#define BOOT_TIMEOUT_MS 60000
#define POLL_MS 20
#define END_PATIENCE_MS 5000
#define STREAM_PORT 4444
#define DEFAULT_DOWNTIME_MS 5

/* The fastest that QEMU's parameter takes: no limit. */
#define BANDWIDTH_MAX (UINT64_C(1) << 50)

struct l2 {
    char *folder;
    bool kvm;
    char *image_dir;
    struct vm vm;
    char *netns[2], *address[2];        /* See struct l2_config. */
    int side;                   /* Where the guest is. */

    /* Of each side: nothing where the guest is not. */
    struct child qemu[2];
    struct monitor *monitors[2];
};

/* The record of a guest like those of the lab. */
static int
make_vm(const struct l2_config *config, struct vm *vm, struct err *err)
{
    struct vm_nic *nic = &vm->nics[0];

    memset(vm, 0, sizeof *vm);
    uuid_generate(&vm->uuid);
    ovs_strzcpy(vm->name, "l2", sizeof vm->name);
    vm->memory_kib = config->memory_kib;
    vm->vcpus = 1;
    ovs_strzcpy(vm->image, "mini", sizeof vm->image);
    ovs_strzcpy(vm->machine, config->machine, sizeof vm->machine);
    ovs_strzcpy(vm->cpu, config->cpu, sizeof vm->cpu);
    vm->n_nics = 1;
    eth_addr_from_string("52:54:00:62:6c:32", &nic->interface.mac);
    nic->prefix_len[ADDR_V4] = 24;
    addr_pair_add(&nic->interface.inside, L2_GUEST, NULL);
    return qemu_args_check(vm, err);
}

static char *
side_path(const struct l2 *l2, int side, const char *file)
{
    return xasprintf("%s/%c%s%s", l2->folder, "ab"[side],
                     file ? "/" : "", file ? file : "");
}

/* A lab's destination waits for its grant; here nobody would give one. */
static void
remove_option(struct svec *argv, const char *option)
{
    for (size_t i = 0; i < argv->n; i++) {
        if (!strcmp(argv->names[i], option)) {
            free(argv->names[i]);
            memmove(&argv->names[i], &argv->names[i + 1],
                    (argv->n - i - 1) * sizeof *argv->names);
            argv->n--;
            return;
        }
    }
}

/* What a QEMU inherits. */
enum { FD_TAP, FD_KERNEL, FD_INITRD, N_FDS };

static void
close_files(const int fds[N_FDS])
{
    for (int i = 0; i < N_FDS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static int
open_files(struct l2 *l2, int side, int fds[N_FDS], struct err *err)
{
    static const char *const images[] = {
        [FD_KERNEL] = "vmlinuz", [FD_INITRD] = "initrd.gz",
    };
    int error;

    fds[FD_TAP] = fds[FD_KERNEL] = fds[FD_INITRD] = -1;
    error = l2_network_attach(side, &fds[FD_TAP], err);
    for (int i = FD_KERNEL; i < N_FDS && !error; i++) {
        char *path = xasprintf("%s/%s", l2->image_dir, images[i]);

        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0) {
            error = err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
        }
        free(path);
    }
    if (error) {
        close_files(fds);
    }
    return error;
}

static int
run_qemu(struct l2 *l2, int side, bool incoming, const int fds[N_FDS],
         struct err *err)
{
    char *folder = side_path(l2, side, NULL);
    char *output = side_path(l2, side, "qemu.log");
    char *console = side_path(l2, side, "console.log");
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    struct qemu_args args = {
        .kvm = l2->kvm, .incoming = incoming,
        .tap_fds = &fds[FD_TAP], .kernel_fd = fds[FD_KERNEL],
        .initrd_fd = fds[FD_INITRD],
    };

    mkdir(folder, 0755);
    unlink(console);
    qemu_args_make(&l2->vm, &args, &argv);
    remove_option(&argv, "-S");
    svec_terminate(&argv);

    struct child_spec spec = {
        .argv = argv.names, .netns = l2->netns[side],
        .folder = folder, .output = output, .fds = fds, .n_fds = N_FDS,
    };
    int error = child_start(&spec, &l2->qemu[side], err);
    svec_destroy(&argv);
    free(folder);
    free(output);
    free(console);
    return error;
}

static int
start_qemu(struct l2 *l2, int side, bool incoming, struct err *err)
{
    int fds[N_FDS];
    int error = open_files(l2, side, fds, err);

    if (!error) {
        char *path = side_path(l2, side, "agent.qmp");

        error = run_qemu(l2, side, incoming, fds, err);
        error = error ? error : monitor_open(path, &l2->monitors[side], err);
        free(path);
        close_files(fds);
    }
    return error;
}

static void
end_qemu(struct l2 *l2, int side)
{
    monitor_close(l2->monitors[side]);
    l2->monitors[side] = NULL;
    child_end(&l2->qemu[side], SIGKILL, END_PATIENCE_MS, NULL);
}

static bool
is_ready(const char *path)
{
    char text[4096];
    FILE *file = fopen(path, "r");
    bool found = false;

    while (file && !found && fgets(text, sizeof text, file)) {
        found = strstr(text, READY_MARK);
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static int
wait_for_guest(struct l2 *l2, struct err *err)
{
    char *path = side_path(l2, l2->side, "console.log");
    int error = 0;

    for (int ms = 0; !error && !is_ready(path); ms += POLL_MS) {
        if (!child_is_alive(&l2->qemu[l2->side])) {
            error = err_set(err, ECHILD, "QEMU has ended; see %s/%c/qemu.log",
                            l2->folder, "ab"[l2->side]);
        } else if (ms > BOOT_TIMEOUT_MS) {
            error = err_set(err, ETIMEDOUT, "the guest did not boot; see %s",
                            path);
        } else {
            error = interrupt_sleep(POLL_MS, err);
        }
    }
    free(path);
    return error;
}

int
l2_create(const struct l2_config *config, struct l2 **l2p, struct err *err)
{
    struct l2 *l2 = xzalloc(sizeof *l2);

    *l2p = l2;
    l2->folder = xstrdup(config->folder);
    l2->kvm = config->kvm;
    l2_sweep();

    for (int side = 0; side < 2; side++) {
        const char *netns = config->netns[side];

        l2->netns[side] = xstrdup(netns ? netns : l2_network_sides[side]);
        l2->address[side] = xstrdup(netns ? config->address[side]
                                    : l2_network_addresses[side]);
    }

    int error = make_vm(config, &l2->vm, err);
    error = error ? error : machine_find("mini", &l2->image_dir, err);
    error = error ? error : l2_network_create(!config->netns[0], err);
    error = error ? error : start_qemu(l2, 0, false, err);
    error = error ? error : wait_for_guest(l2, err);
    return error ? err_add(err, error, "plain L2") : 0;
}

void
l2_destroy(struct l2 *l2)
{
    if (l2) {
        end_qemu(l2, 0);
        end_qemu(l2, 1);
        l2_network_destroy();
        for (int side = 0; side < 2; side++) {
            free(l2->netns[side]);
            free(l2->address[side]);
        }
        free(l2->image_dir);
        free(l2->folder);
        free(l2);
    }
}

void
l2_sweep(void)
{
    l2_network_destroy();
}

/* "events" gives MIGRATION events, as for agents. */
static struct json *
capabilities(void)
{
    struct json *arguments = json_object_create();
    struct json *events = json_object_create();

    json_object_put_string(events, "capability", "events");
    json_object_put(events, "state", json_boolean_create(true));
    json_object_put(arguments, "capabilities", json_array_create_1(events));
    return arguments;
}

static struct json *
parameters(const struct move_limits *limits)
{
    struct json *p = json_object_create();

    json_object_put(p, "max-bandwidth", json_integer_create(
        limits->bandwidth ? limits->bandwidth : BANDWIDTH_MAX));
    json_object_put(p, "downtime-limit", json_integer_create(
        limits->downtime_ms ? limits->downtime_ms : DEFAULT_DOWNTIME_MS));
    return p;
}

static struct json *
stream_uri(const struct l2 *l2, int side)
{
    struct json *arguments = json_object_create();

    json_object_put_format(arguments, "uri", "tcp:%s:%d", l2->address[side],
                           STREAM_PORT);
    return arguments;
}

/* Waits until the source has sent all. */
static int
wait_completed(struct monitor *source, uint64_t *bytes, struct err *err)
{
    int error = 0;

    for (;;) {
        struct json *info = NULL;

        error = monitor_call(source, "query-migrate", NULL, &info, err);
        const char *status = json_get_string(info, "status");
        bool completed = status && !strcmp(status, "completed");
        if (completed) {
            *bytes = json_get_number(json_get(info, "ram"), "transferred",
                                     0);
        } else if (!error && status && !strcmp(status, "failed")) {
            error = err_set(err, EIO, "QEMU's migration failed");
        }
        json_destroy(info);
        if (error || completed) {
            return error;
        }
        error = interrupt_sleep(POLL_MS, err);
        if (error) {
            return error;
        }
    }
}

int
l2_move(struct l2 *l2, const struct move_limits *limits,
        struct move_times *times, struct err *err)
{
    int from = l2->side, to = !from;
    struct move_times t = { .began = clock_now() };
    long long stopped_us = 0, resumed_us = 0;

    int error = start_qemu(l2, to, true, err);
    struct monitor *source = l2->monitors[from], *there = l2->monitors[to];
    error = error ? error : monitor_call(there, "migrate-set-capabilities",
                                         capabilities(), NULL, err);
    error = error ? error : monitor_call(there, "migrate-incoming",
                                         stream_uri(l2, to), NULL, err);
    error = error ? error : monitor_call(source, "migrate-set-capabilities",
                                         capabilities(), NULL, err);
    error = error ? error : monitor_call(source, "migrate-set-parameters",
                                         parameters(limits), NULL, err);
    error = error ? error : monitor_call(source, "migrate", stream_uri(l2, to),
                                         NULL, err);
    error = error ? error : monitor_wait_event(source, "STOP", &stopped_us,
                                               err);
    error = error ? error : monitor_wait_event(there, "RESUME", &resumed_us,
                                               err);
    error = error ? error : wait_completed(source, &t.bytes, err);
    if (error) {
        end_qemu(l2, to);
        return err_add(err, error, "plain L2 move");
    }
    end_qemu(l2, from);
    l2->side = to;
    t.ended = clock_now();
    t.stopped = wallclock_to_monotonic(stopped_us);
    t.resumed = wallclock_to_monotonic(resumed_us);
    *times = t;
    return 0;
}
