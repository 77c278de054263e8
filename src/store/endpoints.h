#ifndef STORE_ENDPOINTS_H
#define STORE_ENDPOINTS_H 1

/* Endpoints that are not VMs: declared by somebody, or detected by what they
 * send. */

#include "core/vm.h"
#include "store/write.h"

/* Is 'interface' of an endpoint whose host is this one? */
bool endpoints_has(const struct store *, const struct uuid *interface);

/* Is it an endpoint that was detected, as far as this replica knows?  False
 * only for VMs and declared endpoints. */
bool endpoints_is_detected(const struct store *,
                           const struct uuid *interface);

/* Makes an endpoint on this host with one interface, under the UUID that
 * 'interface' has.  Refused if the network has an interface with that MAC
 * already: then the store's is to be used, see interfaces_find(). */
write_ticket endpoints_add_detected(struct store *,
                                    const struct interface *interface);

/* Adds addresses, home and inside, to an interface that was detected.
 * Refused if it was not, or has others of the same families by now. */
write_ticket endpoints_add_addresses(struct store *,
                                     const struct uuid *interface,
                                     const struct addr_pair *);

#endif /* store/endpoints.h */
