#ifndef BENCH_COPIES_H
#define BENCH_COPIES_H 1

/* Who runs a VM of an arena?  Every QEMU that has its name is asked, by a
 * monitor of its own (QMP "query-status").  That monitor is the watchdog's
 * while a migration is under way: ask only when none is. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "bench/arena.h"

struct copies {
    bool runs[ARENA_N_HOSTS];
    size_t n_running;
    size_t n;                   /* QEMUs that there are. */
};

/* 'vm' is an index into arena_vms. */
int copies_ask(const struct arena *, size_t vm, struct copies *,
               struct err *);

/* The host that runs it, an index into arena_hosts. */
size_t copies_host(const struct copies *);

#endif /* bench/copies.h */
