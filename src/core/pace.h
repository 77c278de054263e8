#ifndef CORE_PACE_H
#define CORE_PACE_H 1

/* How fast does a guest that has just been resumed get what waits for it?
 *
 * One that finds hundreds of frames works off all of them before any of its
 * programs runs, and so before it answers anybody.  Hence a few first, until
 * it shows life or a time is up; then so many a millisecond, twice as many
 * after each step; and at the end of this ramp as many as there are.  What
 * waits for a guest that runs comes beside its other packets, and no faster
 * than a slow one can take it from a socket's buffer. */

#include <stdbool.h>

struct pace {
    long long opened;           /* The guest runs; monotonic ms. */
    long long awake;            /* It has shown life; 0: not yet. */
    long long counted;          /* The ms of which 'allowance' is the rest. */
    unsigned int allowance;
    unsigned int limit;         /* Of frames a millisecond; 0: none. */
};

#define PACE_FIRST_FRAMES 16
#define PACE_WAKE_MS 60
#define PACE_FRAMES_PER_MS 8
#define PACE_STEP_MS 10
#define PACE_RAMP_MS 80

/* The guest runs since 'now'. */
void pace_open(struct pace *, long long now);

/* The same for one that runs all the time, beside what comes to it anyway: it
 * is awake, and never gets more than PACE_BESIDE_PER_MS. */
#define PACE_BESIDE_PER_MS 16
void pace_open_beside(struct pace *, long long now);

/* Is it worth while to look whether the guest shows life? */
bool pace_is_asleep(const struct pace *, long long now);

/* It does. */
void pace_wake(struct pace *, long long now);

/* How many frames may it get now?  UINT_MAX: all. */
unsigned int pace_allowance(struct pace *, long long now);

/* It got 'n' of those. */
void pace_spend(struct pace *, unsigned int n);

/* When pace_allowance() may be more without any new input, if more frames
 * wait; LLONG_MAX: never. */
long long pace_deadline(const struct pace *, long long now);

#endif /* core/pace.h */
