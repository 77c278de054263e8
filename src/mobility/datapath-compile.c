#include <config.h>

#include "mobility/datapath-private.h"

#include <string.h>

#include "core/flow-table.h"
#include "flow.h"
#include "mobility/edge.h"
#include "mobility/flow-builder.h"
#include "mobility/pipeline.h"

void
datapath_compile_uplink(struct datapath *dp)
{
    struct flow_builder b;

    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_UPLINK, 0));
    edge_compile_uplink(&dp->uplink, &b);
    flow_table_end(dp->flows);
}

void
datapath_compile_open_port(struct datapath *dp, const struct open_port *open)
{
    const struct network_entry *n = datapath_find_network(dp,
                                                          &open->network);
    struct flow_builder b;

    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_OPEN,
                                                ofp_to_u16(open->port)));
    if (n) {
        edge_compile_open_port(open->port, &n->network, &b);
    }
    flow_table_end(dp->flows);
}

/* No 'default:', so that the compiler finds the missing mode. */
static const struct mode *
mode_find(enum network_mode mode)
{
    switch (mode) {
    case NETWORK_REWRITE:
        return &mode_rewrite;
    case NETWORK_OVERLAY:
    case NETWORK_ANCHOR:
    case NETWORK_READDRESS:
        break;                  /* Not made yet: only local traffic. */
    }
    return NULL;
}

/* Clears what 'entry' does not own in 'pair'. */
static void
keep_owned(const struct datapath *dp, const struct entry *entry,
           enum claim_kind kind, uint32_t scope, struct addr_pair *pair)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (owners_find(&dp->owners, kind, scope, &pair->of[family])
            != entry) {
            pair->of[family] = in6addr_any;
        }
    }
}

/* 'entry' as modes see it. */
static void
to_mode_entry(const struct datapath *dp, const struct entry *entry,
              struct mode_entry *e)
{
    uint32_t id = entry->network->id;

    *e = (struct mode_entry) {
        .uplink = &dp->uplink,
        .network = entry->network,
        .interface = entry->interface,
        .is_here = entry->is_here,
        .here = entry->here,
        .out = entry->out,
        .n_from = entry->n_from,
    };
    memcpy(e->from, entry->from, sizeof e->from);
    keep_owned(dp, entry, CLAIM_HOME, id, &e->interface.home);
    keep_owned(dp, entry, CLAIM_MOBILE, 0, &e->here.mobile);
    for (size_t i = 0; i < e->here.n_late; i++) {
        keep_owned(dp, entry, CLAIM_MOBILE, 0, &e->here.late[i]);
    }
    for (size_t i = 0; i < e->n_from; i++) {
        keep_owned(dp, entry, CLAIM_FROM, id, &e->from[i].mobile);
    }
    if (owners_find(&dp->owners, CLAIM_PORT, ofp_to_u16(entry->here.port),
                    &in6addr_any) != entry) {
        e->here.port = OFPP_NONE;
    }
}

void
datapath_compile_entry(struct datapath *dp, struct entry *entry)
{
    datapath_compile_here(dp, entry);
    datapath_compile_out(dp, entry);
    datapath_compile_from(dp, entry);
}

void
datapath_compile_here(struct datapath *dp, struct entry *entry)
{
    const struct mode *mode = mode_find(entry->network->mode);
    struct flow_builder b;
    struct mode_entry e;

    to_mode_entry(dp, entry, &e);
    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_HERE, entry->number));
    if (e.is_here) {
        edge_compile_here(&e, &b);
        if (mode) {
            mode->compile_here(&e, &b);
        }
    }
    flow_table_end(dp->flows);

    flow_table_begin(dp->flows, pipeline_cookie(PART_SPOOFED, entry->number));
    if (e.is_here) {
        edge_compile_spoofed(&e, &b);
    }
    flow_table_end(dp->flows);
}

void
datapath_compile_out(struct datapath *dp, struct entry *entry)
{
    const struct mode *mode = mode_find(entry->network->mode);
    struct flow_builder b;
    struct mode_entry e;

    to_mode_entry(dp, entry, &e);
    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_OUT, entry->number));
    switch (e.out.kind) {
    case DATAPATH_NOWHERE:
        break;
    case DATAPATH_HERE:
        edge_compile_local(&e, &b);
        break;
    case DATAPATH_AWAY:
        if (mode) {
            mode->compile_away(&e, &b);
        }
        break;
    }
    flow_table_end(dp->flows);
}

void
datapath_compile_from(struct datapath *dp, struct entry *entry)
{
    const struct mode *mode = mode_find(entry->network->mode);
    struct flow_builder b;
    struct mode_entry e;

    to_mode_entry(dp, entry, &e);
    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_FROM, entry->number));
    if (mode) {
        mode->compile_from(&e, &b);
    }
    flow_table_end(dp->flows);
}
