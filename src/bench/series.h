#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H 1

/* Figures of a document's rows, as series of numbers.  Pure. */

#include <stdbool.h>
#include <stddef.h>

struct document;

/* A figure of all runs of a row, in their order. */
struct series {
    double *values;             /* The caller's, to free. */
    size_t n;
};

/* NAN where a run lacks it. */
struct series series_collect(const struct document *, const char *row,
                             const char *scheme, const char *figure);

/* Drops what is missing. */
void series_compress(struct series *);

struct series series_collect_known(const struct document *, const char *row,
                                   const char *scheme, const char *figure);

/* Of what is known. */
double series_sum(const struct document *, const char *row,
                  const char *scheme, const char *figure);
bool series_has(const struct document *, const char *row, const char *scheme,
                const char *figure);

struct series_figure {
    const char *name, *unit;
    bool is_count;              /* There is a total. */
};

/* Adds to the document's summary those of the figures that there are. */
void series_summarize(struct document *, const char *row, const char *scheme,
                      const struct series_figure *, size_t n);

#endif /* bench/series.h */
