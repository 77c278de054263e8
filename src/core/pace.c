#include <config.h>

#include "core/pace.h"

#include <limits.h>

#include "util.h"

void
pace_open(struct pace *pace, long long now)
{
    *pace = (struct pace) {
        .opened = now,
        .allowance = PACE_FIRST_FRAMES,
    };
}

void
pace_open_beside(struct pace *pace, long long now)
{
    pace_open(pace, now);
    pace_wake(pace, now);
    pace->limit = PACE_BESIDE_PER_MS;
}

bool
pace_is_asleep(const struct pace *pace, long long now)
{
    return !pace->awake && now < pace->opened + PACE_WAKE_MS;
}

void
pace_wake(struct pace *pace, long long now)
{
    if (!pace->awake) {
        pace->awake = now;
    }
}

unsigned int
pace_allowance(struct pace *pace, long long now)
{
    if (pace_is_asleep(pace, now)) {
        return pace->allowance;
    }
    pace_wake(pace, now);

    long long age = now - pace->awake;
    unsigned int per_ms = (age < PACE_RAMP_MS
                           ? PACE_FRAMES_PER_MS << (age / PACE_STEP_MS)
                           : UINT_MAX);
    if (pace->limit) {
        per_ms = MIN(per_ms, pace->limit);
    } else if (per_ms == UINT_MAX) {
        return UINT_MAX;
    }
    if (pace->counted < now) {
        pace->counted = now;
        pace->allowance = per_ms;
    }
    return pace->allowance;
}

void
pace_spend(struct pace *pace, unsigned int n)
{
    pace->allowance -= MIN(n, pace->allowance);
}

long long
pace_deadline(const struct pace *pace, long long now)
{
    if (pace_is_asleep(pace, now)) {
        return pace->opened + PACE_WAKE_MS;
    }
    return (pace->limit || now < pace->awake + PACE_RAMP_MS ? now + 1
            : LLONG_MAX);
}
