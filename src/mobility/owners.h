#ifndef MOBILITY_OWNERS_H
#define MOBILITY_OWNERS_H 1

/* To whom a port or an address leads.
 *
 * It can lead to one interface only.  Who claims it last has it, so that
 * whatever the records say no two interfaces make the same flow. */

#include <stdint.h>

#include "core/addr.h"
#include "openvswitch/hmap.h"

enum claim_kind {
    CLAIM_PORT,                 /* 'scope' is the port, no address. */
    CLAIM_HOME,                 /* 'scope' is the network's id. */
    CLAIM_MOBILE,               /* Of a local interface; scope 0. */
    CLAIM_FROM,                 /* Of a remote one; network id. */
};

struct owners {
    struct hmap claims;
};

void owners_init(struct owners *);
void owners_finish(struct owners *);

/* Returns who had it before, if that was another one, or null. */
void *owners_take(struct owners *, enum claim_kind, uint32_t scope,
                  const struct in6_addr *, void *owner);

/* Does nothing if another one has it. */
void owners_drop(struct owners *, enum claim_kind, uint32_t scope,
                 const struct in6_addr *, const void *owner);

/* The owner, or null. */
void *owners_find(const struct owners *, enum claim_kind, uint32_t scope,
                  const struct in6_addr *);

#endif /* mobility/owners.h */
