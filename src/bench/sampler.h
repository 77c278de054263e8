#ifndef BENCH_SAMPLER_H
#define BENCH_SAMPLER_H 1

/* Asks all QEMUs of an arena, again and again while VMs move, whether they
 * run their guest.  It uses their monitors for people, which nobody else
 * does, so that agents and watchdogs notice nothing.
 *
 * Two copies of a VM run if both say so, and both say so again when they are
 * asked after that: then both ran at the moment in between. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bench/arena.h"

struct sampler;

struct sampler_report {
    uint64_t samples;           /* Rounds of questions. */
    uint64_t doubles;           /* Moments at which two copies ran. */
    int64_t longest;            /* ns between two samples. */
    char first[128];            /* Who ran twice, the first time. */
};

/* Of the first 'n_vms' VMs. */
int sampler_create(struct arena *, size_t n_vms, struct sampler **,
                   struct err *);
void sampler_destroy(struct sampler *);

/* Asks once; waits for answers for SAMPLER_PATIENCE_MS at most. */
#define SAMPLER_PATIENCE_MS 30
void sampler_run(struct sampler *);

/* What copies of 'vm' said last: does one run, at 'host' or (ARENA_N_HOSTS)
 * anywhere? */
bool sampler_runs(const struct sampler *, size_t vm, size_t host);

/* What was seen since the last call. */
void sampler_take(struct sampler *, struct sampler_report *);

#endif /* bench/sampler.h */
