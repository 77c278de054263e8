#ifndef BENCH_WALK_PLAN_H
#define BENCH_WALK_PLAN_H 1

/* What is to happen in a round of the random walk.  Pure: the same seed and
 * round give the same plan, whatever came of the rounds before. */

#include <stddef.h>
#include <stdint.h>

struct json;

#define WALK_N_VMS 3
#define WALK_MAX_HARMS 3

enum walk_kind {
    WALK_AGENT,                 /* Of a host: killed. */
    WALK_MANAGER,               /* Killed. */
    WALK_STORE,                 /* Killed. */
    WALK_CHANNEL,               /* Between two agents: cut. */
    WALK_QEMU,                  /* A move's destination's, before the commit:
                                 * killed. */
    WALK_CANCEL,                /* What a user may do. */
    WALK_N_KINDS
};

/* Whose agent. */
enum walk_role { WALK_SOURCE, WALK_DESTINATION, WALK_THIRD, WALK_N_ROLES };

struct walk_harm {
    enum walk_kind kind;
    size_t vm;                  /* Whose move. */
    enum walk_role role;        /* Agent; of the channel, the end that is not
                                 * there. */
    const char *point;          /* Where the move is to be held meanwhile;
                                 * null: at a time. */
    unsigned int delay_ms;      /* After the request, or after the hold. */
    unsigned int lasts_ms;      /* A cut. */
};

struct walk_plan {
    /* How many hosts further each VM moves: 1 or 2. */
    unsigned int turns[WALK_N_VMS];
    struct walk_harm harms[WALK_MAX_HARMS];
    size_t n_harms;
};

void walk_plan(uint64_t seed, unsigned int round, struct walk_plan *);

const char *walk_kind_name(enum walk_kind);

/* A harm as an object with "kind" and what goes with it. */
struct json *walk_harm_to_json(const struct walk_harm *);

#endif /* bench/walk-plan.h */
