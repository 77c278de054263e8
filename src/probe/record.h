#ifndef PROBE_RECORD_H
#define PROBE_RECORD_H 1

/* What a probe saw, in memory and as a file.
 *
 * The file is text, a line for each thing that happened, so that it can be
 * cut and counted with the usual tools:
 *
 *      watari-record 1 udp             or "download", or "idle"
 *      clock host                      or "guest"
 *      target 10.255.0.11 7
 *      interval 1000000
 *      s TX                            the next request left (0, 1, 2, ...)
 *      a SEQ RX COUNT                  an answer to request SEQ arrived
 *      d T BYTES RETRANS OOO           download: so far at T
 *      broken T ERRNO                  the connection ended by itself
 *      end
 *
 * Times are nanoseconds of CLOCK_MONOTONIC.  A record that a guest made has
 * "clock guest": its clock began when the guest booted and stands still while
 * the guest does, so its times tell durations and the order of things, and
 * must not be compared with times of the host.
 *
 * Without "end" the writer was killed, and the reader refuses the file. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define RECORD_MAX_ROWS (UINT64_C(1) << 28)     /* Of each kind. */
#define RECORD_MAX_ADDRESS 64

enum record_kind {
    RECORD_UDP,                 /* Requests and answers, a datagram each. */
    RECORD_DOWNLOAD,            /* A TCP connection at full speed. */
    RECORD_IDLE,                /* A TCP connection that says little. */
};

struct record_answer {
    uint64_t seq;               /* Of the request. */
    int64_t rx;                 /* ns. */
    uint64_t count;             /* The server's count of requests. */
};

struct record_sample {
    int64_t t;                  /* ns. */
    uint64_t bytes;             /* Received since the start. */
    uint64_t retrans;           /* Segments that the sender repeated. */
    uint64_t out_of_order;      /* Segments that we got too early. */
};

struct record {
    enum record_kind kind;
    bool guest_clock;
    char address[RECORD_MAX_ADDRESS];
    uint16_t port;
    int64_t interval;           /* ns between requests or samples. */

    int64_t *sent;              /* When each request left, by number. */
    size_t n_sent, allocated_sent;
    struct record_answer *answers;      /* In the order of arrival. */
    size_t n_answers, allocated_answers;
    struct record_sample *samples;
    size_t n_samples, allocated_samples;

    int64_t broken_at;          /* 0: the connection did not break. */
    int broken_errno;           /* 0: the peer closed it. */
};

void record_init(struct record *, enum record_kind, const char *address,
                 uint16_t port, int64_t interval);
void record_finish(struct record *);

/* Add a row.  Return 0, or ENOMEM, or EFBIG beyond RECORD_MAX_ROWS. */
int record_add_sent(struct record *, int64_t tx);
int record_add_answer(struct record *, uint64_t seq, int64_t rx,
                      uint64_t count);
int record_add_sample(struct record *, const struct record_sample *);

/* Writes all of 'record' to 'out'. */
void record_write(const struct record *, FILE *out);

/* Replaces the file at 'path' by 'record', at once or not at all. */
int record_save(const struct record *, const char *path, struct err *);

/* Reads a record up to its "end" line, so that a record may follow other text
 * in a stream.  On success '*record' is to be finished by the caller. */
int record_read(FILE *in, struct record *, struct err *);
int record_load(const char *path, struct record *, struct err *);

#endif /* probe/record.h */
