#ifndef STORE_ENDPOINTS_H
#define STORE_ENDPOINTS_H 1

/* Endpoints that are not VMs: declared by somebody, or detected by what they
 * send. */

#include "core/vm.h"
#include "store/write.h"

struct endpoint {
    struct uuid uuid;
    char name[NAME_LEN + 1];
    bool detected;
    struct uuid host;           /* Declared, or first seen there. */
    struct interface interfaces[VM_MAX_NICS];
    size_t n_interfaces;
};

/* EAGAIN as vms_get(). */
int endpoints_get(const struct store *, const struct uuid *,
                  struct endpoint *, struct err *);

/* UUIDs of endpoints whose host is this one; '*cookie' is 0 at first. */
bool endpoints_next_here(const struct store *, size_t *cookie,
                         struct uuid *);

/* Makes an endpoint on this host with one interface, under the UUID that
 * 'interface' has.  Refused if the network has an interface with that MAC
 * already: then the store's is to be used, see interfaces_find(). */
write_ticket endpoints_add_detected(struct store *,
                                    const struct interface *interface);

#endif /* store/endpoints.h */
