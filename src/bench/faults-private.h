#ifndef BENCH_FAULTS_PRIVATE_H
#define BENCH_FAULTS_PRIVATE_H 1

/* What the files of the benchmark of faults share. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/progress.h"
#include "bench/bench.h"
#include "bench/document.h"

struct arena;

#define FAULTS_SCHEME "watari"
#define FAULTS_COPY_MS 3000     /* So long a copy takes at least. */

/* One move that goes wrong, as what is done to it sees it. */
struct faults_move {
    struct arena *arena;
    size_t source, destination; /* Indexes into arena_hosts. */
    const char *id;             /* Of the migration. */
    unsigned int run;           /* From 1. */
};

typedef int faults_act(const struct faults_move *, struct err *);

/* What goes wrong. */
struct faults_kind {
    const char *text;           /* For progress. */
    faults_act *harm;           /* While the move is held. */
    faults_act *heal;           /* Or null. */
    int heal_ms;                /* So long after the harm. */
    bool ends_holder;           /* There is nothing to let go. */
    bool rolls_back;            /* It has to. */
    bool loses;                 /* Packets may be lost. */
    bool ends_guest;            /* If the guest runs at the destination. */
    bool cluster;               /* Needs a store of three servers. */
};

struct faults_row {
    const char *name;
    const struct faults_kind *kind;
    const char *point;          /* Where; see engine/fault.h. */
    bool after_grant;
};

/* faults-run.c */

/* One run.  What was found is in 'json', whether or not it fails; after a
 * failure the arena is no good any more. */
int faults_run_once(struct arena *, const struct faults_row *,
                    unsigned int run, const char *folder, struct json *json,
                    struct err *);

/* May packets be lost in this row? */
bool faults_may_lose(const struct faults_row *);

/* Does the guest itself die in it? */
bool faults_ends_guest(const struct faults_row *);

/* faults-checks.c */

/* Summaries and promises of a row whose runs are in the document. */
void faults_check(struct document *, const struct faults_row *);

#endif /* bench/faults-private.h */
