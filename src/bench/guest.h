#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H 1

/* Orders to a guest with the image "mini", from a correspondent's namespace;
 * see the head of guest/mini-helper.c. */

#include <stdint.h>

#include "base/err.h"

struct guest_place {
    const char *netns;          /* From where, */
    const char *address;        /* to the guest's address. */
};

/* Writes to memory all the time; 0 ends it. */
int guest_load(const struct guest_place *, uint64_t bytes_per_second,
               unsigned int megabytes, struct err *);

/* Has the guest ask the echo at 'echo', port 7, every millisecond, until
 * guest_probe_end(). */
int guest_probe(const struct guest_place *, const char *echo, struct err *);

/* What became of the guest's requests.  Its clock is not ours, and stands
 * still while the guest does, so that there are only counts.  Those of the
 * last half second are left out: they may still be under way. */
struct guest_report {
    uint64_t sent, lost, duplicated, reordered;
};

int guest_probe_end(const struct guest_place *, const char *echo,
                    struct guest_report *, struct err *);

#endif /* bench/guest.h */
