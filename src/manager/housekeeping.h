#ifndef MANAGER_HOUSEKEEPING_H
#define MANAGER_HOUSEKEEPING_H 1

/* What the active manager keeps in order: the Global row exists, and of
 * events and of migrations that have ended only the newest stay; agents are
 * let in under the rules of their role, and have what is theirs. */

#include "store/write.h"

#define HOUSEKEEPING_MAX_EVENTS 1000
#define HOUSEKEEPING_MAX_MIGRATIONS 1000
#define HOUSEKEEPING_INTERVAL_MS 1000

struct housekeeping {
    write_ticket ticket;
    long long next;             /* Not before, monotonic, in ms. */
    unsigned int seqno;         /* Of the store, when it was looked at. */
    long long again;            /* Even if nothing changes; 0: not. */
    const char *agents;         /* Where the store lets them in, see
                                 * store/access.h.  Null: it is not said. */
};

void housekeeping_run(struct housekeeping *, struct store *, long long now,
                      long long wall_now);
void housekeeping_wait(const struct housekeeping *, const struct store *);

#endif /* manager/housekeeping.h */
