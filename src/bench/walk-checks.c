#include <config.h>
#include "bench/walk-private.h"

#include <stdio.h>

#include "base/json-get.h"
#include "bench/series.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* Names of checks are walk.FIGURE; docs/benchmarks.md lists them. */

/* Of each round. */
static const struct {
    const char *figure, *unit;
} promises[] = {
    { "lost_vms", "VMs" },
    { "double", "times" },
    { "tcp_resets", "connections" },
    { "unfinished", "moves" },
    { "misplaced", "VMs" },
    { "silent", "VMs" },
    { "restless", "agents" },
    { "crashes", "parts" },
};

bool
walk_is_good(const struct json *row)
{
    for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
        if (json_get_number(row, promises[i].figure, 1)) {
            return false;
        }
    }
    return !json_get(row, "failure");
}

/* A round that ended before it could be looked at counts as one of each. */
static double
count(const struct document *d, const char *figure)
{
    double n = 0;

    for (size_t i = 0; i < json_length(d->rows); i++) {
        n += json_get_number(json_at(d->rows, i), figure, 1);
    }
    return n;
}

/* Connections are looked at only once, at the end of a lab. */
static void
check_connections(struct document *d)
{
    static const char name[] = "walk.tcp_silent", figure[] = "tcp_silent";

    if (series_has(d, "walk", WALK_SCHEME, figure)) {
        document_check(d, name, series_sum(d, "walk", WALK_SCHEME, figure),
                       "connections", "==", 0);
    } else {
        document_check_missing(d, name, "connections", "==", 0,
                               "it was not measured");
    }
}

void
walk_check(struct document *d)
{
    static const struct series_figure figures[] = {
        { "ms", "ms", false },
        { "samples", "samples", true },
        { "sample_gap_ms", "ms", false },
        { "completed", "moves", true },
        { "rolled_back", "moves", true },
        { "failed", "moves", true },
        { "stuck", "moves", true },
        { "sent", "probes", true },
        { "lost", "probes", true },
        { "duplicated", "probes", true },
    };

    series_summarize(d, "walk", WALK_SCHEME, figures, ARRAY_SIZE(figures));
    for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
        char name[64];

        snprintf(name, sizeof name, "walk.%s", promises[i].figure);
        if (json_length(d->rows)) {
            document_check(d, name, count(d, promises[i].figure),
                           promises[i].unit, "==", 0);
        } else {
            document_check_missing(d, name, promises[i].unit, "==", 0,
                                   "no round was begun");
        }
    }
    check_connections(d);
}
