#ifndef BENCH_STATS_H
#define BENCH_STATS_H 1

/* Statistics of a few dozen values.  Pure.
 *
 * Arrays are not sorted and stay as they are.  No values at all have the
 * median 0: callers that care look at 'n' themselves. */

#include <stddef.h>
#include <stdint.h>

double stats_median(const double *, size_t n);

/* The value that a share of 'p', 0..1, does not exceed; between two values
 * the nearest one. */
double stats_percentile(const double *, size_t n, double p);
double stats_max(const double *, size_t n);

struct stats_interval {
    double low, high;
};

/* Where the median lies of what 'values' are a sample of, with a confidence
 * of 95 %: the percentile bootstrap (Efron, "Bootstrap methods", 1979).  The
 * same values and seed give the same interval.  Fewer than two values are
 * their own interval. */
struct stats_interval stats_bootstrap(const double *values, size_t n,
                                      uint64_t seed);

#endif /* bench/stats.h */
