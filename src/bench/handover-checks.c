#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/handover-private.h"
#include "bench/series.h"
#include "bench/stats.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* Names of checks are ROW.FIGURE; docs/benchmarks.md lists them. */

#define PER 10000.              /* What rare things are counted in. */
#define MAX_REORDERED 1.        /* In PER. */
#define MAX_DROPS 1.            /* In PER. */
#define MAX_EXCESS_MS 4.        /* Of blackout and gap, over plain L2. */
#define MAX_TLS_EXCESS_MS 2.    /* The same, over no TLS. */
#define FAR_ALLOWANCE_MS 10.    /* Besides the one-way delay. */
#define STALL_ALLOWANCE_MS 100. /* Besides the round trip. */
#define SEED 20230

static double
median(const struct document *d, const char *row, const char *scheme,
       const char *figure)
{
    struct series s = series_collect_known(d, row, scheme, figure);
    double value = stats_median(s.values, s.n);

    free(s.values);
    return value;
}

/* Where the median of (ours - another's) lies, run by run. */
static struct stats_interval
paired(const struct document *d, const char *row, const char *scheme,
       const char *figure)
{
    struct series ours = series_collect(d, row, SCHEME_OURS, figure);
    struct series other = series_collect(d, row, scheme, figure);

    ours.n = MIN(ours.n, other.n);
    for (size_t i = 0; i < ours.n; i++) {
        ours.values[i] -= other.values[i];      /* NAN if one is. */
    }
    series_compress(&ours);
    struct stats_interval interval = stats_bootstrap(ours.values, ours.n,
                                                     SEED);
    free(ours.values);
    free(other.values);
    return interval;
}

static void
check(struct document *d, const char *row, const char *figure, bool known,
      double value, const char *unit, const char *relation, double bar)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", row, figure);
    if (known) {
        document_check(d, name, value, unit, relation, bar);
    } else {
        document_check_missing(d, name, unit, relation, bar,
                               "it was not measured");
    }
}

/* A count that must be nought. */
static void
check_none(struct document *d, const char *row, const char *figure,
           const char *unit)
{
    check(d, row, figure, series_has(d, row, SCHEME_OURS, figure),
          series_sum(d, row, SCHEME_OURS, figure), unit, "==", 0);
}

/* A count in PER packets. */
static void
check_rare(struct document *d, const char *row, const char *figure,
           const char *of, const char *relation, double bar)
{
    double n = series_sum(d, row, SCHEME_OURS, of);
    bool known = n > 0 && series_has(d, row, SCHEME_OURS, figure);

    check(d, row, figure, known,
          known ? series_sum(d, row, SCHEME_OURS, figure) * PER / n : 0,
          "per 10,000", relation, bar);
}

static void
check_completed(struct document *d, const char *row)
{
    size_t n_rows = json_length(d->rows), n = 0, failed = 0;

    for (size_t i = 0; i < n_rows; i++) {
        const struct json *r = json_at(d->rows, i);
        const char *result = json_get_string(r, "result");

        if (!strcmp(json_get_string(r, "row"), row)
            && !strcmp(json_get_string(r, "scheme"), SCHEME_OURS)) {
            n++;
            failed += !result || strcmp(result, "completed");
        }
    }
    check(d, row, "failed", n > 0, failed, "moves", "==", 0);
}

static void
check_probes(struct document *d, const char *row)
{
    check_none(d, row, "lost", "probes");
    check_none(d, row, "duplicated", "probes");
    check_none(d, row, "outward_lost", "probes");
    check_none(d, row, "outward_duplicated", "probes");
}

/* What all rows of moves under probes promise. */
static void
check_moves(struct document *d, const char *row)
{
    check_completed(d, row);
    check_probes(d, row);
    check_none(d, row, "lost_outside", "probes");
    check_none(d, row, "duplicated_outside", "probes");
    check_rare(d, row, "reordered", "sent", "<=", MAX_REORDERED);
    check_rare(d, row, "switch_drops", "sent_all", "<", MAX_DROPS);
}

static void
check_near(struct document *d, const struct handover_row *row)
{
    const char *name = row->name;
    bool known = series_has(d, name, SCHEME_OURS, "blackout_ms")
                 && series_has(d, name, SCHEME_L2, "blackout_ms");

    check_moves(d, name);
    check(d, name, "net_after_ms", known,
          median(d, name, SCHEME_OURS, "net_after_ms"), "ms", "<=",
          median(d, name, SCHEME_L2, "net_after_ms"));
    check(d, name, "blackout_excess_ms", known,
          paired(d, name, SCHEME_L2, "blackout_ms").low, "ms", "<=",
          MAX_EXCESS_MS);
    check(d, name, "gap_excess_ms", known,
          paired(d, name, SCHEME_L2, "gap_ms").low, "ms", "<=",
          MAX_EXCESS_MS);
}

static void
check_tls(struct document *d, const struct handover_row *row)
{
    const char *name = row->name;
    bool known = series_has(d, name, SCHEME_OURS, "blackout_ms")
                 && series_has(d, name, SCHEME_NO_TLS, "blackout_ms");

    check_moves(d, name);
    check(d, name, "blackout_excess_ms", known,
          paired(d, name, SCHEME_NO_TLS, "blackout_ms").low, "ms", "<=",
          MAX_TLS_EXCESS_MS);
    check(d, name, "gap_excess_ms", known,
          paired(d, name, SCHEME_NO_TLS, "gap_ms").low, "ms", "<=",
          MAX_TLS_EXCESS_MS);
}

static void
check_far(struct document *d, const struct handover_row *row)
{
    const char *name = row->name;
    bool known = series_has(d, name, SCHEME_OURS, "gap_beyond_ms")
                 && series_has(d, name, SCHEME_L2, "gap_beyond_ms");

    check_moves(d, name);
    check(d, name, "gap_beyond_ms", known,
          median(d, name, SCHEME_OURS, "gap_beyond_ms"), "ms", "<=",
          median(d, name, SCHEME_L2, "gap_beyond_ms") + 2 * row->delay_ms
          + FAR_ALLOWANCE_MS);
}

static void
check_tcp(struct document *d, const struct handover_row *row)
{
    const char *name = row->name;

    check_completed(d, name);
    check_none(d, name, "resets", "connections");
    check_none(d, name, "retransmitted", "segments");
    check(d, name, "stall_ms", series_has(d, name, SCHEME_OURS, "stall_ms"),
          median(d, name, SCHEME_OURS, "stall_ms"), "ms", "<=",
          median(d, name, "whole", "rtt_ms") + STALL_ALLOWANCE_MS);
}

static void
check_dirty(struct document *d, const struct handover_row *row)
{
    check_moves(d, row->name);
}

/* Each run must have ended where it began. */
static void
check_fault(struct document *d, const struct handover_row *row)
{
    struct series s = series_collect(d, row->name, SCHEME_OURS, "rolled_back");
    double back = series_sum(d, row->name, SCHEME_OURS, "rolled_back");

    check(d, row->name, "rolled_back", s.n > 0, back, "moves", "==", s.n);
    check_probes(d, row->name);
    free(s.values);
}

static void
check_restart(struct document *d, const struct handover_row *row)
{
    check_probes(d, row->name);
}

static void
check_nothing(struct document *d, const struct handover_row *row)
{
}

static const struct {
    const char *row;
    void (*check)(struct document *, const struct handover_row *);
} promises[] = {
    { "near", check_near },
    { "tls", check_tls },
    { "far", check_far },
    { "tcp", check_tcp },
    { "dirty", check_dirty },
    { "cancel", check_fault },
    { "kill", check_fault },
    { "restart", check_restart },
    { "l2", check_nothing },
};

/* Figures that are sums, or differences, of others of the same run. */
static void
derive(struct document *d, const char *name)
{
    for (size_t i = 0; i < json_length(d->rows); i++) {
        struct json *r = CONST_CAST(struct json *, json_at(d->rows, i));
        double gap = json_get_number(r, "gap_ms", NAN);
        double blackout = json_get_number(r, "blackout_ms", NAN);
        double sent = json_get_number(r, "sent", NAN);

        if (strcmp(json_get_string(r, "row"), name)) {
            continue;
        }
        if (!isnan(gap) && !isnan(blackout)) {
            document_put_number(r, "gap_beyond_ms", gap - blackout);
        }
        if (!isnan(sent)) {
            document_put_number(r, "sent_all", sent
                                + json_get_number(r, "sent_outside", 0)
                                + json_get_number(r, "outward_sent", 0));
        }
    }
}

/* What the summaries show. */
static const struct series_figure figures[] = {
    { "sent", "probes", true },
    { "lost", "probes", true },
    { "lost_outside", "probes", true },
    { "duplicated", "probes", true },
    { "reordered", "probes", true },
    { "outward_lost", "probes", true },
    { "switch_drops", "packets", true },
    { "blackout_ms", "ms", false },
    { "gap_ms", "ms", false },
    { "gap_beyond_ms", "ms", false },
    { "net_after_ms", "ms", false },
    { "copy_gap_ms", "ms", false },
    { "total_ms", "ms", false },
    { "copy_mb_per_s", "MiB/s", false },
    { "load_mb_per_s", "MiB/s", false },
    { "stall_ms", "ms", false },
    { "rtt_ms", "ms", false },
    { "retransmitted", "segments", true },
    { "relayed_packets", "packets", true },
    { "fences_missed", "fences", true },
};

/* Of how our figures differ from another scheme's. */
static void
summarize_difference(struct document *d, const char *row, const char *scheme,
                     const char *figure)
{
    struct series other = series_collect_known(d, row, scheme, figure);

    if (other.n) {
        struct stats_interval interval = paired(d, row, scheme, figure);
        struct json *json = json_object_create();
        char *schemes = xasprintf(SCHEME_OURS " - %s", scheme);

        json_object_put_string(json, "row", row);
        json_object_put_string(json, "scheme", schemes);
        free(schemes);
        json_object_put_string(json, "figure", figure);
        json_object_put_string(json, "unit", "ms");
        json_object_put(json, "n", json_integer_create(other.n));
        document_put_number(json, "low", interval.low);
        document_put_number(json, "high", interval.high);
        json_array_add(d->summary, json);
    }
    free(other.values);
}

void
handover_check(struct document *d, const struct handover_row *row)
{
    static const char *const others[] = { SCHEME_L2, SCHEME_NO_TLS };

    derive(d, row->name);
    series_summarize(d, row->name, SCHEME_OURS, figures, ARRAY_SIZE(figures));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        series_summarize(d, row->name, others[i], figures,
                         ARRAY_SIZE(figures));
    }
    series_summarize(d, row->name, "whole", figures, ARRAY_SIZE(figures));
    for (size_t i = 0; i < ARRAY_SIZE(others)
                       && series_has(d, row->name, SCHEME_OURS, "sent"); i++) {
        summarize_difference(d, row->name, others[i], "blackout_ms");
        summarize_difference(d, row->name, others[i], "gap_ms");
    }
    for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
        if (!strcmp(promises[i].row, row->name)) {
            promises[i].check(d, row);
        }
    }
}
