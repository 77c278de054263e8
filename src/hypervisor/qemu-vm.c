#include <config.h>
#include "hypervisor/qemu-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/capture.h"
#include "hypervisor/qemu-args.h"
#include "hypervisor/qemu-watchdog.h"
#include "hypervisor/qmp.h"
#include "hypervisor/tap.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "svec.h"
#include "util.h"
#include "uuid.h"

#define MARK_MAX_LEN 255

enum { HELLO_UUID, HELLO_NAME, HELLO_STATUS, HELLO_MIGRATE, N_HELLO };

struct qemu_vm *
qemu_vm_create(struct qemu *q, const struct uuid *uuid)
{
    struct qemu_vm *vm = xzalloc(sizeof *vm);
    vm->qemu = q;
    vm->uuid = *uuid;
    vm->folder = xasprintf("%s/"UUID_FMT, q->run_dir, UUID_ARGS(uuid));
    vm->state = VM_ABSENT;
    vm->listener = vm->connection = -1;
    hmap_insert(&q->vms, &vm->node, uuid_hash(uuid));
    return vm;
}

/* Lets go of its QEMU, which runs on if it has not ended. */
static void
vm_detach(struct qemu_vm *vm)
{
    calls_clear(vm);
    qemu_migrate_reset(vm);
    qemu_migrate_close(vm);
    qemu_tls_end(vm);
    qmp_destroy(vm->qmp);
    vm->qmp = NULL;
    qemu_process_close(vm->process);
    vm->process = NULL;
    vm->reconnect_at = 0;
    vm->haste_until = 0;
}

void
qemu_vm_destroy(struct qemu_vm *vm)
{
    vm_detach(vm);
    capture_destroy(vm->capture);
    hmap_remove(&vm->qemu->vms, &vm->node);
    free(vm->uri);
    free(vm->ticket);
    free(vm->folder);
    free(vm);
}

static char *
vm_path(const struct qemu_vm *vm, const char *file)
{
    return xasprintf("%s/%s", vm->folder, file);
}

static bool
vm_has_mark(const struct qemu_vm *vm, const char *mark)
{
    char *path = vm_path(vm, mark);
    bool exists = !access(path, F_OK);
    free(path);
    return exists;
}

/* What a mark remembers, which the caller frees; null if there is none. */
static char *
vm_get_mark(const struct qemu_vm *vm, const char *mark)
{
    char text[MARK_MAX_LEN + 1];
    ssize_t n = -1;
    char *path = vm_path(vm, mark);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    free(path);
    return n < 0 ? NULL : xmemdup0(text, n);
}

int
qemu_vm_set_mark(struct qemu_vm *vm, const char *mark, const char *text,
                 struct err *err)
{
    int error = 0;
    char *path = vm_path(vm, mark);
    if (text) {
        ssize_t len = strlen(text);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        error = fd < 0 || write(fd, text, len) != len ? errno : 0;
        if (fd >= 0) {
            close(fd);
        }
    } else if (unlink(path) && errno != ENOENT) {
        error = errno;
    }
    if (error) {
        err_set(err, error, "%s: %s", path, ovs_strerror(error));
    }
    free(path);
    return error;
}

static int
make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid,
            struct err *err)
{
    if ((mkdir(path, 0700) && errno != EEXIST)
        || lchown(path, uid, gid) || chmod(path, mode)) {
        return err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    return 0;
}

/* Folders of others than QEMU's user can be passed through, so that it finds
 * sockets in them, but not listed. */
int
qemu_vm_prepare(struct qemu_vm *vm, const struct vm *record, struct err *err)
{
    const struct credentials *c = &vm->qemu->credentials;
    ovs_strlcpy(vm->name, record->name, sizeof vm->name);

    int error = make_folder(vm->folder, 0711, geteuid(), getegid(), err);
    if (!error) {
        char *io = vm_path(vm, "io");
        error = make_folder(io, 0700, c->uid, c->gid, err);
        free(io);
    }
    for (size_t i = 0; i < record->n_nics && !error; i++) {
        char name[HYPERVISOR_TAP_LEN];
        error = tap_create(hypervisor_tap_name(&vm->uuid, i, name),
                           record->nics[i].mtu, err);
    }
    return error;
}

/* What we open for a QEMU; -1 where there is nothing. */
struct files {
    int log;
    int passed[2 + VM_MAX_NICS];        /* Kernel, initrd, taps. */
    size_t n_passed;
};

#define FILES_INIT { .log = -1 }

static void
files_close(struct files *f)
{
    for (size_t i = 0; i < f->n_passed; i++) {
        close(f->passed[i]);
    }
    if (f->log >= 0) {
        close(f->log);
    }
}

static int
open_file(const char *folder, const char *name, int flags, int *fd,
          struct err *err)
{
    char *path = xasprintf("%s/%s", folder, name);
    *fd = open(path, flags | O_CLOEXEC, 0600);
    int error = *fd < 0 ? err_set(err, errno, "%s: %s", path,
                                  ovs_strerror(errno)) : 0;
    free(path);
    return error;
}

static int
files_open(struct files *f, const struct qemu_vm *vm, const struct vm *record,
           struct err *err)
{
    static const char *const images[] = { "vmlinuz", "initrd.gz" };
    int error = open_file(vm->folder, "log",
                          O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, &f->log,
                          err);
    for (size_t i = 0; i < ARRAY_SIZE(images) && !error
                       && !qemu_args_has_disk(record); i++) {
        error = open_file(vm->qemu->image_dir, images[i], O_RDONLY,
                          &f->passed[f->n_passed], err);
        f->n_passed += !error;
    }
    for (size_t i = 0; i < record->n_nics && !error; i++) {
        char name[HYPERVISOR_TAP_LEN];
        error = tap_attach(hypervisor_tap_name(&vm->uuid, i, name),
                           &f->passed[f->n_passed], err);
        f->n_passed += !error;
    }
    return error;
}

static int
spawn(struct qemu_vm *vm, const struct vm *record, bool incoming,
      const struct files *f, struct err *err)
{
    struct qemu_args args = {
        .kvm = vm->qemu->kvm,
        .incoming = incoming,
        .kernel_fd = f->passed[0],
        .initrd_fd = f->passed[1],
        .tap_fds = &f->passed[f->n_passed - record->n_nics],
    };
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    qemu_args_make(record, &args, &argv);
    svec_terminate(&argv);

    char *io = vm_path(vm, "io");
    char *pid_file = vm_path(vm, "pid");
    struct qemu_process_config config = {
        .credentials = &vm->qemu->credentials,
        .folder = io,
        .pid_file = pid_file,
        .in = -1, .out = f->log, .err = f->log,
        .fds = f->passed, .n_fds = f->n_passed,
        .max_file_size = qemu_args_has_disk(record) ? 0 : QEMU_MAX_LOG,
    };
    int error = qemu_process_spawn(&config, argv.names, &vm->process, err);
    free(io);
    free(pid_file);
    svec_destroy(&argv);
    return error;
}

static void
vm_connect(struct qemu_vm *vm)
{
    char *path = vm_path(vm, "io/agent.qmp");
    vm->qmp = qmp_create();
    qmp_connect(vm->qmp, path, QEMU_CONNECT_TIMEOUT_MS);
    vm->state = VM_STARTING;
    vm->reconnect_at = 0;
    free(path);
}

static void
vm_forget_past(struct qemu_vm *vm, const struct vm *record, bool incoming)
{
    vm->n_nics = record->n_nics;
    vm->starting = true;
    vm->stopping = vm->quitting = false;
    vm->quit_at = vm->kill_at = 0;
    vm->incoming = incoming;
    vm->granted = vm->cont_refused = false;
    vm->migration = MIGRATION_NONE;
    vm->error[0] = '\0';
    memset(&vm->copy, 0, sizeof vm->copy);
    free(vm->uri);
    free(vm->ticket);
    vm->uri = vm->ticket = NULL;
}

int
qemu_vm_start(struct qemu_vm *vm, const struct vm *record, bool incoming,
              struct err *err)
{
    ovs_assert(!vm->process);
    struct files files = FILES_INIT;
    int error = qemu_vm_prepare(vm, record, err);
    error = error ? error : qemu_vm_set_mark(vm, "granted", NULL, err);
    error = error ? error : qemu_vm_set_mark(vm, "uri", NULL, err);
    error = error ? error : qemu_vm_set_mark(vm, "incoming",
                                             incoming ? "" : NULL, err);
    error = error ? error : files_open(&files, vm, record, err);
    error = error ? error : spawn(vm, record, incoming, &files, err);
    if (!error) {
        vm_forget_past(vm, record, incoming);
        vm_connect(vm);
    }
    files_close(&files);
    return error;
}

/* A VM has as many NICs as it has taps. */
static size_t
count_taps(const struct qemu_vm *vm)
{
    char name[HYPERVISOR_TAP_LEN];
    size_t n = 0;
    while (n < VM_MAX_NICS
           && if_nametoindex(hypervisor_tap_name(&vm->uuid, n, name))) {
        n++;
    }
    return n;
}

void
qemu_vm_adopt(struct qemu_vm *vm)
{
    struct err err;
    char *pid_file = vm_path(vm, "pid");
    int error = qemu_process_find(pid_file, &vm->process, &err);
    free(pid_file);

    qemu_tls_end(vm);
    vm->incoming = vm_has_mark(vm, "incoming");
    vm->granted = vm_has_mark(vm, "granted");
    vm->uri = vm_get_mark(vm, "uri");
    vm->n_nics = count_taps(vm);
    qemu_capture_adopt(vm);
    if (!error) {
        qemu_process_set_nice(vm->process, 0);  /* Whoever hurried it died. */
        vm_connect(vm);
    } else if (error == ENOENT) {
        vm->state = VM_ABSENT;
    } else {
        vm->state = VM_FAILED;
        ovs_strlcpy(vm->error, err.text, sizeof vm->error);
    }
}

/* The last line that QEMU printed, which says why it ended; "" if none. */
static void
last_words(const struct qemu_vm *vm, char *line, size_t size)
{
    char text[512];
    ssize_t n = -1;
    char *log = vm_path(vm, "log");
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        off_t end = lseek(fd, 0, SEEK_END);
        n = pread(fd, text, sizeof text - 1,
                  MAX(end - (off_t) sizeof text + 1, 0));
        close(fd);
    }
    free(log);

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    text[MAX(n, 0)] = '\0';
    const char *start = strrchr(text, '\n');
    start = start ? start + 1 : text;
    const char *program = QEMU_PROGRAM": ";
    if (!strncmp(start, program, strlen(program))) {
        start += strlen(program);
    }
    ovs_strlcpy(line, start, size);
}

/* It was granted, but has it certainly not run?  QEMU would not let it, or had
 * died before it read that it might. */
static bool
has_never_run(const struct qemu_vm *vm)
{
    return (vm->cont_refused
            || (vm->incoming && vm->state != VM_SENT
                && call_was_unread(vm, CALL_GRANT)));
}

/* Its QEMU has ended, for which 'how' is the kernel's word. */
static void
vm_ended(struct qemu_vm *vm, const char *how)
{
    bool never = has_never_run(vm);

    vm_detach(vm);
    if (never) {
        /* It never ran, whatever was intended. */
        qemu_vm_set_mark(vm, "granted", NULL, NULL);
        vm->granted = false;
    }
    if (vm->stopping) {
        vm->state = VM_ABSENT;
        ovs_strlcpy(vm->error, "stopped", sizeof vm->error);
        qemu_vm_set_mark(vm, "pid", NULL, NULL);
    } else {
        char line[160];
        vm->state = VM_FAILED;
        last_words(vm, line, sizeof line);
        snprintf(vm->error, sizeof vm->error, "QEMU ended%s%s%s%s",
                 *how ? " with " : "", how, *line ? ": " : "", line);
    }
    qemu_add_event(vm, HYPERVISOR_EXITED, 0);
}

static void
vm_receive_event(struct qemu_vm *vm, const struct qmp_event *e)
{
    if (!strcmp(e->name, "STOP")) {
        if (vm->state == VM_RUNNING) {
            vm->state = VM_PAUSED;
        }
        qemu_add_event(vm, HYPERVISOR_STOPPED, e->timestamp_us);
    } else if (!strcmp(e->name, "RESUME")) {
        vm->state = VM_RUNNING;
        qemu_add_event(vm, HYPERVISOR_RESUMED, e->timestamp_us);
    } else if (!strcmp(e->name, "SHUTDOWN")) {
        qemu_add_event(vm, HYPERVISOR_SHUTDOWN, e->timestamp_us);
    } else if (!strcmp(e->name, "GUEST_PANICKED")) {
        ovs_strlcpy(vm->error, "the guest panicked", sizeof vm->error);
    } else if (!strcmp(e->name, "MIGRATION")) {
        const char *status = qemu_json_string(e->data, "status");
        vm->migration = qemu_migration_status(status);
        if (vm->migration == MIGRATION_COMPLETED) {
            vm->state = vm->incoming && !vm->granted ? VM_PAUSED : VM_SENT;
        }
        qemu_add_event(vm, HYPERVISOR_MIGRATION, e->timestamp_us);
    }
}

/* A QEMU introduces itself, once for each session. */
static void
vm_say_hello(struct qemu_vm *vm)
{
    if (call_begin(vm, CALL_HELLO)) {
        call_add(vm, CALL_HELLO, "query-uuid", NULL);
        call_add(vm, CALL_HELLO, "query-name", NULL);
        call_add(vm, CALL_HELLO, "query-status", NULL);
        call_add(vm, CALL_HELLO, "query-migrate", NULL);
    }
    struct err err;
    struct json *results[N_HELLO];
    int error = call_end_with_results(vm, CALL_HELLO, results, N_HELLO, &err);
    if (error) {
        return;                 /* Not yet, or the session died. */
    }

    struct uuid uuid;
    if (!uuid_from_string(&uuid, qemu_json_string(results[HELLO_UUID],
                                                  "UUID"))
        || !uuid_equals(&uuid, &vm->uuid)) {
        /* Our process, but not this guest: nothing that we could use. */
        vm->state = VM_FAILED;
        ovs_strlcpy(vm->error, "its QEMU runs another guest",
                    sizeof vm->error);
    } else {
        const char *name = qemu_json_string(results[HELLO_NAME], "name");
        ovs_strlcpy(vm->name, name, sizeof vm->name);
        vm->migration = qemu_migration_status(
            qemu_json_string(results[HELLO_MIGRATE], "status"));
        vm->state = qemu_vm_state(
            vm, qemu_json_string(results[HELLO_STATUS], "status"));
    }
    for (size_t i = 0; i < N_HELLO; i++) {
        json_destroy(results[i]);
    }
}

static void
vm_run_session(struct qemu_vm *vm)
{
    long long now = vm->qemu->up.now;
    qmp_run(vm->qmp, now);
    int error = qmp_status(vm->qmp, NULL);
    if (!error && vm->state == VM_STARTING) {
        vm_say_hello(vm);
    }
    if (vm->state != VM_STARTING) {
        /* The greeting's answers are older than events behind them, so the
         * last event is right. */
        struct qmp_event event;
        while (qmp_next_event(vm->qmp, &event)) {
            vm_receive_event(vm, &event);
            qmp_event_destroy(&event);
        }
    }

    /* QEMU lives but does not talk to us any more: whatever was in flight is
     * lost, and the next session says how things are. */
    if (error && error != EINPROGRESS) {
        if (!vm->reconnect_at) {
            vm->reconnect_at = now + QEMU_RECONNECT_MS;
        } else if (now >= vm->reconnect_at) {
            calls_clear(vm);
            qemu_migrate_reset(vm);
            qmp_destroy(vm->qmp);
            vm_connect(vm);
        }
    }
}

void
qemu_vm_run(struct qemu_vm *vm)
{
    if (vm->capture) {
        capture_run(vm->capture);
    }
    if (vm->qmp) {
        /* Before looking whether it has ended: its last words count. */
        vm_run_session(vm);
        qemu_migrate_run(vm);
    }
    char how[32];
    if (vm->process && qemu_process_has_ended(vm->process, how, sizeof how)) {
        vm_ended(vm, how);
    }
}

void
qemu_vm_wait(struct qemu_vm *vm)
{
    if (vm->capture) {
        capture_wait(vm->capture);
    }
    if (vm->process) {
        qemu_process_wait(vm->process);
    }
    if (vm->qmp) {
        qmp_wait(vm->qmp);
    }
    qemu_migrate_wait(vm);
    if (vm->reconnect_at) {
        poll_timer_wait_until(vm->reconnect_at);
    }
    if (vm->stopping && vm->process) {
        poll_timer_wait_until(vm->quitting ? vm->kill_at : vm->quit_at);
    }
}

static void
vm_tell_to_quit(struct qemu_vm *vm)
{
    long long now = vm->qemu->up.now;
    vm->quitting = true;
    if (!qmp_status(vm->qmp, NULL)) {
        qmp_forget(vm->qmp, qmp_send(vm->qmp, "quit", NULL));
        qmp_flush(vm->qmp);
        vm->kill_at = now + QEMU_QUIT_TIMEOUT_MS;
    } else {
        vm->kill_at = now;
    }
}

int
qemu_vm_end(struct qemu_vm *vm, unsigned int grace_ms, struct err *err)
{
    long long now = vm->qemu->up.now;
    if (!vm->process) {
        if (vm->state == VM_FAILED) {
            vm->state = VM_ABSENT;
            return qemu_vm_set_mark(vm, "pid", NULL, err);
        }
        return 0;
    }

    if (!vm->stopping) {
        qemu_migrate_close(vm);
        vm->stopping = true;
        vm->quit_at = now + grace_ms;
        if (grace_ms && !qmp_status(vm->qmp, NULL)) {
            qmp_forget(vm->qmp, qmp_send(vm->qmp, "system_powerdown", NULL));
            qmp_flush(vm->qmp);
        }
    }
    vm->quit_at = MIN(vm->quit_at, now + grace_ms);
    if (!vm->quitting && now >= vm->quit_at) {
        vm_tell_to_quit(vm);
    }
    if (vm->quitting && now >= vm->kill_at) {
        qemu_process_kill(vm->process, SIGKILL);
        vm->kill_at = now + QEMU_QUIT_TIMEOUT_MS;
    }
    return EINPROGRESS;
}

/* Removes 'path' and what is in it.  Not what is in folders in it: those a
 * QEMU has no reason to make. */
static int
remove_folder(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir) {
        return errno == ENOENT ? 0 : err_set(err, errno, "%s: %s", path,
                                             ovs_strerror(errno));
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return (rmdir(path)
            ? err_set(err, errno, "%s: %s", path, ovs_strerror(errno)) : 0);
}

int
qemu_vm_remove(struct qemu_vm *vm, struct err *err)
{
    int error = 0;
    for (size_t i = 0; i < VM_MAX_NICS && !error; i++) {
        char name[HYPERVISOR_TAP_LEN];
        error = tap_delete(hypervisor_tap_name(&vm->uuid, i, name), err);
    }
    qemu_tls_end(vm);
    if (!error) {
        char *io = vm_path(vm, "io");
        error = remove_folder(io, err);
        free(io);
    }
    return error ? error : remove_folder(vm->folder, err);
}

void
qemu_vm_get_info(const struct qemu_vm *vm, struct hypervisor_info *info)
{
    memset(info, 0, sizeof *info);
    info->vm = vm->uuid;
    ovs_strlcpy(info->name, vm->name, sizeof info->name);
    info->state = vm->state;
    info->migration = vm->migration;
    info->copy = vm->copy;
    info->granted = vm->granted;
    info->pid = vm->process ? qemu_process_pid(vm->process) : 0;
    ovs_strlcpy(info->error, vm->error, sizeof info->error);
}

enum vm_state
qemu_vm_state(const struct qemu_vm *vm, const char *status)
{
    if (!strcmp(status, "running")) {
        return VM_RUNNING;
    } else if (!strcmp(status, "inmigrate")) {
        return VM_LISTENING;
    } else if (!strcmp(status, "postmigrate")) {
        return VM_SENT;
    } else if (!strcmp(status, "finish-migrate")
               && vm->migration == MIGRATION_COMPLETED) {
        return VM_SENT;         /* QEMU is about to say so. */
    }
    return VM_PAUSED;           /* All its other words. */
}

enum migration_status
qemu_migration_status(const char *status)
{
    for (enum migration_status m = MIGRATION_NONE; m < MIGRATION_OTHER; m++) {
        if (!strcmp(status, migration_status_name(m))) {
            return m;
        }
    }
    return *status ? MIGRATION_OTHER : MIGRATION_NONE;
}
