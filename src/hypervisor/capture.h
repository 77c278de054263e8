#ifndef HYPERVISOR_CAPTURE_H
#define HYPERVISOR_CAPTURE_H 1

/* Frames that did not reach a guest, in the order in which its NICs would
 * have received them.
 *
 * A driver makes one for a VM and feeds it.  The engine drains it.  Whoever
 * feeds it is never made to wait: it writes to files, one a NIC, which outlive
 * the agent, and QEMU's process, too.  So what was captured can be read again:
 * by an agent that was restarted, and for a destination that was. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct capture;
struct dp_packet;

/* What is in memory at a time; the rest stays in the files. */
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

/* Everything that was ever captured and not consumed comes once more. */
void capture_rewind(struct capture *);

/* From now on, what capture_next() gives comes never again, not even to a
 * later process. */
void capture_consume(struct capture *);

/* For drivers.
 *
 * The framing of QEMU's filter-redirector: a 4-byte length in network byte
 * order, then that many bytes: virtio-net's header of 12 bytes, and the
 * frame.  capture_make() makes the file 'path', empty, for 'uid' to write the
 * frames of NIC 'nic' to; capture_open() takes up one that an earlier process
 * made.  capture_feed() is what is read there; EPROTO if it is garbage. */
struct capture *capture_create(void);
void capture_destroy(struct capture *);
int capture_make(struct capture *, size_t nic, const char *path, uid_t uid,
                 gid_t gid, struct err *);
int capture_open(struct capture *, size_t nic, const char *path,
                 struct err *);
int capture_feed(struct capture *, size_t nic, const void *, size_t n,
                 struct err *);
void capture_run(struct capture *);
void capture_wait(struct capture *);

#endif /* hypervisor/capture.h */
