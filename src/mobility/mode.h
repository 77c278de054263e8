#ifndef MOBILITY_MODE_H
#define MOBILITY_MODE_H 1

/* How a network's packets travel between switches: the class of modes.
 *
 * What is common to all modes is in edge.c: who may send, answers to
 * neighbours, delivery.  A mode only knows the way between CLASSIFY and
 * DELIVER through the site's network.  Its functions are pure: they add flows
 * to the table, between flow_table_begin() and flow_table_end() of the part's
 * cookie, and keep nothing.
 *
 * To add a mode: write its file with a 'const struct mode', declare it here,
 * and name it in mode_find() in datapath.c. */

#include "core/vm.h"
#include "mobility/datapath.h"

struct flow_builder;

struct datapath_from {
    struct generation generation;
    struct addr_pair mobile;
};

/* All that is known of one interface.  Addresses that another interface
 * claimed later are none here, so no two compile the same flow. */
struct mode_entry {
    const struct datapath_uplink *uplink;
    const struct network *network;
    struct interface interface;
    bool is_here;
    struct datapath_here here;
    struct datapath_out out;
    struct datapath_from from[DATAPATH_MAX_FROM];
    size_t n_from;
};

struct mode {
    /* With PART_HERE: what it sends to elsewhere (TABLE_SOURCE), and what the
     * site's network brings (TABLE_WAN_IN, TABLE_WAN_ND). */
    void (*compile_here)(const struct mode_entry *, struct flow_builder *);

    /* With PART_OUT: TABLE_ROUTE of an interface that is away. */
    void (*compile_away)(const struct mode_entry *, struct flow_builder *);

    /* With PART_FROM: TABLE_FROM. */
    void (*compile_from)(const struct mode_entry *, struct flow_builder *);
};

extern const struct mode mode_rewrite;

#endif /* mobility/mode.h */
