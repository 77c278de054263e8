#ifndef PROBE_ANALYSIS_H
#define PROBE_ANALYSIS_H 1

/* What a record says about a window of time.  Pure.
 *
 * A window [t0, t1) is cut to the time in which the record was made, so that
 * the silence before the first and after the last request is no gap. */

#include <stdbool.h>
#include <stdint.h>

#include "probe/record.h"

/* About requests that left in the window, and their answers. */
struct analysis_probes {
    uint64_t sent;
    uint64_t answered;          /* At least once. */
    uint64_t lost;              /* Never answered in the whole record. */
    uint64_t duplicated;        /* Answers beyond the first. */
    uint64_t reordered;         /* First answers that came after the answer
                                 * to a later request (as in RFC 4737). */
    int64_t first_lost;         /* When the first and the last lost request
                                 * left; 0 if none was lost. */
    int64_t last_lost;
    int64_t rtt_min, rtt_p50, rtt_p99, rtt_max; /* ns, of first answers. */

    /* The longest time without any answer in the window, and when it began.
     * The window's ends bound gaps: what lies outside does not count. */
    int64_t gap, gap_from;
};

/* Returns 0 or ENOMEM. */
int analysis_probes(const struct record *, int64_t t0, int64_t t1,
                    struct analysis_probes *, struct err *);

/* The first request sent at 't' or later that was answered. */
struct analysis_first {
    uint64_t seq;
    int64_t tx, rx;
};

/* Returns false if there is none. */
bool analysis_first_answered(const struct record *, int64_t t,
                             struct analysis_first *);

/* About a download in the window. */
struct analysis_download {
    uint64_t bytes;
    uint64_t retrans;           /* Segments that the sender repeated. */
    uint64_t out_of_order;
    int64_t stall, stall_from;  /* The longest time without a byte. */
    bool broken;                /* The connection ended before 't1'. */
};

void analysis_download(const struct record *, int64_t t0, int64_t t1,
                       struct analysis_download *);

#endif /* probe/analysis.h */
