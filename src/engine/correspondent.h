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
 * the acknowledgement: nobody waits for that one, while one that came too
 * early would be overtaken by packets that still use the old mapping (3 ms
 * were too early, 6 times in 100,000 packets on a loaded machine).  Fences are
 * repeated, because one may be lost. */

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "core/addr.h"

#define FENCE_QUIET_MS 30
#define FENCE_TIMES 4           /* Each fence is sent so often, ... */
#define FENCE_INTERVAL_MS 5     /* ...so far apart. */
#define WITNESS_MS 300          /* Then the mapping loses its witness. */

struct engine;
struct message;

void correspondent_handle_accept(struct engine *, const struct message *);
void correspondent_handle_flip(struct engine *, const struct message *);
void correspondent_handle_forget(struct engine *, const struct message *);

/* A copy of a packet from interface 'from' to 'to' on its new path; on the
 * old one it would have left this switch with 'ttl'.  Fences do so, too: an
 * Open vSwitch on the way has a megaflow for packets like these, and what has
 * none overtakes those that were received together with it. */
void correspondent_witness(struct engine *, const struct uuid *from,
                           const struct uuid *to, uint8_t ttl);

void correspondent_run(struct engine *);
void correspondent_wait(struct engine *);
void correspondent_destroy(struct engine *);

#endif /* engine/correspondent.h */
