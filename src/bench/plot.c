#include <config.h>
#include "bench/plot.h"

#include <math.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

#define WIDTH 420
#define HEIGHT 200
#define LEFT 48
#define RIGHT 10
#define TOP 26
#define BOTTOM 26
#define MAX_TICKS 5

/* The span of values, and what the axis shows of it. */
struct axis {
    double low, high, step;
};

static struct axis
choose_axis(const struct plot *plot)
{
    double low = 0, high = 0;

    for (size_t i = 0; i < plot->n_series; i++) {
        for (size_t j = 0; j < plot->series[i].n; j++) {
            double value = plot->series[i].values[j];

            low = isnan(value) ? low : MIN(low, value);
            high = isnan(value) ? high : MAX(high, value);
        }
    }
    if (high - low < 1) {
        high = low + 1;
    }

    /* 1, 2 or 5 times a power of ten. */
    double step = pow(10, floor(log10((high - low) / MAX_TICKS)));
    while ((high - low) / step > MAX_TICKS) {
        double mantissa = step / pow(10, floor(log10(step) + 1e-9));
        step *= mantissa > 1.5 && mantissa < 3 ? 2.5 : 2;
    }
    return (struct axis) {
        floor(low / step) * step, ceil(high / step) * step, step
    };
}

static double
y_of(const struct axis *axis, double value)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (axis->high - value)
                 / (axis->high - axis->low);
}

static double
x_of(size_t run, size_t n_runs)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (run + .5) / n_runs;
}

static void
put_axis(const struct axis *axis, struct ds *out)
{
    for (double v = axis->low; v < axis->high + axis->step / 2;
         v += axis->step) {
        double y = y_of(axis, v);

        ds_put_format(out, "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f />"
                      "<text class=tick x=%d y=%.1f>%g</text>\n", LEFT,
                      WIDTH - RIGHT, y, y, LEFT - 6, y + 3.5,
                      fabs(v) < axis->step / 1000 ? 0 : v);
    }
}

static void
put_points(const struct plot *plot, const struct axis *axis, size_t n_runs,
           struct ds *out)
{
    for (size_t i = 0; i < plot->n_series; i++) {
        const struct plot_series *s = &plot->series[i];

        for (size_t j = 0; j < s->n; j++) {
            if (!isnan(s->values[j])) {
                ds_put_format(out, "<circle class=s%"PRIuSIZE" cx=%.1f "
                              "cy=%.1f r=3><title>%s, run %"PRIuSIZE": %g "
                              "%s</title></circle>\n", i, x_of(j, n_runs),
                              y_of(axis, s->values[j]), s->name, j + 1,
                              s->values[j], plot->unit);
            }
        }
    }
}

void
plot_format(const struct plot *plot, struct ds *out)
{
    struct axis axis = choose_axis(plot);
    size_t n_runs = 1;

    for (size_t i = 0; i < plot->n_series; i++) {
        n_runs = MAX(n_runs, plot->series[i].n);
    }
    ds_put_format(out, "<svg viewBox=\"0 0 %d %d\" role=img>\n"
                  "<text class=title x=%d y=14>%s, %s</text>\n", WIDTH,
                  HEIGHT, LEFT, plot->title, plot->unit);
    put_axis(&axis, out);
    put_points(plot, &axis, n_runs, out);
    ds_put_format(out, "<text class=tick x=%d y=%d>run 1 to %"PRIuSIZE
                  "</text>\n</svg>\n", WIDTH - RIGHT, HEIGHT - 8, n_runs);
}
