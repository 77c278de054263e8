#include <config.h>
#include "hypervisor/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/vm.h"
#include "dp-packet.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "socket-util.h"
#include "util.h"

#define LENGTH_LEN 4            /* In front of each frame. */
#define VNET_HEADER_LEN 12      /* struct virtio_net_hdr_mrg_rxbuf. */
#define ETH_LEN 14              /* No frame is shorter. */

/* What capture_run() reads from one NIC before it looks after the others. */
#define READ_SIZE (1 << 16)
#define MAX_READS 64

struct frame {
    struct ovs_list node;       /* In 'frames'. */
    size_t nic;
    struct dp_packet *packet;
};

/* What comes from one NIC. */
struct port {
    int listener;               /* -1: none. */
    int fd;                     /* -1: nobody is connected. */
    uint8_t buffer[LENGTH_LEN + VNET_HEADER_LEN + CAPTURE_MAX_FRAME];
    size_t n;                   /* Bytes of the frame in the making. */
};

struct capture {
    struct port *ports[VM_MAX_NICS];    /* Null until needed. */
    struct ovs_list frames;             /* Of struct frame, oldest first. */
    size_t n_bytes;                     /* In 'frames'. */
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
    ovs_list_init(&c->frames);
    return c;
}

void
capture_destroy(struct capture *c)
{
    if (!c) {
        return;
    }
    size_t nic;
    struct dp_packet *packet;
    while ((packet = capture_next(c, &nic))) {
        dp_packet_delete(packet);
    }
    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (p && p->listener >= 0) {
            close(p->listener);
        }
        if (p && p->fd >= 0) {
            close(p->fd);
        }
        free(p);
    }
    free(c);
}

static struct port *
capture_port(struct capture *c, size_t nic)
{
    ovs_assert(nic < ARRAY_SIZE(c->ports));
    if (!c->ports[nic]) {
        c->ports[nic] = xzalloc(sizeof *c->ports[nic]);
        c->ports[nic]->listener = -1;
        c->ports[nic]->fd = -1;
    }
    return c->ports[nic];
}

int
capture_listen(struct capture *c, size_t nic, const char *path, uid_t uid,
               gid_t gid, struct err *err)
{
    struct port *p = capture_port(c, nic);
    if (p->listener >= 0) {
        return 0;
    }
    if (unlink(path) && errno != ENOENT) {
        return err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    int fd = make_unix_socket(SOCK_STREAM, true, path, NULL);
    if (fd < 0) {
        return err_set(err, -fd, "%s: %s", path, ovs_strerror(-fd));
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || chown(path, uid, gid)
        || chmod(path, 0600) || listen(fd, 1)) {
        int error = errno;
        close(fd);
        return err_set(err, error, "%s: %s", path, ovs_strerror(error));
    }
    p->listener = fd;
    return 0;
}

static void
capture_put(struct capture *c, size_t nic, const uint8_t *data, size_t n)
{
    c->stats.frames++;
    if (c->n_bytes + n > CAPTURE_MAX_BYTES) {
        c->stats.dropped++;
        return;
    }
    struct frame *f = xmalloc(sizeof *f);
    f->nic = nic;
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
    n = ntohl(n);
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
            capture_put(c, nic, p->buffer + skip, needs - skip);
            p->n = 0;
        }
    }
    return 0;
}

static void
port_disconnect(struct port *p)
{
    close(p->fd);
    p->fd = -1;
    p->n = 0;
}

static void
port_accept(struct port *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (p->fd >= 0) {
            port_disconnect(p);
        }
        p->fd = fd;
    }
}

void
capture_run(struct capture *c)
{
    static uint8_t buffer[READ_SIZE];   /* Too large for the stack. */

    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (!p || p->listener < 0) {
            continue;
        }
        port_accept(p);
        for (int j = 0; j < MAX_READS && p->fd >= 0; j++) {
            ssize_t n = read(p->fd, buffer, sizeof buffer);
            if (n > 0) {
                if (capture_feed(c, i, buffer, n, NULL)) {
                    port_disconnect(p);
                }
            } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                break;
            } else {
                port_disconnect(p);
            }
        }
    }
}

void
capture_wait(struct capture *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++) {
        struct port *p = c->ports[i];
        if (p && p->listener >= 0) {
            poll_fd_wait(p->listener, POLLIN);
        }
        if (p && p->fd >= 0) {
            poll_fd_wait(p->fd, POLLIN);
        }
    }
    if (!ovs_list_is_empty(&c->frames)) {
        poll_immediate_wake();
    }
}
