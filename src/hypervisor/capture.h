#ifndef HYPERVISOR_CAPTURE_H
#define HYPERVISOR_CAPTURE_H 1

/* Frames that did not reach a guest, in the order in which its NICs would
 * have received them.
 *
 * A driver makes one for a VM and feeds it.  The engine drains it.  Whoever
 * feeds it is never made to wait: a queue that grows above
 * CAPTURE_MAX_BYTES drops new frames and counts them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct capture;
struct dp_packet;

#define CAPTURE_MAX_BYTES (256 << 20)
#define CAPTURE_MAX_FRAME 65550         /* Bytes, Ethernet header included. */

struct capture_stats {
    uint64_t frames;                    /* Received, dropped ones included. */
    uint64_t dropped;                   /* Above the limit. */
    uint64_t queued;                    /* Not yet drained. */
};

/* Takes the oldest frame, which the caller then owns, and stores the index of
 * the NIC for which it was; null if there is none.  Frames of one NIC keep
 * their order. */
struct dp_packet *capture_next(struct capture *, size_t *nic);

void capture_get_stats(const struct capture *, struct capture_stats *);

/* For drivers.
 *
 * The framing of QEMU's filter-redirector: a 4-byte length in network byte
 * order, then that many bytes: virtio-net's header of 12 bytes, and the
 * frame.  capture_listen() makes the unix socket 'path', for 'uid' only, for
 * the frames of NIC 'nic'; the last one who connects is heard.  capture_feed()
 * is what comes from there; EPROTO if it is garbage. */
struct capture *capture_create(void);
void capture_destroy(struct capture *);
int capture_listen(struct capture *, size_t nic, const char *path, uid_t uid,
                   gid_t gid, struct err *);
int capture_feed(struct capture *, size_t nic, const void *, size_t n,
                 struct err *);
void capture_run(struct capture *);
void capture_wait(struct capture *);

#endif /* hypervisor/capture.h */
