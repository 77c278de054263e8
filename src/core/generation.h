#ifndef CORE_GENERATION_H
#define CORE_GENERATION_H 1

/* Generations: which of two bindings is the newer one?
 *
 * All interfaces of a VM move together and share a generation.  It is totally
 * ordered: first by the store's epoch, which grows when a store is restored
 * from a backup, then by the counter, which grows with each reservation, and
 * last by the host's UUID, so that even two that should never meet have an
 * order on which everybody agrees. */

#include <stdint.h>

#include "openvswitch/uuid.h"

struct generation {
    uint32_t epoch;
    uint64_t counter;
    struct uuid host;
};

/* Negative, zero or positive, as strcmp(). */
int generation_compare(const struct generation *, const struct generation *);

#define GENERATION_STRLEN 48

/* "EPOCH.COUNTER.HOST", the host's first eight digits, for messages. */
char *generation_format(const struct generation *,
                        char buf[GENERATION_STRLEN]);

#endif /* core/generation.h */
