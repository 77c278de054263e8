#include <config.h>

#include "edge/edge.h"

#include "util.h"

#include "edge/edge-private.h"
#include "mobility/datapath.h"
#include "mobility/pipeline.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "store/store.h"

#define MAX_PACKETS_PER_TURN 256

struct edge *
edge_create(const struct edge_config *config)
{
    struct edge *edge = xzalloc(sizeof *edge);

    edge->c = *config;
    hmap_init(&edge->presences);
    return edge;
}

void
edge_destroy(struct edge *edge)
{
    if (edge) {
        endpoints_destroy(edge);
        hmap_destroy(&edge->presences);
        free(edge);
    }
}

/* A router on the way answered one of our interfaces with an ICMP error: it
 * quotes addresses that the guest does not know. */
static void
deliver_error(struct edge *edge, struct packet_in *packet)
{
    struct datapath *dp = edge->c.datapath;
    const struct interface *to;

    if (!datapath_translate_error(dp, packet->metadata, packet->data,
                                  packet->len, &to, NULL)) {
        const struct datapath_here *here = datapath_get_here(dp, &to->uuid);

        if (here && here->port != OFPP_NONE) {
            of_switch_packet_out(edge->c.of_switch, packet->data,
                                 packet->len, OFPP_CONTROLLER, here->port);
        }
    }
}

static void
run_packets(struct edge *edge)
{
    struct packet_in *packet;

    for (int i = 0; i < MAX_PACKETS_PER_TURN
         && (packet = of_switch_next_packet(edge->c.of_switch)); i++) {
        if (pipeline_cookie_part(packet->cookie) == PART_ERROR) {
            deliver_error(edge, packet);
        } else if (!uplink_handle_packet(edge, packet)) {
            endpoints_handle_packet(edge, packet);
        }
        packet_in_destroy(packet);
    }
}

void
edge_run(struct edge *edge, long long now, long long wall_now)
{
    edge->now = now;
    edge->wall_now = wall_now;
    if (!bridge_is_ready(edge->c.bridge)) {
        return;
    }
    uplink_run(edge);
    run_packets(edge);
    if (store_is_ready(edge->c.store)) {
        mappings_run(edge);
        pool_run(edge);
        endpoints_run(edge);
        edge->compared = edge->compared || endpoints_are_complete(edge);
        recall_ask(edge);
    }
    of_switch_sync(edge->c.of_switch);
}

void
edge_wait(struct edge *edge)
{
    uplink_wait(edge);
    recall_wait(edge);
}

bool
edge_is_complete(const struct edge *edge)
{
    return edge->read && edge->compared && uplink_is_complete(edge);
}
