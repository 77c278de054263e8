#include <config.h>

/* The mode "rewrite": home addresses become mobile addresses at the edge and
 * home addresses again at the other edge.  Routers between see ordinary
 * packets of the sites' own prefixes; nothing is added to a packet. */

#include "mobility/edge.h"
#include "mobility/flow-builder.h"
#include "mobility/mode.h"
#include "packets.h"

/* home -> mobile, out to the site's router. */
static void
compile_source(const struct mode_entry *e, struct flow_builder *b,
               enum addr_family family)
{
    if (e->here.port == OFPP_NONE || e->uplink->wan == OFPP_NONE
        || eth_addr_is_zero(e->uplink->router[family])) {
        return;
    }
    match_metadata(b, e->network->id);
    match_family(b, family);
    match_addr(b, FIELD_SRC, &e->interface.home.of[family]);
    act_set_addr(b, FIELD_SRC, &e->here.mobile.of[family]);
    act_set_mac(b, MFF_ETH_SRC, e->uplink->mac);
    act_set_mac(b, MFF_ETH_DST, e->uplink->router[family]);
    act_dec_ttl(b);
    act_output(b, e->uplink->wan);
    flow_builder_add(b, TABLE_SOURCE, PRIORITY_FLOW);
}

/* mobile -> home, for what the site's network brings. */
static void
compile_wan_in(const struct mode_entry *e, struct flow_builder *b,
               enum addr_family family, const struct in6_addr *mobile)
{
    match_family(b, family);
    match_addr(b, FIELD_DST, mobile);
    act_set_addr(b, FIELD_DST, &e->interface.home.of[family]);
    act_set_metadata(b, e->network->id);
    act_goto(b, TABLE_FROM);
    flow_builder_add(b, TABLE_WAN_IN, PRIORITY_FLOW);
    edge_answer_wan(b, e->uplink, mobile);
}

static void
rewrite_compile_here(const struct mode_entry *e, struct flow_builder *b)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (addr_is_none(&e->interface.home.of[family])
            || addr_is_none(&e->here.mobile.of[family])) {
            continue;
        }
        compile_source(e, b, family);
        compile_wan_in(e, b, family, &e->here.mobile.of[family]);
        for (size_t i = 0; i < e->here.n_late; i++) {
            const struct in6_addr *late = &e->here.late[i].of[family];

            if (!addr_is_none(late)) {
                compile_wan_in(e, b, family, late);
            }
        }
    }
}

static void
rewrite_compile_away(const struct mode_entry *e, struct flow_builder *b)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (addr_is_none(&e->interface.home.of[family])
            || addr_is_none(&e->out.mobile.of[family])) {
            continue;
        }
        match_metadata(b, e->network->id);
        match_family(b, family);
        match_addr(b, FIELD_DST, &e->interface.home.of[family]);
        edge_witness(e, b);
        act_set_addr(b, FIELD_DST, &e->out.mobile.of[family]);
        act_goto(b, TABLE_SOURCE);
        flow_builder_add(b, TABLE_ROUTE, PRIORITY_FLOW);
    }
}

static void
rewrite_compile_from(const struct mode_entry *e, struct flow_builder *b)
{
    for (size_t i = 0; i < e->n_from; i++) {
        ADDR_FOR_EACH_FAMILY (family) {
            const struct in6_addr *mobile = &e->from[i].mobile.of[family];

            if (addr_is_none(&e->interface.home.of[family])
                || addr_is_none(mobile)) {
                continue;
            }
            match_metadata(b, e->network->id);
            match_family(b, family);
            match_addr(b, FIELD_SRC, mobile);
            act_set_addr(b, FIELD_SRC, &e->interface.home.of[family]);
            act_goto(b, TABLE_DELIVER);
            flow_builder_add(b, TABLE_FROM, PRIORITY_FLOW);
        }
    }
}

const struct mode mode_rewrite = {
    .compile_here = rewrite_compile_here,
    .compile_away = rewrite_compile_away,
    .compile_from = rewrite_compile_from,
};
