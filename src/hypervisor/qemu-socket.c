#include <config.h>
#include "hypervisor/qemu-socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "socket-util.h"
#include "util.h"

/* How fast a stream may be, in bytes a second: 1 Gbit/s. */
#define EXPECTED_RATE 125000000ULL

/* What a destination can have received and not loaded yet.  With less than
 * the minimum a busy machine waits for its own scheduler. */
#define WINDOW_MIN (512 << 10)
#define WINDOW_MAX (16 << 20)

/* What a source can have written and not sent yet.  Apart from this its
 * buffer holds only what is under way, which the window limits; so the kernel
 * may choose its size. */
#define UNSENT_MAX (256 << 10)

size_t
qemu_socket_window(unsigned int rtt_us)
{
    unsigned long long n = EXPECTED_RATE * rtt_us / 1000000;
    return !rtt_us ? 0 : MIN(MAX(n, WINDOW_MIN), WINDOW_MAX);
}

/* Sets the receive buffer, beyond the system's maximum if we may.  The kernel
 * doubles the value, for what it needs itself. */
static void
set_window(int fd, int size)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
}

char *
qemu_socket_host(const char *uri)
{
    const char *end = strrchr(uri, ':');
    if (strncmp(uri, "tcp:", 4) || end < uri + 5) {
        return NULL;
    }
    const char *start = uri + 4;
    if (*start == '[' && end[-1] == ']') {
        start++;
        end--;
    }
    return xmemdup0(start, end - start);
}

static bool
parse_uri(const char *uri, struct sockaddr_storage *ss)
{
    struct sockaddr_in *sin = (struct sockaddr_in *) ss;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) ss;
    char *host = qemu_socket_host(uri);
    int port = -1;
    bool ok = host && str_to_int(strrchr(uri, ':') + 1, 10, &port)
              && port >= 0 && port <= UINT16_MAX;

    memset(ss, 0, sizeof *ss);
    if (ok && inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
    } else if (ok && inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
    } else {
        ok = false;
    }
    free(host);
    return ok;
}

static int
open_socket(const char *uri, struct sockaddr_storage *ss, int *fdp,
            struct err *err)
{
    if (!parse_uri(uri, ss)) {
        return err_set(err, EINVAL, "\"%.100s\" is not where a migration "
                       "could go", uri);
    }
    int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    0);
    if (fd < 0) {
        return err_set(err, errno, "a socket: %s", ovs_strerror(errno));
    }
    *fdp = fd;
    return 0;
}

static char *
bound_uri(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *) &ss, &len)) {
        return NULL;
    }
    struct ds uri = DS_EMPTY_INITIALIZER;
    ds_put_cstr(&uri, "tcp:");
    ss_format_address(&ss, &uri);
    ds_put_format(&uri, ":%u", ss_get_port(&ss));
    return ds_steal_cstr(&uri);
}

int
qemu_socket_listen(const char *address, unsigned int rtt_us, int *listener,
                   char **urip, struct err *err)
{
    int fd = -1;
    struct sockaddr_storage ss;
    bool v6 = strchr(address, ':');
    char *any = xasprintf("tcp:%s%s%s:0", v6 ? "[" : "", address,
                          v6 ? "]" : "");
    int error = open_socket(any, &ss, &fd, err);
    free(any);
    if (error) {
        return error;
    }

    /* Before listen(), for the window's scale is settled when the connection
     * is made.  It inherits the size. */
    if (rtt_us) {
        set_window(fd, qemu_socket_window(rtt_us));
    }
    char *uri = NULL;
    if (bind(fd, (struct sockaddr *) &ss, ss_length(&ss)) || listen(fd, 1)
        || !(uri = bound_uri(fd))) {
        error = err_set(err, errno, "listening on %s: %s", address,
                        ovs_strerror(errno));
        close(fd);
        return error;
    }
    *listener = fd;
    *urip = uri;
    return 0;
}

int
qemu_socket_accept(int listener, int *fdp)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        /* The kernel reports here, too, what happened to a connection before
         * we took it. */
        return (errno == EMFILE || errno == ENFILE || errno == ENOMEM
                || errno == ENOBUFS || errno == EINVAL || errno == EBADF
                ? errno : EINPROGRESS);
    }
    *fdp = fd;
    return 0;
}

int
qemu_socket_connect(const char *uri, int *fdp, struct err *err)
{
    int fd;
    struct sockaddr_storage ss;
    int error = open_socket(uri, &ss, &fd, err);
    if (error) {
        return error;
    }
    /* QEMU fills its own buffers before it writes. */
    int on = 1, unsent = UNSENT_MAX;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (connect(fd, (struct sockaddr *) &ss, ss_length(&ss))
        && errno != EINPROGRESS) {
        error = err_set(err, errno, "connecting to %.100s: %s", uri,
                        ovs_strerror(errno));
        close(fd);
        return error;
    }
    *fdp = fd;
    return 0;
}

int
qemu_socket_status(int fd, struct err *err)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    if (poll(&p, 1, 0) <= 0) {
        return EINPROGRESS;
    }
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error ? err_set(err, error, "connecting to the destination: %s",
                           ovs_strerror(error)) : 0;
}
