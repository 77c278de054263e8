#include "wire/shaper.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row for each key of a spec. */
struct unit {
    const char *name;
    double factor;
};

struct key {
    const char *name;
    const struct unit *units;   /* The last has no name. */
    double max;                 /* After multiplication. */
    void (*set)(struct shape *, double value);
    const char *example;
};

static const struct unit time_units[] = {
    { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 },
};
static const struct unit loss_units[] = { { "%", 1e4 }, { NULL, 0 } };
static const struct unit rate_units[] = {
    { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { NULL, 0 },
};
static const struct unit byte_units[] = { { "", 1 }, { NULL, 0 } };

static void
set_delay(struct shape *shape, double value)
{
    shape->delay = value;
}

static void
set_jitter(struct shape *shape, double value)
{
    shape->jitter = value;
}

static void
set_loss(struct shape *shape, double value)
{
    shape->loss_ppm = value;
}

static void
set_rate(struct shape *shape, double value)
{
    shape->rate = value;
}

static void
set_queue(struct shape *shape, double value)
{
    shape->queue = value;
}

static const struct key keys[] = {
    { "delay", time_units, SHAPE_MAX_DELAY_NS, set_delay, "delay=5ms" },
    { "jitter", time_units, SHAPE_MAX_DELAY_NS, set_jitter, "jitter=1ms" },
    { "loss", loss_units, 1e6, set_loss, "loss=0.1%" },
    { "rate", rate_units, SHAPE_MAX_RATE, set_rate, "rate=1gbit" },
    { "queue", byte_units, SHAPE_MAX_QUEUE, set_queue, "queue=1000000" },
};
enum { N_KEYS = sizeof keys / sizeof keys[0] };

static int
parse_value(const struct key *key, const char *text, struct shape *shape,
            struct err *err)
{
    /* strtod() also takes blanks, signs, hexadecimal and "nan". */
    if (strspn(text, "0123456789.") == 0 || strpbrk(text, "xXpP")) {
        return err_set(err, EINVAL, "\"%s\" is not a number, as in \"%s\"",
                       text, key->example);
    }

    char *unit;
    double number = strtod(text, &unit);
    for (const struct unit *u = key->units; u->name; u++) {
        /* Zero means the same in every unit. */
        if (!strcmp(unit, u->name) || (number == 0 && !*unit)) {
            double value = round(number * u->factor);

            if (value > key->max) {
                return err_set(err, EINVAL, "\"%s\" is too large a %s",
                               text, key->name);
            }
            key->set(shape, value);
            return 0;
        }
    }
    return err_set(err, EINVAL, "\"%s\" has no known unit, as in \"%s\"",
                   text, key->example);
}

static const struct key *
find_key(const char *text, size_t len)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strlen(keys[i].name) == len
            && !memcmp(keys[i].name, text, len)) {
            return &keys[i];
        }
    }
    return NULL;
}

int
shape_parse(const char *spec, struct shape *shape, struct err *err)
{
    struct shape new = SHAPE_INIT;
    unsigned int seen = 0;

    for (const char *p = spec; *p;) {
        char value[32];
        size_t len = strcspn(p, ",");
        size_t name_len = strcspn(p, "=,");
        const struct key *key = find_key(p, name_len);

        if (!key || p[name_len] != '=') {
            return err_set(err, EINVAL, "\"%.*s\" is not one of delay=, "
                           "jitter=, loss=, rate=, queue=", (int) len, p);
        }
        if (seen & (1u << (key - keys))) {
            return err_set(err, EINVAL, "%s is given twice", key->name);
        }
        seen |= 1u << (key - keys);

        size_t value_len = len - name_len - 1;
        if (value_len >= sizeof value) {
            return err_set(err, EINVAL, "the %s is too long", key->name);
        }
        memcpy(value, p + name_len + 1, value_len);
        value[value_len] = '\0';
        int error = parse_value(key, value, &new, err);
        if (error) {
            return error;
        }

        p += len;
        if (*p == ',' && !*++p) {
            return err_set(err, EINVAL, "there is a comma at the end");
        }
    }

    if (new.jitter > new.delay) {
        return err_set(err, EINVAL, "the jitter is larger than the delay");
    }
    *shape = new;
    return 0;
}

void
shape_format(const struct shape *shape, char *buf, size_t size)
{
    snprintf(buf, size, "delay=%.3fus,jitter=%.3fus,loss=%.4f%%,"
             "rate=%.3fkbit,queue=%"PRIu64, shape->delay / 1e3,
             shape->jitter / 1e3, shape->loss_ppm / 1e4, shape->rate / 1e3,
             shape->queue);
}

void
shaper_init(struct shaper *shaper, const struct shape *shape, uint64_t seed)
{
    *shaper = (struct shaper) {
        .shape = *shape,
        /* An odd multiplier spreads small seeds over all bits. */
        .random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1,
        .line_free = INT64_MIN,
        .last_due = INT64_MIN,
    };
}

void
shaper_reshape(struct shaper *shaper, const struct shape *shape)
{
    shaper->shape = *shape;
}

/* xorshift64*, of which the upper half is good. */
static uint32_t
next_random(struct shaper *shaper)
{
    uint64_t x = shaper->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    shaper->random = x;
    return (x * UINT64_C(0x2545f4914f6cdd1d)) >> 32;
}

/* Returns when the line has sent the last bit of a frame, or -1 if the queue
 * before it is full. */
static int64_t
pass_line(struct shaper *shaper, int64_t now, size_t bytes)
{
    const struct shape *shape = &shaper->shape;

    if (!shape->rate) {
        return now;
    }

    int64_t start = now;
    if (shaper->line_free > now) {
        double waiting = (shaper->line_free - now) / 8e9 * shape->rate;

        if (waiting + bytes > shape->queue) {
            return -1;
        }
        start = shaper->line_free;
    }
    shaper->line_free = start + (int64_t) (bytes * 8e9 / shape->rate);
    return shaper->line_free;
}

enum shaper_verdict
shaper_admit(struct shaper *shaper, int64_t now, size_t bytes, int64_t *due)
{
    const struct shape *shape = &shaper->shape;

    if (shaper->cut) {
        return SHAPER_CUT;
    }

    int64_t sent = pass_line(shaper, now, bytes);
    if (sent < 0) {
        return SHAPER_FULL;
    }

    /* Lost on the way: it has used the line like any other. */
    if (shape->loss_ppm
        && ((uint64_t) next_random(shaper) * 1000000) >> 32
           < shape->loss_ppm) {
        return SHAPER_LOST;
    }

    int64_t when = sent + shape->delay;
    if (shape->jitter) {
        double part = next_random(shaper) / 2147483648.0 - 1;

        when += (int64_t) (part * shape->jitter);
    }
    if (when < shaper->last_due) {
        when = shaper->last_due;
    }
    shaper->last_due = when;
    *due = when;
    return SHAPER_PASS;
}
