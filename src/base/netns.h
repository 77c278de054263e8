#ifndef BASE_NETNS_H
#define BASE_NETNS_H 1

/* Named network namespaces, the same as those of "ip netns". */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define NETNS_DIR "/run/netns"

/* EEXIST if there is one. */
int netns_create(const char *name, struct err *);

/* 0 also if there is none.  Whoever is inside stays there; the namespace
 * ends with the last of them. */
int netns_delete(const char *name, struct err *);

bool netns_exists(const char *name);

/* Moves the calling thread into 'name', for good. */
int netns_enter(const char *name, struct err *);

/* As netns_enter(), and /sys shows that namespace too. */
int netns_enter_fully(const char *name, struct err *);

/* Moves the calling thread into 'name' until netns_pop(*saved). */
int netns_push(const char *name, int *saved, struct err *);
void netns_pop(int saved);

/* Writes 'value' to /proc/sys/KEY as 'name' sees it. */
int netns_write_sysctl(const char *key, const char *value, struct err *);

/* Lists the processes inside 'name' into '*pids', which the caller frees. */
size_t netns_processes(const char *name, pid_t **pids);

#endif /* base/netns.h */
