#include "bench/stats.h"

#include <stdlib.h>
#include <string.h>

#define RESAMPLES 10000
#define CONFIDENCE .95

static int
compare(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static double
median_of_sorted(const double *values, size_t n)
{
    return !n ? 0 : n % 2 ? values[n / 2]
           : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Returns a sorted copy with room for at least one value. */
static double *
sort(const double *values, size_t n)
{
    double *sorted = calloc(n + 1, sizeof *sorted);

    if (!sorted) {
        abort();
    }
    if (n) {
        memcpy(sorted, values, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare);
    }
    return sorted;
}

double
stats_median(const double *values, size_t n)
{
    double *sorted = sort(values, n);
    double median = median_of_sorted(sorted, n);

    free(sorted);
    return median;
}

double
stats_percentile(const double *values, size_t n, double p)
{
    double *sorted = sort(values, n);
    double value = n ? sorted[(size_t) (p * (n - 1) + .5)] : 0;

    free(sorted);
    return value;
}

double
stats_max(const double *values, size_t n)
{
    return stats_percentile(values, n, 1);
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct stats_interval
stats_bootstrap(const double *values, size_t n, uint64_t seed)
{
    if (n < 2) {
        double only = n ? values[0] : 0;
        return (struct stats_interval) { only, only };
    }

    double *sample = calloc(n, sizeof *sample);
    double *medians = calloc(RESAMPLES, sizeof *medians);
    if (!sample || !medians) {
        abort();
    }
    for (size_t i = 0; i < RESAMPLES; i++) {
        for (size_t j = 0; j < n; j++) {
            sample[j] = values[next_random(&seed) % n];
        }
        qsort(sample, n, sizeof *sample, compare);
        medians[i] = median_of_sorted(sample, n);
    }

    double outside = (1 - CONFIDENCE) / 2;
    struct stats_interval interval = {
        stats_percentile(medians, RESAMPLES, outside),
        stats_percentile(medians, RESAMPLES, 1 - outside),
    };
    free(medians);
    free(sample);
    return interval;
}
