#ifndef PROBE_CLOCK_H
#define PROBE_CLOCK_H 1

/* The clock of probes: CLOCK_MONOTONIC in nanoseconds.  For programs and for
 * the modules that do their I/O; analysis gets times from records. */

#include <stdint.h>
#include <time.h>

static inline int64_t
clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* From now until 'at', never negative, as ppoll() wants it. */
static inline struct timespec
clock_until(int64_t at)
{
    int64_t left = at - clock_now();

    left = left > 0 ? left : 0;
    return (struct timespec) { left / 1000000000, left % 1000000000 };
}

#endif /* probe/clock.h */
