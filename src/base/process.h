#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H 1

/* Child processes: tools that are run to their end, and daemons that outlive
 * us.
 *
 * A daemon is known by its process ID together with its start time, which
 * the kernel does not reuse: so it can be found, and ended, by another
 * program long after. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct ds;

struct process_id {
    pid_t pid;                  /* 0: none. */
    unsigned long long start;   /* Clock ticks since boot. */
};

struct process_spec {
    char *const *argv;          /* Searched in $PATH without a slash. */
    char *const *env;           /* "NAME=VALUE" to add, or null. */
    const char *netns;          /* Network namespace to run in, or null. */
    const char *output;         /* File that stdout and stderr append to. */
    int fd;                     /* Becomes descriptor 3 if above 0. */
    int nice;                   /* Added to the priority. */
};

/* Starts a daemon in a session of its own.  'record' is called when the
 * process exists but has not executed anything yet; if we die before it
 * returns, so does the child.  Fails also if the program cannot be executed,
 * with a process recorded that has ended. */
int process_spawn(const struct process_spec *,
                  void (*record)(const struct process_id *, void *aux),
                  void *aux, struct process_id *, struct err *);

bool process_is_alive(const struct process_id *);

/* The identity of a process that runs now; pid 0 if there is none. */
struct process_id process_identify(pid_t);

/* Ends a process: SIGTERM, after 'patience_ms' SIGKILL.  0 also if it has
 * ended already; ETIMEDOUT if it survives both. */
int process_end(const struct process_id *, int patience_ms, struct err *);

/* Runs a tool with 'input' (or null) on stdin, and puts what it prints on
 * stdout into 'output' (or null).  Fails with its words from stderr if its
 * exit status is not 0, and with ETIMEDOUT, having killed it, after
 * 'timeout_ms'. */
int process_run(const struct process_spec *, const char *input,
                int timeout_ms, struct ds *output, struct err *);

#endif /* base/process.h */
