#include <config.h>

#include "openflow/switch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte-order.h"
#include "core/flow-table.h"
#include "openflow/installed.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofp-switch.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/rconn.h"
#include "socket-util.h"
#include "util.h"

/* A session:
 *
 *      DOWN --connected--> DUMPING --answer complete--> UP --error--> DUMPING
 *       ^                     |                         |
 *       `---------------------+-------disconnected------'
 *
 * Between a dump's request and its end nothing is sent that changes flows, so
 * that the answer is the truth. */
enum state { DOWN, DUMPING, UP };

/* Limits. */
#define MAX_PACKETS 1024        /* Packet-ins that wait for their reader. */
#define MAX_MESSAGES 256        /* Read from the switch in one turn. */
#define PROBE_INTERVAL_S 5
#define MAX_BACKOFF_S 1         /* The switch is on this machine. */

#define VERSIONS (1u << OFP13_VERSION | 1u << OFP14_VERSION \
                  | 1u << OFP15_VERSION)

/* "Everything up to 'ticket' is done" once the barrier is answered. */
struct barrier {
    struct ovs_list node;
    ovs_be32 xid;
    uint64_t ticket;
};

enum idle_state { IDLE_DONE, IDLE_WANTED, IDLE_ASKED };

struct of_switch {
    struct rconn *rconn;
    unsigned int seqno;         /* Of the connection that was greeted. */
    enum state state;
    enum ofputil_protocol protocol;
    enum ofp_version version;

    struct flow_table *desired;
    struct installed installed;
    bool complete;
    bool compare_all;           /* A dump came: look at each flow once. */
    bool may_retry;             /* An error now deserves another dump. */
    bool retrying;              /* Then each flow is sent for itself. */
    ovs_be32 dump_xid;
    uint32_t bundle_id;

    uint64_t issued, acked;     /* Tickets. */
    struct ovs_list barriers;

    struct ovs_list packets;
    size_t n_packets;
    size_t n_waited;            /* So many did not make the reader read. */

    enum idle_state idle_state;
    uint64_t idle_cookie, idle_mask;
    ovs_be32 idle_xid;
    struct of_idle *idle;
    size_t n_idle, allocated_idle;

    struct of_switch_counters counters;
    char last_error[200];
};

static void greet(struct of_switch *);
static void hang_up(struct of_switch *);
static void request_dump(struct of_switch *);
static void send_changes(struct of_switch *);
static void ask_idle(struct of_switch *);
static void handle(struct of_switch *, const struct ofpbuf *);

struct of_switch *
of_switch_create(const char *target, struct flow_table *desired)
{
    struct of_switch *sw = xzalloc(sizeof *sw);

    sw->rconn = rconn_create(PROBE_INTERVAL_S, MAX_BACKOFF_S, DSCP_DEFAULT,
                             VERSIONS);
    rconn_connect(sw->rconn, target, target);
    sw->seqno = rconn_get_connection_seqno(sw->rconn);
    sw->desired = desired;
    installed_init(&sw->installed);
    ovs_list_init(&sw->barriers);
    ovs_list_init(&sw->packets);
    return sw;
}

void
of_switch_destroy(struct of_switch *sw)
{
    struct packet_in *packet;

    if (!sw) {
        return;
    }
    hang_up(sw);
    LIST_FOR_EACH_POP (packet, node, &sw->packets) {
        packet_in_destroy(packet);
    }
    installed_finish(&sw->installed);
    rconn_destroy(sw->rconn);
    free(sw->idle);
    free(sw);
}

void
of_switch_run(struct of_switch *sw, long long now_ms OVS_UNUSED)
{
    rconn_run(sw->rconn);
    if (!rconn_is_connected(sw->rconn)) {
        hang_up(sw);
        return;
    }
    if (sw->seqno != rconn_get_connection_seqno(sw->rconn)
        && rconn_get_version(sw->rconn) >= 0) {
        hang_up(sw);
        sw->seqno = rconn_get_connection_seqno(sw->rconn);
        greet(sw);
    }
    for (int i = 0; i < MAX_MESSAGES; i++) {
        struct ofpbuf *msg = rconn_recv(sw->rconn);

        if (!msg) {
            break;
        }
        handle(sw, msg);
        ofpbuf_delete(msg);
    }
    if (sw->compare_all) {
        of_switch_sync(sw);
    }
    ask_idle(sw);
}

void
of_switch_wait(struct of_switch *sw)
{
    rconn_run_wait(sw->rconn);
    rconn_recv_wait(sw->rconn);
    if (sw->n_packets != sw->n_waited
        || (sw->state == UP && sw->complete && sw->compare_all)) {
        poll_immediate_wake();
    }
    sw->n_waited = sw->n_packets;
}

bool
of_switch_is_up(const struct of_switch *sw)
{
    return sw->state == UP;
}

void
of_switch_set_complete(struct of_switch *sw)
{
    sw->complete = true;
}

ofp_port_t
of_switch_cookie_port(const struct of_switch *sw, uint64_t cookie)
{
    return (sw->state == UP ? installed_cookie_port(&sw->installed, cookie)
            : OFPP_NONE);
}

uint64_t
of_switch_sync(struct of_switch *sw)
{
    bool can_send = sw->state == UP && sw->complete;

    if (flow_table_has_changes(sw->desired)
        || (can_send && sw->compare_all)) {
        sw->issued++;
    }
    if (can_send) {
        send_changes(sw);
    }
    return sw->issued;
}

bool
of_switch_is_acked(const struct of_switch *sw, uint64_t ticket)
{
    return sw->acked >= ticket;
}

struct packet_in *
of_switch_next_packet(struct of_switch *sw)
{
    if (ovs_list_is_empty(&sw->packets)) {
        return NULL;
    }
    sw->n_packets--;
    return CONTAINER_OF(ovs_list_pop_front(&sw->packets), struct packet_in,
                        node);
}

void
packet_in_destroy(struct packet_in *packet)
{
    if (packet) {
        free(packet->data);
        free(packet);
    }
}

void
of_switch_packet_out(struct of_switch *sw, const void *frame, size_t len,
                     ofp_port_t in_port, ofp_port_t port)
{
    uint64_t stub[4];
    struct ofpbuf actions = OFPBUF_STUB_INITIALIZER(stub);

    if (sw->state == DOWN) {
        return;
    }
    ofpact_put_OUTPUT(&actions)->port = port;
    struct ofputil_packet_out po = {
        .packet = frame,
        .packet_len = len,
        .buffer_id = UINT32_MAX,
        .ofpacts = actions.data,
        .ofpacts_len = actions.size,
    };
    match_init_catchall(&po.flow_metadata);
    match_set_in_port(&po.flow_metadata, in_port);
    rconn_send(sw->rconn, ofputil_encode_packet_out(&po, sw->protocol), NULL);
    rconn_run(sw->rconn);
    ofpbuf_uninit(&actions);
}

void
of_switch_request_idle(struct of_switch *sw, uint64_t cookie, uint64_t mask)
{
    sw->idle_state = IDLE_WANTED;
    sw->idle_cookie = cookie;
    sw->idle_mask = mask;
    sw->n_idle = 0;
    ask_idle(sw);
}

bool
of_switch_idle_done(const struct of_switch *sw)
{
    return sw->idle_state == IDLE_DONE;
}

const struct of_idle *
of_switch_idle(const struct of_switch *sw, size_t *n)
{
    *n = sw->n_idle;
    return sw->idle;
}

const struct of_switch_counters *
of_switch_counters(const struct of_switch *sw)
{
    return &sw->counters;
}

const char *
of_switch_last_error(const struct of_switch *sw)
{
    return sw->last_error;
}

/* The session. */

static ovs_be32
send_request(struct of_switch *sw, struct ofpbuf *msg)
{
    ovs_be32 xid = ((const struct ofp_header *) msg->data)->xid;

    rconn_send(sw->rconn, msg, NULL);
    return xid;
}

/* A connection is new: says what we want to hear, and asks what is there.  A
 * "service" connection, such as the .mgmt socket, gets packet-ins only after
 * it has set a miss_send_len. */
static void
greet(struct of_switch *sw)
{
    sw->version = rconn_get_version(sw->rconn);
    sw->protocol = ofputil_protocol_from_ofp_version(sw->version);
    sw->counters.reconnects++;
    sw->may_retry = true;
    sw->retrying = false;

    struct ofputil_switch_config config = {
        .frag = OFPUTIL_FRAG_NORMAL,
        .miss_send_len = UINT16_MAX,
        .invalid_ttl_to_controller = 0,
    };
    send_request(sw, ofputil_encode_set_config(&config, sw->version));
    send_request(sw, ofputil_encode_set_packet_in_format(
                         sw->version, OFPUTIL_PACKET_IN_NXT2));
    request_dump(sw);
}

/* Nothing that was under way will be answered. */
static void
hang_up(struct of_switch *sw)
{
    struct barrier *barrier;

    LIST_FOR_EACH_POP (barrier, node, &sw->barriers) {
        free(barrier);
    }
    if (sw->idle_state == IDLE_ASKED) {
        sw->idle_state = IDLE_WANTED;
    }
    if (sw->state != DOWN) {
        int error = rconn_get_last_error(sw->rconn);

        snprintf(sw->last_error, sizeof sw->last_error, "disconnected: %s",
                 ovs_retval_to_string(error));
    }
    sw->state = DOWN;
    sw->compare_all = false;
}

static struct ofpbuf *
encode_stats_request(const struct of_switch *sw, uint64_t cookie,
                     uint64_t mask)
{
    struct ofputil_flow_stats_request request = {
        .cookie = htonll(cookie),
        .cookie_mask = htonll(mask),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = OFPTT_ALL,
    };

    match_init_catchall(&request.match);
    return ofputil_encode_flow_stats_request(&request, sw->protocol);
}

static void
request_dump(struct of_switch *sw)
{
    installed_clear(&sw->installed, sw->version);
    sw->dump_xid = send_request(sw, encode_stats_request(sw, 0, 0));
    sw->state = DUMPING;
    sw->compare_all = false;
}

static void
ask_idle(struct of_switch *sw)
{
    if (sw->idle_state == IDLE_WANTED && sw->state != DOWN) {
        sw->n_idle = 0;
        sw->idle_xid = send_request(
            sw, encode_stats_request(sw, sw->idle_cookie & sw->idle_mask,
                                     sw->idle_mask));
        sw->idle_state = IDLE_ASKED;
        rconn_run(sw->rconn);
    }
}

/* Sending changes. */

/* The flow-mods of one synchronization. */
struct batch {
    struct of_switch *sw;
    size_t n;
};

static void
bundle_control(struct of_switch *sw, uint16_t type)
{
    struct ofputil_bundle_ctrl_msg ctrl = {
        .bundle_id = sw->bundle_id,
        .type = type,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
    };

    send_request(sw, ofputil_encode_bundle_ctrl_request(sw->version, &ctrl));
}

/* A retry is not bundled: one bad flow would take the good ones with it. */
static void
batch_add(struct batch *batch, const struct ofputil_flow_mod *fm)
{
    struct of_switch *sw = batch->sw;
    struct ofpbuf *msg = ofputil_encode_flow_mod(fm, sw->protocol);

    sw->counters.flow_mods++;
    if (sw->retrying) {
        batch->n++;
        send_request(sw, msg);
        return;
    }
    if (!batch->n++) {
        sw->bundle_id++;
        sw->counters.bundles++;
        bundle_control(sw, OFPBCT_OPEN_REQUEST);
    }
    struct ofputil_bundle_add_msg add = {
        .bundle_id = sw->bundle_id,
        .flags = OFPBF_ATOMIC | OFPBF_ORDERED,
        .msg = msg->data,
    };
    send_request(sw, ofputil_encode_bundle_add(sw->version, &add));
    ofpbuf_delete(msg);
}

static void
batch_put(struct batch *batch, const struct flow_entry *entry)
{
    struct ofputil_flow_mod fm = {
        .match = entry->match,
        .priority = entry->priority,
        .table_id = entry->table,
        .command = entry->actions ? OFPFC_ADD : OFPFC_DELETE_STRICT,
        .new_cookie = entry->actions ? htonll(entry->cookie) : OVS_BE64_MAX,
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .ofpacts = entry->actions,
        .ofpacts_len = entry->actions_len,
    };

    batch_add(batch, &fm);
}

/* The first time after a dump: each desired flow that is not installed so,
 * and each installed one that nobody desires. */
static void
batch_compare_all(struct batch *batch)
{
    struct of_switch *sw = batch->sw;
    const struct flow_entry *entry = NULL;
    struct installed_flow *flow;

    /* Deletions first: should the switch see the same flow in both, it
     * keeps it. */
    HMAP_FOR_EACH_SAFE (flow, node, &sw->installed.flows) {
        if (flow_table_find(sw->desired, flow->table, flow->priority,
                            &flow->match)) {
            continue;
        }
        struct flow_entry gone = {
            .table = flow->table,
            .priority = flow->priority,
            .match = flow->match,
        };
        batch_put(batch, &gone);
        installed_remove(&sw->installed, flow);
    }
    while ((entry = flow_table_next(sw->desired, entry))) {
        if (installed_update(&sw->installed, entry)) {
            batch_put(batch, entry);
        }
    }
}

/* Optimistic: what is sent counts as installed.  After an error the switch is
 * asked again. */
static void
send_changes(struct of_switch *sw)
{
    struct batch batch = { .sw = sw };
    const struct flow_entry *entry;

    if (sw->compare_all) {
        batch_compare_all(&batch);
        sw->compare_all = false;
    } else if (flow_table_has_changes(sw->desired)) {
        sw->may_retry = true;
        sw->retrying = false;
    }
    while ((entry = flow_table_next_change(sw->desired))) {
        if (installed_update(&sw->installed, entry)) {
            batch_put(&batch, entry);
        }
    }

    uint64_t sent = (ovs_list_is_empty(&sw->barriers) ? sw->acked
                     : CONTAINER_OF(ovs_list_back(&sw->barriers),
                                    struct barrier, node)->ticket);
    if (batch.n) {
        if (!sw->retrying) {
            bundle_control(sw, OFPBCT_COMMIT_REQUEST);
        }
    } else if (sent == sw->issued) {
        return;
    }

    struct barrier *barrier = xmalloc(sizeof *barrier);
    barrier->ticket = sw->issued;
    barrier->xid = send_request(sw,
                                ofputil_encode_barrier_request(sw->version));
    ovs_list_push_back(&sw->barriers, &barrier->node);
    rconn_run(sw->rconn);       /* Now, not at the next turn. */
}

/* Handling messages. */

static void
handle_flow(struct of_switch *sw, const struct ofputil_flow_stats *stats)
{
    struct minimatch match;

    flow_table_init_match(&match, &stats->match);
    installed_put(&sw->installed, stats->table_id, stats->priority, &match,
                  ntohll(stats->cookie), stats->ofpacts, stats->ofpacts_len);
    minimatch_destroy(&match);
}

static void
handle_idle(struct of_switch *sw, const struct ofputil_flow_stats *stats)
{
    if (sw->n_idle == sw->allocated_idle) {
        sw->idle = x2nrealloc(sw->idle, &sw->allocated_idle,
                              sizeof *sw->idle);
    }
    sw->idle[sw->n_idle++] = (struct of_idle) {
        .cookie = ntohll(stats->cookie),
        .packets = stats->packet_count,
        .idle_s = (stats->idle_age >= 0 ? stats->idle_age
                   : stats->duration_sec),
    };
}

static void
note_error(struct of_switch *sw, const char *what)
{
    sw->counters.errors++;
    ovs_strlcpy(sw->last_error, what, sizeof sw->last_error);
}

static void
handle_stats(struct of_switch *sw, const struct ofpbuf *msg_)
{
    const struct ofp_header *oh = msg_->data;
    bool dump = sw->state == DUMPING && oh->xid == sw->dump_xid;
    bool idle = sw->idle_state == IDLE_ASKED && oh->xid == sw->idle_xid;
    struct ofpbuf msg = ofpbuf_const_initializer(msg_->data, msg_->size);
    struct ofputil_flow_stats stats;
    struct ofpbuf ofpacts;
    int retval;

    if (!dump && !idle) {
        return;
    }
    ofpbuf_init(&ofpacts, 256);
    while (!(retval = ofputil_decode_flow_stats_reply(&stats, &msg, true,
                                                      &ofpacts))) {
        if (dump) {
            handle_flow(sw, &stats);
        } else {
            handle_idle(sw, &stats);
        }
    }
    ofpbuf_uninit(&ofpacts);
    if (retval != EOF) {
        note_error(sw, "the switch's flows cannot be decoded");
    }
    if (!ofpmp_more(oh)) {
        if (dump) {
            sw->state = UP;
            sw->compare_all = true;
        } else {
            sw->idle_state = IDLE_DONE;
        }
    }
}

static void
handle_barrier(struct of_switch *sw, ovs_be32 xid)
{
    struct barrier *barrier;

    LIST_FOR_EACH (barrier, node, &sw->barriers) {
        if (barrier->xid == xid) {
            sw->acked = MAX(sw->acked, barrier->ticket);
            ovs_list_remove(&barrier->node);
            free(barrier);
            return;
        }
    }
}

static void
handle_packet_in(struct of_switch *sw, const struct ofp_header *oh)
{
    struct ofputil_packet_in pin;
    struct ofpbuf continuation;
    uint32_t buffer_id;
    size_t total_len;

    if (ofputil_decode_packet_in(oh, true, NULL, NULL, &pin, &total_len,
                                 &buffer_id, &continuation)) {
        note_error(sw, "a packet-in cannot be decoded");
        return;
    }
    sw->counters.packet_ins++;
    if (sw->n_packets == MAX_PACKETS) {
        sw->counters.packet_ins_dropped++;
        return;
    }

    const struct flow *flow = &pin.flow_metadata.flow;
    struct packet_in *packet = xmalloc(sizeof *packet);
    *packet = (struct packet_in) {
        .in_port = flow->in_port.ofp_port,
        .cookie = ntohll(pin.cookie),
        .metadata = ntohll(flow->metadata),
        .table = pin.table_id,
        .data = xmemdup(pin.packet, pin.packet_len + !pin.packet_len),
        .len = pin.packet_len,
    };
    ovs_list_push_back(&sw->packets, &packet->node);
    sw->n_packets++;
}

/* Does the error, that quotes 'msg', concern a change of flows? */
static bool
error_concerns_flows(const struct ofpbuf *msg)
{
    enum { FLOW_MOD = 14, BUNDLE_CONTROL = 33, BUNDLE_ADD = 34,
           EXPERIMENTER = 4 };  /* Bundles, before OpenFlow 1.4. */
    const struct ofp_header *oh = msg->data;

    if (msg->size < sizeof *oh) {
        return true;
    }
    return oh->type == FLOW_MOD || oh->type == BUNDLE_CONTROL
           || oh->type == BUNDLE_ADD || oh->type == EXPERIMENTER;
}

static void
handle_error(struct of_switch *sw, const struct ofp_header *oh)
{
    struct ofpbuf quote;
    enum ofperr error = ofperr_decode_msg(oh, &quote);

    note_error(sw, error ? ofperr_get_name(error) : "unknown error");
    if (error_concerns_flows(&quote) && sw->state == UP && sw->may_retry) {
        sw->may_retry = false;
        sw->retrying = true;
        request_dump(sw);
    }
    ofpbuf_uninit(&quote);
}

static void
handle(struct of_switch *sw, const struct ofpbuf *msg)
{
    const struct ofp_header *oh = msg->data;
    enum ofptype type;

    if (ofptype_decode(&type, oh)) {
        note_error(sw, "a message cannot be decoded");
        return;
    }
    switch ((int) type) {       /* Others are not for us. */
    case OFPTYPE_ECHO_REQUEST:
        send_request(sw, ofputil_encode_echo_reply(oh));
        break;
    case OFPTYPE_PACKET_IN:
        handle_packet_in(sw, oh);
        break;
    case OFPTYPE_FLOW_STATS_REPLY:
        handle_stats(sw, msg);
        break;
    case OFPTYPE_BARRIER_REPLY:
        handle_barrier(sw, oh->xid);
        break;
    case OFPTYPE_ERROR:
        handle_error(sw, oh);
        break;
    }
}
