#ifndef BENCH_WALK_H
#define BENCH_WALK_H 1

/* The random walk: three VMs move in random directions, again and again,
 * while parts of the system die at random.
 *
 * What happens in a round follows from the seed (walk-plan.h), a round is in
 * walk-round.c, who talks to the VMs is in walk-talk.c, and what is promised
 * in walk-checks.c. */

#include "base/err.h"
#include "bench/bench.h"

struct document;

int walk_run(const struct bench_options *, struct document *,
             struct progress *, struct err *);
const char *walk_row_name(size_t i);

#endif /* bench/walk.h */
