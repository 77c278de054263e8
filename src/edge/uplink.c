#include <config.h>

#include "edge/edge-private.h"

#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "util.h"

#include "core/frame.h"
#include "mobility/datapath.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"

/* The site's network.  Everything goes to the site's router, whose MAC is
 * asked for like any host does; until it is known nothing leaves. */

#define ASK_UNKNOWN_MS 500      /* As long as the MAC is not known. */
#define PATIENCE_MS 1000         /* With its first answer. */
#define ASK_KNOWN_MS 30000      /* A router may be replaced. */

static bool
is_known(const struct edge *edge, enum addr_family family)
{
    return !eth_addr_is_zero(
        datapath_get_uplink(edge->c.datapath)->router[family]);
}

static void
find_port(struct edge *edge)
{
    struct datapath_uplink uplink = *datapath_get_uplink(edge->c.datapath);
    const struct bridge_port *port = bridge_find_port(edge->c.bridge,
                                                      edge->c.wan_interface);

    if (port && (port->number != uplink.wan
                 || !eth_addr_equals(port->mac, uplink.mac))) {
        uplink.wan = port->number;
        uplink.mac = port->mac;
        uplink.router_ip = edge->c.router;
        datapath_set_uplink(edge->c.datapath, &uplink);
    }
}

static long long
next_ask(const struct edge *edge, enum addr_family family)
{
    return (edge->asked[family]
            + (is_known(edge, family) ? ASK_KNOWN_MS : ASK_UNKNOWN_MS));
}

static bool
asks(const struct edge *edge, enum addr_family family)
{
    return (!addr_is_none(&edge->c.router.of[family])
            && !addr_is_none(&edge->c.wan.of[family]));
}

void
uplink_run(struct edge *edge)
{
    const struct datapath_uplink *uplink;

    find_port(edge);
    uplink = datapath_get_uplink(edge->c.datapath);
    if (uplink->wan == OFPP_NONE || !of_switch_is_up(edge->c.of_switch)) {
        return;
    }
    ADDR_FOR_EACH_FAMILY (family) {
        uint8_t buf[FRAME_BUILT_MAX];

        if (asks(edge, family) && edge->now >= next_ask(edge, family)) {
            size_t n = frame_build_neighbor_request(
                buf, uplink->mac, &edge->c.wan.of[family],
                &edge->c.router.of[family]);

            of_switch_packet_out(edge->c.of_switch, buf, n, OFPP_CONTROLLER,
                                 uplink->wan);
            edge->asked[family] = edge->now;
        }
    }
}

void
uplink_wait(struct edge *edge)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (asks(edge, family) && of_switch_is_up(edge->c.of_switch)) {
            poll_timer_wait_until(next_ask(edge, family));
        }
    }
}

/* Nothing leaves without the router's MAC, so flows that have it stay until it
 * has answered.  On a new switch it cannot: there patience has an end. */
bool
uplink_is_complete(const struct edge *edge)
{
    bool known = true;

    ADDR_FOR_EACH_FAMILY (family) {
        known = known && (!asks(edge, family) || is_known(edge, family));
    }
    return (datapath_get_uplink(edge->c.datapath)->wan != OFPP_NONE
            && (known || (edge->ready_since
                          && edge->now >= edge->ready_since + PATIENCE_MS)));
}

/* The router's answer.  True if 'packet' came from the site's network. */
bool
uplink_handle_packet(struct edge *edge, const struct packet_in *packet)
{
    struct datapath_uplink uplink = *datapath_get_uplink(edge->c.datapath);
    struct frame frame;

    if (packet->in_port != uplink.wan) {
        return false;
    }
    if (frame_parse(packet->data, packet->len, &frame, NULL)
        || (frame.kind != FRAME_ARP_REPLY && frame.kind != FRAME_NA)
        || eth_addr_is_zero(frame.lladdr)
        || eth_addr_is_multicast(frame.lladdr)) {
        return true;
    }

    const struct in6_addr *who = (frame.kind == FRAME_NA ? &frame.target
                                  : &frame.src);
    ADDR_FOR_EACH_FAMILY (family) {
        if (addr_equals(who, &edge->c.router.of[family])
            && !eth_addr_equals(uplink.router[family], frame.lladdr)) {
            uplink.router[family] = frame.lladdr;
            datapath_set_uplink(edge->c.datapath, &uplink);
        }
    }
    return true;
}
