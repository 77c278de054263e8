#ifndef OPENFLOW_INSTALLED_H
#define OPENFLOW_INSTALLED_H 1

/* Flows that a switch has, as far as we know.
 *
 * What is desired is a 'struct flow_table'; this is the other side.  Actions
 * are kept as they are on the wire: a switch may describe the same actions in
 * another way than we did, but they encode to the same bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/hmap.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-protocol.h"

struct flow_entry;

struct installed_flow {
    struct hmap_node node;
    uint8_t table;
    uint16_t priority;
    struct minimatch match;
    uint64_t cookie;
    void *actions;              /* OpenFlow instructions. */
    size_t actions_len;
};

struct installed {
    struct hmap flows;
    enum ofp_version version;   /* In which the actions are encoded. */
};

void installed_init(struct installed *);
void installed_finish(struct installed *);
void installed_clear(struct installed *, enum ofp_version);

/* Notes that the switch has this flow. */
void installed_put(struct installed *, uint8_t table, uint16_t priority,
                   const struct minimatch *, uint64_t cookie,
                   const struct ofpact *, size_t ofpacts_len);

/* Notes that the switch has, or has no longer, what 'entry' says.  Returns
 * true if that is news. */
bool installed_update(struct installed *, const struct flow_entry *entry);

const struct installed_flow *installed_find(const struct installed *,
                                            uint8_t table, uint16_t priority,
                                            const struct minimatch *);
void installed_remove(struct installed *, const struct installed_flow *);

/* The in_port that a flow with 'cookie' matches; OFPP_NONE if none does. */
ofp_port_t installed_cookie_port(const struct installed *, uint64_t cookie);
size_t installed_count(const struct installed *);

#endif /* openflow/installed.h */
