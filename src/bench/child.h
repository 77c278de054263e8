#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H 1

/* Processes that live as long as a benchmark, and no longer: the kernel ends
 * them when we die, however we do. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct child {
    pid_t pid;                  /* 0: none. */
};

struct child_spec {
    char *const *argv;          /* Searched in $PATH without a slash. */
    const char *netns;          /* Null: ours. */
    const char *folder;         /* To run in, or null. */
    const char *output;         /* File for stdout and stderr, or null. */
    const int *fds;             /* Descriptors that it inherits, */
    size_t n_fds;               /* under their numbers. */
    int nice;                   /* Added to the priority. */
};

int child_start(const struct child_spec *, struct child *, struct err *);

/* Sends 'sig' and waits until the child has ended; after 'patience_ms' it is
 * killed, which is ETIMEDOUT.  0 if there is none. */
int child_end(struct child *, int sig, int patience_ms, struct err *);

/* False also if there is none. */
bool child_is_alive(struct child *);

#endif /* bench/child.h */
