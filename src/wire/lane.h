#ifndef WIRE_LANE_H
#define WIRE_LANE_H 1

/* One direction of the emulated link: frames that arrive at one interface
 * leave the other one when the shaper says.
 *
 * The kernel writes arriving frames into a ring that it shares with us
 * (AF_PACKET, TPACKET_V2).  A frame stays in its slot until it is sent from
 * there, so the ring is the delay buffer too, and its size bounds delay times
 * rate: 16 MB are 8192 frames.  Because nothing overtakes, slots are freed in
 * order, and a lane that holds frames has nothing to do before its oldest one
 * is due.  Frames longer than a slot (jumbo frames, segmentation offload) are
 * copied.  Checksum and segmentation offload pass through unchanged.
 *
 * A lane never sleeps and never reads a clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/shaper.h"

#define LANE_MAX_RING_MB 1024

/* What is counted, with the sentence for people. */
#define LANE_COUNTERS                                                   \
    LANE_COUNTER(received, "frames that arrived")                       \
    LANE_COUNTER(forwarded, "frames that left")                         \
    LANE_COUNTER(bytes, "bytes that left")                              \
    LANE_COUNTER(lost, "dropped by the loss rate")                      \
    LANE_COUNTER(queue_full, "dropped before the line")                 \
    LANE_COUNTER(cut, "dropped by the cut link")                        \
    LANE_COUNTER(ring_full, "dropped: the ring was full")               \
    LANE_COUNTER(too_long, "dropped: too long to copy")                 \
    LANE_COUNTER(send_failed, "dropped: could not be sent")             \
    LANE_COUNTER(late_max_us, "largest lateness, us")

struct lane_counters {
#define LANE_COUNTER(NAME, TITLE) uint64_t NAME;
    LANE_COUNTERS
#undef LANE_COUNTER
};

/* When it is: monotonic, and what to add to that to get the wall clock, by
 * which the kernel stamps frames. */
struct lane_time {
    int64_t now;
    int64_t wall_offset;
};

struct lane;

/* Opens the lane from interface 'in' to interface 'out' with 'ring_mb' MB of
 * buffer.  Needs CAP_NET_RAW.  On success stores the lane in '*lanep'. */
int lane_open(const char *in, const char *out, const struct shape *,
              uint64_t seed, unsigned int ring_mb, struct lane **lanep,
              struct err *);
void lane_close(struct lane *);

/* Takes what arrived and sends what is due. */
void lane_run(struct lane *, struct lane_time);

/* Returns when lane_run() has something to send, INT64_MAX if it holds
 * nothing.  In the latter case poll lane_fd() for input; in the former do
 * not, since a ring with a frame in it always polls readable. */
int64_t lane_due(const struct lane *);
int lane_fd(const struct lane *);

/* Looks after an error on the file descriptor. */
void lane_check(struct lane *);

/* Has the interface at which frames arrive vanished? */
bool lane_is_gone(const struct lane *);

/* The interface at which frames leave has vanished: forgets them. */
void lane_drop(struct lane *);

void lane_reshape(struct lane *, const struct shape *);

/* Cuts the lane, dropping what is under way, or heals it. */
void lane_cut(struct lane *, bool cut);

void lane_get_counters(struct lane *, struct lane_counters *);
const char *lane_name(const struct lane *);     /* As in "a0 > b0". */

#endif /* wire/lane.h */
