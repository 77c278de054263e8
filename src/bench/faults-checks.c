#include <config.h>
#include "bench/faults-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/series.h"
#include "openvswitch/util.h"
#include "util.h"

/* Names of checks are ROW.FIGURE; docs/benchmarks.md lists them. */

/* A figure that must be 1 in every run; one without it counts as well. */
static void
check_all(struct document *d, const char *row, const char *name,
          const char *figure)
{
    struct series s = series_collect(d, row, FAULTS_SCHEME, figure);
    double n = series_sum(d, row, FAULTS_SCHEME, figure);
    char *full = xasprintf("%s.%s", row, name);

    document_check(d, full, n, "moves", "==", s.n);
    free(full);
    free(s.values);
}

/* A count that must be nought in all runs together. */
static void
check_none(struct document *d, const char *row, const char *figure)
{
    char *full = xasprintf("%s.%s", row, figure);

    if (series_has(d, row, FAULTS_SCHEME, figure)) {
        document_check(d, full, series_sum(d, row, FAULTS_SCHEME, figure),
                       "probes", "==", 0);
    } else {
        document_check_missing(d, full, "probes", "==", 0,
                               "it was not measured");
    }
    free(full);
}

/* A copy that is over at once is no phase that a fault could hit. */
static void
check_held(struct document *d, const char *row)
{
    struct series s = series_collect_known(d, row, FAULTS_SCHEME, "held_ms");
    char *full = xasprintf("%s.held_ms", row);
    double least = s.n ? s.values[0] : 0;

    for (size_t i = 1; i < s.n; i++) {
        least = MIN(least, s.values[i]);
    }
    document_check(d, full, least, "ms", ">=", FAULTS_COPY_MS);
    free(full);
    free(s.values);
}

static const struct series_figure figures[] = {
    { "held_ms", "ms", false },
    { "end_ms", "ms", false },
    { "blackout_ms", "ms", false },
    { "gap_ms", "ms", false },
    { "sent", "probes", true },
    { "lost", "probes", true },
    { "duplicated", "probes", true },
    { "outward_lost", "probes", true },
    { "switch_drops", "packets", true },
};

void
faults_check(struct document *d, const struct faults_row *row)
{
    series_summarize(d, row->name, FAULTS_SCHEME, figures,
                     ARRAY_SIZE(figures));
    check_all(d, row->name, "ended", "ended_well");
    check_all(d, row->name, "one_copy", "one_copy");
    if (strcmp(row->point, "copy")) {
        check_held(d, row->name);
    }
    check_none(d, row->name, "duplicated");
    if (!faults_may_lose(row)) {
        check_none(d, row->name, "lost");
        check_none(d, row->name, "outward_lost");
        check_none(d, row->name, "outward_duplicated");
    }
}
