#include "probe/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

int
net_parse(const char *address, uint16_t port, struct net_address *a)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

    *a = (struct net_address) { 0 };
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        v4.sin_port = htons(port);
        a->len = sizeof v4;
        memcpy(&a->storage, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        v6.sin6_port = htons(port);
        a->len = sizeof v6;
        memcpy(&a->storage, &v6, sizeof v6);
    } else {
        return EINVAL;
    }
    return 0;
}

void
net_enlarge_buffers(int fd)
{
    static const int options[][2] = {
        { SO_RCVBUF, SO_RCVBUFFORCE }, { SO_SNDBUF, SO_SNDBUFFORCE },
    };
    int bytes = NET_BUFFER_BYTES;

    for (int i = 0; i < 2; i++) {
        if (setsockopt(fd, SOL_SOCKET, options[i][1], &bytes,
                       sizeof bytes)) {
            setsockopt(fd, SOL_SOCKET, options[i][0], &bytes, sizeof bytes);
        }
    }
}

/* Closes 'fd' and returns errno as a negative value. */
static int
fail(int fd)
{
    int error = errno;

    if (fd >= 0) {
        close(fd);
    }
    return -error;
}

static int
open_socket(int family, int type)
{
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int
net_open_udp(const struct net_address *to, const struct net_address *from)
{
    int fd = open_socket(to->storage.ss_family, SOCK_DGRAM);

    if (fd < 0) {
        return fail(fd);
    }
    net_enlarge_buffers(fd);
    if ((from && bind(fd, (struct sockaddr *) &from->storage, from->len))
        || connect(fd, (struct sockaddr *) &to->storage, to->len)) {
        return fail(fd);
    }
    return fd;
}

int
net_connect_tcp(const struct net_address *to, int timeout_ms)
{
    int fd = open_socket(to->storage.ss_family, SOCK_STREAM);
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int one = 1;

    if (fd < 0) {
        return fail(fd);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *) &to->storage, to->len)) {
        socklen_t len = sizeof errno;

        if (errno != EINPROGRESS) {
            return fail(fd);
        }
        if (poll(&p, 1, timeout_ms) != 1) {
            errno = ETIMEDOUT;
            return fail(fd);
        }
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &errno, &len);
        if (errno) {
            return fail(fd);
        }
    }
    return fd;
}

static int
serve(uint16_t port, int type)
{
    struct sockaddr_in6 addr = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(port),
    };
    int zero = 0, one = 1;
    int fd = open_socket(AF_INET6, type);

    if (fd < 0
        || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero)
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)
        || bind(fd, (struct sockaddr *) &addr, sizeof addr)) {
        return fail(fd);
    }
    return fd;
}

int
net_serve_udp(uint16_t port)
{
    int fd = serve(port, SOCK_DGRAM), one = 1;

    if (fd < 0) {
        return fd;
    }
    net_enlarge_buffers(fd);
    /* To answer from the very address that was asked.  One socket of both
     * families tells IPv4 addresses as ::ffff:a.b.c.d. */
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one)) {
        return fail(fd);
    }
    return fd;
}

int
net_serve_tcp(uint16_t port)
{
    int fd = serve(port, SOCK_STREAM);

    if (fd >= 0 && listen(fd, 64)) {
        return fail(fd);
    }
    return fd;
}
