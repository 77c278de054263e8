#include "probe/source.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "probe/clock.h"
#include "probe/net.h"
#include "probe/payload.h"

#define RATE_WAIT_MS 100
#define BLOCKS 64               /* Sent in one go, at most. */
#define MAX_RATE UINT64_C(100000000000)
#define TICK_NS 1000000         /* Of a paced source. */

int
source_open(uint16_t port)
{
    return net_serve_tcp(port);
}

/* Returns the rate that the client asks for, or 0. */
static uint64_t
read_rate(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char line[64];

    if (poll(&p, 1, RATE_WAIT_MS) != 1) {
        return 0;
    }
    ssize_t n = read(fd, line, sizeof line - 1);
    unsigned long long rate = 0;
    if (n > 0) {
        line[n] = '\0';
        if (sscanf(line, "rate %llu", &rate) != 1 || rate > MAX_RATE) {
            rate = 0;
        }
    }
    return rate;
}

static uint64_t
retransmissions(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_total_retrans;
}

/* Sends bytes from 'at' to at most 'end' of the stream.  Returns how many, or
 * -1 when the client has gone. */
static ssize_t
send_some(int fd, uint64_t at, uint64_t end)
{
    static uint8_t blocks[BLOCKS * BLOCK_BYTES];
    uint64_t number = at / BLOCK_BYTES;
    size_t skip = at % BLOCK_BYTES, len = sizeof blocks - skip;
    uint64_t retrans = retransmissions(fd);

    for (int i = 0; i < BLOCKS; i++) {
        uint8_t *block = blocks + i * BLOCK_BYTES;

        memcpy(block, BLOCK_MAGIC, BLOCK_NUMBER);
        payload_put(block, BLOCK_NUMBER, number + i);
        payload_put(block, BLOCK_RETRANS, retrans);
    }
    return send(fd, blocks + skip, end - at < len ? end - at : len,
                MSG_NOSIGNAL);
}

/* Sends until the client goes. */
static void
serve(int fd)
{
    uint64_t rate = read_rate(fd), at = 0;
    int64_t start = clock_now();

    for (;;) {
        uint64_t end = UINT64_MAX;

        if (rate) {
            end = (clock_now() - start) / 1e9 * rate;
            if (end <= at) {
                struct timespec tick = { 0, TICK_NS };

                nanosleep(&tick, NULL);
                continue;
            }
        }
        ssize_t n = send_some(fd, at, end);
        if (n < 0 && errno != EINTR) {
            return;
        }
        at += n > 0 ? n : 0;
    }
}

void
source_run(int fd, volatile sig_atomic_t *stop)
{
    signal(SIGCHLD, SIG_IGN);
    while (!*stop) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, -1) != 1) {
            continue;
        }
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) {
            continue;
        }
        if (fork() == 0) {
            signal(SIGTERM, SIG_DFL);
            close(fd);
            serve(client);
            _exit(0);
        }
        close(client);
    }
}
