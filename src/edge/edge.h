#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H 1

/* The edge: what the switch's packets and ports ask for, and what the store
 * says about addresses.
 *
 *      uplink.c       the site's network: our port, our MAC, the router's MAC
 *      mappings.c     bindings in the store -> the datapath
 *      endpoints.c    ports that are no VM's: declared or detected endpoints
 *      recall.c       those that an earlier agent had detected
 *      pool.c         a few mobile addresses in advance
 *
 * All of it only tells the datapath what should be; VMs of this host and
 * their moves are the engine's. */

#include <stdbool.h>

#include "openvswitch/uuid.h"

#include "base/err.h"
#include "core/addr.h"

struct bridge;
struct datapath;
struct edge;
struct of_switch;
struct store;

struct edge_config {
    struct uuid host;           /* Our Host row. */
    const char *wan_interface;  /* The bridge's port on the site's network. */
    struct addr_pair wan;       /* Our addresses there. */
    struct addr_pair router;    /* The site's router. */
    struct store *store;
    struct datapath *datapath;
    struct of_switch *of_switch;
    struct bridge *bridge;
};

/* Everything in the configuration outlives the edge. */
struct edge *edge_create(const struct edge_config *);
void edge_destroy(struct edge *);

/* 'now' is the monotonic clock, 'wall_now' the wall clock, in ms. */
void edge_run(struct edge *, long long now, long long wall_now);
void edge_wait(struct edge *);

/* Is everything that the store and the ports say in the datapath? */
bool edge_is_complete(const struct edge *);

#endif /* edge/edge.h */
