#ifndef API_DOCUMENT_OWNERS_H
#define API_DOCUMENT_OWNERS_H 1

/* Who has which MAC and which home addresses on each network, so that a
 * document's interfaces are compared with all others in one pass. */

#include "openvswitch/types.h"

#include "core/addr.h"

struct document;
struct document_owners;
struct store;

/* Knows the interfaces of those VMs and endpoints in the store that
 * 'document' does not name.  Keeps pointers into both. */
struct document_owners *document_owners_create(const struct store *,
                                               const struct document *);
void document_owners_destroy(struct document_owners *);

/* Adds what 'owner' has, unless somebody has it already.  The strings outlive
 * the owners. */
void document_owners_add(struct document_owners *, const char *network,
                         struct eth_addr mac, const struct addr_pair *home,
                         const char *owner);

/* Whose it is; null if nobody's. */
const char *document_owners_find_mac(const struct document_owners *,
                                     const char *network, struct eth_addr);
const char *document_owners_find_home(const struct document_owners *,
                                      const char *network,
                                      const struct in6_addr *);

#endif /* api/document-owners.h */
