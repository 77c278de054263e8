#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H 1

/* All that asks a guest, and that the guest asks, while something happens to
 * it: three correspondents, each every millisecond, and the guest's own
 * probes of an echo outside. */

#include <stddef.h>

#include "base/err.h"
#include "bench/guest.h"
#include "bench/move.h"
#include "bench/prober.h"

struct json;
struct watch;

#define WATCH_CORRESPONDENTS 3

struct watch_place {
    struct prober_spec correspondents[WATCH_CORRESPONDENTS];
    struct guest_place guest;   /* From where the guest gets orders. */
    const char *echo;           /* Whom it asks. */
    char folder[64];            /* For records. */
};

/* Returns when all have asked for a while. */
int watch_start(const struct watch_place *, struct watch **, struct err *);

/* Lets the last requests be answered, and ends. */
int watch_stop(struct watch *, struct err *);

/* Accepts null. */
void watch_destroy(struct watch *);

/* After watch_stop(): puts into 'row' what was seen of a move, in sum and, as
 * "correspondents", of each. */
int watch_put_move(const struct watch *, const struct move_times *,
                   struct json *row, struct err *);

/* The same of all the time, where nothing moved. */
int watch_put_all(const struct watch *, struct json *row, struct err *);

#endif /* bench/watch.h */
