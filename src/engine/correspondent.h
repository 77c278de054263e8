#ifndef ENGINE_CORRESPONDENT_H
#define ENGINE_CORRESPONDENT_H 1

/* What a move asks of a host whose endpoints talk to the VM that moves.
 *
 *      ACCEPT      believe packets of the VM from its new addresses, and
 *                  answer once the switch does
 *      FLIP        send to the new addresses, and end the old path of each
 *                  endpoint with a fence
 *      FORGET      the new addresses are void
 *
 * A switch uses a changed flow some time after it has acknowledged it, and a
 * fence must not overtake packets on the old path.  So a flipped mapping has
 * a witness: each packet that uses it is copied to the agent.  The first copy
 * of an endpoint's packet proves that its traffic has left the old path, and
 * the fence is sent.  Who sends nothing gets its fence FENCE_QUIET_MS after
 * the acknowledgement.  Fences are repeated, because one may be lost. */

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "core/addr.h"

#define FENCE_QUIET_MS 3
#define FENCE_TIMES 4           /* Each fence is sent so often, ... */
#define FENCE_INTERVAL_MS 5     /* ...so far apart. */
#define WITNESS_MS 300          /* Then the mapping loses its witness. */

struct engine;
struct message;

void correspondent_handle_accept(struct engine *, const struct message *);
void correspondent_handle_flip(struct engine *, const struct message *);
void correspondent_handle_forget(struct engine *, const struct message *);

/* A copy of a packet from interface 'from' to 'to' on its new path. */
void correspondent_witness(struct engine *, const struct uuid *from,
                           const struct uuid *to);

void correspondent_run(struct engine *);
void correspondent_wait(struct engine *);
void correspondent_destroy(struct engine *);

#endif /* engine/correspondent.h */
