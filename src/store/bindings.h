#ifndef STORE_BINDINGS_H
#define STORE_BINDINGS_H 1

/* Bindings: (interface, generation) -> host, mobile addresses.  A row is
 * written only by its host, the one in the generation. */

#include "core/vm.h"
#include "store/write.h"

/* The newest binding of 'interface', of the active ones only if 'active'.
 * Those of this agent that are still queued are not seen. */
bool bindings_find_newest(const struct store *, const struct uuid *interface,
                          bool active, struct binding *);

/* All bindings of 'interface', newest first, up to 'max'; returns how many
 * there are. */
size_t bindings_list(const struct store *, const struct uuid *interface,
                     struct binding *, size_t max);

/* All active bindings of this host, in no order, that the replica has; stores
 * an array that the caller frees and returns how many there are. */
size_t bindings_list_own(const struct store *, struct binding **);

/* Writes a binding of this host; '->generation.host' must be its own. */
write_ticket bindings_put(struct store *, const struct binding *);
write_ticket bindings_delete(struct store *, const struct uuid *interface,
                             const struct generation *);

#endif /* store/bindings.h */
