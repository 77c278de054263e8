#include <config.h>

#include "openflow/bridge.h"

#include <errno.h>
#include <string.h>

#include "flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "smap.h"
#include "util.h"
#include "uuid.h"
#include "vswitch-idl.h"

/* What we want changed and what the database does not say yet. */
struct order {
    bool remove;
    struct uuid iface_id;
    struct eth_addr mac;
};

struct bridge {
    char *name;
    struct ovsdb_idl_loop loop;
    unsigned int seqno;
    struct bridge_port *ports;
    size_t n_ports, allocated_ports;
    struct shash orders;        /* Port name -> 'struct order'. */
};

static const struct ovsrec_bridge *find_row(const struct bridge *);

struct bridge *
bridge_create(const char *remote, const char *name)
{
    struct bridge *b = xzalloc(sizeof *b);
    struct ovsdb_idl *idl = ovsdb_idl_create(remote, &ovsrec_idl_class,
                                             false, true);

    ovsdb_idl_add_table(idl, &ovsrec_table_open_vswitch);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_next_cfg);
    ovsdb_idl_omit_alert(idl, &ovsrec_open_vswitch_col_next_cfg);
    ovsdb_idl_add_table(idl, &ovsrec_table_bridge);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_ports);
    ovsdb_idl_add_table(idl, &ovsrec_table_port);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_table(idl, &ovsrec_table_interface);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_ofport);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_error);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_mac_in_use);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_external_ids);

    b->name = xstrdup(name);
    b->loop = (struct ovsdb_idl_loop) OVSDB_IDL_LOOP_INITIALIZER(idl);
    shash_init(&b->orders);
    return b;
}

void
bridge_destroy(struct bridge *b)
{
    if (b) {
        ovsdb_idl_loop_destroy(&b->loop);
        shash_destroy_free_data(&b->orders);
        free(b->ports);
        free(b->name);
        free(b);
    }
}

static const struct ovsrec_bridge *
find_row(const struct bridge *b)
{
    const struct ovsrec_bridge *row;

    OVSREC_BRIDGE_FOR_EACH (row, b->loop.idl) {
        if (!strcmp(row->name, b->name)) {
            return row;
        }
    }
    return NULL;
}

static const struct ovsrec_port *
find_port_row(const struct ovsrec_bridge *br, const char *name)
{
    for (size_t i = 0; i < br->n_ports; i++) {
        if (!strcmp(br->ports[i]->name, name)) {
            return br->ports[i];
        }
    }
    return NULL;
}

static void
read_port(const struct ovsrec_interface *row, struct bridge_port *port)
{
    const char *iface_id = smap_get(&row->external_ids, "iface-id");
    const char *attached = smap_get(&row->external_ids, "attached-mac");
    const char *network = smap_get(&row->external_ids, "watari-network");

    *port = (struct bridge_port) { .number = OFPP_NONE };
    ovs_strlcpy(port->name, row->name, sizeof port->name);
    if (row->n_ofport && row->ofport[0] > 0
        && row->ofport[0] < ofp_to_u16(OFPP_MAX)) {
        port->number = u16_to_ofp(row->ofport[0]);
    }
    if (row->mac_in_use) {
        eth_addr_from_string(row->mac_in_use, &port->mac);
    }
    if (!iface_id || !uuid_from_string(&port->iface_id, iface_id)) {
        port->iface_id = UUID_ZERO;
    }
    if (!attached || !eth_addr_from_string(attached, &port->attached_mac)) {
        port->attached_mac = eth_addr_zero;
    }
    ovs_strlcpy(port->network, network ? network : "", sizeof port->network);
}

static void
read_ports(struct bridge *b)
{
    const struct ovsrec_bridge *br = find_row(b);

    b->n_ports = 0;
    for (size_t i = 0; br && i < br->n_ports; i++) {
        const struct ovsrec_port *row = br->ports[i];

        if (row->n_interfaces != 1
            || strlen(row->interfaces[0]->name) >= BRIDGE_PORT_NAME_LEN) {
            continue;           /* Bonds are none of ours. */
        }
        if (b->n_ports >= b->allocated_ports) {
            b->ports = x2nrealloc(b->ports, &b->allocated_ports,
                                  sizeof *b->ports);
        }
        read_port(row->interfaces[0], &b->ports[b->n_ports++]);
    }
}

/* Is 'order' what the database says?  If not, adds it to 'txn'. */
static bool
carry_out(struct bridge *b, const struct ovsrec_bridge *br, const char *name,
          const struct order *order, struct ovsdb_idl_txn *txn)
{
    const struct ovsrec_port *port = find_port_row(br, name);

    if (order->remove) {
        if (port) {
            ovsrec_bridge_update_ports_delvalue(br, port);
        }
        return !port;
    }

    struct ovsrec_interface *iface;
    if (!port) {
        struct ovsrec_port *new = ovsrec_port_insert(txn);

        iface = ovsrec_interface_insert(txn);
        ovsrec_interface_set_name(iface, name);
        ovsrec_port_set_name(new, name);
        ovsrec_port_set_interfaces(new, &iface, 1);
        ovsrec_bridge_update_ports_addvalue(br, new);
    } else {
        const struct bridge_port *now = bridge_find_port(b, name);

        if (now && uuid_equals(&now->iface_id, &order->iface_id)
            && eth_addr_equals(now->attached_mac, order->mac)) {
            return true;
        }
        iface = port->interfaces[0];
    }
    if (!uuid_is_zero(&order->iface_id)) {
        char id[UUID_LEN + 1], mac[ETH_ADDR_STRLEN + 1];

        snprintf(id, sizeof id, UUID_FMT, UUID_ARGS(&order->iface_id));
        snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(order->mac));
        ovsrec_interface_update_external_ids_setkey(iface, "iface-id", id);
        ovsrec_interface_update_external_ids_setkey(iface, "attached-mac",
                                                    mac);
    }
    return false;
}

void
bridge_run(struct bridge *b)
{
    struct ovsdb_idl_txn *txn = ovsdb_idl_loop_run(&b->loop);
    const struct ovsrec_bridge *br = find_row(b);
    unsigned int seqno = ovsdb_idl_get_seqno(b->loop.idl);

    if (seqno != b->seqno) {
        b->seqno = seqno;
        read_ports(b);
    }
    if (txn && br) {
        const struct ovsrec_open_vswitch *ovs =
            ovsrec_open_vswitch_first(b->loop.idl);
        bool changed = false;
        struct shash_node *node;

        SHASH_FOR_EACH_SAFE (node, &b->orders) {
            if (carry_out(b, br, node->name, node->data, txn)) {
                shash_delete(&b->orders, node);
            } else {
                changed = true;
            }
        }
        if (changed && ovs) {
            /* As ovs-vsctl does: tells the switch to look. */
            ovsrec_open_vswitch_verify_next_cfg(ovs);
            ovsrec_open_vswitch_set_next_cfg(ovs, ovs->next_cfg + 1);
        }
    }
    ovsdb_idl_loop_commit_and_wait(&b->loop);
}

void
bridge_wait(struct bridge *b)
{
    ovsdb_idl_wait(b->loop.idl);
}

bool
bridge_is_ready(const struct bridge *b)
{
    return ovsdb_idl_has_ever_connected(b->loop.idl) && find_row(b);
}

unsigned int
bridge_seqno(const struct bridge *b)
{
    return b->seqno;
}

size_t
bridge_n_ports(const struct bridge *b)
{
    return b->n_ports;
}

const struct bridge_port *
bridge_port(const struct bridge *b, size_t i)
{
    return &b->ports[i];
}

const struct bridge_port *
bridge_find_port(const struct bridge *b, const char *name)
{
    for (size_t i = 0; i < b->n_ports; i++) {
        if (!strcmp(b->ports[i].name, name)) {
            return &b->ports[i];
        }
    }
    return NULL;
}

static void
put_order(struct bridge *b, const char *name, const struct order *order)
{
    struct order *old = shash_find_data(&b->orders, name);

    if (old) {
        *old = *order;
    } else {
        shash_add(&b->orders, name, xmemdup(order, sizeof *order));
        poll_immediate_wake();
    }
}

int
bridge_add_port(struct bridge *b, const char *name,
                const struct uuid *iface_id, struct eth_addr mac,
                struct err *err)
{
    const struct bridge_port *port = bridge_find_port(b, name);
    struct order order = { .iface_id = *iface_id, .mac = mac };

    if (port && port->number != OFPP_NONE
        && uuid_equals(&port->iface_id, iface_id)
        && eth_addr_equals(port->attached_mac, mac)
        && !shash_find(&b->orders, name)) {
        return 0;
    }
    put_order(b, name, &order);

    const struct ovsrec_interface *row;
    OVSREC_INTERFACE_FOR_EACH (row, b->loop.idl) {
        if (!strcmp(row->name, name) && row->error && row->error[0]) {
            return err_set(err, EIO, "port \"%s\": %s", name, row->error);
        }
    }
    return EINPROGRESS;
}

void
bridge_remove_port(struct bridge *b, const char *name)
{
    struct order order = { .remove = true };

    put_order(b, name, &order);
}
