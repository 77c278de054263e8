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

#include "peer/arrivals.h"
#include "peer/delays.h"
#include "peer/frames.h"
#include "peer/refusals.h"
#include "peer/roster.h"

#define PING_INTERVAL_US 1000000
#define FIRST_PINGS 4           /* These follow each other at once. */
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
    bool was_greeted;           /* On the last connection, too. */
    bool complained;            /* We said that it does not come. */
    unsigned int seqno;         /* Of 'rpc', when our hello was sent. */
    long long ping_us;          /* The next one. */
    int n_pings;
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
    struct delays delays;
};

struct channel {
    struct uuid self, boot;
    char *name;
    int frames_port;
    bool tls;
    struct arrivals *arrivals, *frames_arrivals;
    struct roster *roster;
    struct refusals *refusals;
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

static void link_close(struct frames_link *);
static void session_close(struct channel *, struct session *);
static void session_run(struct channel *, struct session *);
static void handle(struct channel *, struct session *, struct message *);

int
channel_create(const struct channel_config *config, struct channel **cp,
               struct err *err)
{
    bool tls = !strncmp(config->listen, "pssl:", 5);
    struct arrivals *arrivals, *frames;
    int error;

    if (tls != !strncmp(config->listen_frames, "pssl:", 5)) {
        return err_set(err, EINVAL, "%s and %s: frames need TLS as messages "
                       "do", config->listen, config->listen_frames);
    }
    error = arrivals_create(config->listen, &arrivals, err);
    if (error) {
        return error;
    }
    error = arrivals_create(config->listen_frames, &frames, err);
    if (error) {
        arrivals_destroy(arrivals);
        return error;
    }

    struct channel *c = xzalloc(sizeof *c);
    c->self = config->host;
    uuid_generate(&c->boot);
    c->name = xstrdup(config->name);
    c->tls = tls;
    c->arrivals = arrivals;
    c->frames_arrivals = frames;
    c->frames_port = arrivals_port(frames);
    c->roster = roster_create();
    c->refusals = refusals_create();
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
        link_close(link);
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
    arrivals_destroy(c->arrivals);
    arrivals_destroy(c->frames_arrivals);
    refusals_destroy(c->refusals);
    roster_destroy(c->roster);
    free(c->name);
    free(c);
}

/* Who is who. */

/* With TLS 'id' is what the peer's certificate names, or null. */
static bool
is_admitted(const struct channel *c, const struct uuid *host, const char *id)
{
    const char *name = roster_find(c->roster, host);

    return !c->tls || (name && id && !strcmp(name, id));
}

/* Counts and says that 'id', at the other end, is not 'host'. */
static void
refuse_identity(struct channel *c, const struct uuid *host, const char *id,
                const char *connection)
{
    c->counters.refused++;
    refusals_add_identity(c->refusals, c->mono_us, connection, id,
                          roster_find(c->roster, host));
}

/* Sessions and frame connections whose hosts changed names are closed; their
 * peers try again, and hear why not. */
static void
close_changed(struct channel *c)
{
    struct session *s;
    LIST_FOR_EACH_SAFE (s, node, &c->sessions) {
        if (s->greeted
            && !is_admitted(c, &s->peer->host,
                            jsonrpc_session_get_id(s->rpc))) {
            session_close(c, s);
        }
    }
    struct frames_link *link;
    LIST_FOR_EACH_SAFE (link, node, &c->frames_in) {
        const struct uuid *from = frames_in_from(link->in);

        if (!uuid_is_zero(from)
            && !is_admitted(c, from, stream_get_peer_id(
                                         frames_in_stream(link->in)))) {
            link_close(link);
        }
    }
    struct peer *peer;
    HMAP_FOR_EACH (peer, node, &c->peers) {
        frames_out_set_name(peer->frames, roster_find(c->roster, &peer->host));
    }
}

void
channel_set_hosts(struct channel *c, const struct channel_host *hosts,
                  size_t n)
{
    if (roster_set(c->roster, hosts, n)) {
        close_changed(c);
    }
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
        frames_out_set_name(peer->frames, roster_find(c->roster, host));
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
    if (c->tls != !strncmp(target, "ssl:", 4)) {
        const char *name = roster_find(c->roster, host);

        c->counters.refused++;
        refusals_add(c->refusals, c->mono_us, c->tls
                     ? "host \"%s\" is at %s, without TLS: nothing is sent "
                       "there"
                     : "host \"%s\" is at %s, which needs a certificate; "
                       "ours has no \"certificate\"", name ? name : "?",
                     target);
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

    arrivals_run(c->arrivals, c->mono_us, c->refusals, &c->counters.refused);
    while ((stream = arrivals_next(c->arrivals))) {
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

    arrivals_run(c->frames_arrivals, c->mono_us, c->refusals,
                 &c->counters.refused);
    while ((stream = arrivals_next(c->frames_arrivals))) {
        struct frames_link *link = xzalloc(sizeof *link);

        link->in = frames_in_create(stream);
        ovs_list_push_back(&c->frames_in, &link->node);
    }
}

static void
link_close(struct frames_link *link)
{
    ovs_list_remove(&link->node);
    frames_in_destroy(link->in);
    free(link);
}

/* Takes frames from who is what it says. */
static void
link_run(struct channel *c, struct frames_link *link)
{
    struct ovs_list received = OVS_LIST_INITIALIZER(&received);
    int error = frames_in_run(link->in, &received);
    const struct uuid *from = frames_in_from(link->in);
    const struct stream *stream = frames_in_stream(link->in);
    const char *id = stream_get_peer_id(stream);

    if (!uuid_is_zero(from) && !is_admitted(c, from, id)) {
        struct relayed *r;

        refuse_identity(c, from, id, stream_get_name(stream));
        LIST_FOR_EACH_POP (r, node, &received) {
            free(r);
        }
        error = EACCES;
    }
    ovs_list_push_back_all(&c->received_frames, &received);
    if (error) {
        link_close(link);
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
        link_run(c, link);
    }
    struct peer *peer;
    HMAP_FOR_EACH (peer, node, &c->peers) {
        if (frames_out_run(peer->frames, mono_us)) {
            refuse_identity(c, &peer->host, "somebody else", peer->target);
        }
    }
}

void
channel_wait(struct channel *c, long long mono_us)
{
    arrivals_wait(c->arrivals, mono_us);
    arrivals_wait(c->frames_arrivals, mono_us);

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

/* Says once for each outage that TLS with 's' fails; the peer knows why if it
 * is the one that refuses.  Who refuses us may do so only after our side of
 * the handshake: that is EIO (RFC 8446, section 4.4.2.4). */
static void
complain(struct channel *c, struct session *s)
{
    int error = jsonrpc_session_get_last_error(s->rpc);

    if (c->tls && s->active && !s->complained
        && (error == EPROTO || (error == EIO && !s->was_greeted))) {
        const char *name = roster_find(c->roster, &s->peer->host);

        s->complained = true;
        c->counters.refused++;
        refusals_add(c->refusals, c->mono_us, "no TLS with host \"%s\" at "
                     "%s: one of us does not believe the other's certificate",
                     name ? name : "?", s->peer->target);
    }
}

/* Begins with a hello, if the right host is there. */
static void
session_begin(struct channel *c, struct session *s)
{
    const char *id = jsonrpc_session_get_id(s->rpc);

    s->seqno = jsonrpc_session_get_seqno(s->rpc);
    s->greeted = s->was_greeted = false;
    if (s->active && !is_admitted(c, &s->peer->host, id)) {
        refuse_identity(c, &s->peer->host, id, s->peer->target);
        jsonrpc_session_force_reconnect(s->rpc);
    } else {
        send_hello(c, s);
    }
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
        complain(c, s);
        return;
    }
    if (s->seqno != jsonrpc_session_get_seqno(s->rpc)) {
        session_begin(c, s);
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
greet(struct channel *c, struct session *s, const struct uuid *host,
      int frames_port)
{
    if (!s->active) {
        s->peer = get_peer(c, host);
        s->peer->passive = s;
    }
    set_frames_target(s->peer, frames_port);
    s->greeted = s->was_greeted = true;
    s->complained = false;
    s->peer->epoch++;
    s->n_pings = 0;
    s->ping_us = 0;
}

static void
handle_hello(struct channel *c, struct session *s, const struct message *m)
{
    struct uuid host = message_get_uuid(m->body, "host");
    const char *id = jsonrpc_session_get_id(s->rpc);
    const char *connection = jsonrpc_session_get_name(s->rpc);
    bool is_version_bad
        = (message_get_integer(m->body, "oldest") > CHANNEL_VERSION
           || message_get_integer(m->body, "version") < CHANNEL_OLDEST);

    if (!is_admitted(c, &host, id)) {
        refuse_identity(c, &host, id, connection);
    } else if (is_version_bad || (s->peer
                                  && !uuid_equals(&host, &s->peer->host))) {
        char *address = arrivals_address(connection);

        c->counters.refused++;
        refusals_add(c->refusals, c->mono_us, "refused a peer at %s: %s",
                     address, is_version_bad
                     ? "it speaks another version of the channel than this "
                       "agent; upgrade the older one of the two"
                     : "it is not the host that it should be");
        free(address);
    } else {
        greet(c, s, &host, message_get_integer(m->body, "frames_port"));
        return;
    }
    s->greeted = false;
    jsonrpc_session_force_reconnect(s->rpc);
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
    delays_add(&peer->delays, rtt, clock_us + rtt / 2 - c->wall_us);
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

    *delay = (struct channel_delay) { .rtt_us = -1 };
    if (uuid_equals(host, &c->self)) {
        delay->rtt_us = 0;
    }
    if (peer) {
        delays_get(&peer->delays, delay);
    }
}

/* Frames. */

void
channel_send_frame(struct channel *c, const struct uuid *host,
                   const struct relay *relay, const void *data, size_t len)
{
    c->counters.frames_out++;
    if (uuid_equals(host, &c->self)) {
        struct relayed *r = xzalloc(sizeof *r + len);

        r->from = c->self;
        r->relay = *relay;
        r->len = len;
        memcpy(r->data, data, len);
        ovs_list_push_back(&c->received_frames, &r->node);
    } else {
        struct peer *peer = get_peer(c, host);

        if (!frames_out_send(peer->frames, relay, data, len)) {
            c->counters.frames_dropped++;
        }
    }
}

bool
channel_has_frames(const struct channel *c, const struct uuid *host)
{
    const struct peer *peer = find_peer(c, host);

    return peer && frames_out_is_busy(peer->frames);
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

void
channel_refuse(struct channel *c, const struct uuid *host, const char *what)
{
    const char *name = roster_find(c->roster, host);

    c->counters.refused++;
    refusals_add(c->refusals, c->mono_us, "refused of host \"%s\": %s",
                 name ? name : "?", what);
}

char *
channel_next_refusal(struct channel *c)
{
    return refusals_next(c->refusals);
}
