#ifndef CORE_ADDR_H
#define CORE_ADDR_H 1

/* IP addresses of both families.
 *
 * As everywhere in Open vSwitch, an address is a 'struct in6_addr' and IPv4
 * is v4-mapped (RFC 4291, section 2.5.5.2); "::" means none.  What has an
 * address usually has one of each family: a 'struct addr_pair'. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum addr_family { ADDR_V4, ADDR_V6, N_ADDR_FAMILIES };

/* At most one address of each family; all zeros: none of that family. */
struct addr_pair {
    struct in6_addr of[N_ADDR_FAMILIES];
};

/* Iterates FAMILY over both families. */
#define ADDR_FOR_EACH_FAMILY(FAMILY) \
    for (enum addr_family FAMILY = ADDR_V4; FAMILY < N_ADDR_FAMILIES; \
         FAMILY++)

struct prefix {
    struct in6_addr addr;       /* Host bits are zero. */
    uint8_t len;                /* In its own family: 0..32 or 0..128. */
};

/* Inclusive; both ends are of one family. */
struct addr_range {
    struct in6_addr first, last;
};

#define ADDR_STRLEN 46          /* INET6_ADDRSTRLEN, without the header. */
#define PREFIX_STRLEN (ADDR_STRLEN + 4)

bool addr_is_none(const struct in6_addr *);
enum addr_family addr_family(const struct in6_addr *); /* Not of none. */
bool addr_equals(const struct in6_addr *, const struct in6_addr *);
int addr_compare(const struct in6_addr *, const struct in6_addr *);
struct in6_addr addr_plus(const struct in6_addr *, uint64_t n);

/* EINVAL if 'text' is not one IPv4 or IPv6 unicast address. */
int addr_parse(const char *text, struct in6_addr *, struct err *);

/* Writes "" for none.  Returns 'buf'. */
char *addr_format(const struct in6_addr *, char buf[ADDR_STRLEN]);

/* Adds 'text' to 'pair'; EEXIST if there is one of its family already. */
int addr_pair_add(struct addr_pair *pair, const char *text, struct err *);
bool addr_pair_equals(const struct addr_pair *, const struct addr_pair *);
bool addr_pair_is_none(const struct addr_pair *);
bool addr_pair_contains(const struct addr_pair *, const struct in6_addr *);

/* "10.0.0.0/24"; EINVAL also when host bits are set. */
int prefix_parse(const char *text, struct prefix *, struct err *);
char *prefix_format(const struct prefix *, char buf[PREFIX_STRLEN]);
bool prefix_contains(const struct prefix *, const struct in6_addr *);
bool prefix_overlaps(const struct prefix *, const struct prefix *);
struct in6_addr prefix_mask(const struct prefix *);     /* v4: mapped. */

/* "A-B"; EINVAL if B is before A, or of another family. */
int addr_range_parse(const char *text, struct addr_range *, struct err *);
bool addr_range_contains(const struct addr_range *, const struct in6_addr *);

/* Number of addresses, at most UINT32_MAX. */
uint32_t addr_range_size(const struct addr_range *);

#endif /* core/addr.h */
