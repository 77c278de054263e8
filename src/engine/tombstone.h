#ifndef ENGINE_TOMBSTONE_H
#define ENGINE_TOMBSTONE_H 1

/* What is left of a guest where it was: its old addresses still lead here,
 * the switch holds what comes to them, and the agent passes it on to the host
 * where the guest went, until the addresses leave their quarantine.  Should
 * the guest come back before that, they lead to it again.
 *
 * They are in the journal, so that an agent that starts again has them for
 * the time that is left. */

#include <stdbool.h>
#include <stddef.h>

#include "openvswitch/uuid.h"

#include "core/vm.h"

#define TOMBSTONE_MS 60000

struct dp_packet;
struct engine;
struct guest;
struct relayed;

/* For each interface of 'guest', whose addresses lead here, now on 'host'. */
void tombstone_add(struct engine *, const struct guest *guest,
                   const struct uuid *host);

/* The interface comes back: nothing is passed on any more. */
void tombstone_return(struct engine *, const struct uuid *interface);

/* Adds to 'here', of 'interface', the addresses that it had here before. */
struct datapath_here;
void tombstone_fill(const struct engine *, const struct uuid *interface,
                    struct datapath_here *here);

/* A frame that our switch held; false if it is for no tombstone. */
bool tombstone_held(struct engine *, const struct uuid *interface,
                    const struct dp_packet *);

/* A frame that another tombstone passed on to us, with RELAY_LATE. */
void tombstone_late(struct engine *, const struct relayed *);

/* After a crash of ours: first those that the journal has, before any guest
 * is presented, since older addresses lead to those that are back... */
void tombstone_load(struct engine *);

/* ...then, once, when guests and moves are known and the store is ready, they
 * take up their work. */
void tombstone_resume(struct engine *);

void tombstone_run(struct engine *);
void tombstone_wait(struct engine *);
void tombstone_destroy(struct engine *);

#endif /* engine/tombstone.h */
