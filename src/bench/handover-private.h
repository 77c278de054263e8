#ifndef BENCH_HANDOVER_PRIVATE_H
#define BENCH_HANDOVER_PRIVATE_H 1

/* What the files of the handover benchmark share. */

#include "base/err.h"
#include "base/progress.h"
#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/child.h"
#include "bench/document.h"
#include "bench/l2.h"
#include "bench/watch.h"

struct handover {
    const struct bench_options *options;
    struct document *document;
    struct progress *progress;
    const char *folder;         /* For everything that is written. */

    struct arena *arena;        /* Null: none is up. */
    const char *arena_lab;      /* Its name. */
    struct child arena_echo;    /* Whom its guest asks. */

    struct l2 *l2;              /* Null: none is up. */
    struct child l2_echo;
};

/* One row of the benchmark: measurements of one kind. */
struct handover_row {
    const char *name;
    const char *text;           /* What is being done, for progress. */
    const char *lab;            /* Which lab it needs; null: none. */
    double delay_ms;            /* Of each of the lab's links. */
    unsigned int runs, quick_runs;
    bool optional;              /* Only if it is asked for. */
    int (*run)(struct handover *, const struct handover_row *,
               unsigned int runs, struct err *);
};

#define SCHEME_OURS "watari"
#define SCHEME_L2 "l2"
#define SCHEME_NO_TLS "no-tls"  /* Ours without, beside ours with it. */

/* handover.c */

/* A new object in the document's rows. */
struct json *handover_add_row(struct handover *, const char *row,
                              const char *scheme, unsigned int run);

/* The plain L2 pair, on the lab's hosts if there is a lab, up and
 * answering. */
int handover_need_l2(struct handover *, struct err *);

/* Brings 'row's lab up as the arena. */
int handover_bring_up(struct handover *, const struct handover_row *,
                      bool tls, struct err *);
void handover_take_down(struct handover *, bool keep);

/* Removes the L2 pair, if there is one. */
void handover_end_l2(struct handover *);

/* Where to watch from.  If everything is to be kept, each run's records get
 * a folder of their own. */
void handover_arena_place(struct handover *, const char *row,
                          const char *scheme, unsigned int run,
                          struct watch_place *);
void handover_l2_place(struct handover *, const char *row, unsigned int run,
                       struct watch_place *);

/* handover-moves.c */

/* What a move of the lab's VM came to, into 'row'. */
int handover_put_migration(const struct json *migration, struct json *row,
                           struct move_times *, bool *completed,
                           struct err *);

/* Moves the lab's VM to where it is not: between the first two hosts. */
int handover_move(struct handover *, const struct move_limits *,
                  struct json *row, struct move_times *, bool *completed,
                  struct err *);

/* As handover_move(), under probes, with a row of its own. */
int handover_measure(struct handover *, const char *row, const char *scheme,
                     unsigned int run, const struct move_limits *,
                     bool *completed, struct err *);

/* Counts moves that failed in a row; EIO if they are no accident. */
int handover_count_failures(bool completed, unsigned int *failures,
                            struct err *);

int handover_run_moves(struct handover *, const struct handover_row *,
                       unsigned int runs, struct err *);
int handover_run_dirty(struct handover *, const struct handover_row *,
                       unsigned int runs, struct err *);
int handover_run_l2(struct handover *, const struct handover_row *,
                    unsigned int runs, struct err *);

/* handover-tls.c */
int handover_run_tls(struct handover *, const struct handover_row *,
                     unsigned int runs, struct err *);

/* handover-tcp.c */
int handover_run_tcp(struct handover *, const struct handover_row *,
                     unsigned int runs, struct err *);

/* handover-faults.c */
int handover_run_cancel(struct handover *, const struct handover_row *,
                        unsigned int runs, struct err *);
int handover_run_kill(struct handover *, const struct handover_row *,
                      unsigned int runs, struct err *);
int handover_run_restart(struct handover *, const struct handover_row *,
                         unsigned int runs, struct err *);

/* handover-checks.c */

/* Summaries and promises of a row whose measurements are in the document. */
void handover_check(struct document *, const struct handover_row *);

#endif /* bench/handover-private.h */
