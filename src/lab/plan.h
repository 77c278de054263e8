#ifndef LAB_PLAN_H
#define LAB_PLAN_H 1

/* Names and addresses that a lab gives to what its file does not mention.
 *
 * Labs use 198.19.0.0/16 and fd77:6174:6172::/48 for themselves:
 *
 *      198.19.N.0/24           management network of the N-th site, from 1;
 *                              0 is the core's.  .1 is the router, .(1+n)
 *                              the n-th host, .250 the store, .249 its
 *                              second server and so on, .251 the manager
 *      198.19.255.4N/30        between the core (.1) and the N-th site's
 *                              router (.2)
 *      fd77:6174:6172:N::/64   the same for IPv6, ::1 and ::2
 *
 * Nodes are network namespaces "watari-LAB-NODE". */

#include "core/addr.h"
#include "lab/labfile.h"

#define PLAN_STORE 250
#define PLAN_MANAGER 251
#define PLAN_STORE_PORT 6640
#define PLAN_RAFT_PORT 6644
#define PLAN_CHANNEL_PORT 6650
#define PLAN_STORE_LEN 16
#define PLAN_IFNAME_LEN 16
#define PLAN_NETNS_LEN 96

/* All that labs use for themselves. */
void plan_prefix(enum addr_family, struct prefix *);

/* A management address, without its length, which is 24: of the router (1),
 * the n-th host (n + 1), the store or the manager. */
char *plan_mgmt(unsigned int site, unsigned int n, char buf[ADDR_STRLEN]);

/* The store's servers: how many there are, and of each, from 0, the node's
 * name, its site (null: the core) and its management address. */
size_t plan_n_stores(const struct labfile *);
char *plan_store(size_t i, char buf[PLAN_STORE_LEN]);
const char *plan_store_site(const struct labfile *, size_t i);
char *plan_store_address(const struct labfile *, size_t i,
                         char buf[ADDR_STRLEN]);

/* Between the core (end 0) and a site's router (end 1), lengths 30, 64. */
char *plan_transit(unsigned int site, enum addr_family, int end,
                   char buf[ADDR_STRLEN]);

/* The number of a site, from 1; 0 for null, the core. */
unsigned int plan_site_number(const struct labfile *, const char *site);

char *plan_netns(const char *lab, const char *node,
                 char buf[PLAN_NETNS_LEN]);

/* An interface's name: 'prefix' and 'name', which is cut and hashed where it
 * does not fit in 15 characters. */
char *plan_ifname(const char *prefix, const char *name,
                  char buf[PLAN_IFNAME_LEN]);

#endif /* lab/plan.h */
