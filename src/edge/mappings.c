#include <config.h>

#include "edge/edge-private.h"

#include "util.h"
#include "uuid.h"

#include "mobility/datapath.h"
#include "store/bindings.h"
#include "store/networks.h"
#include "store/store.h"

/* What the store says about networks, interfaces and bindings becomes what
 * the datapath routes and believes.  The newest active binding routes; all
 * that exist are believed, because packets may still be under way from an
 * old place, or already from a new one. */

#define MAX_BINDINGS 16         /* Of one interface, to be believed. */

static void
read_network(struct edge *edge, const struct uuid *uuid, bool gone)
{
    struct network network;

    if (gone) {
        datapath_remove_network(edge->c.datapath, uuid);
    } else if (!networks_get(edge->c.store, uuid, &network, NULL)) {
        datapath_set_network(edge->c.datapath, &network);
    }
}

static void
read_bindings(struct edge *edge, const struct uuid *interface)
{
    struct datapath *dp = edge->c.datapath;
    struct binding bindings[MAX_BINDINGS];
    bool routed = false;
    size_t n;

    if (!datapath_find_interface(dp, interface)) {
        return;
    }
    n = MIN(bindings_list(edge->c.store, interface, bindings, MAX_BINDINGS),
            MAX_BINDINGS);
    for (size_t i = 0; i < n; i++) {
        const struct binding *b = &bindings[i];
        bool ours = uuid_equals(&b->generation.host, &edge->c.host);

        if (!ours) {
            datapath_accept(dp, interface, &b->generation, &b->mobile);
        }
        if (b->active && !routed) {
            const struct datapath_out *old = datapath_get_out(dp, interface);
            struct datapath_out out = {
                .kind = ours ? DATAPATH_HERE : DATAPATH_AWAY,
                .generation = b->generation,
                .mobile = b->mobile,
            };

            routed = true;
            /* What agents told each other came earlier and says the same. */
            if (!old || old->kind == DATAPATH_NOWHERE
                || generation_compare(&old->generation, &b->generation)) {
                datapath_set_out(dp, interface, &out);
            }
        }
    }
}

static void
read_interface(struct edge *edge, const struct uuid *uuid, bool gone)
{
    struct interface interface;

    if (gone) {
        datapath_remove_interface(edge->c.datapath, uuid);
    } else if (!interfaces_get(edge->c.store, uuid, &interface, NULL)) {
        struct network network;

        if (!networks_get(edge->c.store, &interface.network, &network,
                          NULL)) {
            datapath_set_network(edge->c.datapath, &network);
            datapath_set_interface(edge->c.datapath, &interface);
            read_bindings(edge, uuid);
        }
    }
}

void
mappings_run(struct edge *edge)
{
    struct store_change change;

    while (store_next_change(edge->c.store, &change)) {
        switch (change.table) {
        case STORE_NETWORK:
            read_network(edge, &change.uuid, change.gone);
            break;
        case STORE_INTERFACE:
            read_interface(edge, &change.uuid, change.gone);
            break;
        case STORE_BINDING:
            read_bindings(edge, &change.uuid);
            break;
        case STORE_GLOBAL:
        case STORE_SITE:
        case STORE_POOL:
        case STORE_HOST:
        case STORE_VM:
        case STORE_ENDPOINT:
        case STORE_INSTANCE:
        case STORE_CLAIM:
        case STORE_MIGRATION:
        case STORE_EVENT:
        case N_STORE_TABLES:
            break;              /* Read where they are needed. */
        }
    }
    edge->read = true;
}
