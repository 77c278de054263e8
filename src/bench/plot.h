#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H 1

/* Plots as inline SVG: a figure of each run, a point each, a colour for each
 * scheme.  Pure. */

#include <stddef.h>

struct ds;

#define PLOT_MAX_SERIES 4

struct plot_series {
    const char *name;
    const double *values;       /* By run; NAN: none. */
    size_t n;
};

struct plot {
    const char *title;
    const char *unit;
    struct plot_series series[PLOT_MAX_SERIES];
    size_t n_series;
};

/* Colours are those of the page's style: classes "s0", "s1", ... */
void plot_format(const struct plot *, struct ds *);

#endif /* bench/plot.h */
