#ifndef ENGINE_MOVE_H
#define ENGINE_MOVE_H 1

/* The step 'move' of a migration at its source: copy, switchover, grant.
 *
 *      set_capture(ARMED), send                    copying
 *      STOP          set_capture(OPEN); FLIP to every correspondent's agent
 *      pre-switchover, captured frames flow        proceed
 *      all is sent                                 GRANT
 *      RUNNING       done            REFUSED       take back, fail
 *
 * Frames that were captured are relayed at once.  They also stay where they
 * were captured, in files that outlive an agent (hypervisor/capture.h): for a
 * destination that lost them, and for the guest here after a rollback. */

#include <stdbool.h>

#include "base/step.h"

struct message;
struct outgoing;
struct relayed;

enum step_result move_run(void *outgoing, struct err *);
enum step_result move_undo(void *outgoing, struct err *);

/* Who talks to the guest?  Ask the switch; then, once it has answered, find
 * their hosts. */
void move_ask_correspondents(struct outgoing *);
bool move_find_correspondents(struct outgoing *);

/* True once every correspondent's agent has accepted. */
bool move_tell_accept(struct outgoing *);
void move_tell_expect(struct outgoing *);
void move_tell_forget(struct outgoing *);

struct message *move_make_grant(struct outgoing *);

/* Says it.  A source whose QEMU ended together with its agent does not know
 * whether all was sent, and says ABORT before: a destination that has no grant
 * yet gives up then and refuses this one, and one that has says RUNNING. */
void move_say_grant(struct outgoing *);

/* The guest has stopped, at 'stopped_us' (wall clock). */
void move_stopped(struct outgoing *, long long stopped_us);

/* Passes on what has been captured. */
void move_relay(struct outgoing *);

/* A frame that the destination gives back. */
void move_returned(struct outgoing *, const struct relayed *);

void move_forget_returned(struct outgoing *);

/* After a rollback: gives the guest some of what it did not get.  True if
 * nothing more waits. */
bool move_give_back(struct outgoing *);

#endif /* engine/move.h */
