#include <config.h>

#include "peer/frames.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "stream.h"
#include "unaligned.h"
#include "util.h"
#include "uuid.h"

/* Padding: so much, so often.  It must keep a window open that holds what
 * arrives for a VM in one round trip, and never be idle for as long as a
 * retransmission timeout, after which the kernel would close the window. */
#define PAD_BYTES (64 * 1024)
#define PAD_INTERVAL_US 100000

#define RETRY_US 200000         /* Between attempts to connect. */
#define WRONG_US 1000000        /* The same, after a certificate's failure. */
#define SEND_BYTES (256 * 1024) /* At once: a TLS stream keeps all of it. */
#define READ_BYTES (256 * 1024)

struct frames_in {
    struct stream *stream;
    struct uuid from;           /* Zero until the hello. */
    struct ofpbuf buffer;
};

struct frames_out {
    struct uuid self;
    char *target;
    char *name;                 /* In the certificate there; may be null. */
    struct stream *stream;      /* Null: not connected. */
    bool connected;
    long long retry_us, pad_us;
    struct ofpbuf queue;        /* Whole records, the first perhaps begun. */
    size_t begun;               /* Bytes of the first one already sent. */
    struct ofpbuf pad;          /* Padding, sent only when nothing waits. */
};

/* Incoming. */

struct frames_in *
frames_in_create(struct stream *stream)
{
    struct frames_in *in = xzalloc(sizeof *in);

    in->stream = stream;
    ofpbuf_init(&in->buffer, READ_BYTES);
    return in;
}

void
frames_in_destroy(struct frames_in *in)
{
    if (in) {
        stream_close(in->stream);
        ofpbuf_uninit(&in->buffer);
        free(in);
    }
}

int
frames_in_run(struct frames_in *in, struct ovs_list *received)
{
    stream_run(in->stream);
    for (;;) {
        ofpbuf_prealloc_tailroom(&in->buffer, READ_BYTES);
        int n = stream_recv(in->stream, ofpbuf_tail(&in->buffer),
                            READ_BYTES);
        if (n == -EAGAIN) {
            return 0;
        } else if (n <= 0) {
            return n ? -n : ECONNRESET;
        }
        in->buffer.size += n;

        long used = frames_parse(in->buffer.data, in->buffer.size,
                                 &in->from, received);
        if (used < 0) {
            return EBADMSG;
        }
        ofpbuf_pull(&in->buffer, used);
        if (!in->buffer.size) {
            ofpbuf_clear(&in->buffer);
        }
    }
}

void
frames_in_wait(struct frames_in *in)
{
    stream_run_wait(in->stream);
    stream_recv_wait(in->stream);
}

const struct uuid *
frames_in_from(const struct frames_in *in)
{
    return &in->from;
}

const struct stream *
frames_in_stream(const struct frames_in *in)
{
    return in->stream;
}

long
frames_parse(const uint8_t *data, size_t len, struct uuid *from,
             struct ovs_list *received)
{
    size_t used = 0;

    while (len - used >= FRAMES_HEADER_LEN) {
        const uint8_t *p = data + used;
        size_t n = ntohl(get_unaligned_be32((const ovs_be32 *) p)) + 4;
        enum relay_kind kind = p[4];
        struct uuid uuid;

        if (n < FRAMES_HEADER_LEN || n > FRAMES_HEADER_LEN + FRAMES_MAX_LEN
            || kind < RELAY_HELLO || kind > RELAY_LATE || p[6] || p[7]) {
            return -1;
        } else if (len - used < n) {
            break;
        }
        used += n;
        for (int i = 0; i < 4; i++) {
            uuid.parts[i] = ntohl(get_unaligned_be32(
                                      (const ovs_be32 *) (p + 8 + 4 * i)));
        }

        if (kind == RELAY_HELLO) {
            if (!uuid_is_zero(from) && !uuid_equals(from, &uuid)) {
                return -1;      /* Nobody becomes another. */
            }
            *from = uuid;
        } else if (uuid_is_zero(from)) {
            return -1;          /* Frames before a hello. */
        } else if (kind != RELAY_PAD) {
            size_t size = n - FRAMES_HEADER_LEN;
            struct relayed *r = xzalloc(sizeof *r + size);

            r->from = *from;
            r->relay.kind = kind;
            r->relay.about = uuid;
            r->relay.nic = p[5];
            r->relay.number
                = ntohl(get_unaligned_be32((const ovs_be32 *) (p + 24)));
            r->len = size;
            memcpy(r->data, p + FRAMES_HEADER_LEN, size);
            ovs_list_push_back(received, &r->node);
        }
    }
    return used;
}

/* Outgoing. */

static void
put_record(struct ofpbuf *b, const struct relay *relay, const void *data,
           size_t len)
{
    uint8_t *p = ofpbuf_put_zeros(b, FRAMES_HEADER_LEN + len);

    put_unaligned_be32((ovs_be32 *) p, htonl(FRAMES_HEADER_LEN - 4 + len));
    p[4] = relay->kind;
    p[5] = relay->nic;
    for (int i = 0; i < 4; i++) {
        put_unaligned_be32((ovs_be32 *) (p + 8 + 4 * i),
                           htonl(relay->about.parts[i]));
    }
    put_unaligned_be32((ovs_be32 *) (p + 24), htonl(relay->number));
    if (len) {
        memcpy(p + FRAMES_HEADER_LEN, data, len);
    }
}

struct frames_out *
frames_out_create(const struct uuid *self)
{
    struct frames_out *out = xzalloc(sizeof *out);
    const struct relay pad = { .kind = RELAY_PAD, .about = *self };
    static const uint8_t zeros[PAD_BYTES / 8];

    out->self = *self;
    ofpbuf_init(&out->queue, READ_BYTES);
    ofpbuf_init(&out->pad, PAD_BYTES + 8 * FRAMES_HEADER_LEN);
    for (int i = 0; i < 8; i++) {
        put_record(&out->pad, &pad, zeros, sizeof zeros);
    }
    return out;
}

static void
frames_out_close(struct frames_out *out)
{
    stream_close(out->stream);
    out->stream = NULL;
    out->connected = false;
    /* A record that was begun is sent again in whole: the receiver dropped
     * its half with the connection. */
    out->begun = 0;
}

void
frames_out_destroy(struct frames_out *out)
{
    if (out) {
        frames_out_close(out);
        ofpbuf_uninit(&out->queue);
        ofpbuf_uninit(&out->pad);
        free(out->target);
        free(out->name);
        free(out);
    }
}

void
frames_out_set_target(struct frames_out *out, const char *target)
{
    if (!out->target || strcmp(out->target, target)) {
        frames_out_close(out);
        free(out->target);
        out->target = xstrdup(target);
    }
}

void
frames_out_set_name(struct frames_out *out, const char *name)
{
    if (!nullable_string_is_equal(out->name, name)) {
        frames_out_close(out);
        free(out->name);
        out->name = nullable_xstrdup(name);
    }
}

/* Is the right host at the other end?  Without TLS everybody is. */
static bool
is_right(const struct frames_out *out)
{
    const char *id = stream_get_peer_id(out->stream);

    return (strncmp(out->target, "ssl:", 4)
            || (id && out->name && !strcmp(id, out->name)));
}

static int
frames_out_connect(struct frames_out *out, long long mono_us)
{
    if (!out->stream) {
        if (!out->target || mono_us < out->retry_us) {
            return 0;
        }
        out->retry_us = mono_us + RETRY_US;
        if (stream_open(out->target, &out->stream, 0)) {
            out->stream = NULL;
            return 0;
        }
    }
    stream_run(out->stream);

    int error = stream_connect(out->stream);
    if (!error && !is_right(out)) {
        frames_out_close(out);
        out->retry_us = mono_us + WRONG_US;
        return EACCES;
    } else if (!error) {
        const struct relay relay = {
            .kind = RELAY_HELLO, .about = out->self,
        };
        struct ofpbuf hello;

        ofpbuf_init(&hello, FRAMES_HEADER_LEN);
        put_record(&hello, &relay, NULL, 0);
        /* A new connection's buffer always has room for so little. */
        if (stream_send(out->stream, hello.data, hello.size) == hello.size) {
            out->connected = true;
        } else {
            frames_out_close(out);
        }
        ofpbuf_uninit(&hello);
    } else if (error != EAGAIN) {
        frames_out_close(out);
        if (error == EPROTO) {
            out->retry_us = mono_us + WRONG_US;
        }
    }
    return 0;
}

/* Nothing comes back on this connection but its end, and with TLS what only
 * the library reads. */
static void
frames_out_listen(struct frames_out *out, long long mono_us)
{
    uint8_t byte;
    int n = stream_recv(out->stream, &byte, sizeof byte);

    if (n != -EAGAIN) {
        frames_out_close(out);
        out->retry_us = MAX(out->retry_us, mono_us + RETRY_US);
    }
}

/* Drops the records that have been sent in whole from the queue. */
static void
frames_out_advance(struct frames_out *out, size_t sent)
{
    out->begun += sent;
    while (out->queue.size >= 4) {
        size_t n = ntohl(get_unaligned_be32(out->queue.data)) + 4;

        if (out->begun < n) {
            return;
        }
        ofpbuf_pull(&out->queue, n);
        out->begun -= n;
    }
    if (!out->queue.size) {
        ofpbuf_clear(&out->queue);
    }
}

int
frames_out_run(struct frames_out *out, long long mono_us)
{
    int error = 0;

    if (!out->connected) {
        error = frames_out_connect(out, mono_us);
    } else {
        frames_out_listen(out, mono_us);
    }
    while (out->connected && out->queue.size > out->begun) {
        int n = stream_send(out->stream,
                            (uint8_t *) out->queue.data + out->begun,
                            MIN(out->queue.size - out->begun, SEND_BYTES));
        if (n > 0) {
            frames_out_advance(out, n);
        } else if (n == -EAGAIN) {
            break;
        } else {
            frames_out_close(out);
        }
    }
    if (out->connected) {
        stream_run(out->stream);
    }
    return error;
}

void
frames_out_wait(struct frames_out *out, long long mono_us)
{
    if (out->stream) {
        stream_run_wait(out->stream);
        if (!out->connected) {
            stream_connect_wait(out->stream);
            return;
        }
        stream_recv_wait(out->stream);
        if (out->queue.size > out->begun) {
            stream_send_wait(out->stream);
        }
    } else if (out->target && out->queue.size) {
        poll_timer_wait(MAX(0, (out->retry_us - mono_us) / 1000 + 1));
    }
}

bool
frames_out_send(struct frames_out *out, const struct relay *relay,
                const void *data, size_t len)
{
    if (len > FRAMES_MAX_LEN
        || out->queue.size + len > CHANNEL_MAX_FRAME_BYTES) {
        return false;
    }
    put_record(&out->queue, relay, data, len);
    return true;
}

bool
frames_out_is_busy(const struct frames_out *out)
{
    return out->queue.size > 0;
}

void
frames_out_warm(struct frames_out *out, long long mono_us)
{
    if (!out->connected) {
        frames_out_connect(out, mono_us);
    } else if (!out->queue.size && mono_us >= out->pad_us) {
        ofpbuf_put(&out->queue, out->pad.data, out->pad.size);
        out->pad_us = mono_us + PAD_INTERVAL_US;
    }
}
