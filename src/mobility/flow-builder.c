#include <config.h>

#include "mobility/flow-builder.h"

#include <netinet/icmp6.h>
#include <string.h>

#include "core/flow-table.h"
#include "openvswitch/ofp-actions.h"
#include "packets.h"
#include "util.h"

static const enum mf_field_id addr_fields[][N_ADDR_FAMILIES] = {
    [FIELD_SRC] = { MFF_IPV4_SRC, MFF_IPV6_SRC },
    [FIELD_DST] = { MFF_IPV4_DST, MFF_IPV6_DST },
    [FIELD_SENDER] = { MFF_ARP_SPA, MFF_IPV6_SRC },
    [FIELD_TARGET] = { MFF_ARP_TPA, MFF_ND_TARGET },
};

void
flow_builder_init(struct flow_builder *b, struct flow_table *flows)
{
    b->flows = flows;
    match_init_catchall(&b->match);
    ofpbuf_use_stub(&b->actions, b->stub, sizeof b->stub);
}

void
flow_builder_add(struct flow_builder *b, enum pipeline_table table,
                 enum pipeline_priority priority)
{
    flow_table_add(b->flows, table, priority, &b->match, &b->actions);
    ofpbuf_uninit(&b->actions);
    flow_builder_init(b, b->flows);
}

void
match_field(struct flow_builder *b, enum mf_field_id id, const void *value)
{
    union mf_value v;

    memcpy(&v, value, mf_from_id(id)->n_bytes);
    mf_set_value(mf_from_id(id), &v, &b->match, NULL);
}

void
match_field_masked(struct flow_builder *b, enum mf_field_id id,
                   const void *value, const void *mask)
{
    union mf_value v, m;

    memcpy(&v, value, mf_from_id(id)->n_bytes);
    memcpy(&m, mask, mf_from_id(id)->n_bytes);
    mf_set(mf_from_id(id), &v, &m, &b->match, NULL);
}

void
match_metadata(struct flow_builder *b, uint32_t network_id)
{
    match_set_metadata(&b->match, htonll(network_id));
}

void
match_in_port(struct flow_builder *b, ofp_port_t port)
{
    match_set_in_port(&b->match, port);
}

void
match_eth_type(struct flow_builder *b, uint16_t type)
{
    match_set_dl_type(&b->match, htons(type));
}

void
match_family(struct flow_builder *b, enum addr_family family)
{
    match_eth_type(b, family == ADDR_V4 ? ETH_TYPE_IP : ETH_TYPE_IPV6);
}

void
match_mac(struct flow_builder *b, enum mf_field_id id,
          const struct eth_addr mac)
{
    match_field(b, id, &mac);
}

void
match_multicast(struct flow_builder *b)
{
    static const struct eth_addr bit = ETH_ADDR_C(01,00,00,00,00,00);

    match_field_masked(b, MFF_ETH_DST, &bit, &bit);
}

void
match_arp(struct flow_builder *b, uint16_t op)
{
    match_eth_type(b, ETH_TYPE_ARP);
    match_set_nw_proto(&b->match, op);
}

/* A hop limit of 255 proves that it comes from this link. */
void
match_nd(struct flow_builder *b, uint8_t icmp6_type)
{
    match_eth_type(b, ETH_TYPE_IPV6);
    match_set_nw_proto(&b->match, IPPROTO_ICMPV6);
    match_set_nw_ttl(&b->match, 255);
    match_set_icmp_type(&b->match, icmp6_type);
    match_set_icmp_code(&b->match, 0);
}

/* The bytes of 'addr' as its own family has them. */
static const void *
addr_bytes(const struct in6_addr *addr, enum addr_family family)
{
    return family == ADDR_V4 ? &addr->s6_addr[12] : &addr->s6_addr[0];
}

void
match_addr(struct flow_builder *b, enum addr_field field,
           const struct in6_addr *addr)
{
    enum addr_family family = addr_family(addr);

    match_field(b, addr_fields[field][family], addr_bytes(addr, family));
}

void
match_prefix(struct flow_builder *b, enum addr_field field,
             const struct prefix *prefix)
{
    enum addr_family family = addr_family(&prefix->addr);
    struct in6_addr mask = prefix_mask(prefix);

    match_field_masked(b, addr_fields[field][family],
                       addr_bytes(&prefix->addr, family),
                       addr_bytes(&mask, family));
}

void
act_set(struct flow_builder *b, enum mf_field_id id, const void *value)
{
    const struct mf_field *mf = mf_from_id(id);

    /* Given a value, ofpact_put_set_field() leaves its padding undefined, and
     * equal actions would differ. */
    struct ofpact_set_field *sf
        = ofpact_put_set_field(&b->actions, mf, NULL, NULL);
    memcpy(sf->value, value, mf->n_bytes);
    memset(ofpact_set_field_mask(sf), 0xff, mf->n_bytes);
}

void
act_set_mac(struct flow_builder *b, enum mf_field_id id,
            const struct eth_addr mac)
{
    act_set(b, id, &mac);
}

void
act_set_addr(struct flow_builder *b, enum addr_field field,
             const struct in6_addr *addr)
{
    enum addr_family family = addr_family(addr);

    act_set(b, addr_fields[field][family], addr_bytes(addr, family));
}

void
act_set_metadata(struct flow_builder *b, uint32_t network_id)
{
    ovs_be64 value = htonll(network_id);

    act_set(b, MFF_METADATA, &value);
}

void
act_move(struct flow_builder *b, enum mf_field_id from, enum mf_field_id to)
{
    struct ofpact_reg_move *move = ofpact_put_REG_MOVE(&b->actions);

    move->src.field = mf_from_id(from);
    move->src.n_bits = mf_from_id(from)->n_bits;
    move->dst.field = mf_from_id(to);
    move->dst.n_bits = mf_from_id(to)->n_bits;
}

void
act_dec_ttl(struct flow_builder *b)
{
    struct ofpact_cnt_ids *ids = ofpact_put_DEC_TTL(&b->actions);
    uint16_t id = 0;

    ofpbuf_put(&b->actions, &id, sizeof id);
    ids = b->actions.header;
    ids->n_controllers = 1;
    ofpact_finish_DEC_TTL(&b->actions, &ids);
}

void
act_output(struct flow_builder *b, ofp_port_t port)
{
    ofpact_put_OUTPUT(&b->actions)->port = port;
}

void
act_controller(struct flow_builder *b)
{
    struct ofpact_output *output = ofpact_put_OUTPUT(&b->actions);

    output->port = OFPP_CONTROLLER;
    output->max_len = UINT16_MAX;
}

void
act_goto(struct flow_builder *b, enum pipeline_table table)
{
    ofpact_put_GOTO_TABLE(&b->actions)->table_id = table;
}
