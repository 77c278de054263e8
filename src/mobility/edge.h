#ifndef MOBILITY_EDGE_H
#define MOBILITY_EDGE_H 1

/* What every mode has in common: the flows between a guest and its switch.
 *
 * Each function adds flows for the cookie that the caller has begun, but for
 * the first. */

#include "core/vm.h"
#include "mobility/mode.h"

struct flow_builder;
struct flow_table;

/* The flows that drop, see PIPELINE_DROPS; each has a cookie of its own, which
 * this function begins and ends. */
void edge_compile_drops(struct flow_table *);

/* TABLE_CLASSIFY and TABLE_WAN_ND of the site's network. */
void edge_compile_uplink(const struct datapath_uplink *,
                         struct flow_builder *);

/* Finishes neighbour advertisements. */
void edge_compile_reply(struct flow_builder *);

/* ICMP errors of routers on the way quote mobile addresses.  The agent
 * translates them, see datapath_translate_error(). */
void edge_compile_errors(struct flow_builder *);

/* Each question of a guest of 'network' for a neighbour has the same answer.
 * No neighbour cache is ever stale, and nothing asks the agent. */
void edge_compile_network(const struct network *, struct flow_builder *);

/* A port that may declare an endpoint: its ARP, RARP and ND go to the
 * agent. */
void edge_compile_open_port(ofp_port_t, const struct network *,
                            struct flow_builder *);

/* With PART_HERE: what an interface may send, and how it gets its packets. */
void edge_compile_here(const struct mode_entry *, struct flow_builder *);

/* With PART_SPOOFED: all else that its port sends. */
void edge_compile_spoofed(const struct mode_entry *, struct flow_builder *);

/* With PART_OUT: the way to an interface behind this very switch. */
void edge_compile_local(const struct mode_entry *, struct flow_builder *);

/* For modes: answers ARP or NS for 'mobile' on the site's network. */
void edge_answer_wan(struct flow_builder *, const struct datapath_uplink *,
                     const struct in6_addr *mobile);

/* For modes: copies the packet to the hold port if 'out.witness'.  It changes
 * the Ethernet source, which each way out sets anyway. */
void edge_witness(const struct mode_entry *, struct flow_builder *);

#endif /* mobility/edge.h */
