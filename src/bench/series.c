#include <config.h>
#include "bench/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/document.h"
#include "bench/stats.h"
#include "openvswitch/json.h"
#include "util.h"

struct series
series_collect(const struct document *d, const char *row, const char *scheme,
               const char *figure)
{
    size_t n_rows = json_length(d->rows);
    struct series s = { xcalloc(n_rows + 1, sizeof *s.values), 0 };

    for (size_t i = 0; i < n_rows; i++) {
        const struct json *r = json_at(d->rows, i);

        if (!strcmp(json_get_string(r, "row"), row)
            && !strcmp(json_get_string(r, "scheme"), scheme)) {
            s.values[s.n++] = json_get_number(r, figure, NAN);
        }
    }
    return s;
}

void
series_compress(struct series *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (!isnan(s->values[i])) {
            s->values[n++] = s->values[i];
        }
    }
    s->n = n;
}

struct series
series_collect_known(const struct document *d, const char *row,
                     const char *scheme, const char *figure)
{
    struct series s = series_collect(d, row, scheme, figure);

    series_compress(&s);
    return s;
}

double
series_sum(const struct document *d, const char *row, const char *scheme,
           const char *figure)
{
    struct series s = series_collect_known(d, row, scheme, figure);
    double total = 0;

    for (size_t i = 0; i < s.n; i++) {
        total += s.values[i];
    }
    free(s.values);
    return total;
}

bool
series_has(const struct document *d, const char *row, const char *scheme,
           const char *figure)
{
    struct series s = series_collect_known(d, row, scheme, figure);

    free(s.values);
    return s.n > 0;
}

static void
summarize_one(struct document *d, const char *row, const char *scheme,
              const struct series_figure *f)
{
    struct series s = series_collect_known(d, row, scheme, f->name);

    if (s.n) {
        struct json *json = json_object_create();

        json_object_put_string(json, "row", row);
        json_object_put_string(json, "scheme", scheme);
        json_object_put_string(json, "figure", f->name);
        json_object_put_string(json, "unit", f->unit);
        json_object_put(json, "n", json_integer_create(s.n));
        document_put_number(json, "median", stats_median(s.values, s.n));
        document_put_number(json, "p99",
                            stats_percentile(s.values, s.n, .99));
        document_put_number(json, "max", stats_max(s.values, s.n));
        if (f->is_count) {
            document_put_number(json, "total",
                                series_sum(d, row, scheme, f->name));
        }
        json_array_add(d->summary, json);
    }
    free(s.values);
}

void
series_summarize(struct document *d, const char *row, const char *scheme,
                 const struct series_figure *figures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        summarize_one(d, row, scheme, &figures[i]);
    }
}
