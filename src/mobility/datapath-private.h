#ifndef MOBILITY_DATAPATH_PRIVATE_H
#define MOBILITY_DATAPATH_PRIVATE_H 1

/* A datapath's state.  Only datapath.c, which changes it, and
 * datapath-compile.c, which makes flows of it, include this. */

#include "mobility/datapath.h"
#include "mobility/mode.h"
#include "mobility/owners.h"

struct network_entry {
    struct hmap_node node;      /* By UUID. */
    struct network network;
};

struct open_port {
    struct hmap_node node;      /* By port. */
    ofp_port_t port;
    struct uuid network;
};

struct entry {
    struct hmap_node node;      /* By the interface's UUID. */
    struct hmap_node number_node;       /* By number. */
    uint64_t number;
    const struct network *network;

    struct interface interface;
    bool is_here;
    struct datapath_here here;
    struct datapath_out out;
    struct datapath_from from[DATAPATH_MAX_FROM];       /* Newest first. */
    size_t n_from;
};

struct datapath {
    struct flow_table *flows;
    struct datapath_uplink uplink;
    struct hmap networks;
    struct hmap entries;
    struct hmap numbers;
    struct owners owners;
    struct hmap open_ports;
};

/* Each replaces the flows of what it names. */
void datapath_compile_uplink(struct datapath *);
void datapath_compile_open_port(struct datapath *, const struct open_port *);
void datapath_compile_entry(struct datapath *, struct entry *);
void datapath_compile_here(struct datapath *, struct entry *);
void datapath_compile_out(struct datapath *, struct entry *);
void datapath_compile_from(struct datapath *, struct entry *);

struct network_entry *datapath_find_network(const struct datapath *,
                                            const struct uuid *);

#endif /* mobility/datapath-private.h */
