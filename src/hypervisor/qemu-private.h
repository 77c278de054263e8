#ifndef HYPERVISOR_QEMU_PRIVATE_H
#define HYPERVISOR_QEMU_PRIVATE_H 1

/* What the parts of the QEMU driver share.
 *
 *      qemu.c              the class, its list of VMs and events, adoption
 *      qemu-vm.c           one VM: folder, process, session, state
 *      qemu-capture.c      filters on NICs
 *      qemu-migrate.c      sending and receiving
 *      qemu-socket.c       the connection between the two
 *      qemu-call.c         commands in flight
 *      qemu-args.c         the command line
 *      qemu-process.c      processes that outlive us
 *      qemu-probe.c        does KVM work?
 *      qemu-watchdog.c     our end of watari-watchdog
 *
 * A VM's folder, RUN_DIR/UUID:
 *
 *      pid         the QEMU's number and start; there until it is stopped, so
 *                  that a QEMU that died is told from none
 *      log         what QEMU printed
 *      incoming    exists if this QEMU was started to receive a migration
 *      granted     exists if grant() may have let it run here
 *      uri         where the source of a migration has connected; exists from
 *                  then on
 *      captureN    the frames of NIC N that it did not get; belongs to QEMU's
 *                  user
 *      io/         belongs to QEMU's user; see qemu-args.h
 *
 * Only io/ and captureN belong to QEMU's user: what else we believe, we
 * wrote. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor/hypervisor-provider.h"
#include "hypervisor/qemu-process.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

struct json;
struct probe;
struct qmp;
struct watchdog;

#define QEMU_CONNECT_TIMEOUT_MS 10000   /* From start to monitor. */
#define QEMU_RECONNECT_MS 1000          /* After a session died. */
#define QEMU_QUIT_TIMEOUT_MS 2000       /* Then it is killed. */
#define QEMU_DIAL_TIMEOUT_MS 10000      /* To the destination. */
#define QEMU_PROGRESS_MS 100            /* Between looks at a copy. */
#define QEMU_HASTE_MS 250               /* After it was let go. */
#define QEMU_HASTE_NICE -10             /* While it hastes. */
#define QEMU_FORGET_MS 5000             /* Results that nobody fetches. */
#define QEMU_MAX_EVENTS 65536           /* That nobody takes. */

/* What a guest can make its QEMU write to console.log and log. */
#define QEMU_MAX_LOG (64ULL << 20)

/* Commands that were sent together and whose replies are awaited together.
 *
 *      if (call_begin(vm, CALL_X)) {
 *          call_add(vm, CALL_X, "command", arguments);
 *      }
 *      return call_end(vm, CALL_X, err);
 *
 * sends once, however often it is called, and returns EINPROGRESS until the
 * last reply is in; the first refusal is the result. */
enum call_id {
    CALL_HELLO,                 /* Who are you, and how? */
    CALL_QUERY,
    CALL_STOP,
    CALL_CAPTURE,
    CALL_LISTEN,
    CALL_RECEIVE,
    CALL_GRANT,                 /* And take_back(). */
    CALL_SEND,
    CALL_PROGRESS,
    CALL_LIMITS,
    CALL_PROCEED,
    CALL_CANCEL,
    N_CALLS
};

/* The longest: a capture armed on each NIC. */
#define CALL_MAX (6 * VM_MAX_NICS)

struct call {
    size_t n;                   /* 0: idle. */
    size_t n_answered;
    uint64_t ids[CALL_MAX];
    struct json *results[CALL_MAX];     /* Null where refused. */
    bool tolerant[CALL_MAX];    /* A refusal does not matter. */
    struct err error;           /* The first refusal that does. */
    long long touched;          /* When somebody last asked. */
};

enum send_phase {
    SEND_IDLE,
    SEND_WATCHDOG,              /* Waits for the watchdog. */
    SEND_CONNECT,               /* Waits for the connection. */
    SEND_COMMAND,               /* Waits for the reply to "migrate". */
    SEND_COPY,                  /* QEMU's events say how far it is. */
    SEND_FAILED,                /* Waits for the reason. */
};

struct qemu_vm {
    struct hmap_node node;      /* In struct qemu's 'vms', by 'uuid'. */
    struct qemu *qemu;
    struct uuid uuid;
    char name[NAME_LEN + 1];
    char *folder;

    /* Its QEMU.  'state', 'migration' are what it last said. */
    struct qemu_process *process;    /* Null: none. */
    struct qmp *qmp;            /* Null: none. */
    enum vm_state state;
    enum migration_status migration;
    char error[200];
    struct call calls[N_CALLS];

    /* Start and end. */
    bool starting;              /* boot() or listen() waits for it. */
    long long reconnect_at;     /* The session died; 0: it did not. */
    bool stopping;              /* It ends because we want it to. */
    bool quitting;              /* It has been told. */
    long long quit_at;          /* Then it is told. */
    long long kill_at;          /* Then it is killed. */

    /* Destination. */
    bool incoming;              /* Started to receive. */
    bool granted;               /* grant() may have let it run. */
    bool cont_refused;          /* ... but QEMU said no. */
    long long haste_until;      /* It goes before others; 0: it does not. */
    char *uri;                  /* Where we listen; null: not yet. */
    char *ticket;               /* For the source; null: no TLS. */
    int listener;               /* -1: none, or somebody has connected. */

    /* Source. */
    enum send_phase send;
    int connection;             /* Not yet QEMU's; -1: none. */
    long long dial_until;       /* Deadline of SEND_CONNECT. */
    bool was_running;           /* When the copy began. */
    bool proceeding;            /* "migrate-continue" was sent. */
    long long progress_at;      /* When to look next. */
    struct copy_progress copy;
    struct watchdog *watchdog;

    struct capture *capture;    /* Null: off. */
    enum capture_mode capture_mode;     /* Reached. */
    enum capture_mode capture_goal;     /* Of CALL_CAPTURE. */
    size_t n_nics;
};

struct qemu_event {
    struct ovs_list node;       /* In struct qemu's 'events'. */
    struct hypervisor_event event;
};

struct qemu {
    struct hypervisor up;
    char *run_dir, *image_dir, *address, *watchdog_program;
    bool tls;
    struct credentials credentials;
    bool kvm;
    struct probe *probe;        /* Null: 'kvm' is decided. */
    bool adopted;               /* The run folder has been read. */
    struct hmap vms;            /* Of struct qemu_vm. */
    struct ovs_list events;     /* Of struct qemu_event, oldest first. */
    size_t n_events;
    struct ovs_list old_watchdogs;
};

/* qemu.c */
struct qemu *qemu_cast(const struct hypervisor *);
struct qemu_vm *qemu_find(const struct qemu *, const struct uuid *);
void qemu_add_event(struct qemu_vm *, enum hypervisor_event_kind,
                    long long timestamp_us);

/* Finds a VM whose QEMU answers: ENOENT, ESRCH or EINPROGRESS if not. */
int qemu_find_ready(const struct hypervisor *, const struct uuid *,
                    struct qemu_vm **, struct err *);

/* qemu-call.c */
bool call_begin(struct qemu_vm *, enum call_id);
void call_add(struct qemu_vm *, enum call_id, const char *command,
              struct json *arguments);
void call_add_fd(struct qemu_vm *, enum call_id, const char *command,
                 struct json *arguments, int fd);
void call_add_tolerant(struct qemu_vm *, enum call_id, const char *command,
                       struct json *arguments);
int call_end(struct qemu_vm *, enum call_id, struct err *);

/* As call_end(), and the replies of its first 'n' commands, which the caller
 * then owns. */
int call_end_with_results(struct qemu_vm *, enum call_id,
                          struct json *results[], size_t n, struct err *);
bool call_is_pending(const struct qemu_vm *, enum call_id);

/* Has its QEMU died before it had read all of the last command of the call? */
bool call_was_unread(const struct qemu_vm *, enum call_id);
void calls_clear(struct qemu_vm *);

/* Members of QEMU's objects; "" and 0 where there is none of this type. */
const char *qemu_json_string(const struct json *, const char *name);
uint64_t qemu_json_integer(const struct json *, const char *name);
const struct json *qemu_json_object(const struct json *, const char *name);

/* qemu-vm.c */
struct qemu_vm *qemu_vm_create(struct qemu *, const struct uuid *);
void qemu_vm_destroy(struct qemu_vm *);
void qemu_vm_adopt(struct qemu_vm *);
int qemu_vm_prepare(struct qemu_vm *, const struct vm *, struct err *);
int qemu_vm_start(struct qemu_vm *, const struct vm *, bool incoming,
                  struct err *);
int qemu_vm_end(struct qemu_vm *, unsigned int grace_ms, struct err *);
int qemu_vm_remove(struct qemu_vm *, struct err *);
void qemu_vm_run(struct qemu_vm *);
void qemu_vm_wait(struct qemu_vm *);
void qemu_vm_get_info(const struct qemu_vm *, struct hypervisor_info *);

/* Marks are files.  They remember 'text', or do not exist (null). */
int qemu_vm_set_mark(struct qemu_vm *, const char *mark, const char *text,
                     struct err *);

/* What QEMU's words for the state of a guest and of a migration mean. */
enum vm_state qemu_vm_state(const struct qemu_vm *, const char *status);
enum migration_status qemu_migration_status(const char *status);

/* qemu-capture.c */
int qemu_set_capture(struct hypervisor *, const struct uuid *,
                     enum capture_mode, struct err *);
struct capture *qemu_capture(struct hypervisor *, const struct uuid *);

/* What a process before us had captured. */
void qemu_capture_adopt(struct qemu_vm *);

/* Its files, too. */
void qemu_capture_end(struct qemu_vm *);

/* qemu-tls.c */

/* Adds to 'call' and to the parameters of a migration what encrypts it: the
 * holder of the 'ticket' talks only to whom the same authority calls 'peer'.
 * A null ticket: nothing is encrypted. */
int qemu_tls_add(struct qemu_vm *, enum call_id call, bool source,
                 const char *ticket, const char *peer,
                 struct json *parameters, struct err *);

/* Removes QEMU's files: it has read them. */
void qemu_tls_end(struct qemu_vm *);

/* qemu-migrate.c */
int qemu_listen(struct hypervisor *, const struct vm *, const char *source,
                unsigned int rtt_us, struct migration_target *, struct err *);
int qemu_send(struct hypervisor *, const struct uuid *,
              const struct migration_target *,
              const struct migration_limits *, struct copy_progress *,
              struct err *);
int qemu_set_limits(struct hypervisor *, const struct uuid *,
                    const struct migration_limits *, struct err *);
int qemu_proceed(struct hypervisor *, const struct uuid *, struct err *);
int qemu_grant(struct hypervisor *, const struct uuid *, struct err *);
int qemu_take_back(struct hypervisor *, const struct uuid *, struct err *);
int qemu_cancel(struct hypervisor *, const struct uuid *, struct err *);

/* Takes the connection of a migration that comes in. */
void qemu_migrate_run(struct qemu_vm *);
void qemu_migrate_wait(struct qemu_vm *);

/* Forgets how far sending was; the session ended. */
void qemu_migrate_reset(struct qemu_vm *);

/* From now on nobody can connect. */
void qemu_migrate_close(struct qemu_vm *);

#endif /* hypervisor/qemu-private.h */
