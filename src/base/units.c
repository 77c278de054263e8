#include <config.h>

#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARRAY_LEN(A) (sizeof (A) / sizeof (A)[0])

struct unit {
    const char *name;
    double factor;
};

static const struct unit sizes[] = {
    { "", 1 }, { "B", 1 },
    { "K", 0x1p10 }, { "KiB", 0x1p10 }, { "M", 0x1p20 }, { "MiB", 0x1p20 },
    { "G", 0x1p30 }, { "GiB", 0x1p30 }, { "T", 0x1p40 }, { "TiB", 0x1p40 },
};
static const struct unit durations[] = {
    { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "min", 60e6 },
};
static const struct unit rates[] = {
    { "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 },
};
static const struct unit percents[] = { { "%", 1e4 } };

/* Parses 'text' with one of the 'n' 'units' into '*value', at most 'max'. */
static int
parse(const char *text, const struct unit *units, size_t n, double max,
      const char *expected, uint64_t *value, struct err *err)
{
    char *end;

    /* strtod() would also take "inf", "nan", "0x1p3" and " 1". */
    size_t digits = strspn(text, "0123456789.");
    double number = strtod(text, &end);
    if (!digits || end != text + digits || !isdigit((unsigned char) *text)) {
        return err_set(err, EINVAL, "\"%.40s\" is not %s", text, expected);
    }
    if (*end == ' ') {
        end++;
    }
    for (size_t i = 0; i < n; i++) {
        bool zero = !*end && number == 0;
        if (zero || !strcasecmp(end, units[i].name)) {
            double result = zero ? 0 : number * units[i].factor;
            if (result > max) {
                return err_set(err, EINVAL, "\"%.40s\" is too much", text);
            }
            *value = llround(result);
            return 0;
        }
    }
    return err_set(err, EINVAL, "\"%.40s\" is not %s", text, expected);
}

int
units_parse_size(const char *text, uint64_t *bytes, struct err *err)
{
    return parse(text, sizes, ARRAY_LEN(sizes), 0x1p60,
                 "a size such as 256M", bytes, err);
}

int
units_parse_duration(const char *text, uint64_t *us, struct err *err)
{
    return parse(text, durations, ARRAY_LEN(durations), 0x1p50,
                 "a duration such as 5ms", us, err);
}

int
units_parse_rate(const char *text, uint64_t *bits, struct err *err)
{
    return parse(text, rates, ARRAY_LEN(rates), 0x1p50,
                 "a rate such as 100mbit", bits, err);
}

int
units_parse_percent(const char *text, uint64_t *ppm, struct err *err)
{
    return parse(text, percents, ARRAY_LEN(percents), 1e6,
                 "a percentage such as 0.1%", ppm, err);
}

char *
units_format_size(uint64_t bytes, char buf[UNITS_STRLEN])
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double value = bytes;
    size_t i = 0;

    while (value >= 1024 && i + 1 < ARRAY_LEN(names)) {
        value /= 1024;
        i++;
    }
    snprintf(buf, UNITS_STRLEN, "%.*f %s", i && value < 100, value,
             names[i]);
    return buf;
}

char *
units_format_ms(double ms, char buf[UNITS_STRLEN])
{
    if (ms >= 10e3) {
        snprintf(buf, UNITS_STRLEN, "%.1f s", ms / 1e3);
    } else {
        snprintf(buf, UNITS_STRLEN, "%.*f ms", ms < 100, ms);
    }
    return buf;
}
