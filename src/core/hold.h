#ifndef CORE_HOLD_H
#define CORE_HOLD_H 1

/* The hold of a destination: in which order does a guest get the packets that
 * came for it while it moved?
 *
 * Until the guest runs, everything waits.  From then on the frames that were
 * captured at the old place are given to it in the order in which they come
 * from there.  What comes directly to the new place waits, for each
 * correspondent's interface of its own, until that correspondent's fence has
 * come by the old path: then nothing of it can still be under way there.  So
 * a near correspondent never waits for a far one.
 *
 *      relayed ----------.  (a fence in it opens the sender's queue)
 *                         \
 *      direct, A: queue ---+---> ready ---> the guest
 *      direct, B: queue ---'
 *
 * A queue also opens when its time is up.  Packets of senders from which no
 * fence is expected do not wait. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/uuid.h"

struct dp_packet;
struct hold;

/* Frames that wait, in all; the oldest hold has to end somewhere. */
#define HOLD_MAX_FRAMES 200000

struct hold *hold_create(void);
void hold_destroy(struct hold *);

/* Direct frames of 'from' to NIC 'nic' wait for its fence, until 'patience'
 * ms after the guest runs.  Harmless if repeated. */
void hold_expect(struct hold *, const struct uuid *from, size_t nic,
                 int patience);

/* A frame, and the NIC for which it is.  'mark' is the caller's. */
struct hold_frame {
    struct dp_packet *packet;
    size_t nic;
    uint64_t mark;
};

/* These take the frame's packet. */
void hold_put_relayed(struct hold *, const struct hold_frame *);
void hold_put_direct(struct hold *, const struct uuid *from,
                     const struct hold_frame *);

/* A fence, in its place between the relayed frames. */
void hold_put_fence(struct hold *, const struct uuid *from, size_t nic);

/* The guest runs since 'now' (monotonic ms). */
void hold_open(struct hold *, long long now);

/* Takes the next frame for the guest, whose packet the caller then owns; false
 * if there is none now. */
bool hold_next(struct hold *, long long now, struct hold_frame *);

/* The next direct frame without any waiting, open or not, for a move that is
 * rolled back.  The source has kept what it relayed. */
bool hold_take_back(struct hold *, struct hold_frame *);

/* Would hold_next() give a frame at once? */
bool hold_has_more(const struct hold *);

/* When hold_next() may have more without any new input; LLONG_MAX: never. */
long long hold_deadline(const struct hold *);

/* Runs the guest, have all fences come or been given up, and waits nothing?
 * From then on every frame passes at once. */
bool hold_is_settled(const struct hold *);

struct hold_counters {
    uint64_t relayed, direct, held, dropped;
    unsigned int fences, missed;        /* Came; given up. */
};
const struct hold_counters *hold_counters(const struct hold *);

#endif /* core/hold.h */
