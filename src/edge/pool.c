#include <config.h>

#include "edge/edge-private.h"

#include "store/claims.h"

/* Mobile addresses in advance: a move takes one without asking anybody. */

#define POOL_FREE 4             /* So many of each family. */

void
pool_run(struct edge *edge)
{
    /* Once, and before anything of this process has taken an address. */
    if (!edge->swept) {
        claims_rest_unbound(edge->c.store, edge->wall_now);
        edge->swept = true;
    }
    if (!claims_may_take(edge->c.store, edge->wall_now)) {
        return;
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
