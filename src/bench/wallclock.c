#include "bench/wallclock.h"

#include <time.h>

#include "probe/clock.h"

#define SAMPLES 5

int64_t
wallclock_to_monotonic(long long wall_us)
{
    int64_t offset = 0, best = INT64_MAX;

    /* The reading between the two closest others has the least error. */
    for (int i = 0; i < SAMPLES; i++) {
        struct timespec wall;
        int64_t before = clock_now();
        clock_gettime(CLOCK_REALTIME, &wall);
        int64_t after = clock_now();

        if (after - before < best) {
            best = after - before;
            offset = before + best / 2
                     - (wall.tv_sec * INT64_C(1000000000) + wall.tv_nsec);
        }
    }
    return wall_us * INT64_C(1000) + offset;
}
