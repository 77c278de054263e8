#include <config.h>

#include "edge/edge-private.h"

#include "store/bindings.h"
#include "store/claims.h"

/* Mobile addresses in advance: a move takes one without asking anybody. */

#define POOL_FREE 4             /* So many of each family. */

static bool
is_bound(struct edge *edge, const struct in6_addr *address)
{
    struct binding binding;
    size_t cookie = 0;

    while (bindings_next_own(edge->c.store, &cookie, &binding)) {
        if (addr_pair_contains(&binding.mobile, address)) {
            return true;
        }
    }
    return false;
}

/* Addresses that an earlier agent took and that nobody has any more. */
static void
rest_leftovers(struct edge *edge)
{
    struct in6_addr address;
    size_t cookie = 0;

    while (claims_next_used(edge->c.store, &cookie, &address)) {
        if (!is_bound(edge, &address)) {
            struct addr_pair pair = { 0 };

            pair.of[addr_family(&address)] = address;
            claims_rest(edge->c.store, &pair, edge->wall_now);
        }
    }
}

void
pool_run(struct edge *edge)
{
    /* Once, and before anything of this process has taken an address. */
    if (!edge->swept) {
        rest_leftovers(edge);
        edge->swept = true;
    }
    ADDR_FOR_EACH_FAMILY (family) {
        write_ticket *ticket = &edge->claiming[family];
        size_t n = claims_n_free(edge->c.store, family);

        if (*ticket && write_result(edge->c.store, *ticket, NULL)
            == WRITE_PENDING) {
            continue;
        }
        *ticket = 0;
        if (n < POOL_FREE && claims_n_available(edge->c.store, family)) {
            *ticket = claims_add(edge->c.store, family, POOL_FREE - n,
                                 edge->wall_now);
        }
    }
    claims_trim(edge->c.store, edge->wall_now);
}
