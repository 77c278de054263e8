#ifndef WIRE_SHAPER_H
#define WIRE_SHAPER_H 1

/* What a link does to frames, as arithmetic.
 *
 * A 'struct shape' says what one direction of a link is like: delay, jitter,
 * loss, rate and queue.  A 'struct shaper' is that direction's memory.  For
 * each frame, in the order of arrival, shaper_admit() says when it leaves the
 * far end, or that it never does:
 *
 *      arrival --> queue (bytes) --> line (rate) --> delay +- jitter --> due
 *                    |  full: drop                        loss: drop
 *
 * No frame overtakes another: jitter only stretches and squeezes the row. So
 * whoever holds frames in order of arrival need only look at the oldest.
 *
 * Pure: no clock is read here and nothing is allocated.  All times are in
 * nanoseconds of one clock that never goes back. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SHAPE_MAX_DELAY_NS INT64_C(60000000000)     /* One minute. */
#define SHAPE_MAX_RATE UINT64_C(1000000000000)      /* 1000 Gbit/s. */
#define SHAPE_MAX_QUEUE UINT64_C(1000000000)        /* 1 GB. */
#define SHAPE_DEFAULT_QUEUE UINT64_C(1000000)       /* 1 MB. */

struct shape {
    int64_t delay;              /* ns. */
    int64_t jitter;             /* ns, each way; at most 'delay'. */
    uint32_t loss_ppm;          /* Lost frames in a million. */
    uint64_t rate;              /* bit/s of Ethernet frames; 0: no limit. */
    uint64_t queue;             /* Bytes that may wait for the line. */
};

/* A link that changes nothing. */
#define SHAPE_INIT { .queue = SHAPE_DEFAULT_QUEUE }

/* Parses "delay=5ms,jitter=1ms,loss=0.1%,rate=1gbit,queue=1000000" into
 * '*shape'.  Each key at most once, none is needed, and an empty string is a
 * link that changes nothing.  Units: us, ms, s; %; kbit, mbit, gbit; queue is
 * in bytes.  Returns 0, or EINVAL with a sentence that names the key. */
int shape_parse(const char *spec, struct shape *shape, struct err *);

/* Writes 'shape' into 'buf' so that shape_parse() would read it back. */
void shape_format(const struct shape *shape, char *buf, size_t size);

enum shaper_verdict {
    SHAPER_PASS,                /* Leaves at '*due'. */
    SHAPER_LOST,                /* By the link's loss rate. */
    SHAPER_FULL,                /* The queue before the line was full. */
    SHAPER_CUT,                 /* The link is cut. */
};

struct shaper {
    struct shape shape;
    bool cut;
    uint64_t random;            /* State of the generator, never 0. */
    int64_t line_free;          /* When the line has sent what it has. */
    int64_t last_due;           /* Of the newest frame that passed. */
};

/* Equal seeds give equal losses and jitter. */
void shaper_init(struct shaper *, const struct shape *, uint64_t seed);

/* Uses 'shape' for frames that arrive from now on.  Those admitted already
 * keep their due time, and newer ones still do not overtake them. */
void shaper_reshape(struct shaper *, const struct shape *shape);

/* A frame of 'bytes' arrived at 'now'.  Stores in '*due' when it leaves, if
 * the answer is SHAPER_PASS. */
enum shaper_verdict shaper_admit(struct shaper *, int64_t now, size_t bytes,
                                 int64_t *due);

#endif /* wire/shaper.h */
