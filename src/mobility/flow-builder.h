#ifndef MOBILITY_FLOW_BUILDER_H
#define MOBILITY_FLOW_BUILDER_H 1

/* Writing flows: a match and a list of actions, then into the table.
 *
 *      struct flow_builder b;
 *
 *      flow_builder_init(&b, flows);
 *      match_addr(&b, FIELD_DST, &home);
 *      act_goto(&b, TABLE_DELIVER);
 *      flow_builder_add(&b, TABLE_ROUTE, PRIORITY_FLOW);
 *
 * Adding empties the builder for the next flow. */

#include <stdint.h>

#include "openvswitch/match.h"
#include "openvswitch/meta-flow.h"
#include "openvswitch/ofpbuf.h"

#include "core/addr.h"
#include "mobility/pipeline.h"

struct flow_table;

struct flow_builder {
    struct flow_table *flows;
    struct match match;
    struct ofpbuf actions;
    uint64_t stub[128];
};

void flow_builder_init(struct flow_builder *, struct flow_table *);
void flow_builder_add(struct flow_builder *, enum pipeline_table,
                      enum pipeline_priority);

/* Matches.  'value' and 'mask' have the size of the field, in network byte
 * order; each match sets what it needs (Ethernet type, protocol). */
void match_field(struct flow_builder *, enum mf_field_id, const void *value);
void match_field_masked(struct flow_builder *, enum mf_field_id,
                        const void *value, const void *mask);
void match_metadata(struct flow_builder *, uint32_t network_id);
void match_in_port(struct flow_builder *, ofp_port_t);
void match_eth_type(struct flow_builder *, uint16_t);
void match_family(struct flow_builder *, enum addr_family);
void match_mac(struct flow_builder *, enum mf_field_id,
               const struct eth_addr);
void match_multicast(struct flow_builder *);
void match_arp(struct flow_builder *, uint16_t op);
void match_nd(struct flow_builder *, uint8_t icmp6_type);

/* The addresses of a packet, in the field of their own family.  The target is
 * arp_tpa or nd_target, the sender arp_spa or ipv6_src. */
enum addr_field { FIELD_SRC, FIELD_DST, FIELD_SENDER, FIELD_TARGET };
void match_addr(struct flow_builder *, enum addr_field,
                const struct in6_addr *);
void match_prefix(struct flow_builder *, enum addr_field,
                  const struct prefix *);

/* Actions, in the order in which they are done; act_goto() is the last. */
void act_set(struct flow_builder *, enum mf_field_id, const void *value);
void act_set_mac(struct flow_builder *, enum mf_field_id,
                 const struct eth_addr);
void act_set_addr(struct flow_builder *, enum addr_field,
                  const struct in6_addr *);
void act_set_metadata(struct flow_builder *, uint32_t network_id);
void act_move(struct flow_builder *, enum mf_field_id from,
              enum mf_field_id to);
void act_dec_ttl(struct flow_builder *);
void act_output(struct flow_builder *, ofp_port_t);
void act_controller(struct flow_builder *);
void act_goto(struct flow_builder *, enum pipeline_table);

#endif /* mobility/flow-builder.h */
