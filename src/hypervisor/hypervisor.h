#ifndef HYPERVISOR_HYPERVISOR_H
#define HYPERVISOR_HYPERVISOR_H 1

/* Running VMs on this host, and sending and receiving them.
 *
 * What the engine and the agent use; drivers implement
 * hypervisor/hypervisor-provider.h.
 *
 * Every function that returns an int returns at once: 0 is done, EINPROGRESS
 * is "call again" (hypervisor_wait() wakes the poll loop), and any other
 * errno value is failed, with '*err' filled in.  There are no callbacks: what
 * happened by itself is a queue of events to drain.  Calling a function whose
 * work is done already is harmless, so that a step that is resumed after a
 * crash calls it again.  A result that nobody fetches for 5 s is forgotten.
 *
 * VMs are found by UUID; a function that starts one takes its record.  A VM
 * that is not here is ENOENT.
 *
 * A migration, source on the left:
 *
 *      set_capture(ARMED)                  listen() -> target
 *      send(target) copies; the STOPPED event comes
 *        set_capture(OPEN) at once
 *      send() returns 0: pre-switchover
 *      proceed() returns 0: all is sent
 *            `------- grant, by the agents' channel ------> grant()
 *      take_back() only if grant() said ENOEXEC there
 *      destroy()
 *
 * Until proceed(), cancel() undoes a migration: the source runs on by itself.
 * If nobody proceeds within 2 s, or the agent dies while its guest is stopped
 * there, a watchdog of its own cancels. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/err.h"
#include "core/vm.h"

struct capture;
struct hypervisor;

struct hypervisor_config {
    const char *run_dir;        /* A folder per VM is made in it; on a file
                                 * system that dies with the host. */
    const char *host;           /* Name of this host, for messages. */
    const char *user;           /* Whom VMs run as: a name or "UID:GID". */
    const char *accelerator;    /* "tcg", "kvm" or "auto". */
    const char *image_dir;      /* Where "mini" is: vmlinuz, initrd.gz. */
    const char *address;        /* Where migrations come in: IPv4 or IPv6. */
    const char *watchdog;       /* The program watari-watchdog. */
    bool tls;                   /* Migrations are encrypted, or refused. */
};

/* Where a migration goes to, and by what each side knows the other. */
struct migration_target {
    char host[NAME_LEN + 1];    /* The destination's name. */
    char *uri;                  /* Null: it does not listen yet. */
    char *ticket;               /* The source's, with its key, from
                                 * pki_make_tickets(); null: no TLS. */
};

static inline void
migration_target_finish(struct migration_target *target)
{
    free(target->uri);
    free(target->ticket);
}

/* QEMU's own words for where a migration is, so that a log can be compared
 * with QEMU's documentation. */
#define MIGRATION_STATUSES                                      \
    MIGRATION_STATUS(NONE, "none")                              \
    MIGRATION_STATUS(SETUP, "setup")                            \
    MIGRATION_STATUS(ACTIVE, "active")                          \
    MIGRATION_STATUS(PRE_SWITCHOVER, "pre-switchover")          \
    MIGRATION_STATUS(DEVICE, "device")                          \
    MIGRATION_STATUS(COMPLETED, "completed")                    \
    MIGRATION_STATUS(FAILED, "failed")                          \
    MIGRATION_STATUS(CANCELLING, "cancelling")                  \
    MIGRATION_STATUS(CANCELLED, "cancelled")                    \
    MIGRATION_STATUS(OTHER, "other")    /* Post-copy, COLO: never ours. */

enum migration_status {
#define MIGRATION_STATUS(ENUM, NAME) MIGRATION_##ENUM,
    MIGRATION_STATUSES
#undef MIGRATION_STATUS
};

const char *migration_status_name(enum migration_status);

enum hypervisor_event_kind {
    HYPERVISOR_STOPPED,         /* The guest does not run any more. */
    HYPERVISOR_RESUMED,         /* It runs (again, or here). */
    HYPERVISOR_MIGRATION,       /* 'migration' changed. */
    HYPERVISOR_SHUTDOWN,        /* The guest or its owner switched it off. */
    HYPERVISOR_EXITED,          /* Its hypervisor process ended; 'text'. */
};

struct hypervisor_event {
    struct uuid vm;
    enum hypervisor_event_kind kind;
    enum migration_status migration;
    long long timestamp_us;     /* This host's wall clock when it happened,
                                 * as QEMU says; 0 if nobody knows. */
    char text[200];
};

struct migration_limits {
    uint64_t bandwidth;         /* Bytes a second; 0: no limit. */
    unsigned int downtime_ms;   /* Stop when the rest takes this long. */
};

struct copy_progress {
    uint64_t copied, total;     /* Bytes; total grows as the guest dirties
                                 * memory. */
    bool paused;                /* At the switchover: the guest has stopped,
                                 * the rest may follow. */
};

/* What is true of one VM. */
struct hypervisor_info {
    struct uuid vm;
    char name[NAME_LEN + 1];    /* "" until its hypervisor has answered. */
    enum vm_state state;
    enum migration_status migration;
    struct copy_progress copy;  /* Of the latest migration, at the source. */
    bool granted;               /* Has grant() ever let it run here? */
    pid_t pid;                  /* 0: none. */
    char error[200];            /* Why it, or its migration, failed. */
};

/* What becomes of packets for a guest. */
enum capture_mode {
    CAPTURE_OFF,                /* The guest gets them; nothing is left. */
    CAPTURE_ARMED,              /* The guest gets them as long as it runs; a
                                 * stopped guest's packets are kept. */
    CAPTURE_OPEN,               /* All come out of hypervisor_capture(), kept
                                 * ones first, and none reaches the guest. */
    CAPTURE_CLOSED,             /* The guest gets them again; those already
                                 * captured can still be read. */
};

/* Memory that a VM's record shall have so that every accelerator can migrate
 * it: 'kib', or a little more.  Applying it twice changes nothing.
 *
 * QEMU before 9.0 under TCG corrupts memory in migration if a RAM block is a
 * multiple of 256 KiB (fixed upstream by 03bfc2188f). */
uint64_t hypervisor_pad_memory(uint64_t kib);

/* The tap of the VM's NIC number 'nic'; see hypervisor/tap.h. */
#define HYPERVISOR_TAP_LEN 16
char *hypervisor_tap_name(const struct uuid *vm, size_t nic,
                          char name[HYPERVISOR_TAP_LEN]);

/* 'type' is "qemu".  Strings in the configuration are copied. */
int hypervisor_open(const char *type, const struct hypervisor_config *,
                    struct hypervisor **, struct err *);

/* VMs run on; hypervisor_adopt() of a later process finds them. */
void hypervisor_close(struct hypervisor *);

/* 'now' is the monotonic clock in ms. */
void hypervisor_run(struct hypervisor *, long long now);
void hypervisor_wait(struct hypervisor *);

/* Finds what earlier processes started; before anything else.  0 when each of
 * them has answered or is known not to. */
int hypervisor_adopt(struct hypervisor *, struct err *);

/* What the driver knows without asking.  The caller frees '*infos'. */
size_t hypervisor_list(const struct hypervisor *,
                       struct hypervisor_info **infos);

/* Takes the oldest event; false if there is none. */
bool hypervisor_next_event(struct hypervisor *, struct hypervisor_event *);

/* Makes the VM's folder and taps, up but attached to nothing, so that the
 * switch can know its ports before the guest speaks.  boot() and listen() do
 * it too. */
int hypervisor_prepare(struct hypervisor *, const struct vm *, struct err *);

/* 0 once the guest runs. */
int hypervisor_boot(struct hypervisor *, const struct vm *, struct err *);

/* Destination: be ready to load 'vm' from the host 'source', without running
 * it, and store in '*target', for the caller to finish, where to send it.
 * 'rtt_us' is the round trip to the source, by which the connection is sized;
 * 0: unknown.
 *
 * One connection is accepted, and only as long as this process lives: if it
 * dies before, the source's send() fails, and listen() of a later process
 * stores another target. */
int hypervisor_listen(struct hypervisor *, const struct vm *,
                      const char *source, unsigned int rtt_us,
                      struct migration_target *target, struct err *);

/* Source: see enum capture_mode. */
int hypervisor_set_capture(struct hypervisor *, const struct uuid *vm,
                           enum capture_mode, struct err *);

/* Frames diverted from the VM's NICs, also those that an earlier process had
 * diverted; null unless armed or later.  It lives
 * until set_capture(CAPTURE_OFF) returns 0, or destroy(). */
struct capture *hypervisor_capture(struct hypervisor *,
                                   const struct uuid *vm);

/* Source: copy until '*progress' is paused.  '*progress' is written also with
 * EINPROGRESS.  ECANCELED if it was cancelled. */
int hypervisor_send(struct hypervisor *, const struct uuid *vm,
                    const struct migration_target *,
                    const struct migration_limits *,
                    struct copy_progress *progress, struct err *);

/* Source: change the limits of a copy that does not converge. */
int hypervisor_set_limits(struct hypervisor *, const struct uuid *vm,
                          const struct migration_limits *, struct err *);

/* Source: let the rest follow.  0 when the source has nothing left to send,
 * which does not mean that the destination has loaded it.  After a failure
 * the guest runs on at the source by itself. */
int hypervisor_proceed(struct hypervisor *, const struct uuid *vm,
                       struct err *);

/* Destination: run, once loaded.  ENOEXEC if loading failed, and then the
 * guest has not run and will never run here. */
int hypervisor_grant(struct hypervisor *, const struct uuid *vm,
                     struct err *);

/* Source, after the destination's refusal only: run here again.  EPERM unless
 * the migration has completed. */
int hypervisor_take_back(struct hypervisor *, const struct uuid *vm,
                         struct err *);

/* Source, before proceed() only, else EBUSY: forget the migration.  0 when
 * the guest runs on; also when there was nothing to cancel. */
int hypervisor_cancel(struct hypervisor *, const struct uuid *vm,
                      struct err *);

/* End the guest: asks it to switch itself off, and after 'grace_ms' (0: at
 * once) switches it off.  Its taps stay.  0 also if it is not here. */
int hypervisor_stop(struct hypervisor *, const struct uuid *vm,
                    unsigned int grace_ms, struct err *);

/* End its process in any case, remove its taps and files.  0 also if there is
 * nothing. */
int hypervisor_destroy(struct hypervisor *, const struct uuid *vm,
                       struct err *);

/* Asks what is true now, and changes nothing.  A VM that is not here is
 * VM_ABSENT. */
int hypervisor_query(struct hypervisor *, const struct uuid *vm,
                     struct hypervisor_info *, struct err *);

#endif /* hypervisor/hypervisor.h */
