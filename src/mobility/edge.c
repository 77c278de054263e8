#include <config.h>

#include "mobility/edge.h"

#include <netinet/icmp6.h>

#include "core/flow-table.h"
#include "mobility/flow-builder.h"
#include "mobility/pipeline.h"
#include "packets.h"

/* Flags of a neighbour advertisement (RFC 4861, section 4.4). */
#define NA_ROUTER    UINT32_C(0x80000000)
#define NA_SOLICITED UINT32_C(0x40000000)
#define NA_OVERRIDE  UINT32_C(0x20000000)

static const struct prefix link_local = {
    .addr = { { { 0xfe, 0x80 } } }, .len = 10,
};

/* 02:57:KK:II:II:II, see pipeline.h. */
static struct eth_addr
mark_mac(uint8_t kind, uint32_t network_id)
{
    struct eth_addr mac;

    eth_addr_from_uint64((uint64_t) PIPELINE_MARK_OUI << 32
                         | (uint64_t) kind << 24 | network_id, &mac);
    return mac;
}

/* Turns an ARP request into its reply, "the target is at 'mac'", and sends it
 * back. */
static void
act_arp_reply(struct flow_builder *b, const struct eth_addr mac)
{
    ovs_be16 op = htons(ARP_OP_REPLY);

    act_move(b, MFF_ETH_SRC, MFF_ETH_DST);
    act_set_mac(b, MFF_ETH_SRC, mac);
    act_set(b, MFF_ARP_OP, &op);
    act_move(b, MFF_ARP_SHA, MFF_ARP_THA);
    act_set_mac(b, MFF_ARP_SHA, mac);
    act_move(b, MFF_ARP_TPA, MFF_REG0);
    act_move(b, MFF_ARP_SPA, MFF_ARP_TPA);
    act_move(b, MFF_REG0, MFF_ARP_SPA);
    act_output(b, OFPP_IN_PORT);
}

/* Turns an NS into its NA, "the target is at 'mac'".  The target's link-layer
 * address can be set only in a flow that matches an NA, so another table
 * finishes and sends it. */
static void
act_na(struct flow_builder *b, const struct eth_addr mac, uint32_t flags_)
{
    uint8_t type = ND_NEIGHBOR_ADVERT, option = ND_OPT_TARGET_LINKADDR;
    ovs_be32 flags = htonl(flags_ | NA_SOLICITED | NA_OVERRIDE);

    act_move(b, MFF_ETH_SRC, MFF_ETH_DST);
    act_set_mac(b, MFF_ETH_SRC, mac);
    act_move(b, MFF_IPV6_SRC, MFF_IPV6_DST);
    act_move(b, MFF_ND_TARGET, MFF_IPV6_SRC);
    act_set(b, MFF_ND_RESERVED, &flags);
    act_set(b, MFF_ND_OPTIONS_TYPE, &option);
    act_set(b, MFF_ICMPV6_TYPE, &type);
    act_goto(b, TABLE_ND_REPLY);
}

void
edge_compile_drops(struct flow_table *flows)
{
    static const struct {
        enum pipeline_table table;
        enum pipeline_priority priority;
    } drops[] = {
#define DROP(ENUM, NAME, TABLE, PRIORITY, MEANING) \
        [DROP_##ENUM] = { TABLE_##TABLE, PRIORITY_##PRIORITY },
        PIPELINE_DROPS
#undef DROP
    };
    static const ovs_be32 no_ip;
    const ovs_be16 tag = htons(VLAN_CFI);
    struct flow_builder b;

    flow_builder_init(&b, flows);
    for (enum pipeline_drop drop = 0; drop < N_DROPS; drop++) {
        flow_table_begin(flows, pipeline_cookie(PART_DROP, drop));
        if (drop == DROP_VLAN) {
            match_field_masked(&b, MFF_VLAN_TCI, &tag, &tag);
        } else if (drop == DROP_MULTICAST || drop == DROP_GUEST_MULTICAST) {
            match_multicast(&b);
        } else if (drop == DROP_PROBE) {
            match_eth_type(&b, ETH_TYPE_ARP);
            match_field(&b, MFF_ARP_SPA, &no_ip);
            flow_builder_add(&b, drops[drop].table, drops[drop].priority);
            match_eth_type(&b, ETH_TYPE_IPV6);
            match_field(&b, MFF_IPV6_SRC, &in6addr_any);
        }
        flow_builder_add(&b, drops[drop].table, drops[drop].priority);
        flow_table_end(flows);
    }
}

void
edge_compile_reply(struct flow_builder *b)
{
    match_nd(b, ND_NEIGHBOR_ADVERT);
    act_move(b, MFF_ETH_SRC, MFF_ND_TLL);
    act_output(b, OFPP_IN_PORT);
    flow_builder_add(b, TABLE_ND_REPLY, PRIORITY_FLOW);
}

/* Guests may ping their router, since that is what people try first. */
static void
compile_ping(const struct network *network, const struct in6_addr *router,
             struct flow_builder *b)
{
    static const struct {
        uint8_t proto, request, reply;
        enum mf_field_id type, src, dst;
    } echo[] = {
        [ADDR_V4] = { IPPROTO_ICMP, 8, 0, MFF_ICMPV4_TYPE, MFF_IPV4_SRC,
                      MFF_IPV4_DST },
        [ADDR_V6] = { IPPROTO_ICMPV6, 128, 129, MFF_ICMPV6_TYPE, MFF_IPV6_SRC,
                      MFF_IPV6_DST },
    };
    enum addr_family family = addr_family(router);
    const uint8_t ttl = 64;

    match_metadata(b, network->id);
    match_family(b, family);
    match_field(b, MFF_IP_PROTO, &echo[family].proto);
    match_field(b, echo[family].type, &echo[family].request);
    match_addr(b, FIELD_DST, router);
    act_move(b, MFF_ETH_SRC, MFF_ETH_DST);
    act_set_mac(b, MFF_ETH_SRC, datapath_router_mac);
    act_move(b, echo[family].src, echo[family].dst);
    act_set_addr(b, FIELD_SRC, router);
    act_set(b, echo[family].type, &echo[family].reply);
    act_set(b, MFF_IP_TTL, &ttl);
    act_output(b, OFPP_IN_PORT);
    flow_builder_add(b, TABLE_ROUTE, PRIORITY_SPECIAL);
}

void
edge_compile_errors(struct flow_builder *b)
{
    static const uint8_t v4[] = { 3, 11, 12 }, v6[] = { 1, 2, 3, 4 };
    static const uint8_t icmp = IPPROTO_ICMP, icmp6 = IPPROTO_ICMPV6;

    for (size_t i = 0; i < sizeof v4; i++) {
        match_family(b, ADDR_V4);
        match_field(b, MFF_IP_PROTO, &icmp);
        match_field(b, MFF_ICMPV4_TYPE, &v4[i]);
        act_controller(b);
        flow_builder_add(b, TABLE_FROM, PRIORITY_OPEN);
    }
    for (size_t i = 0; i < sizeof v6; i++) {
        match_family(b, ADDR_V6);
        match_field(b, MFF_IP_PROTO, &icmp6);
        match_field(b, MFF_ICMPV6_TYPE, &v6[i]);
        act_controller(b);
        flow_builder_add(b, TABLE_FROM, PRIORITY_OPEN);
    }
}

void
edge_compile_network(const struct network *network, struct flow_builder *b)
{
    const struct prefix *v4 = &network->prefix[ADDR_V4];
    const struct prefix *v6 = &network->prefix[ADDR_V6];
    const struct in6_addr *router = &network->gateway.of[ADDR_V6];

    if (!addr_is_none(&v4->addr)) {
        match_metadata(b, network->id);
        match_arp(b, ARP_OP_REQUEST);
        match_prefix(b, FIELD_TARGET, v4);
        act_arp_reply(b, datapath_router_mac);
        flow_builder_add(b, TABLE_GUEST_ND, PRIORITY_FLOW);
    }
    if (!addr_is_none(&v6->addr)) {
        match_metadata(b, network->id);
        match_nd(b, ND_NEIGHBOR_SOLICIT);
        match_prefix(b, FIELD_TARGET, v6);
        act_na(b, datapath_router_mac, 0);
        flow_builder_add(b, TABLE_GUEST_ND, PRIORITY_FLOW);
    }
    if (!addr_is_none(router)) {
        /* Without the router flag a host would drop its default route. */
        match_metadata(b, network->id);
        match_nd(b, ND_NEIGHBOR_SOLICIT);
        match_addr(b, FIELD_TARGET, router);
        act_na(b, datapath_router_mac, NA_ROUTER);
        flow_builder_add(b, TABLE_GUEST_ND, PRIORITY_SPECIAL);
    }
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&network->gateway.of[family])) {
            compile_ping(network, &network->gateway.of[family], b);
        }
    }
}

void
edge_answer_wan(struct flow_builder *b, const struct datapath_uplink *uplink,
                const struct in6_addr *mobile)
{
    if (addr_family(mobile) == ADDR_V4) {
        match_arp(b, ARP_OP_REQUEST);
        match_addr(b, FIELD_TARGET, mobile);
        act_arp_reply(b, uplink->mac);
    } else {
        match_nd(b, ND_NEIGHBOR_SOLICIT);
        match_addr(b, FIELD_TARGET, mobile);
        act_na(b, uplink->mac, 0);
    }
    flow_builder_add(b, TABLE_WAN_ND, PRIORITY_FLOW);
}

/* Answers to the agent's own questions, and only those. */
static void
compile_wan_answers(const struct datapath_uplink *uplink,
                    struct flow_builder *b)
{
    match_arp(b, ARP_OP_REPLY);
    match_mac(b, MFF_ETH_DST, uplink->mac);
    act_controller(b);
    flow_builder_add(b, TABLE_WAN_ND, PRIORITY_FLOW);

    match_nd(b, ND_NEIGHBOR_ADVERT);
    match_mac(b, MFF_ETH_DST, uplink->mac);
    act_controller(b);
    flow_builder_add(b, TABLE_WAN_ND, PRIORITY_FLOW);

    /* A probe's sender has no address to which to answer; its owner made sure
     * that a mobile address is nobody else's. */
    match_nd(b, ND_NEIGHBOR_SOLICIT);
    match_field(b, MFF_IPV6_SRC, &in6addr_any);
    flow_builder_add(b, TABLE_WAN_ND, PRIORITY_GUARD);
}

void
edge_compile_uplink(const struct datapath_uplink *uplink,
                    struct flow_builder *b)
{
    static const uint8_t nd_types[]
        = { ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT };

    if (uplink->wan == OFPP_NONE) {
        return;
    }
    for (size_t i = 0; i < sizeof nd_types; i++) {
        match_in_port(b, uplink->wan);
        match_nd(b, nd_types[i]);
        act_goto(b, TABLE_WAN_ND);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_GUARD);
    }
    ADDR_FOR_EACH_FAMILY (family) {
        match_in_port(b, uplink->wan);
        match_mac(b, MFF_ETH_DST, uplink->mac);
        match_family(b, family);
        act_goto(b, TABLE_WAN_IN);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_WAN + 1);
    }
    match_in_port(b, uplink->wan);
    act_goto(b, TABLE_WAN_ND);
    flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_WAN);
    compile_wan_answers(uplink, b);
}

void
edge_compile_open_port(ofp_port_t port, const struct network *network,
                       struct flow_builder *b)
{
    static const uint16_t eth_types[] = { ETH_TYPE_ARP, ETH_TYPE_RARP };
    static const uint8_t nd_types[]
        = { ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT };

    for (size_t i = 0; i < 2; i++) {
        match_in_port(b, port);
        match_eth_type(b, eth_types[i]);
        act_set_metadata(b, network->id);
        act_controller(b);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_OPEN);

        match_in_port(b, port);
        match_nd(b, nd_types[i]);
        act_set_metadata(b, network->id);
        act_controller(b);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_OPEN);
    }
}

/* Everything that an interface sends has its port and its MAC. */
static void
match_sender(struct flow_builder *b, const struct mode_entry *e)
{
    match_in_port(b, e->here.port);
    match_mac(b, MFF_ETH_SRC, e->interface.mac);
}

/* Ends a flow of TABLE_CLASSIFY that tells the agent. */
static void
add_report(struct flow_builder *b, const struct mode_entry *e)
{
    act_set_metadata(b, e->network->id);
    act_controller(b);
    flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_SPECIAL);
}

/* Ends a flow of TABLE_CLASSIFY that asks for a neighbour. */
static void
add_ask(struct flow_builder *b, const struct mode_entry *e)
{
    act_set_metadata(b, e->network->id);
    act_goto(b, TABLE_GUEST_ND);
    flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_SPECIAL);
}

/* ARP of a guest: questions are answered, announcements are reported. */
static void
compile_guest_arp(const struct mode_entry *e, const struct in6_addr *inside,
                  struct flow_builder *b)
{
    static const ovs_be32 none;

    match_sender(b, e);
    match_eth_type(b, ETH_TYPE_ARP);
    match_mac(b, MFF_ARP_SHA, e->interface.mac);
    match_addr(b, FIELD_SENDER, inside);
    match_addr(b, FIELD_TARGET, inside);
    act_set_metadata(b, e->network->id);
    act_controller(b);
    flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_SPECIAL + 1);

    match_sender(b, e);
    match_arp(b, ARP_OP_REQUEST);
    match_mac(b, MFF_ARP_SHA, e->interface.mac);
    match_addr(b, FIELD_SENDER, inside);
    add_ask(b, e);

    match_sender(b, e);
    match_arp(b, ARP_OP_REQUEST);
    match_mac(b, MFF_ARP_SHA, e->interface.mac);
    match_field(b, MFF_ARP_SPA, &none);
    add_ask(b, e);
}

/* The same with ND.  A guest may ask from its link-local address, which
 * nobody declared. */
static void
compile_guest_nd(const struct mode_entry *e, const struct in6_addr *inside,
                 struct flow_builder *b)
{
    match_sender(b, e);
    match_nd(b, ND_NEIGHBOR_ADVERT);
    match_addr(b, FIELD_TARGET, inside);
    add_report(b, e);

    match_sender(b, e);
    match_nd(b, ND_NEIGHBOR_SOLICIT);
    match_addr(b, FIELD_SENDER, inside);
    add_ask(b, e);

    match_sender(b, e);
    match_nd(b, ND_NEIGHBOR_SOLICIT);
    match_prefix(b, FIELD_SENDER, &link_local);
    add_ask(b, e);

    match_sender(b, e);
    match_nd(b, ND_NEIGHBOR_SOLICIT);
    match_field(b, MFF_IPV6_SRC, &in6addr_any);
    add_ask(b, e);
}

/* What the interface may send. */
static void
compile_admission(const struct mode_entry *e, struct flow_builder *b)
{
    match_sender(b, e);
    match_eth_type(b, ETH_TYPE_RARP);
    add_report(b, e);

    ADDR_FOR_EACH_FAMILY (family) {
        const struct in6_addr *home = &e->interface.home.of[family];
        const struct in6_addr *inside = &e->interface.inside.of[family];

        if (addr_is_none(home)) {
            continue;
        }
        if (family == ADDR_V4) {
            compile_guest_arp(e, inside, b);
        } else {
            compile_guest_nd(e, inside, b);
        }
        match_sender(b, e);
        match_family(b, family);
        match_addr(b, FIELD_SRC, inside);
        if (!addr_equals(home, inside)) {
            act_set_addr(b, FIELD_SRC, home);
        }
        act_set_metadata(b, e->network->id);
        act_goto(b, TABLE_ROUTE);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_FLOW);
    }
}

/* How the interface gets its packets.  A held one keeps its home address: the
 * agent finds the interface by it. */
static void
compile_delivery(const struct mode_entry *e, struct flow_builder *b)
{
    bool hold = e->here.delivery == DATAPATH_HOLD;
    ofp_port_t port = hold ? e->uplink->hold : e->here.port;

    if (port == OFPP_NONE) {
        return;
    }
    ADDR_FOR_EACH_FAMILY (family) {
        const struct in6_addr *home = &e->interface.home.of[family];
        const struct in6_addr *inside = &e->interface.inside.of[family];

        if (addr_is_none(home)) {
            continue;
        }
        match_metadata(b, e->network->id);
        match_family(b, family);
        match_addr(b, FIELD_DST, home);
        act_set_mac(b, MFF_ETH_SRC,
                    hold ? mark_mac(PIPELINE_MARK_HELD, e->network->id)
                         : datapath_router_mac);
        act_set_mac(b, MFF_ETH_DST, e->interface.mac);
        if (!hold && !addr_equals(home, inside)) {
            act_set_addr(b, FIELD_DST, inside);
        }
        act_dec_ttl(b);
        act_output(b, port);
        flow_builder_add(b, TABLE_DELIVER, PRIORITY_FLOW);
    }
}

void
edge_compile_here(const struct mode_entry *e, struct flow_builder *b)
{
    if (e->here.port != OFPP_NONE) {
        compile_admission(e, b);
    }
    compile_delivery(e, b);
}

void
edge_compile_spoofed(const struct mode_entry *e, struct flow_builder *b)
{
    if (e->here.port != OFPP_NONE) {
        match_in_port(b, e->here.port);
        flow_builder_add(b, TABLE_CLASSIFY, PRIORITY_PORT);
    }
}

void
edge_compile_local(const struct mode_entry *e, struct flow_builder *b)
{
    ADDR_FOR_EACH_FAMILY (family) {
        const struct in6_addr *home = &e->interface.home.of[family];

        if (addr_is_none(home)) {
            continue;
        }
        match_metadata(b, e->network->id);
        match_family(b, family);
        match_addr(b, FIELD_DST, home);
        edge_witness(e, b);
        act_goto(b, TABLE_DELIVER);
        flow_builder_add(b, TABLE_ROUTE, PRIORITY_FLOW);
    }
}

void
edge_witness(const struct mode_entry *e, struct flow_builder *b)
{
    if (e->out.witness && e->uplink->hold != OFPP_NONE) {
        act_set_mac(b, MFF_ETH_SRC,
                    mark_mac(PIPELINE_MARK_WITNESS, e->network->id));
        act_output(b, e->uplink->hold);
    }
}
