#ifndef MOBILITY_CLAIMS_H
#define MOBILITY_CLAIMS_H 1

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

struct claims {
    struct hmap claims;
};

void claims_init(struct claims *);
void claims_finish(struct claims *);

/* Returns who had it before, if that was another one, or null. */
void *claims_take(struct claims *, enum claim_kind, uint32_t scope,
                  const struct in6_addr *, void *owner);

/* Does nothing if another one has it. */
void claims_drop(struct claims *, enum claim_kind, uint32_t scope,
                 const struct in6_addr *, const void *owner);

/* The owner, or null. */
void *claims_find(const struct claims *, enum claim_kind, uint32_t scope,
                  const struct in6_addr *);

#endif /* mobility/claims.h */
