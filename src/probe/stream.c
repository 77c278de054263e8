#include "probe/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/clock.h"
#include "probe/payload.h"

#define SAMPLE_NS 1000000
#define CHUNK_BYTES (256 * 1024)

/* Waits for input on 'fd' until 'at', or a signal. */
static void
wait_for_input(int fd, int64_t at)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct timespec timeout = clock_until(at);

    ppoll(&p, 1, &timeout, NULL);
}

/* Notes the end of a connection on which a read returned 'n'.  Returns false
 * if it goes on. */
static bool
note_end(struct record *record, ssize_t n)
{
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
        return false;
    }
    record->broken_errno = n < 0 ? errno : 0;
    record->broken_at = clock_now();
    return true;
}

/* Follows the blocks in a download. */
struct blocks {
    uint64_t bytes;             /* Read so far. */
    uint64_t retrans;           /* As the newest header says. */
    uint8_t header[BLOCK_HEADER];
};

/* Takes 'n' bytes.  Returns 0, or EPROTO if they do not continue the row. */
static int
blocks_take(struct blocks *blocks, const uint8_t *data, size_t n)
{
    while (n) {
        size_t at = blocks->bytes % BLOCK_BYTES, left;

        if (at < BLOCK_HEADER) {
            left = BLOCK_HEADER - at;
            left = left < n ? left : n;
            memcpy(blocks->header + at, data, left);
            if (at + left == BLOCK_HEADER) {
                if (memcmp(blocks->header, BLOCK_MAGIC, BLOCK_NUMBER)
                    || payload_get(blocks->header, BLOCK_NUMBER)
                       != blocks->bytes / BLOCK_BYTES) {
                    return EPROTO;
                }
                blocks->retrans = payload_get(blocks->header, BLOCK_RETRANS);
            }
        } else {
            left = BLOCK_BYTES - at;
            left = left < n ? left : n;
        }
        blocks->bytes += left;
        data += left;
        n -= left;
    }
    return 0;
}

/* Segments that came early, if the kernel counts them. */
static uint64_t
out_of_order(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_rcv_ooopack;
}

static int
add_sample(int fd, const struct blocks *blocks, struct record *record)
{
    struct record_sample sample = {
        .t = clock_now(),
        .bytes = blocks->bytes,
        .retrans = blocks->retrans,
        .out_of_order = out_of_order(fd),
    };

    return record_add_sample(record, &sample);
}

int
stream_download(int fd, uint64_t rate, int64_t until, struct record *record,
                volatile sig_atomic_t *stop)
{
    static uint8_t chunk[CHUNK_BYTES];
    struct blocks blocks = { 0 };
    int error = 0;

    /* Any line makes the source begin without waiting for one. */
    char line[40];
    int len = rate ? snprintf(line, sizeof line, "rate %"PRIu64"\n", rate)
              : snprintf(line, sizeof line, "\n");
    send(fd, line, len, MSG_NOSIGNAL);

    int64_t next = clock_now();
    while (!error && !*stop && !record->broken_at) {
        int64_t now = clock_now();

        if (now >= until) {
            break;
        }
        if (now >= next) {
            error = add_sample(fd, &blocks, record);
            next += SAMPLE_NS;
            next = next > now ? next : now + SAMPLE_NS;
        }

        ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n > 0) {
            int damage = blocks_take(&blocks, chunk, n);

            error = error ? error : damage;
        } else if (!note_end(record, n)) {
            wait_for_input(fd, next);
        }
    }
    if (!error) {
        error = add_sample(fd, &blocks, record);
    }
    return error;
}

/* Reads echoes, of which the first 'at' bytes of the current one are in
 * 'payload'. */
static int
read_echoes(int fd, uint8_t payload[PAYLOAD_BYTES], size_t *at,
            struct record *record)
{
    for (;;) {
        ssize_t n = recv(fd, payload + *at, PAYLOAD_BYTES - *at,
                         MSG_DONTWAIT);

        if (n <= 0) {
            note_end(record, n);
            return 0;
        }
        *at += n;
        if (*at == PAYLOAD_BYTES) {
            uint64_t seq = payload_get(payload, PAYLOAD_SEQ);

            *at = 0;
            if (memcmp(payload, PAYLOAD_MAGIC, PAYLOAD_COUNT)
                || seq >= record->n_sent) {
                return EPROTO;
            }
            int error = record_add_answer(record, seq, clock_now(), 0);
            if (error) {
                return error;
            }
        }
    }
}

static int
send_message(int fd, struct record *record)
{
    uint8_t payload[PAYLOAD_BYTES] = PAYLOAD_MAGIC;
    int64_t now = clock_now();

    payload_put(payload, PAYLOAD_SEQ, record->n_sent);
    payload_put(payload, PAYLOAD_TIME, now);

    int error = record_add_sent(record, now);
    /* The socket's buffer holds thousands of these.  If it is full, the row
     * of messages has a hole, and so a wrong byte count: call that broken. */
    if (!error
        && send(fd, payload, sizeof payload, MSG_NOSIGNAL | MSG_DONTWAIT)
           != sizeof payload) {
        record->broken_errno = errno;
        record->broken_at = clock_now();
    }
    return error;
}

int
stream_idle(int fd, int64_t interval, int64_t until, struct record *record,
            volatile sig_atomic_t *stop)
{
    uint8_t payload[PAYLOAD_BYTES];
    size_t at = 0;
    int error = 0;
    int64_t next = clock_now();

    while (!error && !*stop && !record->broken_at) {
        int64_t now = clock_now();

        if (now >= until) {
            break;
        }
        if (now >= next) {
            error = send_message(fd, record);
            next += interval;
            next = next > now ? next : now + interval;
        }
        wait_for_input(fd, next < until ? next : until);
        if (!error && !record->broken_at) {
            error = read_echoes(fd, payload, &at, record);
        }
    }
    return error;
}
