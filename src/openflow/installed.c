#include <config.h>

#include "openflow/installed.h"

#include <stdlib.h>
#include <string.h>

#include "core/flow-table.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

void
installed_init(struct installed *installed)
{
    hmap_init(&installed->flows);
    installed->version = OFP15_VERSION;
}

void
installed_finish(struct installed *installed)
{
    installed_clear(installed, installed->version);
    hmap_destroy(&installed->flows);
}

void
installed_clear(struct installed *installed, enum ofp_version version)
{
    struct installed_flow *flow;

    HMAP_FOR_EACH_SAFE (flow, node, &installed->flows) {
        installed_remove(installed, flow);
    }
    installed->version = version;
}

static uint32_t
flow_hash(uint8_t table, uint16_t priority, const struct minimatch *match)
{
    return minimatch_hash(match, (uint32_t) table << 16 | priority);
}

static struct installed_flow *
find(const struct installed *installed, uint8_t table, uint16_t priority,
     const struct minimatch *match)
{
    struct installed_flow *flow;

    HMAP_FOR_EACH_WITH_HASH (flow, node, flow_hash(table, priority, match),
                             &installed->flows) {
        if (flow->table == table && flow->priority == priority
            && minimatch_equal(&flow->match, match)) {
            return flow;
        }
    }
    return NULL;
}

static bool
put(struct installed *installed, uint8_t table, uint16_t priority,
    const struct minimatch *match, uint64_t cookie,
    const struct ofpact *ofpacts, size_t ofpacts_len)
{
    struct installed_flow *flow = find(installed, table, priority, match);
    uint64_t stub[64];
    struct ofpbuf actions = OFPBUF_STUB_INITIALIZER(stub);

    ofpacts_put_openflow_instructions(ofpacts, ofpacts_len, &actions,
                                      installed->version);
    bool same = flow && flow->cookie == cookie
                && flow->actions_len == actions.size
                && (!actions.size
                    || !memcmp(flow->actions, actions.data, actions.size));
    if (!same) {
        if (!flow) {
            flow = xzalloc(sizeof *flow);
            flow->table = table;
            flow->priority = priority;
            minimatch_clone(&flow->match, match);
            hmap_insert(&installed->flows, &flow->node,
                        flow_hash(table, priority, match));
        }
        free(flow->actions);
        flow->cookie = cookie;
        flow->actions_len = actions.size;
        flow->actions = (actions.size ? xmemdup(actions.data, actions.size)
                         : NULL);
    }
    ofpbuf_uninit(&actions);
    return !same;
}

void
installed_put(struct installed *installed, uint8_t table, uint16_t priority,
              const struct minimatch *match, uint64_t cookie,
              const struct ofpact *ofpacts, size_t ofpacts_len)
{
    put(installed, table, priority, match, cookie, ofpacts, ofpacts_len);
}

bool
installed_update(struct installed *installed, const struct flow_entry *entry)
{
    if (entry->actions) {
        return put(installed, entry->table, entry->priority, &entry->match,
                   entry->cookie, entry->actions, entry->actions_len);
    }

    struct installed_flow *flow = find(installed, entry->table,
                                       entry->priority, &entry->match);
    if (flow) {
        installed_remove(installed, flow);
    }
    return flow != NULL;
}

const struct installed_flow *
installed_find(const struct installed *installed, uint8_t table,
               uint16_t priority, const struct minimatch *match)
{
    return find(installed, table, priority, match);
}

void
installed_remove(struct installed *installed,
                 const struct installed_flow *flow_)
{
    struct installed_flow *flow = CONST_CAST(struct installed_flow *, flow_);

    hmap_remove(&installed->flows, &flow->node);
    minimatch_destroy(&flow->match);
    free(flow->actions);
    free(flow);
}

ofp_port_t
installed_cookie_port(const struct installed *installed, uint64_t cookie)
{
    const struct installed_flow *flow;
    struct match match;

    HMAP_FOR_EACH (flow, node, &installed->flows) {
        if (flow->cookie == cookie) {
            minimatch_expand(&flow->match, &match);
            if (match.wc.masks.in_port.ofp_port) {
                return match.flow.in_port.ofp_port;
            }
        }
    }
    return OFPP_NONE;
}

size_t
installed_count(const struct installed *installed)
{
    return hmap_count(&installed->flows);
}
