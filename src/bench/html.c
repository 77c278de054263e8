#include <config.h>
#include "bench/html.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json-get.h"
#include "bench/document.h"
#include "bench/plot.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "sset.h"
#include "util.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8>\n"
    "<meta name=viewport content=\"width=device-width\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1c2a33; --soft: #70808a;\n"
    "  --paper: #fbfaf7; --line: #d9dcd8; --c0: #0b7a75; --c1: #d1603d;\n"
    "  --c2: #6a4c93; --bad: #b3261e; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ea;\n"
    "  --soft: #93a1a8; --paper: #14191c; --line: #313a3f; --c0: #45c2b9;\n"
    "  --c1: #f08e6c; --c2: #b79adf; --bad: #f2867d; } }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink);\n"
    "  background: var(--paper); max-width: 68rem; margin: 2rem auto;\n"
    "  padding: 0 1rem; }\n"
    "h1 { font-weight: 600; margin-bottom: 0; }\n"
    "h2 { font-weight: 600; margin-top: 2.2rem; }\n"
    "p, .soft { color: var(--soft); }\n"
    "table { border-collapse: collapse; font-variant-numeric:\n"
    "  tabular-nums; }\n"
    "th, td { padding: .15rem .8rem .15rem 0; text-align: left;\n"
    "  border-bottom: 1px solid var(--line); }\n"
    "td.n { text-align: right; }\n"
    ".bad { color: var(--bad); font-weight: 600; }\n"
    ".plots { display: grid; gap: 1rem;\n"
    "  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }\n"
    "svg { width: 100%; height: auto; }\n"
    "svg .grid { stroke: var(--line); }\n"
    "svg text { fill: var(--soft); font-size: 11px; }\n"
    "svg .title { fill: var(--ink); font-size: 12px; }\n"
    "svg .tick { text-anchor: end; }\n"
    "circle { opacity: .8; } .s0 { fill: var(--c0); color: var(--c0); }\n"
    ".s1 { fill: var(--c1); color: var(--c1); }\n"
    ".s2 { fill: var(--c2); color: var(--c2); }\n"
    "</style>\n";

/* What is drawn of each row that has it. */
static const struct {
    const char *figure, *title, *unit;
} plots[] = {
    { "lost", "Lost in the window", "probes" },
    { "gap_ms", "Longest gap between answers", "ms" },
    { "blackout_ms", "Guest stopped", "ms" },
    { "net_after_ms", "RESUME to the first answered probe", "ms" },
    { "stall_ms", "Longest stall of the download", "ms" },
};

static const char *const schemes[] = { "watari", "l2" };

/* What others measured or published; docs/benchmarks.md says where. */
static const struct {
    const char *who, *lost, *outage;
} published[] = {
    { "S3 (published), plain L2 outage", "", "146 ms" },
    { "S3 (published), handover within a site", "", "27 ms more" },
    { "S3 (published), handover to a remote site",
      "about 17 pings, one each 10 ms", "63 ms more" },
    { "OVN 23.03, multichassis and RARP (1 ms probes)", "9", "" },
    { "OVN 23.03, port bound after the move; database near / 20 ms away",
      "18.5 / 97.5", "" },
    { "reactive central controller near / 20 ms away", "12.5 / 54", "" },
};

static void
put_escaped(struct ds *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            ds_put_cstr(out, "&lt;");
            break;
        case '>':
            ds_put_cstr(out, "&gt;");
            break;
        case '&':
            ds_put_cstr(out, "&amp;");
            break;
        case '"':
            ds_put_cstr(out, "&quot;");
            break;
        default:
            ds_put_char(out, *text);
        }
    }
}

/* A cell of a table. */
static void
put_cell(struct ds *out, const struct json *object, const char *name)
{
    const char *text = json_get_string(object, name);
    double number = json_get_number(object, name, NAN);

    if (text) {
        ds_put_cstr(out, "<td>");
        put_escaped(out, text);
    } else if (!isnan(number)) {
        ds_put_format(out, "<td class=n>%.10g", number);
    } else {
        ds_put_cstr(out, "<td>");
    }
}

static void
put_table(struct ds *out, const struct json *objects,
          const char *const columns[], size_t n_columns)
{
    ds_put_cstr(out, "<table>\n<tr>");
    for (size_t i = 0; i < n_columns; i++) {
        ds_put_format(out, "<th>%s", columns[i]);
    }
    for (size_t i = 0; i < json_length(objects); i++) {
        ds_put_cstr(out, "\n<tr>");
        for (size_t j = 0; j < n_columns; j++) {
            put_cell(out, json_at(objects, i), columns[j]);
        }
    }
    ds_put_cstr(out, "\n</table>\n");
}

static void
put_checks(struct ds *out, const struct document *d)
{
    ds_put_cstr(out, "<h2>What was promised</h2>\n<table>\n<tr><th>check"
                "<th>value<th>unit<th>promise<th>\n");
    for (size_t i = 0; i < json_length(d->checks); i++) {
        const struct json *check = json_at(d->checks, i);
        const char *relation = json_get_string(check, "relation");

        ds_put_cstr(out, "<tr>");
        put_cell(out, check, "name");
        put_cell(out, check, "value");
        put_cell(out, check, "unit");
        ds_put_cstr(out, "<td>");
        put_escaped(out, relation ? relation : "");
        ds_put_format(out, " %.10g", json_get_number(check, "bar", NAN));
        ds_put_cstr(out, json_get_bool(check, "ok") ? "<td>ok\n"
                    : "<td class=bad>not kept\n");
    }
    ds_put_cstr(out, "</table>\n");
}

/* The values of a figure in all runs of a row, by scheme.  Returns how many
 * there are. */
static size_t
collect(const struct document *d, const char *row, const char *scheme,
        const char *figure, double *values, size_t *n)
{
    size_t known = 0;

    *n = 0;
    for (size_t i = 0; i < json_length(d->rows); i++) {
        const struct json *r = json_at(d->rows, i);
        const char *name = json_get_string(r, "row");
        const char *its = json_get_string(r, "scheme");

        if (name && its && !strcmp(name, row) && !strcmp(its, scheme)) {
            values[*n] = json_get_number(r, figure, NAN);
            known += !isnan(values[(*n)++]);
        }
    }
    return known;
}

static void
put_plots_of(struct ds *out, const struct document *d, const char *row)
{
    size_t max = json_length(d->rows);

    ds_put_cstr(out, "<h2>");
    put_escaped(out, row);
    ds_put_cstr(out, "</h2>\n<p>");
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        ds_put_format(out, "<span class=s%"PRIuSIZE">&#9679; %s</span> ", i,
                      schemes[i]);
    }
    ds_put_cstr(out, "\n<div class=plots>\n");
    for (size_t i = 0; i < ARRAY_SIZE(plots); i++) {
        double *values = xcalloc(ARRAY_SIZE(schemes) * max, sizeof *values);
        struct plot plot = { plots[i].title, plots[i].unit, { { 0 } },
                             ARRAY_SIZE(schemes) };
        size_t known = 0;

        for (size_t j = 0; j < ARRAY_SIZE(schemes); j++) {
            struct plot_series *s = &plot.series[j];

            s->name = schemes[j];
            s->values = values + j * max;
            known += collect(d, row, schemes[j], plots[i].figure,
                             values + j * max, &s->n);
        }
        if (known) {
            ds_put_cstr(out, "<div>");
            plot_format(&plot, out);
            ds_put_cstr(out, "</div>\n");
        }
        free(values);
    }
    ds_put_cstr(out, "</div>\n");
}

/* Plots of each row, in the order of measurement. */
static void
put_plots(struct ds *out, const struct document *d)
{
    struct sset seen = SSET_INITIALIZER(&seen);

    for (size_t i = 0; i < json_length(d->rows); i++) {
        const char *row = json_get_string(json_at(d->rows, i), "row");

        if (row && sset_add(&seen, row)) {
            put_plots_of(out, d, row);
        }
    }
    sset_destroy(&seen);
}

/* The median of a figure, from the summary. */
static double
median(const struct document *d, const char *row, const char *scheme,
       const char *figure)
{
    for (size_t i = 0; i < json_length(d->summary); i++) {
        const struct json *s = json_at(d->summary, i);

        if (!strcmp(json_get_string(s, "row"), row)
            && !strcmp(json_get_string(s, "scheme"), scheme)
            && !strcmp(json_get_string(s, "figure"), figure)) {
            return json_get_number(s, "median", NAN);
        }
    }
    return NAN;
}

static void
put_ours(struct ds *out, const struct document *d, const char *who,
         const char *row, const char *scheme)
{
    double lost = median(d, row, scheme, "lost");
    double gap = median(d, row, scheme, "gap_ms");

    if (!isnan(gap)) {
        ds_put_format(out, "<tr><td>%s<td>%g of three correspondents"
                      "<td>%.1f ms\n", who, lost, gap);
    }
}

static void
put_published(struct ds *out, const struct document *d)
{
    ds_put_cstr(out, "<h2>Beside what others reach</h2>\n<p>Other machines, "
                "other guests, other probes: an order of magnitude, not a "
                "race. Ours are medians of a move; an emulated guest gives "
                "its first answer only after some 30 to 60 ms, in plain L2 "
                "too.</p>\n<table>\n<tr><th>scheme<th>lost<th>outage\n");
    put_ours(out, d, "plain L2, here", "near", "l2");
    put_ours(out, d, "Watari, near sites", "near", "watari");
    put_ours(out, d, "plain L2, the stream delayed as between far sites",
             "far", "l2");
    put_ours(out, d, "Watari, sites 50 ms apart one way", "far", "watari");
    for (size_t i = 0; i < ARRAY_SIZE(published); i++) {
        ds_put_format(out, "<tr><td>%s<td>%s<td>%s\n", published[i].who,
                      published[i].lost, published[i].outage);
    }
    ds_put_cstr(out, "</table>\n");
}

void
html_format(const struct document *d, struct ds *out)
{
    static const char *const columns[] = {
        "row", "scheme", "figure", "n", "median", "p99", "max", "total",
        "low", "high", "unit"
    };
    char *machine = json_to_string(d->machine, JSSF_SORT);

    ds_put_cstr(out, head);
    ds_put_format(out, "<title>watari bench %s</title>\n<h1>watari bench "
                  "%s</h1>\n<p>", d->bench, d->bench);
    put_escaped(out, machine);
    free(machine);
    put_checks(out, d);
    put_plots(out, d);
    put_published(out, d);
    ds_put_cstr(out, "<h2>In numbers</h2>\n");
    put_table(out, d->summary, columns, ARRAY_SIZE(columns));
    ds_put_cstr(out, "<p>low and high: 95 % interval of the median of the "
                "paired differences, by bootstrap.</p>\n</html>\n");
}

int
html_save(const struct document *d, const char *path, struct err *err)
{
    struct ds page = DS_EMPTY_INITIALIZER;
    char *draft = xasprintf("%s.new", path);
    FILE *file = fopen(draft, "w");
    int error = file ? 0 : errno;

    html_format(d, &page);
    if (file) {
        if (fwrite(page.string, 1, page.length, file) != page.length) {
            error = errno;
        }
        if (fclose(file) && !error) {
            error = errno;
        }
    }
    if (!error && rename(draft, path)) {
        error = errno;
    }
    if (error) {
        unlink(draft);
        err_set(err, error, "%s: %s", path, ovs_strerror(error));
    }
    free(draft);
    ds_destroy(&page);
    return error;
}
