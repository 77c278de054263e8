#include <config.h>

/* The fakes of channel, switch, bridge, taps, and the wires between them.
 * Each of these objects is the host to which it belongs. */

#include "engine/test-world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dp-packet.h"
#include "util.h"
#include "uuid.h"

#include "core/flow-table.h"
#include "engine/engine.h"
#include "hypervisor/tap.h"
#include "mobility/pipeline.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "peer/channel.h"

#define CHANNEL_US 2000         /* From agent to agent. */
#define WAN_US 3000             /* From switch to switch. */
#define ACK_US 1000             /* From a sync to its acknowledgement... */
#define REVALIDATE_US 2000      /* ...and then to its effect. */
#define IDLE_US 2000

/* What is under way between two hosts: one of three. */
struct transit {
    struct ovs_list node;
    int from, to;
    long long at_us;
    struct message *message;
    struct relayed *frame;
    struct dp_packet *packet;   /* On the WAN, to... */
    struct in6_addr target;     /* ...this mobile address. */
};

static struct world_host *
host_of(const void *object)
{
    return CONST_CAST(struct world_host *, object);
}

static bool
link_is_up(const struct world_link *link)
{
    return world.now_us >= link->down_until_us;
}

static bool
is_alive(int host)
{
    return world.hosts[host].engine || world.hosts[host].ghost;
}

static bool
is_up(int from, int to)
{
    return (is_alive(from) && is_alive(to)
            && link_is_up(&world.links[from][to])
            && link_is_up(&world.links[to][from]));
}

/* Channel. */

static void
transit_free(struct transit *t)
{
    ovs_list_remove(&t->node);
    message_destroy(t->message);
    free(t->frame);
    if (t->packet) {
        dp_packet_delete(t->packet);
    }
    free(t);
}

static struct transit *
transit_add(int from, int to, long long us)
{
    struct transit *t = xzalloc(sizeof *t);
    struct world_link *link = &world.links[from][to];

    t->from = from;
    t->to = to;
    t->at_us = MAX(world_soon(us), link->late_us);
    ovs_list_push_back(&world.transit, &t->node);
    return t;
}

static void
break_connection(int a, int b, int ms)
{
    struct transit *t;

    LIST_FOR_EACH_SAFE (t, node, &world.transit) {
        if (t->message && ((t->from == a && t->to == b)
                           || (t->from == b && t->to == a))) {
            transit_free(t);
        }
    }
    world.links[a][b].epoch++;
    world.links[b][a].epoch++;
    world.links[a][b].down_until_us = world.now_us + ms * 1000LL;
    world.links[b][a].down_until_us = world.now_us + ms * 1000LL;
}

unsigned int
channel_epoch(const struct channel *c, const struct uuid *host)
{
    int from = host_of(c)->index;
    int to = world_host(host)->index;

    return from == to ? 1 : is_up(from, to) ? world.links[from][to].epoch : 0;
}

void
channel_connect(struct channel *c OVS_UNUSED,
                const struct uuid *host OVS_UNUSED)
{
}

void
channel_set_target(struct channel *c OVS_UNUSED,
                   const struct uuid *host OVS_UNUSED,
                   const char *target OVS_UNUSED)
{
}

void
channel_refuse(struct channel *c OVS_UNUSED,
               const struct uuid *host OVS_UNUSED,
               const char *what OVS_UNUSED)
{
    world.n_refused++;
}

void
channel_warm(struct channel *c OVS_UNUSED,
             const struct uuid *host OVS_UNUSED, long long mono_us OVS_UNUSED)
{
}

void
channel_get_delay(const struct channel *c, const struct uuid *host,
                  struct channel_delay *delay)
{
    *delay = (struct channel_delay) {
        .rtt_us = host_of(c) == world_host(host) ? 0 : 2 * CHANNEL_US,
    };
}

static void
write_down(int from, int to, const struct message *m)
{
    struct world_sent *sent = xzalloc(sizeof *sent);

    sent->from = from;
    sent->to = to;
    sent->type = m->type;
    sent->body = json_deep_clone(m->body);
    ovs_list_push_back(&world.sent, &sent->node);
}

/* Whatever an engine says has to be a valid message. */
static void
check_message(const struct message *m)
{
    struct message *parsed;
    struct err err;

    if (message_parse(message_name(m->type), json_deep_clone(m->body),
                      &parsed, &err)) {
        fprintf(stderr, "not a message: %s\n", err.text);
        abort();
    }
    message_destroy(parsed);
}

int
channel_send(struct channel *c, const struct uuid *host, struct message *m)
{
    const struct weather *w;
    int from = host_of(c)->index;
    int to = world_host(host)->index;

    check_message(m);
    m->from = host_of(c)->uuid;
    world_effect(host_of(c), message_name(m->type));
    if (from == to) {
        write_down(from, to, m);
        ovs_list_push_back(&host_of(c)->received, &m->node);
        return 0;
    } else if (!is_up(from, to)) {
        message_destroy(m);
        return ENOTCONN;
    }

    write_down(from, to, m);
    world.granted = world.granted || m->type == MESSAGE_GRANT;
    struct world_link *link = &world.links[from][to];
    int n = world.n_messages++;
    if ((w = world_strikes(CONNECTION_BREAKS, n))) {
        break_connection(from, to, w->ms);
        message_destroy(m);
        return 0;               /* It went into the socket's buffer. */
    } else if ((w = world_strikes(MESSAGE_LATE, n))) {
        link->late_us = world.now_us + w->ms * 1000LL;
    }
    struct transit *t = transit_add(from, to, CHANNEL_US);
    if (from != HOST_C && to != HOST_C) {
        t->at_us = MAX(world_later(CHANNEL_US), t->at_us);
    }
    t->message = m;
    return 0;
}

struct message *
channel_next(struct channel *c)
{
    struct ovs_list *list = &host_of(c)->received;

    return (ovs_list_is_empty(list) ? NULL
            : CONTAINER_OF(ovs_list_pop_front(list), struct message, node));
}

void
channel_send_frame(struct channel *c, const struct uuid *host,
                   const struct relay *relay, const void *data, size_t len)
{
    int from = host_of(c)->index;
    int to = world_host(host)->index;
    struct relayed *r = xzalloc(sizeof *r + len);

    r->from = host_of(c)->uuid;
    r->relay = *relay;
    r->len = len;
    memcpy(r->data, data, len);
    transit_add(from, to, CHANNEL_US)->frame = r;
}

bool
channel_has_frames(const struct channel *c OVS_UNUSED,
                   const struct uuid *host OVS_UNUSED)
{
    return false;
}

struct relayed *
channel_next_frame(struct channel *c)
{
    struct ovs_list *list = &host_of(c)->received_frames;

    return (ovs_list_is_empty(list) ? NULL
            : CONTAINER_OF(ovs_list_pop_front(list), struct relayed, node));
}

void
world_say(int from, int to, struct message *m)
{
    check_message(m);
    m->from = world.hosts[from].uuid;
    ovs_list_push_back(&world.hosts[to].received, &m->node);
}

void
world_relay(int from, int to, const struct relay *relay, struct dp_packet *p)
{
    size_t len = dp_packet_size(p);
    struct relayed *r = xzalloc(sizeof *r + len);

    r->from = world.hosts[from].uuid;
    r->relay = *relay;
    r->len = len;
    memcpy(r->data, dp_packet_data(p), len);
    dp_packet_delete(p);
    ovs_list_push_back(&world.hosts[to].received_frames, &r->node);
}

const struct json *
world_heard(int from, int to, enum message_type type)
{
    struct world_sent *sent;

    LIST_FOR_EACH (sent, node, &world.sent) {
        if (sent->from == from && sent->to == to && sent->type == type) {
            sent->type = N_MESSAGES;    /* Looked at. */
            return sent->body;
        }
    }
    return NULL;
}

void
world_clear_channel(void)
{
    struct transit *t;
    struct world_sent *sent;

    LIST_FOR_EACH_SAFE (t, node, &world.transit) {
        transit_free(t);
    }
    LIST_FOR_EACH_POP (sent, node, &world.sent) {
        json_destroy(sent->body);
        free(sent);
    }
}

/* The WAN. */

void
world_send_out(int host, struct dp_packet *p, const struct in6_addr *target)
{
    /* 198.18.SITE.X, and sites are counted from 1. */
    int to = target->s6_addr[14] - 1;

    if (to < 0 || to >= N_HOSTS) {
        world.n_lost++;
        dp_packet_delete(p);
        return;
    }
    struct transit *t = transit_add(host, to, WAN_US);
    t->at_us = world_soon(WAN_US);
    t->packet = p;
    t->target = *target;
}

/* Routers gave fences the addresses of the path; the switch takes them off
 * again. */
static struct dp_packet *
fence_at_home(struct dp_packet *p)
{
    struct frame_fence fence;

    if (!frame_parse_fence(dp_packet_data(p), dp_packet_size(p), &fence)) {
        return p;
    }
    for (int sender = 0; sender < N_SENDERS; sender++) {
        struct uuid uuid = world_interface(sender);

        if (uuid_equals(&uuid, &fence.from)) {
            dp_packet_delete(p);
            return world_make_fence(sender, &fence);
        }
    }
    OVS_NOT_REACHED();
}

static void
arrive(struct transit *t)
{
    struct world_host *h = &world.hosts[t->to];

    if (t->packet) {
        struct dp_packet *p = fence_at_home(t->packet);

        t->packet = NULL;
        if (h->flows.is_here
            && addr_pair_contains(&h->flows.here.mobile, &t->target)) {
            world_switch_in(t->to, p);
        } else {
            world.n_lost++;
            dp_packet_delete(p);
        }
    } else if (t->message && h->engine) {
        ovs_list_push_back(&h->received, &t->message->node);
        t->message = NULL;
    } else if (t->frame && (h->engine || h->ghost)) {
        ovs_list_push_back(&h->received_frames, &t->frame->node);
        t->frame = NULL;
    }
    transit_free(t);
}

/* Whatever is under way between two hosts keeps its order; frames wait for a
 * connection. */
void
world_run_transit(void)
{
    struct transit *t;

    LIST_FOR_EACH_SAFE (t, node, &world.transit) {
        if (world.now_us >= t->at_us
            && !(t->frame && t->from != t->to && !is_up(t->from, t->to))) {
            arrive(t);
        }
    }
}

/* Stepwise. */

static struct transit *
find_message(int from, int to, size_t i)
{
    struct transit *t;

    LIST_FOR_EACH (t, node, &world.transit) {
        if (t->message && t->from == from && t->to == to && !i--) {
            return t;
        }
    }
    return NULL;
}

size_t
world_n_messages(int from, int to)
{
    size_t n = 0;

    while (find_message(from, to, n)) {
        n++;
    }
    return n;
}

const struct message *
world_message(int from, int to, size_t i)
{
    return find_message(from, to, i)->message;
}

void
world_deliver(int from, int to)
{
    arrive(find_message(from, to, 0));
}

void
world_drop_messages(int from, int to)
{
    struct transit *t;

    while ((t = find_message(from, to, 0))) {
        transit_free(t);
    }
}

void
world_break(int a, int b)
{
    break_connection(a, b, 0);
    world.links[a][b].down_until_us = LLONG_MAX;
}

void
world_mend(int a, int b)
{
    world.links[a][b].down_until_us = 0;
}

bool
world_is_up(int a, int b)
{
    return link_is_up(&world.links[a][b]) && link_is_up(&world.links[b][a]);
}

bool
world_is_quiet(void)
{
    const struct transit *t;

    LIST_FOR_EACH (t, node, &world.transit) {
        if ((!t->frame || t->from == t->to || is_up(t->from, t->to))
            && t->at_us < world.now_us + 20000) {
            return false;
        }
    }
    return (!world.talking
            && ovs_list_is_empty(&world.hosts[HOST_S].received)
            && ovs_list_is_empty(&world.hosts[HOST_D].received));
}

/* The switch. */

uint64_t
of_switch_sync(struct of_switch *sw)
{
    struct world_host *h = host_of(sw);
    struct uuid uuid = world_interface(-1);
    const struct datapath_here *here;
    const struct datapath_out *out;
    struct world_sync *sync;

    h->complete = (h->complete
                   || (h->engine && engine_is_complete(h->engine)));
    if (h->n_syncs == ARRAY_SIZE(h->syncs)) {
        h->n_syncs--;           /* A later one says all of it. */
    }
    sync = &h->syncs[h->n_syncs++];
    *sync = (struct world_sync) { .ticket = ++h->ticket,
                                  .at_us = world_soon(ACK_US) };
    here = datapath_get_here(h->datapath, &uuid);
    if (here) {
        sync->flows.is_here = true;
        sync->flows.here = *here;
    }
    out = datapath_get_out(h->datapath, &uuid);
    if (out) {
        sync->flows.out = *out;
    }
    for (size_t i = 0; !h->complete && i < h->n_syncs; i++) {
        h->syncs[i].flows = sync->flows;        /* None has been sent. */
    }
    return h->ticket;
}

void
world_run_switch(struct world_host *h)
{
    if (h->engine && !h->complete && engine_is_complete(h->engine)) {
        of_switch_sync((struct of_switch *) h);
    }
    if (h->switch_away || !h->complete) {
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < h->n_syncs; i++) {
        if (world.now_us >= h->syncs[i].at_us) {
            h->acked = MAX(h->acked, h->syncs[i].ticket);
        }
        if (world.now_us >= h->syncs[i].at_us
            + (world.stepwise ? 0 : REVALIDATE_US)) {
            h->flows = h->syncs[i].flows;
            n = i + 1;
        }
    }
    memmove(h->syncs, h->syncs + n, (h->n_syncs - n) * sizeof h->syncs[0]);
    h->n_syncs -= n;
}

bool
of_switch_is_acked(const struct of_switch *sw, uint64_t ticket)
{
    return host_of(sw)->acked >= ticket;
}

void
of_switch_packet_out(struct of_switch *sw, const void *frame, size_t len,
                     ofp_port_t in_port OVS_UNUSED, ofp_port_t port)
{
    struct world_host *h = host_of(sw);
    struct frame_fence fence;
    struct frame f;

    if (frame_parse(frame, len, &f, NULL)) {
        abort();
    }
    if (!frame_parse_fence(frame, len, &fence)) {
        return;                 /* It warms a router. */
    }
    if (world.n_fences < ARRAY_SIZE(world.fences)) {
        world.fences[world.n_fences++] = (struct world_fence) {
            h->index, port, world.now_us, fence, f.dst,
        };
    }
    struct dp_packet *p = dp_packet_clone_data(frame, len);
    if (port == WORLD_WAN_PORT) {
        world_send_out(h->index, p, &f.dst);
    } else if (port == WORLD_VM_PORT) {
        world_put(&h->qemu.tap, p);
    } else {
        abort();
    }
}

void
of_switch_request_idle(struct of_switch *sw, uint64_t cookie, uint64_t mask)
{
    if (mask != PIPELINE_PART_MASK
        || pipeline_cookie_part(cookie) != PART_FROM) {
        abort();
    }
    host_of(sw)->idle_asked_us = world.now_us;
}

bool
of_switch_idle_done(const struct of_switch *sw)
{
    return (world.stepwise
            || world.now_us >= host_of(sw)->idle_asked_us + IDLE_US);
}

/* Whoever is believed from elsewhere was heard. */
const struct of_idle *
of_switch_idle(const struct of_switch *sw, size_t *n)
{
    static struct of_idle idle[16];
    const struct flow_entry *flow = NULL;

    *n = 0;
    while ((flow = flow_table_next(datapath_flows(host_of(sw)->datapath),
                                   flow))) {
        if (pipeline_cookie_part(flow->cookie) == PART_FROM
            && *n < ARRAY_SIZE(idle)) {
            idle[(*n)++] = (struct of_idle) { flow->cookie, 100, 1 };
        }
    }
    return idle;
}

/* The bridge. */

static bool *
find_port(struct world_host *h, const char *name)
{
    return &h->ports[strcmp(name, WORLD_HOLD_TAP) != 0];
}

int
bridge_add_port(struct bridge *br, const char *name,
                const struct uuid *iface_id OVS_UNUSED,
                struct eth_addr mac OVS_UNUSED, struct err *err OVS_UNUSED)
{
    bool *port = find_port(host_of(br), name);

    if (!*port) {
        *port = true;           /* The next time it has a number. */
        return EINPROGRESS;
    }
    return 0;
}

const struct bridge_port *
bridge_find_port(const struct bridge *br, const char *name)
{
    static const struct bridge_port ports[] = {
        { .name = WORLD_HOLD_TAP, .number = WORLD_HOLD_PORT },
        { .name = "vm", .number = WORLD_VM_PORT },
    };
    bool *port = find_port(host_of(br), name);

    return *port ? &ports[port - host_of(br)->ports] : NULL;
}

void
bridge_remove_port(struct bridge *br, const char *name)
{
    *find_port(host_of(br), name) = false;
}

unsigned int
bridge_seqno(const struct bridge *br OVS_UNUSED)
{
    return 1;
}

/* Taps.  That of the hold is 'struct tap', that of the VM an injector. */

int
tap_create(const char *name OVS_UNUSED, unsigned int mtu OVS_UNUSED,
           struct err *err OVS_UNUSED)
{
    return 0;
}

int
tap_open_kept(const char *name OVS_UNUSED, const char *keeper OVS_UNUSED,
              const char *socket OVS_UNUSED, struct tap **tap,
              struct err *why, struct err *err OVS_UNUSED)
{
    *why = (struct err) ERR_INIT;
    *tap = (struct tap *) world.current;
    return 0;
}

void
tap_close(struct tap *tap OVS_UNUSED)
{
}

int
tap_recv(struct tap *tap, struct dp_packet **frame)
{
    *frame = world_take(&host_of(tap)->hold);
    return *frame ? 0 : EAGAIN;
}

void
tap_recv_wait(struct tap *tap OVS_UNUSED)
{
}

int
listener_open(const char *name OVS_UNUSED, struct listener **listener,
              struct err *err OVS_UNUSED)
{
    *listener = xmalloc(1);
    return 0;
}

void
listener_close(struct listener *listener)
{
    free(listener);
}

bool
listener_heard(struct listener *listener OVS_UNUSED)
{
    return !world.sleepy;
}

void
listener_wait(struct listener *listener OVS_UNUSED)
{
}

int
injector_open(const char *name OVS_UNUSED, struct injector **injector,
              struct err *err)
{
    if (!world.current->qemu.taps) {
        return err_set(err, ENODEV, "no tap");
    }
    *injector = (struct injector *) world.current;
    return 0;
}

void
injector_close(struct injector *injector OVS_UNUSED)
{
}

int
injector_send(struct injector *injector, const struct dp_packet *frame)
{
    struct world_host *h = host_of(injector);

    if (!h->qemu.taps) {
        return ENODEV;
    }
    world_put(&h->qemu.tap, dp_packet_clone(frame));
    return 0;
}
