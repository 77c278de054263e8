#ifndef STORE_NETWORKS_H
#define STORE_NETWORKS_H 1

/* Networks and interfaces, as values. */

#include <stddef.h>

#include "core/vm.h"

struct store;

/* ENOENT if the replica has no such network, EINVAL if its row is bad. */
int networks_get(const struct store *, const struct uuid *, struct network *,
                 struct err *);
int networks_find(const struct store *, const char *name, struct network *,
                  struct err *);

/* ENOENT also if the interface's network is not watched. */
int interfaces_get(const struct store *, const struct uuid *,
                   struct interface *, struct err *);

/* May 'host' have it, and say where it is?  True also if the replica lacks
 * it. */
bool interfaces_admit(const struct store *, const struct uuid *interface,
                      const struct uuid *host);

/* By MAC and network, for what a switch port shows. */
bool interfaces_find(const struct store *, const struct uuid *network,
                     struct eth_addr, struct interface *);

#endif /* store/networks.h */
