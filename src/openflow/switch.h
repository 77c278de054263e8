#ifndef OPENFLOW_SWITCH_H
#define OPENFLOW_SWITCH_H 1

/* A session with one OpenFlow switch.
 *
 * The owner keeps a flow table of what it desires.  A switch knows what is
 * installed, sends the difference in bundles, and says when the switch has
 * acknowledged it.  On each (re)connection it first asks the switch what is
 * installed, so that a restart of either side disturbs no traffic.
 *
 * Nothing here calls upward: packet-ins and results are queues to drain. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/ofp-port.h"

#include "base/err.h"

struct flow_table;
struct ofpbuf;

struct of_switch;

/* 'target' as for ovs-ofctl: "unix:/run/openvswitch/br0.mgmt", "tcp:...".
 * Keeps 'desired', which it does not own, until destroyed. */
struct of_switch *of_switch_create(const char *target,
                                   struct flow_table *desired);
void of_switch_destroy(struct of_switch *);

void of_switch_run(struct of_switch *, long long now_ms);
void of_switch_wait(struct of_switch *);

/* Connected, and the installed flows are known? */
bool of_switch_is_up(const struct of_switch *);

/* Before the first call nothing is sent or removed: whoever fills the desired
 * table says when it is complete. */
void of_switch_set_complete(struct of_switch *);

/* The port by which an installed flow with 'cookie' tells its packets;
 * OFPP_NONE if there is no such flow, or none that says.  What an earlier
 * process knew of ports, its flows still say. */
ofp_port_t of_switch_cookie_port(const struct of_switch *, uint64_t cookie);

/* Sends what differs now, if anything, in one bundle with a barrier behind it
 * and returns a ticket for of_switch_is_acked().  May be called at any time;
 * while the switch is away the ticket waits. */
uint64_t of_switch_sync(struct of_switch *);

/* Has the switch acknowledged everything up to 'ticket'?  If it refused
 * something, returns true and the difference is sent again once; errors are
 * counted. */
bool of_switch_is_acked(const struct of_switch *, uint64_t ticket);

struct packet_in {
    struct ovs_list node;
    ofp_port_t in_port;
    uint64_t cookie;            /* Of the flow that sent it. */
    uint64_t metadata;
    uint8_t table;
    uint8_t *data;
    size_t len;
};

/* The caller frees it with packet_in_destroy().  Null if there is none.  The
 * queue is bounded; what does not fit is dropped and counted. */
struct packet_in *of_switch_next_packet(struct of_switch *);
void packet_in_destroy(struct packet_in *);

/* Sends 'frame' out of 'port', or, with OFPP_TABLE, through the tables as if
 * it had come from 'in_port'. */
void of_switch_packet_out(struct of_switch *, const void *frame, size_t len,
                          ofp_port_t in_port, ofp_port_t port);

/* Asks how long ago each flow with (cookie & mask) == value was used, and how
 * often.  One request at a time: a new one replaces the one that runs.
 * of_switch_idle_done() returns false while it runs, also while the switch is
 * away; then of_switch_idle() has the answer, an entry a flow, until the next
 * request.  The switch looks at its datapath's counters twice a second. */
struct of_idle {
    uint64_t cookie;
    uint64_t packets;
    unsigned int idle_s;        /* Before OpenFlow 1.5: since it exists. */
};
void of_switch_request_idle(struct of_switch *, uint64_t cookie,
                            uint64_t mask);
bool of_switch_idle_done(const struct of_switch *);
const struct of_idle *of_switch_idle(const struct of_switch *, size_t *n);

struct of_switch_counters {
    uint64_t flow_mods, bundles, errors, packet_ins, packet_ins_dropped,
             reconnects;
};
const struct of_switch_counters *of_switch_counters(const struct of_switch *);

/* The last error that the switch sent, or why there is no connection; "". */
const char *of_switch_last_error(const struct of_switch *);

#endif /* openflow/switch.h */
