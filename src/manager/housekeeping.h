#ifndef MANAGER_HOUSEKEEPING_H
#define MANAGER_HOUSEKEEPING_H 1

/* What the active manager keeps in order: the Global row exists, and of
 * events and of migrations that have ended only the newest stay. */

#include "store/write.h"

#define HOUSEKEEPING_MAX_EVENTS 1000
#define HOUSEKEEPING_MAX_MIGRATIONS 1000
#define HOUSEKEEPING_INTERVAL_MS 1000

struct housekeeping {
    write_ticket ticket;
    long long next;             /* Not before, monotonic, in ms. */
    unsigned int seqno;         /* Of the store, when it was looked at. */
};

void housekeeping_run(struct housekeeping *, struct store *, long long now);
void housekeeping_wait(const struct housekeeping *, const struct store *);

#endif /* manager/housekeeping.h */
