#ifndef BENCH_WALK_PRIVATE_H
#define BENCH_WALK_PRIVATE_H 1

/* What the files of the random walk share. */

#include <stdint.h>

#include "base/err.h"
#include "base/progress.h"
#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/document.h"
#include "bench/sampler.h"
#include "bench/supervisor.h"
#include "bench/walk-plan.h"

#define WALK_SCHEME "watari"

/* walk-talk.c: who talks to the VMs meanwhile.  To each, from another
 * correspondent: UDP probes, a connection in regular use, and an idle one. */

struct walk_talk;

int walk_talk_start(const struct arena *, const char *folder,
                    struct walk_talk **, struct err *);
void walk_talk_destroy(struct walk_talk *);

/* How many connections have broken since the last time; each is made anew.
 * Says which in 'why'. */
unsigned int walk_talk_check(struct walk_talk *, char why[256]);

/* Ends all.  One that has nothing to tell, as it never got a connection, is
 * silent. */
void walk_talk_stop(struct walk_talk *);

/* After that: the probes of a time go to 'row', and how many connections had
 * no answer to the last thing that they said. */
int walk_talk_put(const struct walk_talk *, int64_t from, int64_t to,
                  struct json *row, struct err *);
unsigned int walk_talk_count_silent(const struct walk_talk *);

/* walk-round.c */

struct walk_place {
    struct arena *arena;
    struct sampler *sampler;
    struct supervisor *supervisor;
};

/* One round: three moves, and what goes wrong meanwhile.  What was found is
 * in 'row' in any case.  After a failure the place is no good any more. */
int walk_round(const struct walk_place *, const struct walk_plan *,
               struct json *row, struct err *);

/* walk-checks.c */

/* Did a round keep all promises? */
bool walk_is_good(const struct json *row);
void walk_check(struct document *);

#endif /* bench/walk-private.h */
