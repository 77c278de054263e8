#ifndef STORE_CLAIMS_H
#define STORE_CLAIMS_H 1

/* Mobile addresses that belong to this host.
 *
 *      (not in the store) --claims_add--> free --claims_take--> used
 *              ^                           |                     |
 *              `----------claims_trim------+------ resting <--claims_rest
 *
 * An agent claims a few in advance, so that a move takes one without asking
 * anybody.  That nobody else has the same is an index of the store.  After
 * its release an address rests for CLAIM_QUARANTINE_MS, because packets to
 * it are still on their way.  So long none is claimed in advance or taken,
 * either, after the store was restored from a backup, see claims_may_take().
 * Times are wall clock, in ms. */

#include <stdbool.h>
#include <stddef.h>

#include "core/addr.h"
#include "store/write.h"

#define CLAIM_QUARANTINE_MS 60000

/* False for a while after the store was restored from a backup: until then
 * each host says which addresses it has. */
bool claims_may_take(const struct store *, long long wall_now);

/* Claims 'n' more addresses of 'family' from the pools of the host's site;
 * fewer if there are not so many; refused if there is none left. */
write_ticket claims_add(struct store *, enum addr_family family, size_t n,
                        long long wall_now);

/* How many of 'family' claims_take() could take now, and how many more
 * claims_add() could get.  The latter is 0 if the site has no such pool. */
size_t claims_n_free(const struct store *, enum addr_family family);
size_t claims_n_available(const struct store *, enum addr_family family);

/* Takes a free address of 'family' and writes that it is used.  It counts as
 * taken at once.  ENOENT if no claimed one is free (yet). */
int claims_take(struct store *, enum addr_family family, long long wall_now,
                struct in6_addr *, struct err *);

/* The addresses in 'pair' are in use here: a store that was restored from a
 * backup does not know.  Refused if another host has one. */
write_ticket claims_keep(struct store *, const struct addr_pair *pair,
                         long long wall_now);

/* The addresses in 'pair' are no longer in use. */
write_ticket claims_rest(struct store *, const struct addr_pair *pair,
                         long long wall_now);

/* Gives up what has rested long enough.  Cheap if there is nothing. */
void claims_trim(struct store *, long long wall_now);

/* Rests the used addresses of this host that no binding of it has: those that
 * an earlier process took.  Before this one has taken any, since it does not
 * see bindings that are still queued. */
void claims_rest_unbound(struct store *, long long wall_now);

#endif /* store/claims.h */
