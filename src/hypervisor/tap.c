#include <config.h>
#include "hypervisor/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dp-packet.h"
#include "hypervisor/qemu-process.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "socket-util.h"
#include "util.h"

/* The longest that a tap can hand out, whatever its MTU. */
#define FRAME_MAX 65550

struct tap {
    int fd;
    int keeper;                 /* Connection to it; -1: none. */
};

struct injector {
    int fd;
};

static int
fail(struct err *err, const char *name, const char *what)
{
    int error = errno;
    return err_set(err, error, "tap %s: %s: %s", name, what,
                   ovs_strerror(error));
}

static int
ifreq_init(struct ifreq *ifr, const char *name, struct err *err)
{
    memset(ifr, 0, sizeof *ifr);
    if (!*name || strlen(name) >= sizeof ifr->ifr_name
        || strchr(name, '/') || strchr(name, '%')) {
        return err_set(err, EINVAL, "\"%s\" cannot be the name of a tap",
                       name);
    }
    ovs_strzcpy(ifr->ifr_name, name, sizeof ifr->ifr_name);
    return 0;
}

/* Takes the guest's end of tap 'name', which is made if there is none. */
static int
open_end(const char *name, short flags, int *fdp, struct err *err)
{
    struct ifreq ifr;
    int error = ifreq_init(&ifr, name, err);
    if (error) {
        return error;
    }
    ifr.ifr_flags = IFF_TAP | IFF_NO_PI | flags;

    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, name, "/dev/net/tun");
    }
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        error = fail(err, name, "attaching");
        close(fd);
        return error;
    }
    *fdp = fd;
    return 0;
}

/* Silences this host's own IPv6 on the tap: no router solicitations and no
 * multicast reports towards the guest.  Where the kernel has no IPv6 there is
 * nothing to silence. */
static void
silence(const char *name)
{
    char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ignore(write(fd, "1\n", 2));
        close(fd);
    }
    free(path);
}

static int
configure(const char *name, unsigned int mtu, struct err *err)
{
    struct ifreq ifr;
    int error = ifreq_init(&ifr, name, err);
    if (error) {
        return error;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(err, name, "socket");
    }

    const char *what = "setting its queue's length";
    ifr.ifr_qlen = TAP_QUEUE_LEN;
    error = ioctl(fd, SIOCSIFTXQLEN, &ifr);
    if (!error && mtu) {
        what = "setting its MTU";
        ifr.ifr_mtu = mtu;
        error = ioctl(fd, SIOCSIFMTU, &ifr);
    }
    if (!error) {
        what = "bringing it up";
        error = ioctl(fd, SIOCGIFFLAGS, &ifr);
        ifr.ifr_flags |= IFF_UP;
        error = error ? error : ioctl(fd, SIOCSIFFLAGS, &ifr);
    }
    error = error ? fail(err, name, what) : 0;
    close(fd);
    return error;
}

int
tap_create(const char *name, unsigned int mtu, struct err *err)
{
    int fd;
    int error = 0;
    if (!if_nametoindex(name)) {
        error = open_end(name, IFF_VNET_HDR, &fd, err);
        if (error) {
            return error;
        }
        if (ioctl(fd, TUNSETPERSIST, 1UL) < 0
            || ioctl(fd, TUNSETOFFLOAD, 0UL) < 0) {
            error = fail(err, name, "making it persistent");
        }
        close(fd);
    }
    if (!error) {
        silence(name);
        error = configure(name, mtu, err);
    }
    return error;
}

int
tap_delete(const char *name, struct err *err)
{
    int fd;
    if (!if_nametoindex(name)) {
        return 0;
    }
    int error = open_end(name, IFF_VNET_HDR, &fd, err);
    if (error) {
        return error;
    }
    if (ioctl(fd, TUNSETPERSIST, 0UL) < 0) {
        error = fail(err, name, "deleting");
    }
    close(fd);
    return error;
}

static int
attach(const char *name, short flags, int *fd, struct err *err)
{
    if (!if_nametoindex(name)) {
        return err_set(err, ENODEV, "tap %s: there is none", name);
    }
    return open_end(name, flags, fd, err);
}

int
tap_attach(const char *name, int *fd, struct err *err)
{
    return attach(name, IFF_VNET_HDR, fd, err);
}

int
tap_open(const char *name, struct tap **tapp, struct err *err)
{
    int fd;
    int error = attach(name, 0, &fd, err);
    if (error) {
        return error;
    }
    struct tap *tap = xmalloc(sizeof *tap);
    tap->fd = fd;
    tap->keeper = -1;
    *tapp = tap;
    return 0;
}

/* Is 'fd' really the tap 'name'? */
static bool
is_tap(int fd, const char *name)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof ifr);
    return !ioctl(fd, TUNGETIFF, &ifr) && !strcmp(ifr.ifr_name, name);
}

/* Waits for the descriptor that a keeper sends; -1 if none comes. */
static int
receive_fd(int from)
{
    struct timeval patience = { .tv_sec = 1 };
    char byte;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control.space,
    };
    int fd = -1;

    setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) == 1) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

        if (header && header->cmsg_type == SCM_RIGHTS
            && header->cmsg_len == CMSG_LEN(sizeof fd)) {
            memcpy(&fd, CMSG_DATA(header), sizeof fd);
        }
    }
    return fd;
}

static int
connect_keeper(const char *socket)
{
    int fd = make_unix_socket(SOCK_STREAM, false, NULL, socket);

    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
}

static bool
take_over(const char *name, const char *socket, struct tap **tapp)
{
    int keeper = connect_keeper(socket);
    int fd = keeper < 0 ? -1 : receive_fd(keeper);

    if (fd >= 0 && is_tap(fd, name)) {
        struct tap *tap = xmalloc(sizeof *tap);

        *tap = (struct tap) { fd, keeper };
        set_nonblocking(fd);
        *tapp = tap;
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (keeper >= 0) {
        close(keeper);
    }
    return false;
}

static int
start_keeper(struct tap *tap, const char *keeper, const char *socket,
             struct err *err)
{
    struct qemu_process *process;

    unlink(socket);             /* An older keeper ends for this. */
    int listener = make_unix_socket(SOCK_STREAM, false, socket, NULL);
    if (listener < 0 || chmod(socket, 0600) || listen(listener, 1)) {
        int error = listener < 0 ? -listener : errno;

        err_set(err, error, "%s: %s", socket, ovs_strerror(error));
        if (listener >= 0) {
            close(listener);
        }
        return error;
    }
    int fds[] = { tap->fd, listener };
    struct qemu_process_config config = {
        .in = -1, .out = -1, .err = -1, .fds = fds, .n_fds = 2,
    };
    char *argv[] = {
        xstrdup(keeper), xasprintf("%d", fds[0]), xasprintf("%d", fds[1]),
        xstrdup(socket), NULL
    };
    int error = qemu_process_spawn(&config, argv, &process, err);
    if (!error) {
        qemu_process_close(process);
        tap->keeper = connect_keeper(socket);
    }
    for (size_t i = 0; argv[i]; i++) {
        free(argv[i]);
    }
    close(listener);
    return error;
}

int
tap_open_kept(const char *name, const char *keeper, const char *socket,
              struct tap **tapp, struct err *why, struct err *err)
{
    *why = (struct err) ERR_INIT;
    if (take_over(name, socket, tapp)) {
        return 0;
    }
    int error = tap_open(name, tapp, err);
    if (!error && start_keeper(*tapp, keeper, socket, why)) {
        err_add(why, why->code, "watari-keeper");
    }
    return error;
}

void
tap_close(struct tap *tap)
{
    if (tap) {
        if (tap->keeper >= 0) {
            close(tap->keeper);
        }
        close(tap->fd);
        free(tap);
    }
}

int
tap_recv(struct tap *tap, struct dp_packet **framep)
{
    static uint8_t buffer[FRAME_MAX];   /* Too large for the stack. */
    ssize_t n = read(tap->fd, buffer, sizeof buffer);
    if (n < 0) {
        return errno == EINTR ? EAGAIN : errno;
    }
    *framep = dp_packet_clone_data(buffer, n);
    return 0;
}

void
tap_recv_wait(struct tap *tap)
{
    poll_fd_wait(tap->fd, POLLIN);
}

int
tap_send(struct tap *tap, const struct dp_packet *frame)
{
    ssize_t n = write(tap->fd, dp_packet_data(frame), dp_packet_size(frame));
    return n < 0 ? errno : 0;
}

/* A packet socket on the tap 'name', for frames of 'protocol'; 0: it only
 * sends, and nothing piles up behind it. */
static int
packet_socket(const char *name, int protocol, int *fdp, struct err *err)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(err, name, "packet socket");
    }
    struct sockaddr_ll sll = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = if_nametoindex(name),
    };
    int error = 0;
    if (!sll.sll_ifindex) {
        error = err_set(err, ENODEV, "tap %s: there is none", name);
    } else if (bind(fd, (struct sockaddr *) &sll, sizeof sll)) {
        error = fail(err, name, "binding a packet socket");
    }
    if (error) {
        close(fd);
        return error;
    }
    *fdp = fd;
    return 0;
}

int
injector_open(const char *name, struct injector **injectorp, struct err *err)
{
    int fd;

    int error = packet_socket(name, 0, &fd, err);
    if (error) {
        return error;
    }

    /* A burst must not be refused by the socket before the tap is full. */
    int size = 8 << 20;
    ignore(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size));

    struct injector *injector = xmalloc(sizeof *injector);
    injector->fd = fd;
    *injectorp = injector;
    return 0;
}

void
injector_close(struct injector *injector)
{
    if (injector) {
        close(injector->fd);
        free(injector);
    }
}

int
injector_send(struct injector *injector, const struct dp_packet *frame)
{
    ssize_t n = send(injector->fd, dp_packet_data(frame),
                     dp_packet_size(frame), 0);
    if (n < 0) {
        return (errno == ENOBUFS || errno == EINTR || errno == EWOULDBLOCK
                ? EAGAIN : errno);
    }
    return 0;
}

/* Hearing. */

#define MAX_HEARD 256           /* Frames read at once. */

struct listener {
    int fd;
};

int
listener_open(const char *name, struct listener **listenerp, struct err *err)
{
    int fd, one = 1;

    int error = packet_socket(name, ETH_P_ALL, &fd, err);
    if (error) {
        return error;
    }
    /* Not what goes to the guest. */
    ignore(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
                      sizeof one));

    struct listener *listener = xmalloc(sizeof *listener);
    listener->fd = fd;
    *listenerp = listener;
    return 0;
}

void
listener_close(struct listener *listener)
{
    if (listener) {
        close(listener->fd);
        free(listener);
    }
}

bool
listener_heard(struct listener *listener)
{
    struct sockaddr_ll sll;
    uint8_t head[ETH_HEADER_LEN];
    bool heard = false;

    for (int i = 0; i < MAX_HEARD; i++) {
        socklen_t len = sizeof sll;

        if (recvfrom(listener->fd, head, sizeof head, MSG_TRUNC,
                     (struct sockaddr *) &sll, &len) < 0) {
            break;
        }
        heard = heard || (sll.sll_pkttype != PACKET_OUTGOING
                          && sll.sll_protocol != htons(ETH_P_RARP));
    }
    return heard;
}

void
listener_wait(struct listener *listener)
{
    poll_fd_wait(listener->fd, POLLIN);
}
