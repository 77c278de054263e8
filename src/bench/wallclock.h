#ifndef BENCH_WALLCLOCK_H
#define BENCH_WALLCLOCK_H 1

/* QEMU's events have the wall clock's time, probes the monotonic clock's. */

#include <stdint.h>

/* The monotonic time, in ns, of a moment of a few seconds ago that the wall
 * clock called 'wall_us'.  It is right to some microseconds unless the wall
 * clock was set since. */
int64_t wallclock_to_monotonic(long long wall_us);

#endif /* bench/wallclock.h */
