#ifndef OPENFLOW_BRIDGE_H
#define OPENFLOW_BRIDGE_H 1

/* The ports of our bridge, by Open vSwitch's own database.
 *
 * OpenFlow says what a switch does with packets; which ports it has is said
 * in its database (vswitch.ovsschema).  A bridge keeps a replica of the ports
 * of one bridge, and adds and removes ports.  Ports that others added, as
 * libvirt or a laboratory does, show up with their external_ids. */

#include <stdbool.h>
#include <stddef.h>

#include "openvswitch/ofp-port.h"
#include "openvswitch/types.h"
#include "openvswitch/uuid.h"

#include "base/err.h"

struct bridge;

#define BRIDGE_PORT_NAME_LEN 16

struct bridge_port {
    char name[BRIDGE_PORT_NAME_LEN];
    ofp_port_t number;          /* OFPP_NONE: not in the switch (yet). */
    struct eth_addr mac;        /* Of the device itself. */
    struct uuid iface_id;       /* external_ids:iface-id; zero: none. */
    struct eth_addr attached_mac;       /* external_ids:attached-mac. */
    char network[64];           /* external_ids:watari-network; "": none. */
};

/* 'remote' is the switch's database, "unix:/run/openvswitch/db.sock". */
struct bridge *bridge_create(const char *remote, const char *name);
void bridge_destroy(struct bridge *);
void bridge_run(struct bridge *);
void bridge_wait(struct bridge *);

/* Has the replica been read, and does the bridge exist? */
bool bridge_is_ready(const struct bridge *);

/* Changes with every change of the ports. */
unsigned int bridge_seqno(const struct bridge *);

size_t bridge_n_ports(const struct bridge *);
const struct bridge_port *bridge_port(const struct bridge *, size_t i);
const struct bridge_port *bridge_find_port(const struct bridge *,
                                           const char *name);

/* Makes sure that the bridge has the port 'name', which is an existing
 * device, with these external_ids (zero: none).  0 once the switch has given
 * it a number, EINPROGRESS before; another value if the switch cannot open
 * the device. */
int bridge_add_port(struct bridge *, const char *name,
                    const struct uuid *iface_id, struct eth_addr,
                    struct err *);

/* Makes sure that it does not.  Done when bridge_find_port() says so. */
void bridge_remove_port(struct bridge *, const char *name);

#endif /* openflow/bridge.h */
