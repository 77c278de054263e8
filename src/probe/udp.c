#include "probe/udp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/clock.h"
#include "probe/payload.h"

/* Answers taken between two looks at the clock. */
#define BURST 64

static void
send_request(struct udp_probe *probe)
{
    uint8_t payload[PAYLOAD_BYTES] = PAYLOAD_MAGIC;
    int64_t now = clock_now();

    payload_put(payload, PAYLOAD_SEQ, probe->record->n_sent);
    payload_put(payload, PAYLOAD_TIME, now);
    probe->error = record_add_sent(probe->record, now);
    if (!probe->error
        && send(probe->fd, payload, sizeof payload, MSG_DONTWAIT) < 0) {
        /* That may have been the news of an ICMP error about an earlier
         * request.  It is told once; this request is still to be sent. */
        send(probe->fd, payload, sizeof payload, MSG_DONTWAIT);
    }
}

static void
receive_answers(struct udp_probe *probe)
{
    for (int i = 0; i < BURST; i++) {
        uint8_t payload[PAYLOAD_BYTES];
        ssize_t n = recv(probe->fd, payload, sizeof payload, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        uint64_t seq = payload_get(payload, PAYLOAD_SEQ);
        if (n == sizeof payload
            && !memcmp(payload, PAYLOAD_MAGIC, PAYLOAD_COUNT)
            && seq < probe->record->n_sent) {
            int error = record_add_answer(
                probe->record, seq, clock_now(),
                payload_get(payload, PAYLOAD_COUNT));

            probe->error = error ? error : probe->error;
        }
    }
}

int64_t
udp_step(struct udp_probe *probe)
{
    receive_answers(probe);
    if (probe->error || probe->record->n_sent >= probe->count) {
        return INT64_MAX;
    }

    int64_t now = clock_now();
    if (now >= probe->next) {
        send_request(probe);
        probe->next += probe->interval;
        if (now > probe->next + probe->interval) {
            probe->next = now + probe->interval;
        }
    }
    return probe->next;
}

bool
udp_is_done(const struct udp_probe *probe)
{
    return probe->record->n_sent >= probe->count
           && probe->record->n_answers >= probe->record->n_sent;
}
