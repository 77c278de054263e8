#ifndef LAB_NETWORK_H
#define LAB_NETWORK_H 1

/* A lab's network: namespaces, links, addresses, routes.
 *
 *      t1 ---wan---.                                   .--- bob
 *        '---mgmt--+ tokyo-router ==(wire)== core -----+
 *      t2 ---wan---+                          |        '--- store, manager
 *        '---mgmt--'              osaka-router'
 *
 * A site's router has two bridges, "wan" and "mgmt", with a port for each
 * host; its interface "core" leads to the core, where that link is called
 * "s-SITE".  With "links:" there is a namespace SITE-wire in between.  The
 * host's interface "wan" is for its switch and has no address; "mgmt" has
 * one (see plan.h).  An endpoint's "eth0" leads to "e-NAME" on its host.
 *
 * Routers filter strictly what comes from a site with a source that is not
 * of that site: rp_filter for IPv4, rules for IPv6. */

#include "base/err.h"
#include "lab/labfile.h"
#include "lab/state.h"

/* Makes everything but what is on the hosts' switches. */
int network_create(const struct labfile *, struct state *, struct err *);

/* Does this kernel have netem?  'netns' is any namespace of the lab. */
bool network_has_netem(const char *netns);

/* Gives endpoint 'name' its MAC address, or leaves what it has if 'mac' is
 * null, then its addresses and its way out, and sets it up. */
int network_set_endpoint(const struct labfile *, const struct state *,
                         const struct labfile_endpoint *, const char *mac,
                         struct err *);

#endif /* lab/network.h */
