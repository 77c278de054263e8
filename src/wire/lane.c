#include "wire/lane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame of 1514 bytes with the ring's headers fits a slot. */
#define SLOT_BYTES 2048
#define BLOCK_BYTES 65536
#define VNET_BYTES (sizeof(struct virtio_net_hdr))

/* The longest frame that is copied: 64 KB of segments, with headers. */
#define COPY_BYTES (65536 + 512)

/* Frames handed to the kernel in one go. */
#define BATCH 64

/* What to wait before sending again when the interface is busy, and how
 * often, before the frame counts as lost. */
#define BUSY_WAIT_NS 50000
#define BUSY_MAX 200

/* What a slot holds, beside what the kernel put there. */
struct slot {
    int64_t due;                /* -1: dropped, the slot is to be freed. */
    uint8_t *copy;              /* Frame with its virtio header, or NULL. */
    size_t copy_len;
};

struct lane {
    char name[2 * IFNAMSIZ + 4];
    struct shaper shaper;
    struct lane_counters counters;

    int rx, tx;                 /* Packet sockets. */
    unsigned int in_index;
    bool gone;

    uint8_t *ring;
    struct slot *slots;
    size_t n_slots;
    size_t head, n;             /* Oldest held slot; how many are held. */
    size_t copied;              /* Bytes in all 'copy'. */

    int64_t last_empty;         /* The ring was empty then. */
    int64_t retry;              /* Interface was busy: not before this. */
    int busy;                   /* How often in a row. */
};

static struct tpacket2_hdr *
frame_at(const struct lane *lane, size_t i)
{
    return (struct tpacket2_hdr *) (lane->ring + i * SLOT_BYTES);
}

static size_t
slot_after(const struct lane *lane, size_t i, size_t n)
{
    return (i + n) % lane->n_slots;
}

static int
open_socket(unsigned int index, int protocol, int *fdp, struct err *err)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = index,
    };
    int one = 1, buffer = 32 << 20;

    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set(err, errno, "packet socket: %s", strerror(errno));
    }
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one)
        || setsockopt(fd, SOL_SOCKET, protocol ? SO_RCVBUFFORCE
                      : SO_SNDBUFFORCE, &buffer, sizeof buffer)
        || (!protocol && bind(fd, (struct sockaddr *) &addr, sizeof addr))) {
        int error = errno;

        close(fd);
        return err_set(err, error, "packet socket: %s", strerror(error));
    }
    if (!protocol) {
        /* An old kernel does without it. */
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    }
    *fdp = fd;
    return 0;
}

/* Gives the receiving socket its ring, and only then its interface, so that
 * no frame arrives in the wrong place. */
static int
open_ring(struct lane *lane, unsigned int ring_mb, struct err *err)
{
    int version = TPACKET_V2, one = 1;
    size_t bytes = (size_t) ring_mb << 20;
    struct tpacket_req req = {
        .tp_block_size = BLOCK_BYTES,
        .tp_block_nr = bytes / BLOCK_BYTES,
        .tp_frame_size = SLOT_BYTES,
        .tp_frame_nr = bytes / SLOT_BYTES,
    };
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = lane->in_index,
    };
    struct packet_mreq promiscuous = {
        .mr_ifindex = lane->in_index,
        .mr_type = PACKET_MR_PROMISC,
    };
    const struct {
        int option;
        const void *value;
        socklen_t len;
    } options[] = {
        { PACKET_VERSION, &version, sizeof version },
        { PACKET_IGNORE_OUTGOING, &one, sizeof one },
        { PACKET_COPY_THRESH, &one, sizeof one },
        { PACKET_RX_RING, &req, sizeof req },
        { PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous },
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (setsockopt(lane->rx, SOL_PACKET, options[i].option,
                       options[i].value, options[i].len)) {
            return err_set(err, errno, "setting up a ring of %u MB: %s",
                           ring_mb, strerror(errno));
        }
    }
    lane->ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, lane->rx, 0);
    if (lane->ring == MAP_FAILED) {
        lane->ring = NULL;
        return err_set(err, errno, "mapping the ring: %s", strerror(errno));
    }
    lane->n_slots = req.tp_frame_nr;
    lane->slots = calloc(lane->n_slots, sizeof *lane->slots);
    if (!lane->slots) {
        return err_set(err, ENOMEM, "no memory");
    }
    if (bind(lane->rx, (struct sockaddr *) &addr, sizeof addr)) {
        return err_set(err, errno, "listening: %s", strerror(errno));
    }
    return 0;
}

int
lane_open(const char *in, const char *out, const struct shape *shape,
          uint64_t seed, unsigned int ring_mb, struct lane **lanep,
          struct err *err)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane) {
        return err_set(err, ENOMEM, "no memory");
    }
    lane->rx = lane->tx = -1;
    lane->last_empty = INT64_MIN;
    shaper_init(&lane->shaper, shape, seed);
    snprintf(lane->name, sizeof lane->name, "%.*s > %.*s", IFNAMSIZ, in,
             IFNAMSIZ, out);

    int error;
    unsigned int out_index = if_nametoindex(out);
    lane->in_index = if_nametoindex(in);
    if (!lane->in_index || !out_index) {
        error = err_set(err, ENODEV, "there is no interface %s here",
                        lane->in_index ? out : in);
    } else if (!(error = open_socket(lane->in_index, ETH_P_ALL, &lane->rx,
                                     err))
               && !(error = open_socket(out_index, 0, &lane->tx, err))) {
        error = open_ring(lane, ring_mb, err);
    }
    if (error) {
        lane_close(lane);
        return err_add(err, error, "%s to %s", in, out);
    }
    *lanep = lane;
    return 0;
}

void
lane_close(struct lane *lane)
{
    if (!lane) {
        return;
    }
    if (lane->slots) {
        lane_drop(lane);
        free(lane->slots);
    }
    if (lane->ring) {
        munmap(lane->ring, lane->n_slots * SLOT_BYTES);
    }
    if (lane->rx >= 0) {
        close(lane->rx);
    }
    if (lane->tx >= 0) {
        close(lane->tx);
    }
    free(lane);
}

/* Takes a frame longer than a slot out of the socket's queue.  Returns false
 * if there is no room for it. */
static bool
take_copy(struct lane *lane, struct slot *slot)
{
    static uint8_t buffer[VNET_BYTES + COPY_BYTES];
    ssize_t len = recv(lane->rx, buffer, sizeof buffer,
                       MSG_DONTWAIT | MSG_TRUNC);

    if (len <= (ssize_t) VNET_BYTES || (size_t) len > sizeof buffer
        || lane->copied + len > lane->n_slots * SLOT_BYTES
        || !(slot->copy = malloc(len))) {
        return false;
    }
    memcpy(slot->copy, buffer, len);
    slot->copy_len = len;
    lane->copied += len;
    return true;
}

static void
release_slot(struct lane *lane, size_t i)
{
    struct slot *slot = &lane->slots[i];

    lane->copied -= slot->copy_len;
    free(slot->copy);
    *slot = (struct slot) { .due = -1 };
    __atomic_store_n(&frame_at(lane, i)->tp_status, TP_STATUS_KERNEL,
                     __ATOMIC_RELEASE);
}

/* When did this frame arrive?  The kernel's stamp is by the wall clock, which
 * somebody may set.  But a frame found now came after the ring was last seen
 * empty, and not in the future. */
static int64_t
arrival(const struct lane *lane, const struct tpacket2_hdr *frame,
        struct lane_time t)
{
    int64_t stamp = frame->tp_sec * INT64_C(1000000000) + frame->tp_nsec
                    - t.wall_offset;

    if (stamp > t.now) {
        return t.now;
    }
    return stamp < lane->last_empty ? lane->last_empty : stamp;
}

static void
admit(struct lane *lane, size_t i, struct lane_time t)
{
    const struct tpacket2_hdr *frame = frame_at(lane, i);
    struct slot *slot = &lane->slots[i];

    lane->counters.received++;
    *slot = (struct slot) { .due = -1 };
    if (frame->tp_snaplen < frame->tp_len) {
        if (!(frame->tp_status & TP_STATUS_COPY)
            || !take_copy(lane, slot)) {
            lane->counters.too_long++;
            return;
        }
    }

    int64_t due;
    switch (shaper_admit(&lane->shaper, arrival(lane, frame, t),
                         frame->tp_len, &due)) {
    case SHAPER_PASS:
        slot->due = due;
        break;
    case SHAPER_LOST:
        lane->counters.lost++;
        break;
    case SHAPER_FULL:
        lane->counters.queue_full++;
        break;
    case SHAPER_CUT:
        lane->counters.cut++;
        break;
    }
}

static void
take(struct lane *lane, struct lane_time t)
{
    while (lane->n < lane->n_slots) {
        size_t i = slot_after(lane, lane->head, lane->n);

        if (!(__atomic_load_n(&frame_at(lane, i)->tp_status,
                              __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
            lane->last_empty = t.now;
            break;
        }
        admit(lane, i, t);
        lane->n++;
    }
}

static void
forget_oldest(struct lane *lane)
{
    release_slot(lane, lane->head);
    lane->head = slot_after(lane, lane->head, 1);
    lane->n--;
}

static struct iovec
frame_bytes(const struct lane *lane, size_t i)
{
    const struct tpacket2_hdr *frame = frame_at(lane, i);
    const struct slot *slot = &lane->slots[i];

    return slot->copy
           ? (struct iovec) { slot->copy, slot->copy_len }
           : (struct iovec) { (uint8_t *) frame + frame->tp_mac - VNET_BYTES,
                              frame->tp_snaplen + VNET_BYTES };
}

/* The interface did not take the oldest frame.  Returns true if it is to be
 * tried again later. */
static bool
is_busy(struct lane *lane, int error, int64_t now)
{
    if ((error == EAGAIN || error == ENOBUFS || error == EINTR)
        && lane->busy++ < BUSY_MAX) {
        lane->retry = now + BUSY_WAIT_NS;
        return true;
    }
    return false;
}

/* Sends up to BATCH frames that are due.  Returns true if there may be
 * more. */
static bool
send_batch(struct lane *lane, int64_t now)
{
    struct mmsghdr messages[BATCH] = { 0 };
    struct iovec iov[BATCH];
    unsigned int n = 0;

    /* Free what was dropped on the way to the first that is not. */
    while (lane->n && lane->slots[lane->head].due < 0) {
        forget_oldest(lane);
    }
    while (n < BATCH && n < lane->n) {
        size_t i = slot_after(lane, lane->head, n);

        if (lane->slots[i].due < 0 || lane->slots[i].due > now) {
            break;
        }
        iov[n] = frame_bytes(lane, i);
        messages[n].msg_hdr.msg_iov = &iov[n];
        messages[n].msg_hdr.msg_iovlen = 1;
        n++;
    }
    if (!n) {
        return false;
    }

    int sent = sendmmsg(lane->tx, messages, n, MSG_DONTWAIT);
    if (sent <= 0) {
        if (is_busy(lane, errno, now)) {
            return false;
        }
        lane->counters.send_failed++;
        forget_oldest(lane);
        return true;
    }
    lane->busy = 0;
    lane->counters.forwarded += sent;
    for (int k = 0; k < sent; k++) {
        uint64_t late = (now - lane->slots[lane->head].due) / 1000;

        if (late > lane->counters.late_max_us) {
            lane->counters.late_max_us = late;
        }
        lane->counters.bytes += iov[k].iov_len - VNET_BYTES;
        forget_oldest(lane);
    }
    return true;
}

void
lane_run(struct lane *lane, struct lane_time t)
{
    if (!lane->gone) {
        take(lane, t);
    }
    if (t.now >= lane->retry) {
        lane->retry = 0;
        while (send_batch(lane, t.now)) {
            continue;
        }
    }
}

int64_t
lane_due(const struct lane *lane)
{
    if (!lane->n) {
        return INT64_MAX;
    }

    int64_t due = lane->slots[lane->head].due;
    return due > lane->retry ? due : lane->retry;
}

int
lane_fd(const struct lane *lane)
{
    return lane->gone ? -1 : lane->rx;
}

void
lane_check(struct lane *lane)
{
    int error;
    socklen_t len = sizeof error;
    char name[IFNAMSIZ];

    /* Reading the error clears it: an interface that is only down does not
     * keep the loop busy. */
    getsockopt(lane->rx, SOL_SOCKET, SO_ERROR, &error, &len);
    lane->gone = !if_indextoname(lane->in_index, name);
}

bool
lane_is_gone(const struct lane *lane)
{
    return lane->gone;
}

void
lane_drop(struct lane *lane)
{
    while (lane->n) {
        forget_oldest(lane);
    }
    lane->retry = 0;
    lane->busy = 0;
}

void
lane_reshape(struct lane *lane, const struct shape *shape)
{
    shaper_reshape(&lane->shaper, shape);
}

void
lane_cut(struct lane *lane, bool cut)
{
    if (cut) {
        for (size_t k = 0; k < lane->n; k++) {
            size_t i = slot_after(lane, lane->head, k);

            lane->counters.cut += lane->slots[i].due >= 0;
        }
        lane_drop(lane);
    }
    lane->shaper.cut = cut;
}

void
lane_get_counters(struct lane *lane, struct lane_counters *counters)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;

    /* The kernel forgets what it has told. */
    if (!getsockopt(lane->rx, SOL_PACKET, PACKET_STATISTICS, &stats, &len)) {
        lane->counters.ring_full += stats.tp_drops;
    }
    *counters = lane->counters;
}

const char *
lane_name(const struct lane *lane)
{
    return lane->name;
}
