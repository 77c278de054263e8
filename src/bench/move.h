#ifndef BENCH_MOVE_H
#define BENCH_MOVE_H 1

/* What probes saw of a move.  Pure.
 *
 *          began          STOP     RESUME
 *      ------|--------------|---------|--------------------->
 *      ---------- record of a probe, 1 ms steps -------------
 *                         |--- window --------------|
 *                    STOP - 5 ms              RESUME + 500 ms
 *
 * Losses, order and gaps count in the window.  What is lost or late outside
 * is reported apart: an emulated guest stalls now and then while its memory
 * is copied, whoever moves it. */

#include <stdint.h>

#include "base/err.h"

struct json;
struct record;

#define MOVE_BEFORE_NS INT64_C(5000000)
#define MOVE_AFTER_NS INT64_C(500000000)

struct move_limits {
    uint64_t bandwidth;         /* Bytes a second; 0: no limit. */
    unsigned int downtime_ms;   /* 0: 5, as agents have it. */
};

/* Monotonic, in ns. */
struct move_times {
    int64_t began, stopped, resumed, ended;
    uint64_t bytes;             /* Of memory that were sent. */
};

/* The sum or the worst of all probes of a move. */
struct move_figures {
    uint64_t sent, lost, duplicated, reordered;         /* In the window. */
    uint64_t sent_outside, lost_outside, duplicated_outside;
    uint64_t reordered_outside;
    double gap_ms;              /* The longest in the window. */
    double net_after_ms;        /* From RESUME to the sending of the first
                                 * request after STOP that was answered:
                                 * negative if that was before RESUME. */
    double copy_gap_ms;         /* The longest before the window. */

    /* When the first and the last probe left that was lost, in the window or
     * outside, after STOP; NAN if none was. */
    double first_lost_ms, last_lost_ms;
};

/* What one probe's record says. */
int move_analyse(const struct record *, const struct move_times *,
                 struct move_figures *, struct err *);

/* Adds what another probe saw: counts are summed up, times are the worse. */
void move_merge(struct move_figures *, const struct move_figures *);

/* Puts the figures into 'row'. */
void move_put(struct json *row, const struct move_figures *);
void move_put_times(struct json *row, const struct move_times *);

#endif /* bench/move.h */
