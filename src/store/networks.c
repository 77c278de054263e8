#include <config.h>

#include "store/networks.h"

#include <errno.h>

#include "packets.h"

#include "store/rows.h"
#include "store/session.h"

int
networks_get(const struct store *store, const struct uuid *uuid,
             struct network *network, struct err *err)
{
    const struct dbrec_network *row = SESSION_ROW(store, network, uuid);

    return (row ? rows_network(row, network, err)
            : err_set(err, ENOENT, "no network "UUID_FMT, UUID_ARGS(uuid)));
}

int
networks_find(const struct store *store, const char *name,
              struct network *network, struct err *err)
{
    const struct dbrec_network *row = session_network(store, name);

    return (row ? rows_network(row, network, err)
            : err_set(err, ENOENT, "no network \"%.70s\"", name));
}

int
interfaces_get(const struct store *store, const struct uuid *uuid,
               struct interface *interface, struct err *err)
{
    const struct dbrec_interface *row = SESSION_ROW(store, interface, uuid);

    return (row ? rows_interface(row, interface, err)
            : err_set(err, ENOENT, "no interface "UUID_FMT, UUID_ARGS(uuid)));
}

bool
interfaces_admit(const struct store *store, const struct uuid *uuid,
                 const struct uuid *host)
{
    const struct dbrec_interface *row = SESSION_ROW(store, interface, uuid);

    return !row || rows_interface_admits(row, host);
}

bool
interfaces_find(const struct store *store, const struct uuid *network,
                struct eth_addr mac, struct interface *interface)
{
    const struct dbrec_network *net = SESSION_ROW(store, network, network);
    char text[ETH_ADDR_STRLEN + 1];

    snprintf(text, sizeof text, ETH_ADDR_FMT, ETH_ADDR_ARGS(mac));
    const struct dbrec_interface *row
        = net ? session_interface(store, net, text) : NULL;
    return row && !rows_interface(row, interface, NULL);
}
