#include <config.h>
#include "hypervisor/qemu-private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pki.h"
#include "hypervisor/qemu-args.h"
#include "hypervisor/qemu-socket.h"
#include "hypervisor/qemu-watchdog.h"
#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "util.h"

/* Bytes a second that stand for "no limit". */
#define BANDWIDTH_MAX (1LL << 40)

/* What QEMU calls the connection while it is its own. */
#define CONNECTION_NAME "migration"

/* QEMU repeats its RARP; once is enough for whoever still listens to it. */
#define ANNOUNCE_ROUNDS 1

/* Capabilities: both sides report each change; the source's guest stops and
 * waits before the last part.  Never "return-path": when its connection
 * breaks in the wrong moment, both guests run. */
static struct json *
capabilities(bool source)
{
    const struct {
        const char *name;
        bool state;
    } rows[] = {
        { "events", true },
        { "pause-before-switchover", source },
        { "return-path", false },
    };
    struct json *array = json_array_create_empty();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json *row = json_object_create();
        json_object_put_string(row, "capability", rows[i].name);
        json_object_put(row, "state", json_boolean_create(rows[i].state));
        json_array_add(array, row);
    }
    struct json *arguments = json_object_create();
    json_object_put(arguments, "capabilities", array);
    return arguments;
}

static void
put_integer(struct json *object, const char *name, long long value)
{
    json_object_put(object, name, json_integer_create(value));
}

static struct json *
limit_parameters(const struct migration_limits *limits)
{
    struct json *p = json_object_create();
    put_integer(p, "max-bandwidth",
                limits->bandwidth ? MIN(limits->bandwidth, BANDWIDTH_MAX)
                : BANDWIDTH_MAX);
    put_integer(p, "downtime-limit", limits->downtime_ms);
    return p;
}

/* QEMU takes over 'fd', and then uses it for 'command'. */
static void
add_connection(struct qemu_vm *vm, enum call_id call, const char *command,
               int fd)
{
    struct json *name = json_object_create();
    json_object_put_string(name, "fdname", CONNECTION_NAME);
    call_add_fd(vm, call, "getfd", name, fd);

    struct json *uri = json_object_create();
    json_object_put_string(uri, "uri", "fd:"CONNECTION_NAME);
    call_add(vm, call, command, uri);
}

/* Destination. */

/* Sends what comes before a migration: capabilities and parameters, which
 * become ours. */
static int
add_settings(struct qemu_vm *vm, enum call_id call, bool source,
             const char *ticket, const char *peer, struct json *parameters,
             struct err *err)
{
    int error = qemu_tls_add(vm, call, source, ticket, peer, parameters, err);
    if (error) {
        json_destroy(parameters);
        return error;
    }
    put_integer(parameters, "announce-rounds", ANNOUNCE_ROUNDS);
    call_add(vm, call, "migrate-set-capabilities", capabilities(source));
    call_add(vm, call, "migrate-set-parameters", parameters);
    return 0;
}

/* One ticket for the source, one for us. */
static int
make_tickets(struct qemu_vm *vm, const char *source, char **own,
             struct err *err)
{
    const char *const names[] = { source, vm->qemu->up.host };
    char *tickets[] = { NULL, NULL };
    int error = vm->qemu->tls ? pki_make_tickets(names, tickets, err) : 0;
    if (!error) {
        free(vm->ticket);
        vm->ticket = tickets[0];
        *own = tickets[1];
    }
    return error;
}

static int
prepare_to_receive(struct qemu_vm *vm, const char *source, struct err *err)
{
    if (call_begin(vm, CALL_LISTEN)) {
        char *own;
        int error = make_tickets(vm, source, &own, err);
        if (!error) {
            error = add_settings(vm, CALL_LISTEN, false, own, source,
                                 json_object_create(), err);
            free(own);
        }
        if (error) {
            return error;
        }
    }
    int error = call_end(vm, CALL_LISTEN, err);
    if (error != EINPROGRESS) {
        qemu_tls_end(vm);
    }
    return error;
}

int
qemu_listen(struct hypervisor *hv, const struct vm *record,
            const char *source, unsigned int rtt_us,
            struct migration_target *target, struct err *err)
{
    struct qemu *q = qemu_cast(hv);
    int error = qemu_args_check(record, err);
    if (error) {
        return error;
    }
    if (q->probe) {
        return EINPROGRESS;     /* Until we know the accelerator. */
    }
    struct qemu_vm *vm = qemu_find(q, &record->uuid);
    if (vm && (vm->granted || (vm->process && !vm->incoming))) {
        return err_set(err, EEXIST, "it runs here, or did; destroy it first");
    }
    vm = vm ? vm : qemu_vm_create(q, &record->uuid);
    if (!vm->process && !vm->starting) {
        error = qemu_vm_start(vm, record, true, err);
        return error ? error : EINPROGRESS;
    }
    error = qemu_find_ready(hv, &record->uuid, &vm, err);
    if (!error && !vm->uri) {
        error = prepare_to_receive(vm, source, err);
        error = error ? error : qemu_socket_listen(
            q->address, rtt_us, &vm->listener, &vm->uri, err);
    }
    if (error != EINPROGRESS) {
        vm->starting = false;
    }
    if (!error) {
        ovs_strlcpy(target->host, hv->host, sizeof target->host);
        target->uri = xstrdup(vm->uri);
        target->ticket = nullable_xstrdup(vm->ticket);
    }
    return error;
}

static bool
can_accept(const struct qemu_vm *vm)
{
    return (vm->listener >= 0 && vm->state != VM_STARTING
            && !qmp_status(vm->qmp, NULL));
}

void
qemu_migrate_close(struct qemu_vm *vm)
{
    if (vm->listener >= 0) {
        close(vm->listener);
        vm->listener = -1;
    }
}

/* The first who connects is the source.  If it cannot be handed over, the
 * connection breaks, and the source knows. */
static void
accept_source(struct qemu_vm *vm)
{
    int fd;
    int error = qemu_socket_accept(vm->listener, &fd);
    if (error == EINPROGRESS) {
        return;
    }
    qemu_migrate_close(vm);
    /* Before QEMU has it: from then on no other agent has to listen. */
    if (!error && qemu_vm_set_mark(vm, "uri", vm->uri, NULL)) {
        close(fd);
        error = EIO;
    }
    if (error) {
        free(vm->uri);
        vm->uri = NULL;
        return;
    }
    call_begin(vm, CALL_RECEIVE);
    add_connection(vm, CALL_RECEIVE, "migrate-incoming", fd);
}

/* Whoever talks to the guest has waited while it was stopped, and what has
 * come meanwhile waits, too: it goes before others until it has caught up. */
static void
set_haste(struct qemu_vm *vm, bool haste)
{
    if (vm->process) {
        qemu_process_set_nice(vm->process, haste ? QEMU_HASTE_NICE : 0);
    }
    vm->haste_until = haste ? vm->qemu->up.now + QEMU_HASTE_MS : 0;
}

void
qemu_migrate_run(struct qemu_vm *vm)
{
    if (vm->haste_until && vm->qemu->up.now >= vm->haste_until) {
        set_haste(vm, false);
    }
    if (can_accept(vm)) {
        accept_source(vm);
    }
    if (call_is_pending(vm, CALL_RECEIVE)
        && call_end(vm, CALL_RECEIVE, NULL) == EREMOTEIO) {
        /* With the connection, so that the source does not wait for ever. */
        qemu_process_kill(vm->process, SIGKILL);
    }
}

void
qemu_migrate_wait(struct qemu_vm *vm)
{
    if (can_accept(vm)) {
        poll_fd_wait(vm->listener, POLLIN);
    }
    if (vm->send == SEND_WATCHDOG) {
        watchdog_wait(vm->watchdog);
    } else if (vm->send == SEND_CONNECT && vm->connection >= 0) {
        poll_fd_wait(vm->connection, POLLOUT);
        poll_timer_wait_until(vm->dial_until);
    } else if (vm->send == SEND_COPY && vm->progress_at) {
        poll_timer_wait_until(vm->progress_at);
    }
    if (vm->haste_until) {
        poll_timer_wait_until(vm->haste_until);
    }
}

/* Lets the guest go, and remembers first that it may have gone. */
static int
let_run(struct qemu_vm *vm, struct err *err)
{
    if (call_begin(vm, CALL_GRANT)) {
        int error = qemu_vm_set_mark(vm, "granted", "", err);
        if (error) {
            return error;
        }
        vm->granted = true;
        set_haste(vm, true);
        call_add(vm, CALL_GRANT, "cont", NULL);
    }
    int error = call_end(vm, CALL_GRANT, err);
    if (error == EREMOTEIO) {
        /* It loaded but cannot run: end it, so that it never will. */
        vm->cont_refused = true;
        qemu_process_kill(vm->process, SIGKILL);
        return EINPROGRESS;
    }
    return error;
}

int
qemu_grant(struct hypervisor *hv, const struct uuid *uuid, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (!vm) {
        return err_set(err, ENOENT, "it is not here");
    }
    if (!vm->incoming) {
        return err_set(err, EINVAL, "it was not received");
    }
    if (!vm->process) {
        return (vm->granted
                ? err_set(err, ESRCH, "it ran here and ended: %s", vm->error)
                : err_set(err, ENOEXEC, "it did not load: %s", vm->error));
    }
    if (vm->migration == MIGRATION_FAILED && !vm->granted) {
        qemu_process_kill(vm->process, SIGKILL);
        return EINPROGRESS;
    }
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error || vm->cont_refused) {
        return error ? error : EINPROGRESS;
    }
    if (vm->granted && !call_is_pending(vm, CALL_GRANT)
        && (vm->state == VM_RUNNING || vm->state == VM_SENT)) {
        return 0;               /* It was granted before. */
    }
    return (vm->granted || vm->migration == MIGRATION_COMPLETED
            ? let_run(vm, err) : EINPROGRESS);
}

/* Source. */

void
qemu_migrate_reset(struct qemu_vm *vm)
{
    watchdog_release(vm->watchdog, &vm->qemu->old_watchdogs);
    vm->watchdog = NULL;
    if (vm->connection >= 0) {
        close(vm->connection);
        vm->connection = -1;
    }
    vm->send = SEND_IDLE;
    vm->proceeding = false;
    vm->progress_at = 0;
}

static bool
is_active(enum migration_status status)
{
    switch (status) {
    case MIGRATION_SETUP:
    case MIGRATION_ACTIVE:
    case MIGRATION_PRE_SWITCHOVER:
    case MIGRATION_DEVICE:
    case MIGRATION_CANCELLING:
    case MIGRATION_OTHER:
        return true;
    case MIGRATION_NONE:
    case MIGRATION_COMPLETED:
    case MIGRATION_FAILED:
    case MIGRATION_CANCELLED:
        break;
    }
    return false;
}

static int
start_watchdog(struct qemu_vm *vm, struct err *err)
{
    char *path = xasprintf("%s/io/watchdog.qmp", vm->folder);
    int error = watchdog_start(vm->qemu->watchdog_program, path,
                               &vm->watchdog, err);
    free(path);
    return error;
}

/* 0 once there is a connection, which is then in vm->connection. */
static int
connect_to(struct qemu_vm *vm, const char *uri, struct err *err)
{
    if (vm->connection < 0) {
        vm->dial_until = vm->qemu->up.now + QEMU_DIAL_TIMEOUT_MS;
        int error = qemu_socket_connect(uri, &vm->connection, err);
        if (error) {
            return error;
        }
    }
    int error = qemu_socket_status(vm->connection, err);
    if (error == EINPROGRESS && vm->qemu->up.now >= vm->dial_until) {
        error = err_set(err, ETIMEDOUT, "%.100s does not answer", uri);
    }
    return error;
}

static int
begin_command(struct qemu_vm *vm, const struct migration_target *target,
              const struct migration_limits *limits, struct err *err)
{
    if (vm->qemu->tls && !target->ticket) {
        return err_set(err, EPROTO, "%s offers no encryption", target->host);
    }
    int error = add_settings(vm, CALL_SEND, true, target->ticket,
                             target->host, limit_parameters(limits), err);
    if (error) {
        return error;
    }
    vm->was_running = vm->state == VM_RUNNING;
    vm->migration = MIGRATION_SETUP;    /* Forgets an earlier one. */
    vm->error[0] = '\0';
    add_connection(vm, CALL_SEND, "migrate", vm->connection);
    vm->connection = -1;
    return 0;
}

static int
send_command(struct qemu_vm *vm, const struct migration_target *target,
             const struct migration_limits *limits, struct err *err)
{
    int error;
    if (call_begin(vm, CALL_SEND)) {
        if (vm->connection < 0) {
            /* Begun, and then nobody asked for too long.  Events tell. */
            vm->send = SEND_COPY;
            return EINPROGRESS;
        }
        error = begin_command(vm, target, limits, err);
        if (error) {
            qemu_migrate_reset(vm);
            return error;
        }
    }
    error = call_end(vm, CALL_SEND, err);
    if (error != EINPROGRESS) {
        qemu_tls_end(vm);
    }
    if (error && error != EINPROGRESS) {
        /* Unless QEMU has used it, it would keep it. */
        struct json *name = json_object_create();
        json_object_put_string(name, "fdname", CONNECTION_NAME);
        qmp_forget(vm->qmp, qmp_send(vm->qmp, "closefd", name));
        qmp_flush(vm->qmp);
        vm->migration = MIGRATION_NONE;
        qemu_migrate_reset(vm);
    } else if (!error) {
        vm->send = SEND_COPY;
    }
    return error;
}

/* Asks how far it is, from time to time.  Returns QEMU's word for why it
 * failed, or "", in 'why'. */
static int
look_at_copy(struct qemu_vm *vm, char why[200], struct err *err)
{
    if (call_begin(vm, CALL_PROGRESS)) {
        call_add(vm, CALL_PROGRESS, "query-migrate", NULL);
    }
    struct json *result;
    int error = call_end_with_results(vm, CALL_PROGRESS, &result, 1, err);
    if (error) {
        return error;
    }
    const struct json *ram = qemu_json_object(result, "ram");
    if (ram) {
        vm->copy.copied = qemu_json_integer(ram, "transferred");
        vm->copy.total = vm->copy.copied + qemu_json_integer(ram,
                                                             "remaining");
    }
    ovs_strlcpy(why, qemu_json_string(result, "error-desc"), 200);
    json_destroy(result);
    vm->progress_at = vm->qemu->up.now + QEMU_PROGRESS_MS;
    return 0;
}

/* The migration is over and the guest has stayed. */
static int
send_failed(struct qemu_vm *vm, struct err *err)
{
    if (vm->migration == MIGRATION_CANCELLED) {
        qemu_migrate_reset(vm);
        return err_set(err, ECANCELED, "the migration was cancelled");
    }
    char why[200];
    vm->send = SEND_FAILED;
    int error = look_at_copy(vm, why, err);
    if (!error) {
        ovs_strlcpy(vm->error, *why ? why : "QEMU does not say why",
                    sizeof vm->error);
        qemu_migrate_reset(vm);
        error = err_set(err, EIO, "the migration failed: %s", vm->error);
    }
    return error;
}

/* What becomes of a migration that was started, as QEMU's events say. */
static int
follow_copy(struct qemu_vm *vm, struct err *err)
{
    char why[200];
    int error;
    switch (vm->migration) {
    case MIGRATION_PRE_SWITCHOVER:
    case MIGRATION_DEVICE:
    case MIGRATION_COMPLETED:
        vm->copy.paused = true;
        return 0;

    case MIGRATION_FAILED:
    case MIGRATION_CANCELLED:
        return send_failed(vm, err);

    case MIGRATION_NONE:
    case MIGRATION_SETUP:
    case MIGRATION_ACTIVE:
    case MIGRATION_CANCELLING:
    case MIGRATION_OTHER:
        break;
    }
    error = 0;
    if (vm->qemu->up.now >= vm->progress_at
        || call_is_pending(vm, CALL_PROGRESS)) {
        error = look_at_copy(vm, why, err);
    }
    return error ? error : EINPROGRESS;
}

/* Begins to send, or finds that an earlier agent has begun. */
static int
begin_sending(struct qemu_vm *vm, struct err *err)
{
    memset(&vm->copy, 0, sizeof vm->copy);
    if (is_active(vm->migration)) {
        vm->was_running = true;
        vm->send = SEND_COPY;
        return start_watchdog(vm, err);
    }
    if (vm->state != VM_RUNNING && vm->state != VM_PAUSED) {
        return err_set(err, EINVAL, "its guest does not run here");
    }
    int error = start_watchdog(vm, err);
    if (!error) {
        vm->send = SEND_WATCHDOG;
    }
    return error;
}

int
qemu_send(struct hypervisor *hv, const struct uuid *uuid,
          const struct migration_target *target,
          const struct migration_limits *limits,
          struct copy_progress *progress, struct err *err)
{
    struct qemu_vm *vm;
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (vm->incoming && !vm->granted) {
        return err_set(err, EINVAL, "it is being received here");
    }
    if (vm->state == VM_SENT) {
        vm->copy.paused = true;
        *progress = vm->copy;
        return 0;
    }

    if (vm->send == SEND_IDLE) {
        error = begin_sending(vm, err);
    }
    if (!error && vm->send == SEND_WATCHDOG) {
        error = watchdog_status(vm->watchdog, err);
        if (!error) {
            vm->send = SEND_CONNECT;
        } else if (error != EINPROGRESS) {
            qemu_migrate_reset(vm);
        }
    }
    if (!error && vm->send == SEND_CONNECT) {
        error = connect_to(vm, target->uri, err);
        if (!error) {
            vm->send = SEND_COMMAND;
        } else if (error != EINPROGRESS) {
            qemu_migrate_reset(vm);
        }
    }
    if (!error && vm->send == SEND_COMMAND) {
        error = send_command(vm, target, limits, err);
    }
    if (!error && (vm->send == SEND_COPY || vm->send == SEND_FAILED)) {
        error = follow_copy(vm, err);
    }
    *progress = vm->copy;
    return error;
}

int
qemu_set_limits(struct hypervisor *hv, const struct uuid *uuid,
                const struct migration_limits *limits, struct err *err)
{
    struct qemu_vm *vm;
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (call_begin(vm, CALL_LIMITS)) {
        call_add(vm, CALL_LIMITS, "migrate-set-parameters",
                 limit_parameters(limits));
    }
    return call_end(vm, CALL_LIMITS, err);
}

static int
proceed_command(struct qemu_vm *vm, struct err *err)
{
    if (call_begin(vm, CALL_PROCEED)) {
        struct json *arguments = json_object_create();
        json_object_put_string(arguments, "state", "pre-switchover");
        if (vm->watchdog) {
            watchdog_stand_aside(vm->watchdog);
        }
        vm->proceeding = true;
        call_add(vm, CALL_PROCEED, "migrate-continue", arguments);
    }
    int error = call_end(vm, CALL_PROCEED, err);
    if (error && error != EINPROGRESS) {
        vm->proceeding = false;
    }
    return error;
}

int
qemu_proceed(struct hypervisor *hv, const struct uuid *uuid, struct err *err)
{
    struct qemu_vm *vm;
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (call_is_pending(vm, CALL_PROCEED)
        || (vm->migration == MIGRATION_PRE_SWITCHOVER && !vm->proceeding)) {
        error = proceed_command(vm, err);
        if (error) {
            return error;
        }
    }
    if (vm->state == VM_SENT) {
        qemu_migrate_reset(vm);
        return 0;
    }
    switch (vm->migration) {
    case MIGRATION_FAILED:
    case MIGRATION_CANCELLED:
        return send_failed(vm, err);
    case MIGRATION_PRE_SWITCHOVER:
    case MIGRATION_DEVICE:
    case MIGRATION_CANCELLING:
        return EINPROGRESS;
    case MIGRATION_COMPLETED:   /* Another one, as it has not been sent. */
    case MIGRATION_NONE:
    case MIGRATION_SETUP:
    case MIGRATION_ACTIVE:
    case MIGRATION_OTHER:
        break;
    }
    return err_set(err, EINVAL, "its migration is not at the switchover but "
                   "%s", migration_status_name(vm->migration));
}

int
qemu_take_back(struct hypervisor *hv, const struct uuid *uuid,
               struct err *err)
{
    struct qemu_vm *vm;
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    bool pending = call_is_pending(vm, CALL_GRANT);
    if (!pending && vm->state == VM_RUNNING
        && vm->migration == MIGRATION_COMPLETED) {
        return 0;               /* It was taken back before. */
    }
    if (!pending && vm->state != VM_SENT) {
        return err_set(err, EPERM, "it has not been sent");
    }
    if (call_begin(vm, CALL_GRANT)) {
        set_haste(vm, true);
        call_add(vm, CALL_GRANT, "cont", NULL);
    }
    return call_end(vm, CALL_GRANT, err);
}

int
qemu_cancel(struct hypervisor *hv, const struct uuid *uuid, struct err *err)
{
    struct qemu_vm *vm = qemu_find(qemu_cast(hv), uuid);
    if (!vm || !vm->process) {
        return 0;               /* Nothing to cancel. */
    }
    int error = qemu_find_ready(hv, uuid, &vm, err);
    if (error) {
        return error;
    }
    if (vm->incoming && !vm->granted) {
        return err_set(err, EINVAL, "it is being received here; destroy it");
    }
    if (vm->send == SEND_WATCHDOG || vm->send == SEND_CONNECT) {
        qemu_migrate_reset(vm);
    }

    bool active = is_active(vm->migration);
    if (vm->state == VM_SENT || (active && vm->proceeding)
        || vm->migration == MIGRATION_DEVICE) {
        return err_set(err, EBUSY, "it is too late to cancel: the rest has "
                       "been sent");
    }
    if ((active && vm->migration != MIGRATION_CANCELLING)
        || call_is_pending(vm, CALL_CANCEL)) {
        if (call_begin(vm, CALL_CANCEL)) {
            call_add(vm, CALL_CANCEL, "migrate_cancel", NULL);
        }
        error = call_end(vm, CALL_CANCEL, err);
        if (error) {
            return error;
        }
    }
    if (is_active(vm->migration)
        || (vm->was_running && vm->state != VM_RUNNING)) {
        return EINPROGRESS;     /* QEMU is about to let it run. */
    }
    qemu_migrate_reset(vm);
    return 0;
}
