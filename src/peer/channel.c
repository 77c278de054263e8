#include <config.h>

#include "peer/channel.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "jsonrpc.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "stream.h"
#include "util.h"
#include "uuid.h"

#include "peer/frames.h"

#define PING_INTERVAL_US 1000000
#define FIRST_PINGS 4           /* These follow each other at once. */
#define N_DELAYS 8              /* The delay is the smallest of so many. */
#define IDLE_US (120 * 1000000LL)       /* Then a connection is closed. */
#define MAX_SESSIONS 4096       /* Incoming ones. */
#define MAX_RECEIVED 10000      /* Messages that nobody has drained. */
#define MAX_PER_TURN 64         /* Messages of one session. */

/* A connection for messages.  Until its hello 'peer' is null for one that
 * came in. */
struct session {
    struct ovs_list node;
    struct jsonrpc_session *rpc;
    struct peer *peer;
    bool active;                /* We opened it. */
    bool greeted;               /* Their hello has come. */
    unsigned int seqno;         /* Of 'rpc', when our hello was sent. */
    long long ping_us;          /* The next one. */
    int n_pings;
};

struct delay_sample {
    long long rtt_us, offset_us;
};

struct peer {
    struct hmap_node node;
    struct uuid host;
    char *target;               /* Null if the store has not said. */
    struct session *active;     /* Ours to it; null: none. */
    struct session *passive;    /* Its newest to us; null: none. */
    struct frames_out *frames;
    unsigned int epoch;
    long long used_us;
    struct delay_sample delays[N_DELAYS];
    size_t n_delays;
};

struct channel {
    struct uuid self, boot;
    char *name;
    int frames_port;
    struct pstream *listen, *listen_frames;
    struct hmap peers;
    struct ovs_list sessions;
    struct ovs_list frames_in;  /* 'struct frames_link'. */
    size_t n_sessions, n_received;
    struct ovs_list received, received_frames;
    long long mono_us, wall_us;
    struct channel_counters counters;
};

struct frames_link {
    struct ovs_list node;
    struct frames_in *in;
};

static void session_close(struct channel *, struct session *);
static void session_run(struct channel *, struct session *);
static void handle(struct channel *, struct session *, struct message *);

static int
listen_on(const char *target, struct pstream **p, struct err *err)
{
    int error = pstream_open(target, p, 0);

    return error ? err_set(err, error, "cannot listen on %s: %s", target,
                           ovs_strerror(error)) : 0;
}

int
channel_create(const struct channel_config *config, struct channel **cp,
               struct err *err)
{
    struct pstream *listen, *frames;
    int error;

    error = listen_on(config->listen, &listen, err);
    if (error) {
        return error;
    }
    error = listen_on(config->listen_frames, &frames, err);
    if (error) {
        pstream_close(listen);
        return error;
    }

    struct channel *c = xzalloc(sizeof *c);
    c->self = config->host;
    uuid_generate(&c->boot);
    c->name = xstrdup(config->name);
    c->listen = listen;
    c->listen_frames = frames;
    c->frames_port = ntohs(pstream_get_bound_port(frames));
    hmap_init(&c->peers);
    ovs_list_init(&c->sessions);
    ovs_list_init(&c->frames_in);
    ovs_list_init(&c->received);
    ovs_list_init(&c->received_frames);
    *cp = c;
    return 0;
}

void
channel_destroy(struct channel *c)
{
    if (!c) {
        return;
    }

    struct session *s;
    LIST_FOR_EACH_SAFE (s, node, &c->sessions) {
        session_close(c, s);
    }
    struct frames_link *link;
    LIST_FOR_EACH_SAFE (link, node, &c->frames_in) {
        frames_in_destroy(link->in);
        free(link);
    }
    struct peer *peer;
    HMAP_FOR_EACH_SAFE (peer, node, &c->peers) {
        hmap_remove(&c->peers, &peer->node);
        frames_out_destroy(peer->frames);
        free(peer->target);
        free(peer);
    }
    hmap_destroy(&c->peers);

    struct message *m;
    while ((m = channel_next(c))) {
        message_destroy(m);
    }
    struct relayed *r;
    while ((r = channel_next_frame(c))) {
        free(r);
    }
    pstream_close(c->listen);
    pstream_close(c->listen_frames);
    free(c->name);
    free(c);
}

/* Peers. */

static struct peer *
find_peer(const struct channel *c, const struct uuid *host)
{
    struct peer *peer;

    HMAP_FOR_EACH_WITH_HASH (peer, node, uuid_hash(host), &c->peers) {
        if (uuid_equals(&peer->host, host)) {
            return peer;
        }
    }
    return NULL;
}

static struct peer *
get_peer(struct channel *c, const struct uuid *host)
{
    struct peer *peer = find_peer(c, host);

    if (!peer) {
        peer = xzalloc(sizeof *peer);
        peer->host = *host;
        peer->frames = frames_out_create(&c->self);
        hmap_insert(&c->peers, &peer->node, uuid_hash(host));
    }
    return peer;
}

/* Frames go to the next port of the same address. */
static void
set_frames_target(struct peer *peer, int port)
{
    const char *colon = peer->target ? strrchr(peer->target, ':') : NULL;

    if (colon) {
        char *target = xasprintf("%.*s:%d", (int) (colon - peer->target),
                                 peer->target, port);
        frames_out_set_target(peer->frames, target);
        free(target);
    }
}

void
channel_set_target(struct channel *c, const struct uuid *host,
                   const char *target)
{
    if (uuid_equals(host, &c->self)) {
        return;
    }

    struct peer *peer = get_peer(c, host);
    if (peer->target && !strcmp(peer->target, target)) {
        return;
    }
    free(peer->target);
    peer->target = xstrdup(target);
    if (peer->active) {
        session_close(c, peer->active);
    }

    const char *colon = strrchr(target, ':');
    set_frames_target(peer, colon ? atoi(colon + 1) + 1 : CHANNEL_PORT + 1);
}

void
channel_connect(struct channel *c, const struct uuid *host)
{
    struct peer *peer = get_peer(c, host);

    peer->used_us = c->mono_us;
    if (!peer->active && peer->target && !uuid_equals(host, &c->self)) {
        struct session *s = xzalloc(sizeof *s);

        s->rpc = jsonrpc_session_open(peer->target, true);
        jsonrpc_session_set_max_backoff(s->rpc, 1000);
        s->peer = peer;
        s->active = true;
        peer->active = s;
        ovs_list_push_back(&c->sessions, &s->node);
        poll_immediate_wake();
    }
}

static struct session *
usable(const struct peer *peer)
{
    return (peer->active && peer->active->greeted ? peer->active
            : peer->passive && peer->passive->greeted ? peer->passive
            : NULL);
}

unsigned int
channel_epoch(const struct channel *c, const struct uuid *host)
{
    if (uuid_equals(host, &c->self)) {
        return 1;
    }

    struct peer *peer = find_peer(c, host);
    return peer && usable(peer) ? peer->epoch : 0;
}

/* Sending. */

static void
session_send(struct channel *c, struct session *s, struct message *m)
{
    struct json *params = json_array_create_1(m->body);

    m->body = NULL;
    jsonrpc_session_send(s->rpc, jsonrpc_create_notify(message_name(m->type),
                                                       params));
    c->counters.messages_out++;
    message_destroy(m);
    poll_immediate_wake();      /* So that session_run() flushes it. */
}

int
channel_send(struct channel *c, const struct uuid *host, struct message *m)
{
    if (uuid_equals(host, &c->self)) {
        m->from = c->self;
        ovs_list_push_back(&c->received, &m->node);
        c->n_received++;
        poll_immediate_wake();
        return 0;
    }

    channel_connect(c, host);
    struct session *s = usable(get_peer(c, host));
    if (!s) {
        message_destroy(m);
        return ENOTCONN;
    }
    session_send(c, s, m);
    return 0;
}

static void
send_hello(struct channel *c, struct session *s)
{
    struct message *m = message_create(MESSAGE_HELLO, NULL);

    json_object_put(m->body, "version", json_integer_create(CHANNEL_VERSION));
    json_object_put(m->body, "oldest", json_integer_create(CHANNEL_OLDEST));
    message_put_list(m->body, "features");
    message_put_uuid(m->body, "host", &c->self);
    json_object_put_string(m->body, "name", c->name);
    message_put_uuid(m->body, "boot", &c->boot);
    json_object_put(m->body, "frames_port",
                    json_integer_create(c->frames_port));
    session_send(c, s, m);
}

static void
send_ping(struct channel *c, struct session *s)
{
    struct message *m = message_create(MESSAGE_PING, NULL);

    json_object_put(m->body, "sent_us", json_integer_create(c->mono_us));
    session_send(c, s, m);
}

/* Running. */

static void
accept_sessions(struct channel *c)
{
    struct stream *stream;

    while (!pstream_accept(c->listen, &stream)) {
        if (c->n_sessions >= MAX_SESSIONS) {
            c->counters.refused++;
            stream_close(stream);
            continue;
        }
        struct session *s = xzalloc(sizeof *s);
        s->rpc = jsonrpc_session_open_unreliably(jsonrpc_open(stream), 0);
        s->seqno = jsonrpc_session_get_seqno(s->rpc) - 1;
        ovs_list_push_back(&c->sessions, &s->node);
        c->n_sessions++;
    }
    while (!pstream_accept(c->listen_frames, &stream)) {
        struct frames_link *link = xzalloc(sizeof *link);

        link->in = frames_in_create(stream);
        ovs_list_push_back(&c->frames_in, &link->node);
    }
}

void
channel_run(struct channel *c, long long mono_us, long long wall_us)
{
    c->mono_us = mono_us;
    c->wall_us = wall_us;
    accept_sessions(c);

    struct session *s;
    LIST_FOR_EACH_SAFE (s, node, &c->sessions) {
        session_run(c, s);
    }
    struct frames_link *link;
    LIST_FOR_EACH_SAFE (link, node, &c->frames_in) {
        if (frames_in_run(link->in, &c->received_frames)) {
            ovs_list_remove(&link->node);
            frames_in_destroy(link->in);
            free(link);
        }
    }
    struct peer *peer;
    HMAP_FOR_EACH (peer, node, &c->peers) {
        frames_out_run(peer->frames, mono_us);
    }
}

void
channel_wait(struct channel *c, long long mono_us)
{
    pstream_wait(c->listen);
    pstream_wait(c->listen_frames);

    struct session *s;
    LIST_FOR_EACH (s, node, &c->sessions) {
        jsonrpc_session_wait(s->rpc);
        jsonrpc_session_recv_wait(s->rpc);
        if (s->greeted && s->active) {
            poll_timer_wait(MAX(0, (s->ping_us - mono_us) / 1000 + 1));
        }
    }
    struct frames_link *link;
    LIST_FOR_EACH (link, node, &c->frames_in) {
        frames_in_wait(link->in);
    }
    struct peer *peer;
    HMAP_FOR_EACH (peer, node, &c->peers) {
        frames_out_wait(peer->frames, mono_us);
    }
    if (!ovs_list_is_empty(&c->received)
        || !ovs_list_is_empty(&c->received_frames)) {
        poll_immediate_wake();
    }
}

static void
session_close(struct channel *c, struct session *s)
{
    if (s->peer && s->peer->active == s) {
        s->peer->active = NULL;
    } else if (s->peer && s->peer->passive == s) {
        s->peer->passive = NULL;
    }
    if (!s->active) {
        c->n_sessions--;
    }
    ovs_list_remove(&s->node);
    jsonrpc_session_close(s->rpc);
    free(s);
}

static void
session_run(struct channel *c, struct session *s)
{
    jsonrpc_session_run(s->rpc);
    if (!jsonrpc_session_is_alive(s->rpc)
        || (s->active && s->peer->used_us
            && c->mono_us - s->peer->used_us > IDLE_US)) {
        session_close(c, s);
        return;
    }
    if (!jsonrpc_session_is_connected(s->rpc)) {
        s->greeted = false;
        return;
    }
    if (s->seqno != jsonrpc_session_get_seqno(s->rpc)) {
        s->seqno = jsonrpc_session_get_seqno(s->rpc);
        s->greeted = false;
        send_hello(c, s);
    }

    for (int i = 0; i < MAX_PER_TURN && c->n_received < MAX_RECEIVED; i++) {
        struct jsonrpc_msg *rpc = jsonrpc_session_recv(s->rpc);
        struct message *m;
        struct err err;

        if (!rpc) {
            break;
        }
        if (rpc->type != JSONRPC_NOTIFY || rpc->params->array.n != 1) {
            err_set(&err, EBADMSG, "not a notification of one object");
        } else if (!message_parse(rpc->method,
                                  json_clone(rpc->params->array.elems[0]),
                                  &m, &err)) {
            jsonrpc_msg_destroy(rpc);
            handle(c, s, m);
            continue;
        }
        /* Newer agents may have more to say; what is not understood is
         * counted and passed over. */
        jsonrpc_msg_destroy(rpc);
        c->counters.refused++;
    }

    if (s->greeted && s->active && c->mono_us >= s->ping_us) {
        s->ping_us = c->mono_us + (++s->n_pings < FIRST_PINGS
                                   ? 1000 : PING_INTERVAL_US);
        send_ping(c, s);
    }
    jsonrpc_session_run(s->rpc);        /* Flush. */
}

static void
handle_hello(struct channel *c, struct session *s, const struct message *m)
{
    struct uuid host = message_get_uuid(m->body, "host");

    if (message_get_integer(m->body, "oldest") > CHANNEL_VERSION
        || message_get_integer(m->body, "version") < CHANNEL_OLDEST
        || (s->active && !uuid_equals(&host, &s->peer->host))) {
        c->counters.refused++;
        jsonrpc_session_force_reconnect(s->rpc);
        return;
    }

    if (!s->active) {
        s->peer = get_peer(c, &host);
        s->peer->passive = s;
    }
    set_frames_target(s->peer, message_get_integer(m->body, "frames_port"));
    s->greeted = true;
    s->peer->epoch++;
    s->n_pings = 0;
    s->ping_us = 0;
}

static void
handle_pong(struct channel *c, struct session *s, const struct message *m)
{
    struct peer *peer = s->peer;
    long long sent_us = message_get_integer(m->body, "sent_us");
    long long clock_us = message_get_integer(m->body, "clock_us");

    /* We said when; the other clock may say anything. */
    if (sent_us < 0 || sent_us > c->mono_us
        || clock_us < 0 || clock_us > LLONG_MAX / 2) {
        return;
    }
    long long rtt = c->mono_us - sent_us;
    peer->delays[peer->n_delays++ % N_DELAYS] = (struct delay_sample) {
        .rtt_us = rtt,
        .offset_us = clock_us + rtt / 2 - c->wall_us,
    };
}

static void
handle(struct channel *c, struct session *s, struct message *m)
{
    c->counters.messages_in++;
    if (m->type == MESSAGE_HELLO) {
        handle_hello(c, s, m);
    } else if (!s->greeted) {
        c->counters.refused++;
    } else if (m->type == MESSAGE_PING) {
        struct message *pong = message_create(MESSAGE_PONG, NULL);

        json_object_put(pong->body, "sent_us", json_integer_create(
                            message_get_integer(m->body, "sent_us")));
        json_object_put(pong->body, "clock_us",
                        json_integer_create(c->wall_us));
        session_send(c, s, pong);
    } else if (m->type == MESSAGE_PONG) {
        handle_pong(c, s, m);
    } else {
        s->peer->used_us = c->mono_us;
        m->from = s->peer->host;
        ovs_list_push_back(&c->received, &m->node);
        c->n_received++;
        return;
    }
    message_destroy(m);
}

/* Draining. */

struct message *
channel_next(struct channel *c)
{
    if (ovs_list_is_empty(&c->received)) {
        return NULL;
    }
    c->n_received--;
    return CONTAINER_OF(ovs_list_pop_front(&c->received), struct message,
                        node);
}

void
channel_get_delay(const struct channel *c, const struct uuid *host,
                  struct channel_delay *delay)
{
    struct peer *peer = find_peer(c, host);
    size_t n = peer ? MIN(peer->n_delays, N_DELAYS) : 0;

    *delay = (struct channel_delay) { .rtt_us = -1 };
    if (uuid_equals(host, &c->self)) {
        delay->rtt_us = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct delay_sample *d = &peer->delays[i];

        if (delay->rtt_us < 0 || d->rtt_us < delay->rtt_us) {
            delay->rtt_us = d->rtt_us;
            delay->offset_us = d->offset_us;
            delay->offset_error_us = d->rtt_us / 2;
        }
    }
}

/* Frames. */

void
channel_send_frame(struct channel *c, const struct uuid *host,
                   enum relay_kind kind, const struct uuid *migration,
                   unsigned int nic, const void *data, size_t len)
{
    c->counters.frames_out++;
    if (uuid_equals(host, &c->self)) {
        struct relayed *r = xzalloc(sizeof *r + len);

        r->from = c->self;
        r->migration = *migration;
        r->kind = kind;
        r->nic = nic;
        r->len = len;
        memcpy(r->data, data, len);
        ovs_list_push_back(&c->received_frames, &r->node);
    } else {
        struct peer *peer = get_peer(c, host);

        if (!frames_out_send(peer->frames, kind, migration, nic, data,
                             len)) {
            c->counters.frames_dropped++;
        }
    }
}

struct relayed *
channel_next_frame(struct channel *c)
{
    if (ovs_list_is_empty(&c->received_frames)) {
        return NULL;
    }
    c->counters.frames_in++;
    return CONTAINER_OF(ovs_list_pop_front(&c->received_frames),
                        struct relayed, node);
}

void
channel_warm(struct channel *c, const struct uuid *host, long long mono_us)
{
    if (!uuid_equals(host, &c->self)) {
        frames_out_warm(get_peer(c, host)->frames, mono_us);
    }
}

const struct channel_counters *
channel_counters(const struct channel *c)
{
    return &c->counters;
}
