#ifndef STORE_HOSTS_H
#define STORE_HOSTS_H 1

/* Hosts and sites. */

#include "openvswitch/uuid.h"

#include "core/addr.h"
#include "core/vm.h"
#include "store/write.h"

struct smap;

#define HOST_CHANNEL_LEN 127

struct host {
    struct uuid uuid;
    char name[NAME_LEN + 1];
    struct uuid site;
    char site_name[NAME_LEN + 1];
    struct addr_pair addresses; /* On the site's network. */
    char channel[HOST_CHANNEL_LEN + 1]; /* "tcp:ADDRESS:PORT"; "": none. */
    uint64_t memory_mib;        /* For VMs; 0: not known. */
};

struct site {
    struct uuid uuid;
    char name[NAME_LEN + 1];
    struct prefix prefix[N_ADDR_FAMILIES];      /* Its own network. */
    struct addr_pair router;    /* Its way out. */
};

/* All hosts, without an order.  The caller frees them. */
size_t hosts_list(const struct store *, struct host **);
int hosts_get(const struct store *, const struct uuid *, struct host *,
              struct err *);
/* Registers this host, or updates its row: 'addresses', 'channel' and
 * 'memory_mib', each only if it is not empty, and 'facts' (null: none), as
 * "qemu" -> "7.2", "accel" -> "kvm", "machine" -> "pc-q35-7.2", "cpu" ->
 * "qemu64".  A row that does not exist yet is made if 'site_name' is that of
 * a site; otherwise the write is refused. */
write_ticket hosts_put(struct store *, const struct host *,
                       const struct smap *facts);

#endif /* store/hosts.h */
