#include "probe/echo.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/net.h"
#include "probe/payload.h"

#define MAX_STREAMS 128
#define MAX_DATAGRAM 65536
#define STREAM_BYTES 16384

/* Datagrams answered in a row before streams get their turn. */
#define BURST 256

/* A stream, with what it has sent and we have not yet returned. */
struct stream {
    int fd;
    size_t n, done;
    uint8_t data[STREAM_BYTES];
};

struct echo {
    int udp, tcp;
    uint64_t count;             /* Requests answered. */
    struct stream *streams[MAX_STREAMS];
    size_t n_streams;
    uint8_t datagram[MAX_DATAGRAM];
};

int
echo_create(uint16_t port, struct echo **echop)
{
    struct echo *echo = calloc(1, sizeof *echo);

    if (!echo) {
        return ENOMEM;
    }
    echo->udp = net_serve_udp(port);
    echo->tcp = net_serve_tcp(port);
    if (echo->udp < 0 || echo->tcp < 0) {
        int error = -(echo->udp < 0 ? echo->udp : echo->tcp);

        echo_destroy(echo);
        return error;
    }
    *echop = echo;
    return 0;
}

void
echo_destroy(struct echo *echo)
{
    if (!echo) {
        return;
    }
    while (echo->n_streams) {
        struct stream *stream = echo->streams[--echo->n_streams];

        close(stream->fd);
        free(stream);
    }
    if (echo->udp >= 0) {
        close(echo->udp);
    }
    if (echo->tcp >= 0) {
        close(echo->tcp);
    }
    free(echo);
}

/* Answers one datagram.  Returns false if there was none. */
static bool
answer(struct echo *echo)
{
    char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct sockaddr_in6 from;
    struct iovec iov = { echo->datagram, sizeof echo->datagram };
    struct msghdr message = {
        .msg_name = &from,
        .msg_namelen = sizeof from,
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };

    ssize_t n = recvmsg(echo->udp, &message, MSG_DONTWAIT);
    if (n < 0) {
        /* ICMP errors about earlier answers are told here: go on. */
        return errno != EAGAIN && errno != EINTR;
    }
    if (n >= PAYLOAD_SEQ
        && !memcmp(echo->datagram, PAYLOAD_MAGIC, PAYLOAD_COUNT)) {
        payload_put(echo->datagram, PAYLOAD_COUNT, echo->count++);
    }

    /* The control message that said to which address it came now says from
     * which the answer goes.  Which interface is for the routes to say. */
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *info = (struct in6_pktinfo *) CMSG_DATA(c);

        if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr)) {
            info->ipi6_ifindex = 0;
        }
    }
    iov.iov_len = n;
    sendmsg(echo->udp, &message, MSG_DONTWAIT);
    return true;
}

static void
accept_stream(struct echo *echo)
{
    int one = 1;
    int fd = accept4(echo->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    struct stream *stream = echo->n_streams < MAX_STREAMS
                            ? malloc(sizeof *stream) : NULL;
    if (!stream) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream->fd = fd;
    stream->n = stream->done = 0;
    echo->streams[echo->n_streams++] = stream;
}

/* Reads from 'stream', or writes what is left.  Returns false at its end. */
static bool
serve_stream(struct stream *stream)
{
    ssize_t n;

    if (stream->done == stream->n) {
        n = read(stream->fd, stream->data, sizeof stream->data);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        stream->n = n;
        stream->done = 0;
    }
    n = send(stream->fd, stream->data + stream->done,
             stream->n - stream->done, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    stream->done += n;
    return true;
}

void
echo_run(struct echo *echo, volatile sig_atomic_t *stop)
{
    while (!*stop) {
        struct pollfd fds[MAX_STREAMS + 2] = {
            { .fd = echo->udp, .events = POLLIN },
            { .fd = echo->tcp, .events = POLLIN },
        };
        size_t n = echo->n_streams;

        for (size_t i = 0; i < n; i++) {
            const struct stream *stream = echo->streams[i];

            fds[i + 2].fd = stream->fd;
            fds[i + 2].events = stream->done < stream->n ? POLLOUT : POLLIN;
        }
        if (poll(fds, n + 2, -1) < 0) {
            continue;
        }
        for (int i = 0; i < BURST && answer(echo); i++) {
            continue;
        }
        /* From the last, as the end of one moves the last to its place. */
        for (size_t i = n; i-- > 0;) {
            if (fds[i + 2].revents && !serve_stream(echo->streams[i])) {
                close(echo->streams[i]->fd);
                free(echo->streams[i]);
                echo->streams[i] = echo->streams[--echo->n_streams];
            }
        }
        if (fds[1].revents) {
            accept_stream(echo);
        }
    }
}
