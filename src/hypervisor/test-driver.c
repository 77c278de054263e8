/* test-hypervisor-driver: a hypervisor by hand, for tests/test_hypervisor.py.
 *
 *      test-hypervisor-driver RUN-DIR HOST USER ACCELERATOR IMAGE-DIR ADDRESS
 *                             WATCHDOG [TLS-DIR]
 *
 * Reads commands, a line each: "TAG COMMAND VM [ARGUMENT]", and carries them
 * out side by side.  Prints, a line each:
 *
 *      adopted                             when it is ready for commands
 *      TAG ok [RESULT]                     what became of a command
 *      TAG error CODE TEXT
 *      event VM KIND MIGRATION TIMESTAMP TEXT
 *      frame NIC HEX                       what "drain" found
 *
 * Ends when its input does. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dp-packet.h"
#include "fatal-signal.h"
#include "hypervisor/capture.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/tap.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

#define LINE_MAX_LEN 8192
#define RTT_US 1000

struct operation {
    struct ovs_list node;
    char tag[32], verb[32];
    struct vm vm;
    char argument[LINE_MAX_LEN];
};

struct driver {
    struct hypervisor *hv;
    int input;                  /* The standard one, under a number that the
                                 * poll loop accepts: not 0. */
    struct ovs_list operations;
    char line[LINE_MAX_LEN];
    size_t n_line;
};

typedef int command_func(struct driver *, struct operation *,
                         struct ds *result, struct err *);

/* Every VM of the tests is the same one, but for its UUID and memory, which
 * "boot" and "listen" take as their argument. */
static void
make_record(struct operation *op)
{
    struct vm *vm = &op->vm;
    int kib = atoi(op->argument);
    ovs_strlcpy(vm->name, "web1", sizeof vm->name);
    ovs_strlcpy(vm->image, "mini", sizeof vm->image);
    ovs_strlcpy(vm->machine, "pc-q35-7.2", sizeof vm->machine);
    ovs_strlcpy(vm->cpu, "qemu64", sizeof vm->cpu);
    vm->memory_kib = hypervisor_pad_memory(kib ? kib : 128 * 1024);
    vm->vcpus = 1;
    vm->n_nics = 2;

    struct vm_nic *nic = &vm->nics[0];
    nic->interface.mac = (struct eth_addr) ETH_ADDR_C(52,54,00,00,00,01);
    nic->interface.inside.of[ADDR_V4]
        = in6_addr_mapped_ipv4(htonl(0x0a090002));
    nic->router[ADDR_V4] = in6_addr_mapped_ipv4(htonl(0x0a090001));
    nic->prefix_len[ADDR_V4] = 24;
    ovs_strlcpy(nic->pci, "0x3", sizeof nic->pci);
    vm->nics[1].interface.mac
        = (struct eth_addr) ETH_ADDR_C(52,54,00,00,00,02);
}

static int
do_boot(struct driver *d, struct operation *op, struct ds *result OVS_UNUSED,
        struct err *err)
{
    make_record(op);
    return hypervisor_boot(d->hv, &op->vm, err);
}

/* An argument is one line. */
static void
exchange(char *s, char old, char new)
{
    for (; *s; s++) {
        *s = *s == old ? new : *s;
    }
}

static int
do_listen(struct driver *d, struct operation *op, struct ds *result,
          struct err *err)
{
    struct migration_target target;
    make_record(op);
    int error = hypervisor_listen(d->hv, &op->vm, "a", RTT_US, &target, err);
    if (!error) {
        ds_put_cstr(result, target.uri);
        if (target.ticket) {
            exchange(target.ticket, '\n', '|');
            ds_put_format(result, " 0 %s", target.ticket);
        }
        migration_target_finish(&target);
    }
    return error;
}

static int
do_capture(struct driver *d, struct operation *op,
           struct ds *result OVS_UNUSED, struct err *err)
{
    static const char *const modes[] = { "off", "armed", "open", "closed" };
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (!strcmp(op->argument, modes[i])) {
            return hypervisor_set_capture(d->hv, &op->vm.uuid, i, err);
        }
    }
    return err_set(err, EINVAL, "no such mode");
}

static int
do_drain(struct driver *d, struct operation *op,
         struct ds *result OVS_UNUSED, struct err *err)
{
    struct capture *c = hypervisor_capture(d->hv, &op->vm.uuid);
    if (!c) {
        return err_set(err, ENOENT, "no capture");
    }
    size_t nic;
    struct dp_packet *packet;
    while ((packet = capture_next(c, &nic))) {
        printf("frame %zu ", nic);
        const uint8_t *data = dp_packet_data(packet);
        for (size_t i = 0; i < dp_packet_size(packet); i++) {
            printf("%02x", data[i]);
        }
        putchar('\n');
        dp_packet_delete(packet);
    }
    return 0;
}

/* "inject VM NIC FIRST N": N frames to the guest, numbered from FIRST. */
static int
do_inject(struct driver *d OVS_UNUSED, struct operation *op,
          struct ds *result OVS_UNUSED, struct err *err)
{
    char name[HYPERVISOR_TAP_LEN];
    struct injector *injector = NULL;
    int nic = 0, first = 0, n = 0;
    sscanf(op->argument, "%d %d %d", &nic, &first, &n);
    int error = injector_open(hypervisor_tap_name(&op->vm.uuid, nic, name),
                              &injector, err);
    for (int i = first; i < first + n && !error; i++) {
        uint8_t frame[60] = {
            0x52, 0x54, 0, 0, 0, 1 + nic, 2, 0, 0, 0, 0, 1, 0x88, 0xb5,
            i >> 24, i >> 16, i >> 8, i,
        };
        struct dp_packet *packet = dp_packet_clone_data(frame, sizeof frame);
        error = injector_send(injector, packet);
        dp_packet_delete(packet);
    }
    injector_close(injector);
    return error;
}

static int
do_send(struct driver *d, struct operation *op, struct ds *result,
        struct err *err)
{
    char uri[128], ticket[LINE_MAX_LEN] = "";
    unsigned long long bandwidth = 0;
    struct copy_progress progress;
    sscanf(op->argument, "%127s %llu %8191[^\n]", uri, &bandwidth, ticket);
    exchange(ticket, '|', '\n');
    struct migration_target target = {
        .host = "b", .uri = uri, .ticket = *ticket ? ticket : NULL,
    };
    struct migration_limits limits = {
        .bandwidth = bandwidth, .downtime_ms = 5,
    };
    int error = hypervisor_send(d->hv, &op->vm.uuid, &target, &limits,
                                &progress, err);
    if (!error) {
        ds_put_format(result, "%"PRIu64" %"PRIu64" %d", progress.copied,
                      progress.total, progress.paused);
    }
    return error;
}

static int
do_proceed(struct driver *d, struct operation *op,
           struct ds *result OVS_UNUSED, struct err *err)
{
    return hypervisor_proceed(d->hv, &op->vm.uuid, err);
}

static int
do_grant(struct driver *d, struct operation *op, struct ds *result OVS_UNUSED,
         struct err *err)
{
    return hypervisor_grant(d->hv, &op->vm.uuid, err);
}

static int
do_take_back(struct driver *d, struct operation *op,
             struct ds *result OVS_UNUSED, struct err *err)
{
    return hypervisor_take_back(d->hv, &op->vm.uuid, err);
}

static int
do_cancel(struct driver *d, struct operation *op,
          struct ds *result OVS_UNUSED, struct err *err)
{
    return hypervisor_cancel(d->hv, &op->vm.uuid, err);
}

static int
do_stop(struct driver *d, struct operation *op, struct ds *result OVS_UNUSED,
        struct err *err)
{
    return hypervisor_stop(d->hv, &op->vm.uuid, atoi(op->argument), err);
}

static int
do_destroy(struct driver *d, struct operation *op,
           struct ds *result OVS_UNUSED, struct err *err)
{
    return hypervisor_destroy(d->hv, &op->vm.uuid, err);
}

static void
put_info(const struct hypervisor_info *info, struct ds *result)
{
    ds_put_format(result, "%s %s %d %ld %s", vm_state_name(info->state),
                  migration_status_name(info->migration), info->granted,
                  (long) info->pid, *info->name ? info->name : "-");
    if (*info->error) {
        ds_put_format(result, " %s", info->error);
    }
}

static int
do_query(struct driver *d, struct operation *op, struct ds *result,
         struct err *err)
{
    struct hypervisor_info info;
    int error = hypervisor_query(d->hv, &op->vm.uuid, &info, err);
    if (!error) {
        put_info(&info, result);
    }
    return error;
}

static int
do_list(struct driver *d, struct operation *op OVS_UNUSED, struct ds *result,
        struct err *err OVS_UNUSED)
{
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(d->hv, &infos);
    for (size_t i = 0; i < n; i++) {
        ds_put_format(result, "%s"UUID_FMT" ", i ? "; " : "",
                      UUID_ARGS(&infos[i].vm));
        put_info(&infos[i], result);
    }
    free(infos);
    return 0;
}

static int
do_tap(struct driver *d OVS_UNUSED, struct operation *op, struct ds *result,
       struct err *err OVS_UNUSED)
{
    char name[HYPERVISOR_TAP_LEN];
    ds_put_cstr(result, hypervisor_tap_name(&op->vm.uuid, 0, name));
    return 0;
}

static const struct {
    const char *verb;
    command_func *func;
} commands[] = {
    { "boot", do_boot },
    { "cancel", do_cancel },
    { "capture", do_capture },
    { "destroy", do_destroy },
    { "drain", do_drain },
    { "grant", do_grant },
    { "inject", do_inject },
    { "list", do_list },
    { "listen", do_listen },
    { "proceed", do_proceed },
    { "query", do_query },
    { "send", do_send },
    { "stop", do_stop },
    { "take-back", do_take_back },
    { "tap", do_tap },
};

/* Returns true once it is done. */
static bool
operation_run(struct driver *d, struct operation *op)
{
    struct err err = ERR_INIT;
    struct ds result = DS_EMPTY_INITIALIZER;
    int error = err_set(&err, EINVAL, "no such command");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(op->verb, commands[i].verb)) {
            error = commands[i].func(d, op, &result, &err);
        }
    }
    if (!error) {
        printf("%s ok%s%s\n", op->tag, result.length ? " " : "",
               ds_cstr(&result));
    } else if (error != EINPROGRESS) {
        printf("%s error %d %s\n", op->tag, error, err.text);
    }
    ds_destroy(&result);
    return error != EINPROGRESS;
}

static void
print_events(struct driver *d)
{
    static const char *const kinds[] = {
        [HYPERVISOR_STOPPED] = "stopped", [HYPERVISOR_RESUMED] = "resumed",
        [HYPERVISOR_MIGRATION] = "migration",
        [HYPERVISOR_SHUTDOWN] = "shutdown", [HYPERVISOR_EXITED] = "exited",
    };
    struct hypervisor_event e;
    while (hypervisor_next_event(d->hv, &e)) {
        printf("event "UUID_FMT" %s %s %lld %s\n", UUID_ARGS(&e.vm),
               kinds[e.kind], migration_status_name(e.migration),
               e.timestamp_us, e.text);
    }
}

static void
begin(struct driver *d, const char *line)
{
    char uuid[64];
    struct operation *op = xzalloc(sizeof *op);
    int n = 0;
    if (sscanf(line, "%31s %31s %63s %n", op->tag, op->verb, uuid, &n) < 3
        || !uuid_from_string(&op->vm.uuid, uuid)) {
        ovs_fatal(0, "malformed command: %s", line);
    }
    ovs_strlcpy(op->argument, line + n, sizeof op->argument);
    ovs_list_push_back(&d->operations, &op->node);
}

/* Returns false at the end of the input. */
static bool
read_commands(struct driver *d)
{
    ssize_t n = read(d->input, d->line + d->n_line,
                     sizeof d->line - d->n_line - 1);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    d->n_line += n;
    char *newline;
    while ((newline = memchr(d->line, '\n', d->n_line))) {
        *newline = '\0';
        begin(d, d->line);
        d->n_line -= newline + 1 - d->line;
        memmove(d->line, newline + 1, d->n_line);
    }
    return true;
}

int
main(int argc, char *argv[])
{
    if (argc != 8 && argc != 9) {
        ovs_fatal(0, "usage: %s RUN-DIR HOST USER ACCELERATOR IMAGE-DIR "
                  "ADDRESS WATCHDOG [tls]", argv[0]);
    }
    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    struct hypervisor_config config = {
        .run_dir = argv[1], .host = argv[2], .user = argv[3],
        .accelerator = argv[4], .image_dir = argv[5], .address = argv[6],
        .watchdog = argv[7], .tls = argc > 8,
    };
    struct driver d = { .input = dup(STDIN_FILENO) };
    struct err err;
    ovs_list_init(&d.operations);
    if (hypervisor_open("qemu", &config, &d.hv, &err)) {
        ovs_fatal(0, "%s", err.text);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    xset_nonblocking(d.input);

    bool adopted = false;
    for (;;) {
        hypervisor_run(d.hv, time_msec());
        if (!adopted && hypervisor_adopt(d.hv, &err) != EINPROGRESS) {
            adopted = true;
            puts("adopted");
        }
        print_events(&d);
        if (adopted && !read_commands(&d)) {
            break;
        }
        struct operation *op;
        LIST_FOR_EACH_SAFE (op, node, &d.operations) {
            if (operation_run(&d, op)) {
                ovs_list_remove(&op->node);
                free(op);
            }
        }
        hypervisor_wait(d.hv);
        poll_fd_wait(d.input, POLLIN);
        poll_block();
    }
    hypervisor_close(d.hv);
    return 0;
}
