#include <config.h>

#include "edge/edge-private.h"

#include <string.h>

#include "packets.h"
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

/* Endpoints that are no VMs.
 *
 * A port says in its external_ids whose it is: iface-id names an interface in
 * the store, watari-network only a network.  On a port of the second kind the
 * first valid ARP or NS from an address of the network makes an endpoint.
 * VMs' ports are the engine's. */

/* How long rows may take to arrive after the store's first ones. */
#define PATIENCE_MS 5000

struct presence *
endpoints_find(const struct edge *edge, const struct uuid *interface)
{
    struct presence *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, uuid_hash(interface),
                             &edge->presences) {
        if (uuid_equals(&p->interface.uuid, interface)) {
            return p;
        }
    }
    return NULL;
}

struct presence *
endpoints_find_at(const struct edge *edge, const char *port)
{
    struct presence *p;

    HMAP_FOR_EACH (p, node, &edge->presences) {
        if (!strcmp(p->port, port)) {
            return p;
        }
    }
    return NULL;
}

struct presence *
endpoints_add(struct edge *edge, const struct interface *interface,
              const struct bridge_port *port)
{
    struct presence *p = xzalloc(sizeof *p);

    p->interface = *interface;
    ovs_strlcpy(p->port, port->name, sizeof p->port);
    hmap_insert(&edge->presences, &p->node, uuid_hash(&interface->uuid));
    return p;
}

static bool
take_addresses(struct edge *edge, struct presence *p)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&p->interface.home.of[family])
            && addr_is_none(&p->mobile.of[family])
            && claims_take(edge->c.store, family, edge->wall_now,
                           &p->mobile.of[family], NULL)) {
            return false;
        }
    }
    return true;
}

/* What an earlier agent had given it, or a new generation. */
static bool
bind_presence(struct edge *edge, struct presence *p)
{
    struct binding b;
    uint64_t counter = 0;

    if (bindings_find_newest(edge->c.store, &p->interface.uuid, true, &b)) {
        if (uuid_equals(&b.generation.host, &edge->c.host)) {
            p->mobile = b.mobile;
            p->generation = b.generation;
            return true;
        }
        counter = b.generation.counter;
    }
    if (!take_addresses(edge, p)) {
        return false;
    }
    p->generation = (struct generation) {
        .epoch = store_epoch(edge->c.store),
        .counter = counter + 1,
        .host = edge->c.host,
    };
    b = (struct binding) {
        .interface = p->interface.uuid,
        .generation = p->generation,
        .mobile = p->mobile,
        .active = true,
    };
    bindings_put(edge->c.store, &b);
    return true;
}

/* It has been seen with an address of another family: both belong to it under
 * a new generation.  The addresses that it has go on. */
static void
bind_again(struct edge *edge, struct presence *p)
{
    struct generation old = p->generation;

    if (!take_addresses(edge, p)) {
        return;                 /* When the store has some for us. */
    }
    p->generation.epoch = store_epoch(edge->c.store);
    p->generation.counter++;

    struct binding b = {
        .interface = p->interface.uuid,
        .generation = p->generation,
        .mobile = p->mobile,
        .active = true,
    };
    bindings_put(edge->c.store, &b);
    bindings_delete(edge->c.store, &b.interface, &old);
}

/* Has the store been restored from a backup since 'p' was bound? */
static bool
is_of_older_store(const struct edge *edge, const struct presence *p)
{
    return (p->generation.counter
            && p->generation.epoch < store_epoch(edge->c.store));
}

/* Tells a restored store that 'p' is here, and, if it was detected behind
 * 'port' and is not in the backup, that there is such an endpoint at all. */
static void
renew_presence(struct edge *edge, struct presence *p,
               const struct bridge_port *port)
{
    struct interface interface;

    if (port->network[0] && interfaces_get(edge->c.store, &p->interface.uuid,
                                           &interface, NULL)) {
        endpoints_add_detected(edge->c.store, &p->interface);
    }
    p->generation.epoch = store_epoch(edge->c.store);
    p->generation.counter++;

    struct binding b = {
        .interface = p->interface.uuid,
        .generation = p->generation,
        .mobile = p->mobile,
        .active = true,
    };
    claims_keep(edge->c.store, &p->mobile, edge->wall_now);
    bindings_put(edge->c.store, &b);
}

static bool
lacks_mobile(const struct presence *p)
{
    bool lacks = false;

    ADDR_FOR_EACH_FAMILY (family) {
        lacks = lacks || (!addr_is_none(&p->interface.home.of[family])
                          && addr_is_none(&p->mobile.of[family]));
    }
    return lacks;
}

/* Presents the interface behind 'port'; false if something is missing yet. */
static bool
present(struct edge *edge, struct presence *p, const struct bridge_port *port)
{
    struct datapath *dp = edge->c.datapath;
    struct network network;

    if (networks_get(edge->c.store, &p->interface.network, &network, NULL)
        || (!p->generation.counter && !bind_presence(edge, p))) {
        return false;
    }
    if (is_of_older_store(edge, p)) {
        renew_presence(edge, p, port);
    }
    if (lacks_mobile(p)) {
        bind_again(edge, p);
    }

    struct datapath_here here = {
        .port = port->number,
        .mobile = p->mobile,
        .delivery = DATAPATH_DIRECT,
    };
    struct datapath_out out = {
        .kind = DATAPATH_HERE,
        .generation = p->generation,
    };
    datapath_set_network(dp, &network);
    datapath_set_interface(dp, &p->interface);
    datapath_set_here(dp, &p->interface.uuid, &here);
    datapath_set_out(dp, &p->interface.uuid, &out);
    return true;
}

static void
leave(struct edge *edge, struct presence *p)
{
    datapath_set_here(edge->c.datapath, &p->interface.uuid, NULL);
    if (p->generation.counter) {
        bindings_delete(edge->c.store, &p->interface.uuid, &p->generation);
        claims_rest(edge->c.store, &p->mobile, edge->wall_now);
    }
    hmap_remove(&edge->presences, &p->node);
    free(p);
}

/* A port that declares an interface. */
static void
run_declared(struct edge *edge, const struct bridge_port *port)
{
    struct presence *p = endpoints_find(edge, &port->iface_id);

    if (!p) {
        struct interface interface;

        if (interfaces_get(edge->c.store, &port->iface_id, &interface,
                           NULL)) {
            edge->unknown = true;
            return;             /* Not yet. */
        }
        if (!endpoints_has(edge->c.store, &port->iface_id)) {
            return;             /* A VM's. */
        }
        p = endpoints_add(edge, &interface, port);
    }
    p->seen = true;
    if (!present(edge, p, port)) {
        edge->pending = true;
    }
}

/* A port that declares a network. */
static void
run_open(struct edge *edge, const struct bridge_port *port)
{
    struct network network;
    struct presence *p;

    if (networks_find(edge->c.store, port->network, &network, NULL)) {
        return;
    }
    store_watch_network(edge->c.store, &network.uuid);
    datapath_set_network(edge->c.datapath, &network);
    datapath_set_open_port(edge->c.datapath, port->number, &network.uuid);
    HMAP_FOR_EACH (p, node, &edge->presences) {
        if (!strcmp(p->port, port->name)) {
            p->seen = true;
            if (!present(edge, p, port)) {
                edge->pending = true;
            }
        }
    }
}

/* Rows of a port that was left over by somebody never come, so patience has
 * an end. */
static bool
is_late(const struct edge *edge)
{
    return (edge->ready_since
            && edge->now >= edge->ready_since + PATIENCE_MS);
}

void
endpoints_run(struct edge *edge)
{
    unsigned int bridge_now = bridge_seqno(edge->c.bridge);
    unsigned int store_now = store_seqno(edge->c.store);
    struct presence *p;

    if (edge->recalled && !edge->pending && edge->bridge_seqno == bridge_now
        && edge->store_seqno == store_now) {
        return;
    }
    edge->bridge_seqno = bridge_now;
    edge->store_seqno = store_now;
    edge->pending = false;
    edge->unknown = false;
    edge->recalled = edge->recalled || recall_run(edge) || is_late(edge);

    HMAP_FOR_EACH (p, node, &edge->presences) {
        p->seen = false;
    }
    for (size_t i = 0; i < bridge_n_ports(edge->c.bridge); i++) {
        const struct bridge_port *port = bridge_port(edge->c.bridge, i);

        if (port->number == OFPP_NONE) {
            continue;
        } else if (!uuid_is_zero(&port->iface_id)) {
            run_declared(edge, port);
        } else if (port->network[0]) {
            run_open(edge, port);
        }
    }
    HMAP_FOR_EACH_SAFE (p, node, &edge->presences) {
        if (!p->seen) {
            leave(edge, p);
        }
    }
}

/* May the switch's old flows go? */
bool
endpoints_are_complete(struct edge *edge)
{
    if (!edge->ready_since) {
        edge->ready_since = edge->now;
    }
    return (edge->bridge_seqno && !edge->pending && edge->recalled
            && (!edge->unknown || is_late(edge)));
}

/* Detection. */

const struct bridge_port *
endpoints_find_open_port(const struct edge *edge, ofp_port_t number)
{
    for (size_t i = 0; i < bridge_n_ports(edge->c.bridge); i++) {
        const struct bridge_port *port = bridge_port(edge->c.bridge, i);

        if (port->number == number && number != OFPP_NONE
            && port->network[0] && uuid_is_zero(&port->iface_id)) {
            return port;
        }
    }
    return NULL;
}

/* Whose address does 'frame' show, on a network with 'network''s prefixes?
 * Null if it shows none. */
static const struct in6_addr *
shown_address(const struct frame *frame, const struct network *network)
{
    const struct in6_addr *addr;

    switch (frame->kind) {
    case FRAME_ARP_REQUEST:
    case FRAME_ARP_REPLY:
    case FRAME_ARP_GRATUITOUS:
    case FRAME_NS:
        addr = &frame->src;
        break;
    case FRAME_NA:
    case FRAME_NA_UNSOLICITED:
        addr = &frame->target;
        break;
    case FRAME_OTHER:
    case FRAME_IP:
    case FRAME_ARP_PROBE:
    case FRAME_RARP:
    case FRAME_NS_PROBE:
    default:
        return NULL;
    }
    if (addr_is_none(addr) || eth_addr_is_zero(frame->lladdr)
        || !eth_addr_equals(frame->lladdr, frame->eth_src)
        || !prefix_contains(&network->prefix[addr_family(addr)], addr)
        || addr_pair_contains(&network->gateway, addr)) {
        return NULL;
    }
    return addr;
}

/* Makes the endpoint that shows 'addr' behind 'port', where nobody is known,
 * or finds it in the store. */
static void
detect(struct edge *edge, const struct bridge_port *port,
       const struct network *network, const struct frame *frame,
       const struct in6_addr *addr)
{
    struct interface interface;

    if (!interfaces_find(edge->c.store, &network->uuid, frame->eth_src,
                         &interface)) {
        if (datapath_find_home(edge->c.datapath, network->id, addr)) {
            return;             /* Somebody else's address. */
        }
        interface = (struct interface) {
            .network = network->uuid,
            .network_id = network->id,
            .mac = frame->eth_src,
        };
        uuid_generate(&interface.uuid);
        interface.home.of[addr_family(addr)] = *addr;
        interface.inside = interface.home;
        endpoints_add_detected(edge->c.store, &interface);
    } else if (datapath_get_here(edge->c.datapath, &interface.uuid)
               || !interfaces_admit(edge->c.store, &interface.uuid,
                                    &edge->c.host)) {
        return;                 /* Behind another port, or a VM elsewhere. */
    }
    endpoints_add(edge, &interface, port);
    edge->pending = true;
}

/* 'p' shows an address of a family of which it has none.  That it has another
 * address of a family than it had is for people to say. */
static void
learn(struct edge *edge, struct presence *p, const struct network *network,
      const struct in6_addr *addr)
{
    struct in6_addr *home = &p->interface.home.of[addr_family(addr)];

    if (!addr_is_none(home)
        || !endpoints_is_detected(edge->c.store, &p->interface.uuid)
        || datapath_find_home(edge->c.datapath, network->id, addr)) {
        return;
    }
    *home = p->interface.inside.of[addr_family(addr)] = *addr;
    endpoints_add_addresses(edge->c.store, &p->interface.uuid,
                            &p->interface.home);
    edge->pending = true;
}

void
endpoints_handle_packet(struct edge *edge, const struct packet_in *packet)
{
    const struct bridge_port *port
        = endpoints_find_open_port(edge, packet->in_port);
    const struct in6_addr *addr;
    struct network network;
    struct presence *p;
    struct frame frame;

    if (!port || !store_is_ready(edge->c.store)
        || networks_find(edge->c.store, port->network, &network, NULL)
        || frame_parse(packet->data, packet->len, &frame, NULL)
        || !(addr = shown_address(&frame, &network))) {
        return;
    }
    p = endpoints_find_at(edge, port->name);
    if (!p) {
        detect(edge, port, &network, &frame, addr);
    } else if (eth_addr_equals(p->interface.mac, frame.eth_src)) {
        learn(edge, p, &network, addr);
    }
    /* Else another one behind the same port: who came first has it. */
}

void
endpoints_destroy(struct edge *edge)
{
    struct presence *p;

    HMAP_FOR_EACH_SAFE (p, node, &edge->presences) {
        hmap_remove(&edge->presences, &p->node);
        free(p);
    }
}
