#include <config.h>
#include "hypervisor/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/vm.h"
#include "dp-packet.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

#define LENGTH_LEN 4            /* In front of each frame. */
#define VNET_HEADER_LEN 12      /* struct virtio_net_hdr_mrg_rxbuf. */
#define ETH_LEN 14              /* No frame is shorter. */

/* In the length of a frame that was consumed. */
#define CONSUMED 0x80000000u

#define READ_SIZE (1 << 16)     /* At once. */

/* More is not read before some was taken. */
#define ENOUGH_BYTES (CAPTURE_MAX_BYTES - 2 * READ_SIZE)

struct frame {
    struct ovs_list node;       /* In 'frames'. */
    size_t nic;
    struct dp_packet *packet;
    off_t at;                   /* In its file. */
};

/* What comes from one NIC. */
struct port {
    int fd;                     /* -1: no file. */
    bool garbage;               /* In the file: nothing behind it counts. */
    off_t at;                   /* Where the frame in the making begins. */
    uint8_t buffer[LENGTH_LEN + VNET_HEADER_LEN + CAPTURE_MAX_FRAME];
    size_t n;                   /* Bytes of the frame in the making. */
};

struct capture {
    int news;                   /* An inotify: somebody has written. */
    struct port *ports[VM_MAX_NICS];    /* Null until needed. */
    struct ovs_list frames;             /* Of struct frame, oldest first. */
    size_t n_bytes;                     /* In 'frames'. */
    bool consuming;
    struct capture_stats stats;
};

struct dp_packet *
capture_next(struct capture *c, size_t *nic)
{
    if (ovs_list_is_empty(&c->frames)) {
        return NULL;
    }
    struct frame *f = CONTAINER_OF(ovs_list_pop_front(&c->frames),
                                   struct frame, node);
    struct dp_packet *packet = f->packet;
    *nic = f->nic;
    if (c->consuming && c->ports[f->nic]->fd >= 0) {
        uint8_t first = CONSUMED >> 24;     /* No length has such a byte. */
        ignore(pwrite(c->ports[f->nic]->fd, &first, 1, f->at));
    }
    c->n_bytes -= dp_packet_size(packet);
    c->stats.queued--;
    free(f);
    return packet;
}

void
capture_get_stats(const struct capture *c, struct capture_stats *stats)
{
    *stats = c->stats;
}

struct capture *
capture_create(void)
{
    struct capture *c = xzalloc(sizeof *c);
    c->news = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ovs_list_init(&c->frames);
    return c;
}

static void
clear_frames(struct capture *c)
{
    struct frame *f;
    LIST_FOR_EACH_POP (f, node, &c->frames) {
        dp_packet_delete(f->packet);
        free(f);
    }
    c->n_bytes = 0;
    c->stats.queued = 0;
}

void
capture_consume(struct capture *c)
{
    c->consuming = true;
}

void
capture_destroy(struct capture *c)
{
    if (!c) {
        return;
    }
    clear_frames(c);
    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (p && p->fd >= 0) {
            close(p->fd);
        }
        free(p);
    }
    if (c->news >= 0) {
        close(c->news);
    }
    free(c);
}

static struct port *
capture_port(struct capture *c, size_t nic)
{
    ovs_assert(nic < ARRAY_SIZE(c->ports));
    if (!c->ports[nic]) {
        c->ports[nic] = xzalloc(sizeof *c->ports[nic]);
        c->ports[nic]->fd = -1;
    }
    return c->ports[nic];
}

/* Takes 'fd', whose file is 'path', for NIC 'nic'. */
static int
capture_attach(struct capture *c, size_t nic, const char *path, int fd,
               struct err *err)
{
    struct port *p = capture_port(c, nic);
    if (c->news < 0 || inotify_add_watch(c->news, path, IN_MODIFY) < 0) {
        int error = err_set(err, errno, "%s: inotify: %s", path,
                            ovs_strerror(errno));
        close(fd);
        return error;
    }
    if (p->fd >= 0) {
        close(p->fd);
    }
    p->fd = fd;
    p->n = 0;
    p->at = 0;
    p->garbage = false;
    return 0;
}

int
capture_make(struct capture *c, size_t nic, const char *path, uid_t uid,
             gid_t gid, struct err *err)
{
    if (unlink(path) && errno != ENOENT) {
        return err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fchown(fd, uid, gid)) {
        int error = err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    return capture_attach(c, nic, path, fd, err);
}

int
capture_open(struct capture *c, size_t nic, const char *path,
             struct err *err)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    return capture_attach(c, nic, path, fd, err);
}

void
capture_rewind(struct capture *c)
{
    clear_frames(c);
    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (p && p->fd >= 0) {
            lseek(p->fd, 0, SEEK_SET);
            p->n = 0;
            p->at = 0;
            p->garbage = false;
        }
    }
    capture_run(c);
}

static void
capture_put(struct capture *c, size_t nic, off_t at, const uint8_t *data,
            size_t n)
{
    c->stats.frames++;
    if (c->n_bytes + n > CAPTURE_MAX_BYTES) {
        c->stats.dropped++;
        return;
    }
    struct frame *f = xmalloc(sizeof *f);
    f->nic = nic;
    f->at = at;
    f->packet = dp_packet_clone_data(data, n);
    ovs_list_push_back(&c->frames, &f->node);
    c->n_bytes += n;
    c->stats.queued++;
}

/* How many bytes 'p' must hold before it makes sense to look again; 0 if they
 * can never make sense. */
static size_t
port_needs(const struct port *p)
{
    if (p->n < LENGTH_LEN) {
        return LENGTH_LEN;
    }
    uint32_t n;
    memcpy(&n, p->buffer, sizeof n);
    n = ntohl(n) & ~CONSUMED;
    return (n >= VNET_HEADER_LEN + ETH_LEN
            && n <= VNET_HEADER_LEN + CAPTURE_MAX_FRAME
            ? LENGTH_LEN + n : 0);
}

int
capture_feed(struct capture *c, size_t nic, const void *data_, size_t n,
             struct err *err)
{
    const uint8_t *data = data_;
    struct port *p = capture_port(c, nic);
    while (n) {
        size_t chunk = MIN(n, port_needs(p) - p->n);
        memcpy(p->buffer + p->n, data, chunk);
        p->n += chunk;
        data += chunk;
        n -= chunk;

        size_t needs = port_needs(p);
        if (!needs) {
            p->n = 0;
            return err_set(err, EPROTO, "a captured frame has no length that "
                           "a frame can have");
        }
        if (p->n == needs) {
            size_t skip = LENGTH_LEN + VNET_HEADER_LEN;
            if (p->buffer[0] != CONSUMED >> 24) {
                capture_put(c, nic, p->at, p->buffer + skip, needs - skip);
            }
            p->at += needs;
            p->n = 0;
        }
    }
    return 0;
}

/* Who reads what is written after this gets to know of it. */
static void
capture_forget_news(struct capture *c)
{
    char buffer[4096] __attribute__((aligned(8)));
    while (read(c->news, buffer, sizeof buffer) > 0) {
        continue;
    }
}

void
capture_run(struct capture *c)
{
    static uint8_t buffer[READ_SIZE];   /* Too large for the stack. */

    capture_forget_news(c);
    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (!p || p->fd < 0) {
            continue;
        }
        while (!p->garbage && c->n_bytes < ENOUGH_BYTES) {
            ssize_t n = read(p->fd, buffer, sizeof buffer);
            if (n <= 0) {
                break;
            }
            p->garbage = capture_feed(c, i, buffer, n, NULL) != 0;
        }
    }
}

void
capture_wait(struct capture *c)
{
    if (c->news >= 0) {
        poll_fd_wait(c->news, POLLIN);
    }
    if (!ovs_list_is_empty(&c->frames)) {
        poll_immediate_wake();
    }
}
