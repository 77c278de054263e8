#ifndef PEER_DELAYS_H
#define PEER_DELAYS_H 1

/* The last round trips to a peer.  The smallest is the delay of the path, and
 * says best by how much the wall clocks differ. */

#include "peer/channel.h"

#define DELAYS_MAX 8

struct delay_sample {
    long long rtt_us, offset_us;
};

struct delays {
    struct delay_sample samples[DELAYS_MAX];
    size_t n;                   /* All that there ever were. */
};

void delays_add(struct delays *, long long rtt_us, long long offset_us);

/* Replaces what '*delay' says by the smallest; its 'rtt_us' is -1 before,
 * and stays if there is none. */
void delays_get(const struct delays *, struct channel_delay *delay);

#endif /* peer/delays.h */
