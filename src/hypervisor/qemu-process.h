#ifndef HYPERVISOR_QEMU_PROCESS_H
#define HYPERVISOR_QEMU_PROCESS_H 1

/* Processes that outlive us: started as another user, found again by a later
 * process of ours, and never mistaken for whoever got their number later. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct qemu_process;

#define CREDENTIALS_MAX_GROUPS 16

struct credentials {
    uid_t uid;
    gid_t gid;
    gid_t groups[CREDENTIALS_MAX_GROUPS];
    size_t n_groups;
};

/* 'user' is a name, whose groups are then taken over, or "UID:GID".  Root is
 * refused: EPERM. */
int credentials_parse(const char *user, struct credentials *, struct err *);

struct qemu_process_config {
    const struct credentials *credentials;
    const char *folder;         /* Its working directory. */
    const char *pid_file;       /* Written before it runs; null: none. */
    int in, out, err;           /* Its standard files; -1: /dev/null. */
    const int *fds;             /* Stay open, under the same numbers, which
                                 * are above 2. */
    size_t n_fds;
    uint64_t max_file_size;     /* What it may write to a file; 0: no limit. */
};

/* Starts 'argv' (null-terminated) in a session of its own, with an almost
 * empty environment. */
int qemu_process_spawn(const struct qemu_process_config *, char *argv[],
                       struct qemu_process **, struct err *);

/* The process that wrote 'pid_file', if it lives.  ESRCH if it ended, ENOENT
 * if there is no such file. */
int qemu_process_find(const char *pid_file, struct qemu_process **,
                      struct err *);

/* Forgets about it; it runs on. */
void qemu_process_close(struct qemu_process *);

pid_t qemu_process_pid(const struct qemu_process *);
void qemu_process_kill(struct qemu_process *, int sig);

/* Its niceness, as setpriority() has it: of each of its threads, and of its
 * session as a whole where the kernel groups those.  It may fail unseen, as
 * for whoever may not raise a priority. */
void qemu_process_set_nice(struct qemu_process *, int nice);

/* Has it ended?  Then 'how' says "status 1", "signal 9" or "". */
bool qemu_process_has_ended(struct qemu_process *, char *how, size_t size);
void qemu_process_wait(struct qemu_process *);

#endif /* hypervisor/qemu-process.h */
