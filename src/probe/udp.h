#ifndef PROBE_UDP_H
#define PROBE_UDP_H 1

/* Asks an echo by datagrams, in even steps of the monotonic clock, and
 * records when each left and when its answer came.
 *
 * Call udp_step() when the socket polls readable, and when the time has come
 * that it returned.  A caller that was held up does not catch up in a burst:
 * requests that are more than one interval late are never made, and the
 * schedule starts anew. */

#include <stdbool.h>
#include <stdint.h>

#include "probe/record.h"

struct udp_probe {
    int fd;                     /* Connected; owned by the caller. */
    int64_t interval;           /* ns. */
    uint64_t count;             /* Requests to make. */
    int64_t next;               /* When the next one leaves. */
    struct record *record;      /* Where rows are added. */
    int error;                  /* The record is full: errno value. */
};

/* Takes what has come and sends what is due.  Returns when to call
 * again, INT64_MAX if all requests are out. */
int64_t udp_step(struct udp_probe *);

/* Are all requests out and at least as many answers in? */
bool udp_is_done(const struct udp_probe *);

#endif /* probe/udp.h */
