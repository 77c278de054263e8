#ifndef EDGE_PRIVATE_H
#define EDGE_PRIVATE_H 1

/* What the parts of the edge share.  Only edge/ includes this. */

#include "openvswitch/hmap.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/uuid.h"

#include "core/vm.h"
#include "edge/edge.h"
#include "store/write.h"

struct bridge_port;
struct packet_in;

/* An interface of an endpoint behind a port of ours. */
struct presence {
    struct hmap_node node;      /* In 'edge->presences', by interface. */
    struct interface interface;
    char port[16];
    struct addr_pair mobile;
    struct generation generation;       /* Counter 0: not bound yet. */
    bool seen;                  /* In this pass over the ports. */
};

struct edge {
    struct edge_config c;
    long long now, wall_now;    /* In ms. */

    /* uplink.c */
    long long asked[N_ADDR_FAMILIES];   /* The router; monotonic ms. */

    /* mappings.c */
    bool read;                  /* The store's rows, once. */

    /* endpoints.c */
    struct hmap presences;
    unsigned int bridge_seqno, store_seqno;
    bool pending;               /* Something waits for the store. */
    bool unknown;               /* A port's interface is not in the store. */
    long long ready_since;      /* The store; 0: not yet. */
    bool compared;              /* Ports and store, once. */

    /* recall.c */
    bool recalled;              /* Nothing is missing that could be there. */
    unsigned int asked_seqno;   /* Of the bridge, when asking began. */
    int asks_left;
    long long ask_at;           /* Monotonic ms, the next time. */

    /* pool.c */
    bool swept;                 /* Leftovers of an earlier agent. */
    write_ticket claiming[N_ADDR_FAMILIES];
};

void uplink_run(struct edge *);
void uplink_wait(struct edge *);
bool uplink_is_complete(const struct edge *);
bool uplink_handle_packet(struct edge *, const struct packet_in *);

void mappings_run(struct edge *);

void endpoints_run(struct edge *);
bool endpoints_are_complete(struct edge *);
void endpoints_handle_packet(struct edge *, const struct packet_in *);
void endpoints_destroy(struct edge *);

/* For recall.c.  The port is one that only declares a network. */
struct presence *endpoints_find(const struct edge *, const struct uuid *);
struct presence *endpoints_find_at(const struct edge *, const char *port);
const struct bridge_port *endpoints_find_open_port(const struct edge *,
                                                   ofp_port_t);
struct presence *endpoints_add(struct edge *, const struct interface *,
                               const struct bridge_port *);

/* Brings back what can be; false as long as something may follow.  Before
 * anything has changed the switch's flows. */
bool recall_run(struct edge *);
void recall_ask(struct edge *);
void recall_wait(const struct edge *);

void pool_run(struct edge *);

#endif /* edge/edge-private.h */
