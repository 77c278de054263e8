#include <config.h>

#include "mobility/datapath-private.h"

#include <stdlib.h>
#include <string.h>

#include "core/flow-table.h"
#include "flow.h"
#include "hash.h"
#include "mobility/owners.h"
#include "mobility/edge.h"
#include "mobility/flow-builder.h"
#include "mobility/mode.h"
#include "mobility/pipeline.h"
#include "openvswitch/hmap.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

const struct eth_addr datapath_router_mac = ETH_ADDR_C(02,57,00,00,00,01);

static struct entry *find_entry(const struct datapath *, const struct uuid *);
static void remove_entry(struct datapath *, struct entry *);
static void claim_pair(struct datapath *, struct entry *, enum claim_kind,
                       const struct addr_pair *);
static void unclaim_pair(struct datapath *, struct entry *, enum claim_kind,
                         const struct addr_pair *);
static void claim_port(struct datapath *, struct entry *, ofp_port_t);
static void unclaim_here(struct datapath *, struct entry *);
static void unclaim_port(struct datapath *, struct entry *, ofp_port_t);

struct datapath *
datapath_create(void)
{
    struct datapath *dp = xzalloc(sizeof *dp);
    struct flow_builder b;

    dp->flows = flow_table_create();
    dp->uplink.wan = OFPP_NONE;
    dp->uplink.hold = OFPP_NONE;
    hmap_init(&dp->networks);
    hmap_init(&dp->entries);
    hmap_init(&dp->numbers);
    owners_init(&dp->owners);
    hmap_init(&dp->open_ports);
    edge_compile_drops(dp->flows);
    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_REPLY, 0));
    edge_compile_reply(&b);
    flow_table_end(dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_ERROR, 0));
    edge_compile_errors(&b);
    flow_table_end(dp->flows);
    return dp;
}

void
datapath_destroy(struct datapath *dp)
{
    struct network_entry *n;
    struct open_port *open;

    if (!dp) {
        return;
    }
    HMAP_FOR_EACH_SAFE (n, node, &dp->networks) {
        struct uuid uuid = n->network.uuid;
        datapath_remove_network(dp, &uuid);
    }
    HMAP_FOR_EACH_SAFE (open, node, &dp->open_ports) {
        datapath_remove_open_port(dp, open->port);
    }
    hmap_destroy(&dp->networks);
    hmap_destroy(&dp->entries);
    hmap_destroy(&dp->numbers);
    owners_finish(&dp->owners);
    hmap_destroy(&dp->open_ports);
    flow_table_destroy(dp->flows);
    free(dp);
}

struct flow_table *
datapath_flows(struct datapath *dp)
{
    return dp->flows;
}

void
datapath_set_uplink(struct datapath *dp, const struct datapath_uplink *uplink)
{
    struct entry *entry;

    dp->uplink = *uplink;
    datapath_compile_uplink(dp);
    HMAP_FOR_EACH (entry, node, &dp->entries) {
        datapath_compile_entry(dp, entry);
    }
}

const struct datapath_uplink *
datapath_get_uplink(const struct datapath *dp)
{
    return &dp->uplink;
}

struct network_entry *
datapath_find_network(const struct datapath *dp, const struct uuid *uuid)
{
    struct network_entry *n;

    HMAP_FOR_EACH_WITH_HASH (n, node, uuid_hash(uuid), &dp->networks) {
        if (uuid_equals(&n->network.uuid, uuid)) {
            return n;
        }
    }
    return NULL;
}

/* Ids are few and this is rare: a scan. */
static struct network_entry *
find_network_by_id(const struct datapath *dp, uint32_t id)
{
    struct network_entry *n;

    HMAP_FOR_EACH (n, node, &dp->networks) {
        if (n->network.id == id) {
            return n;
        }
    }
    return NULL;
}

void
datapath_set_network(struct datapath *dp, const struct network *network)
{
    struct network_entry *n = datapath_find_network(dp, &network->uuid);
    struct network_entry *rival = find_network_by_id(dp, network->id);
    struct flow_builder b;
    struct entry *entry;

    ovs_assert(network->id && network->id < 1u << 24);
    if (rival && rival != n) {
        struct uuid uuid = rival->network.uuid;
        datapath_remove_network(dp, &uuid);
    }
    if (n && n->network.id != network->id) {
        datapath_remove_network(dp, &network->uuid);
        n = NULL;
    }
    if (!n) {
        n = xzalloc(sizeof *n);
        hmap_insert(&dp->networks, &n->node, uuid_hash(&network->uuid));
    }
    n->network = *network;

    flow_builder_init(&b, dp->flows);
    flow_table_begin(dp->flows, pipeline_cookie(PART_NETWORK, network->id));
    edge_compile_network(network, &b);
    flow_table_end(dp->flows);
    HMAP_FOR_EACH (entry, node, &dp->entries) {
        if (entry->network == &n->network) {
            datapath_compile_entry(dp, entry);
        }
    }

    struct open_port *open;
    HMAP_FOR_EACH (open, node, &dp->open_ports) {
        if (uuid_equals(&open->network, &network->uuid)) {
            datapath_compile_open_port(dp, open);
        }
    }
}

void
datapath_remove_network(struct datapath *dp, const struct uuid *uuid)
{
    struct network_entry *n = datapath_find_network(dp, uuid);
    struct open_port *open;
    struct entry *entry;

    if (!n) {
        return;
    }
    HMAP_FOR_EACH_SAFE (entry, node, &dp->entries) {
        if (entry->network == &n->network) {
            remove_entry(dp, entry);
        }
    }
    flow_table_remove(dp->flows, pipeline_cookie(PART_NETWORK,
                                                 n->network.id));
    hmap_remove(&dp->networks, &n->node);
    HMAP_FOR_EACH (open, node, &dp->open_ports) {
        if (uuid_equals(&open->network, &n->network.uuid)) {
            datapath_compile_open_port(dp, open);
        }
    }
    free(n);
}

static struct open_port *
find_open_port(const struct datapath *dp, ofp_port_t port)
{
    struct open_port *open;

    HMAP_FOR_EACH_WITH_HASH (open, node, hash_ofp_port(port),
                             &dp->open_ports) {
        if (open->port == port) {
            return open;
        }
    }
    return NULL;
}

void
datapath_set_open_port(struct datapath *dp, ofp_port_t port,
                       const struct uuid *network)
{
    struct open_port *open = find_open_port(dp, port);

    if (!open) {
        open = xzalloc(sizeof *open);
        open->port = port;
        hmap_insert(&dp->open_ports, &open->node, hash_ofp_port(port));
    }
    open->network = *network;
    datapath_compile_open_port(dp, open);
}

void
datapath_remove_open_port(struct datapath *dp, ofp_port_t port)
{
    struct open_port *open = find_open_port(dp, port);

    if (open) {
        hmap_remove(&dp->open_ports, &open->node);
        flow_table_remove(dp->flows, pipeline_cookie(PART_OPEN,
                                                     ofp_to_u16(port)));
        free(open);
    }
}

static struct entry *
find_number(const struct datapath *dp, uint64_t number)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, number_node, hash_uint64(number),
                             &dp->numbers) {
        if (entry->number == number) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *
create_entry(struct datapath *dp, const struct interface *interface)
{
    struct network_entry *n = datapath_find_network(dp, &interface->network);
    struct entry *entry;

    if (!n) {
        return NULL;
    }
    entry = xzalloc(sizeof *entry);
    entry->network = &n->network;
    entry->number = ((uint64_t) interface->uuid.parts[0] << 32
                     | interface->uuid.parts[1]) & PIPELINE_NUMBER_MASK;
    while (find_number(dp, entry->number)) {
        entry->number = (entry->number + 1) & PIPELINE_NUMBER_MASK;
    }
    hmap_insert(&dp->entries, &entry->node, uuid_hash(&interface->uuid));
    hmap_insert(&dp->numbers, &entry->number_node,
                hash_uint64(entry->number));
    return entry;
}

void
datapath_set_interface(struct datapath *dp, const struct interface *interface)
{
    struct entry *entry = find_entry(dp, &interface->uuid);

    if (entry && !uuid_equals(&entry->network->uuid, &interface->network)) {
        remove_entry(dp, entry);
        entry = NULL;
    }
    if (!entry) {
        entry = create_entry(dp, interface);
        if (!entry) {
            return;
        }
    }
    unclaim_pair(dp, entry, CLAIM_HOME, &entry->interface.home);
    entry->interface = *interface;
    entry->interface.network_id = entry->network->id;
    ADDR_FOR_EACH_FAMILY (family) {
        struct in6_addr *inside = &entry->interface.inside.of[family];

        if (addr_is_none(inside)) {
            *inside = interface->home.of[family];
        }
    }
    claim_pair(dp, entry, CLAIM_HOME, &interface->home);
    datapath_compile_entry(dp, entry);
}

void
datapath_remove_interface(struct datapath *dp, const struct uuid *uuid)
{
    struct entry *entry = find_entry(dp, uuid);

    if (entry) {
        remove_entry(dp, entry);
    }
}

const struct interface *
datapath_find_interface(const struct datapath *dp, const struct uuid *uuid)
{
    const struct entry *entry = find_entry(dp, uuid);

    return entry ? &entry->interface : NULL;
}

const struct interface *
datapath_next_interface(const struct datapath *dp, struct hmap_position *at)
{
    struct hmap_node *node = hmap_at_position(&dp->entries, at);

    return node ? &CONTAINER_OF(node, struct entry, node)->interface : NULL;
}

const struct interface *
datapath_find_home(const struct datapath *dp, uint32_t network_id,
                   const struct in6_addr *home)
{
    const struct entry *entry = owners_find(&dp->owners, CLAIM_HOME,
                                            network_id, home);

    return entry ? &entry->interface : NULL;
}

const struct interface *
datapath_find_mobile(const struct datapath *dp, uint32_t network_id,
                     const struct in6_addr *mobile)
{
    const struct entry *entry = owners_find(&dp->owners, CLAIM_FROM,
                                            network_id, mobile);

    return entry ? &entry->interface : NULL;
}

static void
claim_here(struct datapath *dp, struct entry *entry)
{
    claim_port(dp, entry, entry->here.port);
    claim_pair(dp, entry, CLAIM_MOBILE, &entry->here.mobile);
    for (size_t i = 0; i < entry->here.n_late; i++) {
        claim_pair(dp, entry, CLAIM_MOBILE, &entry->here.late[i]);
    }
}

static void
unclaim_here(struct datapath *dp, struct entry *entry)
{
    if (entry->is_here) {
        unclaim_port(dp, entry, entry->here.port);
        unclaim_pair(dp, entry, CLAIM_MOBILE, &entry->here.mobile);
        for (size_t i = 0; i < entry->here.n_late; i++) {
            unclaim_pair(dp, entry, CLAIM_MOBILE, &entry->here.late[i]);
        }
    }
}

void
datapath_set_here(struct datapath *dp, const struct uuid *interface,
                  const struct datapath_here *here)
{
    struct entry *entry = find_entry(dp, interface);

    if (!entry) {
        return;
    }
    unclaim_here(dp, entry);
    entry->is_here = here != NULL;
    if (here) {
        entry->here = *here;
        claim_here(dp, entry);
    }
    datapath_compile_here(dp, entry);
}

const struct datapath_here *
datapath_get_here(const struct datapath *dp, const struct uuid *interface)
{
    const struct entry *entry = find_entry(dp, interface);

    return entry && entry->is_here ? &entry->here : NULL;
}

bool
datapath_set_out(struct datapath *dp, const struct uuid *interface,
                 const struct datapath_out *out)
{
    struct entry *entry = find_entry(dp, interface);

    if (!entry || generation_compare(&out->generation,
                                     &entry->out.generation) < 0) {
        return false;
    }
    entry->out = *out;
    datapath_compile_out(dp, entry);
    return true;
}

const struct datapath_out *
datapath_get_out(const struct datapath *dp, const struct uuid *interface)
{
    const struct entry *entry = find_entry(dp, interface);

    return entry ? &entry->out : NULL;
}

/* Removes 'from[i]'. */
static void
forget_from(struct datapath *dp, struct entry *entry, size_t i)
{
    struct addr_pair gone = entry->from[i].mobile;

    entry->n_from--;
    memmove(&entry->from[i], &entry->from[i + 1],
            (entry->n_from - i) * sizeof entry->from[0]);
    unclaim_pair(dp, entry, CLAIM_FROM, &gone);

    /* Two generations may share an address. */
    for (size_t j = 0; j < entry->n_from; j++) {
        claim_pair(dp, entry, CLAIM_FROM, &entry->from[j].mobile);
    }
}

void
datapath_accept(struct datapath *dp, const struct uuid *interface,
                const struct generation *generation,
                const struct addr_pair *mobile)
{
    struct entry *entry = find_entry(dp, interface);
    size_t i = 0;

    if (!entry) {
        return;
    }
    while (i < entry->n_from
           && generation_compare(&entry->from[i].generation, generation) > 0) {
        i++;
    }
    if (i < entry->n_from
        && !generation_compare(&entry->from[i].generation, generation)) {
        forget_from(dp, entry, i);
    } else if (entry->n_from == DATAPATH_MAX_FROM) {
        if (i == DATAPATH_MAX_FROM) {
            return;             /* Older than all that are kept. */
        }
        forget_from(dp, entry, DATAPATH_MAX_FROM - 1);
    }
    memmove(&entry->from[i + 1], &entry->from[i],
            (entry->n_from - i) * sizeof entry->from[0]);
    entry->from[i] = (struct datapath_from) { *generation, *mobile };
    entry->n_from++;
    claim_pair(dp, entry, CLAIM_FROM, mobile);
    datapath_compile_from(dp, entry);
}

void
datapath_reject(struct datapath *dp, const struct uuid *interface,
                const struct generation *generation)
{
    struct entry *entry = find_entry(dp, interface);

    for (size_t i = 0; entry && i < entry->n_from; i++) {
        if (!generation_compare(&entry->from[i].generation, generation)) {
            forget_from(dp, entry, i);
            datapath_compile_from(dp, entry);
            return;
        }
    }
}

const struct interface *
datapath_cookie_interface(const struct datapath *dp, uint64_t cookie)
{
    const struct entry *entry = NULL;

    if (pipeline_cookie_part(cookie) >= PART_HERE) {
        entry = find_number(dp, pipeline_cookie_number(cookie));
    }
    return entry ? &entry->interface : NULL;
}

uint64_t
datapath_here_cookie(const struct datapath *dp, const struct uuid *interface)
{
    const struct entry *entry = find_entry(dp, interface);

    return entry ? pipeline_cookie(PART_HERE, entry->number) : 0;
}

/* Entries. */

static struct entry *
find_entry(const struct datapath *dp, const struct uuid *uuid)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, uuid_hash(uuid), &dp->entries) {
        if (uuid_equals(&entry->interface.uuid, uuid)) {
            return entry;
        }
    }
    return NULL;
}

static void
remove_entry(struct datapath *dp, struct entry *entry)
{
    static const enum pipeline_part parts[]
        = { PART_HERE, PART_SPOOFED, PART_OUT, PART_FROM };

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        flow_table_remove(dp->flows, pipeline_cookie(parts[i],
                                                     entry->number));
    }
    unclaim_pair(dp, entry, CLAIM_HOME, &entry->interface.home);
    unclaim_here(dp, entry);
    for (size_t i = 0; i < entry->n_from; i++) {
        unclaim_pair(dp, entry, CLAIM_FROM, &entry->from[i].mobile);
    }
    hmap_remove(&dp->entries, &entry->node);
    hmap_remove(&dp->numbers, &entry->number_node);
    free(entry);
}

/* Claims. */

static void
claim(struct datapath *dp, struct entry *entry, enum claim_kind kind,
      uint32_t scope, const struct in6_addr *addr)
{
    struct entry *loser = owners_take(&dp->owners, kind, scope, addr, entry);

    if (loser) {
        datapath_compile_entry(dp, loser);
    }
}

static uint32_t
claim_scope(const struct entry *entry, enum claim_kind kind)
{
    return kind == CLAIM_MOBILE ? 0 : entry->network->id;
}

static void
claim_pair(struct datapath *dp, struct entry *entry, enum claim_kind kind,
           const struct addr_pair *pair)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&pair->of[family])) {
            claim(dp, entry, kind, claim_scope(entry, kind),
                  &pair->of[family]);
        }
    }
}

static void
unclaim_pair(struct datapath *dp, struct entry *entry, enum claim_kind kind,
             const struct addr_pair *pair)
{
    ADDR_FOR_EACH_FAMILY (family) {
        if (!addr_is_none(&pair->of[family])) {
            owners_drop(&dp->owners, kind, claim_scope(entry, kind),
                        &pair->of[family], entry);
        }
    }
}

static void
claim_port(struct datapath *dp, struct entry *entry, ofp_port_t port)
{
    if (port != OFPP_NONE) {
        claim(dp, entry, CLAIM_PORT, ofp_to_u16(port), &in6addr_any);
    }
}

static void
unclaim_port(struct datapath *dp, struct entry *entry, ofp_port_t port)
{
    if (port != OFPP_NONE) {
        owners_drop(&dp->owners, CLAIM_PORT, ofp_to_u16(port), &in6addr_any,
                    entry);
    }
}
