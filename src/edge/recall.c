#include <config.h>

#include "edge/edge-private.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "mobility/datapath.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/endpoints.h"
#include "store/networks.h"
#include "store/store.h"

/* Endpoints that an earlier agent had detected on open ports.
 *
 * The store says that they are this host's, and the switch's flows, which
 * outlive an agent, say behind which port: together that is what the earlier
 * agent knew, so it goes on without a gap, also where the agent began again
 * while the store was away.  If the flows are gone, too, or a port has
 * appeared, those that are missing are asked for. */

#define ASK_TIMES 6
#define ASK_INTERVAL_MS 500

/* Is 'b' what everybody goes by? */
static bool
is_newest(const struct edge *edge, const struct binding *b)
{
    struct binding newest;

    return (bindings_find_newest(edge->c.store, &b->interface, true, &newest)
            && !generation_compare(&b->generation, &newest.generation));
}

/* Forgets 'b': an earlier agent died before it did so, or the endpoint has
 * been detected elsewhere by now. */
static void
forget(struct edge *edge, const struct binding *b)
{
    struct binding newest;

    bindings_delete(edge->c.store, &b->interface, &b->generation);
    if (bindings_find_newest(edge->c.store, &b->interface, true, &newest)
        && !uuid_equals(&newest.generation.host, &edge->c.host)) {
        claims_rest(edge->c.store, &b->mobile, edge->wall_now);
    }
}

/* EAGAIN if rows are missing yet that matter. */
static int
recall(struct edge *edge, const struct binding *b)
{
    struct datapath *dp = edge->c.datapath;
    const struct bridge_port *port;
    struct interface interface;
    struct network network;
    ofp_port_t number;

    if (interfaces_get(edge->c.store, &b->interface, &interface, NULL)
        || networks_get(edge->c.store, &interface.network, &network, NULL)
        || !datapath_find_interface(dp, &b->interface)) {
        return is_newest(edge, b) ? EAGAIN : ENOENT;
    }
    number = of_switch_cookie_port(edge->c.of_switch,
                                   datapath_here_cookie(dp, &b->interface));
    port = endpoints_find_open_port(edge, number);
    if (!port || strcmp(port->network, network.name)) {
        return ENOENT;
    }
    if (!is_newest(edge, b)) {
        forget(edge, b);
        return ESTALE;
    }

    if (!endpoints_find(edge, &b->interface)) {
        struct presence *p = endpoints_add(edge, &interface, port);

        p->mobile = b->mobile;
        p->generation = b->generation;
    }
    return 0;
}

bool
recall_run(struct edge *edge)
{
    struct binding *list;
    size_t n;
    bool done = true;

    if (!of_switch_is_up(edge->c.of_switch)) {
        return false;           /* What it says is not known yet. */
    }
    n = bindings_list_own(edge->c.store, &list);
    for (size_t i = 0; i < n; i++) {
        done = recall(edge, &list[i]) != EAGAIN && done;
    }
    free(list);
    return done;
}

/* Asking. */

/* Asks behind each open port of its network that nobody is known behind. */
static void
ask(struct edge *edge, const struct interface *interface,
    const struct network *network)
{
    for (size_t i = 0; i < bridge_n_ports(edge->c.bridge); i++) {
        const struct bridge_port *port = bridge_port(edge->c.bridge, i);

        if (!endpoints_find_open_port(edge, port->number)
            || strcmp(port->network, network->name)
            || endpoints_find_at(edge, port->name)) {
            continue;
        }
        ADDR_FOR_EACH_FAMILY (family) {
            const struct in6_addr *home = &interface->home.of[family];
            const struct in6_addr *router = &network->gateway.of[family];
            uint8_t buf[FRAME_BUILT_MAX];

            if (!addr_is_none(home) && !addr_is_none(router)) {
                size_t n = frame_build_neighbor_request(
                    buf, datapath_router_mac, router, home);

                of_switch_packet_out(edge->c.of_switch, buf, n,
                                     OFPP_CONTROLLER, port->number);
            }
        }
    }
}

static void
ask_missing(struct edge *edge)
{
    struct binding *list;
    size_t n = bindings_list_own(edge->c.store, &list);

    for (size_t i = 0; i < n; i++) {
        struct interface interface;
        struct network network;

        if (!endpoints_find(edge, &list[i].interface)
            && endpoints_has(edge->c.store, &list[i].interface)
            && is_newest(edge, &list[i])
            && !interfaces_get(edge->c.store, &list[i].interface, &interface,
                               NULL)
            && !networks_get(edge->c.store, &interface.network, &network,
                             NULL)) {
            ask(edge, &interface, &network);
        }
    }
    free(list);
}

void
recall_ask(struct edge *edge)
{
    if (edge->asked_seqno != bridge_seqno(edge->c.bridge)) {
        edge->asked_seqno = bridge_seqno(edge->c.bridge);
        edge->asks_left = ASK_TIMES;
        edge->ask_at = edge->now;
    }
    if (edge->asks_left && edge->now >= edge->ask_at) {
        ask_missing(edge);
        edge->asks_left--;
        edge->ask_at = edge->now + ASK_INTERVAL_MS;
    }
}

void
recall_wait(const struct edge *edge)
{
    if (edge->asks_left) {
        poll_timer_wait_until(edge->ask_at);
    }
}
