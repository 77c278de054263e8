#include <config.h>

#include "store/endpoints.h"

#include <errno.h>
#include <string.h>

#include "packets.h"

#include "store/rows.h"
#include "store/session.h"

struct detected {
    struct interface interface;
    struct uuid endpoint;       /* The new row's UUID. */
};

bool
endpoints_has(const struct store *store, const struct uuid *interface)
{
    const struct dbrec_endpoint *row;
    enum store_table table;
    struct uuid uuid;

    if (!session_owner(store, interface, &table, &uuid)
        || table != STORE_ENDPOINT) {
        return false;
    }
    row = SESSION_ROW(store, endpoint, &uuid);
    return row->host && uuid_equals(ROW_UUID(row->host), &store->host);
}

bool
endpoints_is_detected(const struct store *store, const struct uuid *interface)
{
    enum store_table table;
    struct uuid uuid;

    if (!session_owner(store, interface, &table, &uuid)) {
        return true;
    }
    return (table == STORE_ENDPOINT
            && !strcmp(SESSION_ROW(store, endpoint, &uuid)->kind,
                       "detected"));
}

static const struct dbrec_interface *
insert_interface(struct ovsdb_idl_txn *txn, const struct interface *interface,
                 const struct dbrec_network *network, const char *mac,
                 const char *writer)
{
    const struct dbrec_interface *row
        = dbrec_interface_insert_persist_uuid(txn, &interface->uuid);
    char bufs[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *strings[N_ADDR_FAMILIES];

    dbrec_interface_set_mac(row, mac);
    dbrec_interface_set_network(row, network);
    dbrec_interface_set_writer(row, writer);
    size_t n = rows_format_pair(&interface->home, bufs, strings);
    dbrec_interface_set_home(row, strings, n);
    n = rows_format_pair(&interface->inside, bufs, strings);
    dbrec_interface_set_inside(row, strings, n);
    return row;
}

static int
build_detected(struct store *store, struct ovsdb_idl_txn *txn,
               const void *data_, struct err *err)
{
    const struct detected *data = data_;
    const struct interface *interface = &data->interface;
    const struct dbrec_host *host = session_own_host(store);
    const struct dbrec_network *network
        = SESSION_ROW(store, network, &interface->network);
    char mac[ETH_ADDR_STRLEN + 1];

    if (SESSION_ROW(store, endpoint, &data->endpoint)) {
        return 0;               /* Done before the connection broke. */
    }
    if (!host || !network) {
        return err_set(err, ENOENT, "its network or this host is not in the "
                       "store");
    }
    snprintf(mac, sizeof mac, ETH_ADDR_FMT, ETH_ADDR_ARGS(interface->mac));
    if (session_interface(store, network, mac)) {
        return err_set(err, EEXIST, "network \"%s\" has an interface %s "
                       "already", network->name, mac);
    }

    const struct dbrec_endpoint *row
        = dbrec_endpoint_insert_persist_uuid(txn, &data->endpoint);
    struct dbrec_interface *interfaces[] = {
        CONST_CAST(struct dbrec_interface *,
                   insert_interface(txn, interface, network, mac,
                                    session_writer(host))),
    };
    struct dbrec_network *networks[] = {
        CONST_CAST(struct dbrec_network *, network),
    };
    char name[NAME_LEN + 1];

    /* Unique, since the MAC is within its network. */
    snprintf(name, sizeof name, "net%"PRId64"-%02x%02x%02x%02x%02x%02x",
             network->id, ETH_ADDR_ARGS(interface->mac));
    dbrec_endpoint_set_name(row, name);
    dbrec_endpoint_set_kind(row, "detected");
    dbrec_endpoint_set_host(row, host);
    dbrec_endpoint_set_writer(row, session_writer(host));
    dbrec_endpoint_set_interfaces(row, interfaces, 1);
    dbrec_endpoint_set_networks(row, networks, 1);
    return 0;
}

write_ticket
endpoints_add_detected(struct store *store, const struct interface *interface)
{
    static const struct write_class class = {
        .what = "adding a detected endpoint",
        .build = build_detected,
    };
    struct detected data = { .interface = *interface };

    uuid_generate(&data.endpoint);
    return write_queue(store, &class, &interface->uuid, &data, sizeof data);
}

/* More addresses. */

struct addresses {
    struct uuid interface;
    struct addr_pair addresses;
};

static int
build_addresses(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
                const void *data_, struct err *err)
{
    const struct addresses *data = data_;
    const struct dbrec_interface *row
        = SESSION_ROW(store, interface, &data->interface);
    struct interface interface;
    char bufs[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *strings[N_ADDR_FAMILIES];

    if (!row) {
        return err_set(err, EAGAIN, "no interface "UUID_FMT,
                       UUID_ARGS(&data->interface));
    }
    int error = rows_interface(row, &interface, err);
    if (error) {
        return error;
    }
    if (!endpoints_is_detected(store, &data->interface)) {
        return err_set(err, EPERM, "its addresses are declared");
    }
    ADDR_FOR_EACH_FAMILY (family) {
        const struct in6_addr *addr = &data->addresses.of[family];
        struct in6_addr *home = &interface.home.of[family];

        if (addr_is_none(addr)) {
            continue;
        } else if (!addr_is_none(home) && !addr_equals(home, addr)) {
            return err_set(err, EEXIST, "it has another address already");
        }
        *home = interface.inside.of[family] = *addr;
    }
    size_t n = rows_format_pair(&interface.home, bufs, strings);
    dbrec_interface_set_home(row, strings, n);
    n = rows_format_pair(&interface.inside, bufs, strings);
    dbrec_interface_set_inside(row, strings, n);
    return 0;
}

write_ticket
endpoints_add_addresses(struct store *store, const struct uuid *interface,
                        const struct addr_pair *addresses)
{
    static const struct write_class class = {
        .what = "adding an address to a detected endpoint",
        .build = build_addresses,
    };
    struct addresses data = { *interface, *addresses };

    return write_queue(store, &class, interface, &data, sizeof data);
}
