#ifndef CORE_FLOW_TABLE_H
#define CORE_FLOW_TABLE_H 1

/* Flows that are desired of a switch.
 *
 * Each flow has an owner, its cookie's value in full: whoever compiles an
 * object replaces all flows of that object's cookie at once, and the table
 * finds out what that changes.  A reader (one for each table) drains the
 * changes: see flow_table_next_change(). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/match.h"
#include "openvswitch/ofpbuf.h"

struct ds;

struct flow_entry {
    struct hmap_node node;      /* In the table, by table, priority, match. */
    struct hmap_node owner_node;        /* By cookie. */
    struct ovs_list change_node;        /* In the changes, or empty. */
    uint64_t cookie;
    uint8_t table;
    uint16_t priority;
    struct minimatch match;
    struct ofpact *actions;     /* Null: the flow is to go away. */
    size_t actions_len;
    bool stale;                 /* Not added again since "begin". */
};

struct flow_table *flow_table_create(void);
void flow_table_destroy(struct flow_table *);

/* Initializes 'match' so that equal flows have equal matches, wherever they
 * come from.  What parses or decodes a flow says "an Ethernet frame" (packet
 * type 0) wherever it matches on what only those have; who builds a match
 * does not.  All of our packets are Ethernet frames. */
void flow_table_init_match(struct minimatch *match, const struct match *);

/* Replacing the flows of an owner: begin, add each, end.  What was there
 * before and is not added again goes away; what is added unchanged is no
 * change.  It is a bug to add a flow whose (table, priority, match) another
 * owner has. */
void flow_table_begin(struct flow_table *, uint64_t cookie);
void flow_table_add(struct flow_table *, uint8_t table, uint16_t priority,
                    const struct match *, const struct ofpbuf *actions);
void flow_table_end(struct flow_table *);

/* Removes all flows of 'cookie'. */
void flow_table_remove(struct flow_table *, uint64_t cookie);

/* Takes the next flow that changed since it was last returned; null if there
 * is none.  The flow is as it is now: new, with new actions or with another
 * cookie, or, if its actions are null, gone; then it is valid until the next
 * call of any function of 'table'. */
const struct flow_entry *flow_table_next_change(struct flow_table *);
bool flow_table_has_changes(const struct flow_table *);

/* Iterates over all flows, in no order; 'prev' null: the first one. */
const struct flow_entry *flow_table_next(const struct flow_table *,
                                         const struct flow_entry *prev);

const struct flow_entry *flow_table_find(const struct flow_table *,
                                         uint8_t table, uint16_t priority,
                                         const struct minimatch *);
size_t flow_table_count(const struct flow_table *);

/* All flows as ovs-ofctl would print them, sorted, a line each. */
void flow_table_format(const struct flow_table *, struct ds *);

#endif /* core/flow-table.h */
