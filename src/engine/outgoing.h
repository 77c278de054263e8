#ifndef ENGINE_OUTGOING_H
#define ENGINE_OUTGOING_H 1

/* The source of a migration: a step table.
 *
 *      check     does the VM run here, is there a way to the destination?
 *      reserve   the next generation is ours: one migration per VM
 *      listen    the destination listens, the correspondents expect it
 *      move      copy, switchover, grant: the commit
 *      announce  the destination has settled, the store knows
 *      release   nothing of it is left here but a tombstone
 *
 * In 'move', at the guest's stop, everything happens at once: what arrives
 * for the guest is captured and relayed, the correspondents' agents are told
 * directly.  Nothing waits for the store between STOP and RESUME.
 *
 * A migration that is rolled back takes back the flipped mappings with a
 * generation above the one that it gave to the destination: the newer one
 * wins, whatever the order in which hosts hear of them. */

#include <stddef.h>

#include "openvswitch/uuid.h"

#include "base/step.h"

struct ds;
struct engine;
struct hypervisor_event;
struct message;
struct relayed;

/* The table, for the crash test. */
extern const struct step outgoing_steps[];
extern const size_t outgoing_n_steps;

void outgoing_handle_message(struct engine *, const struct message *);
void outgoing_handle_event(struct engine *, const struct hypervisor_event *);

/* A frame that the destination gives back, with RELAY_RETURNED. */
void outgoing_returned(struct engine *, const struct relayed *);

/* Once, when guests are known and the store is ready: takes up what the
 * journal says about an earlier process.  Where its copy had not completed it
 * is undone; behind that it goes on. */
void outgoing_resume(struct engine *);

void outgoing_run(struct engine *);
void outgoing_wait(struct engine *);
void outgoing_format(const struct engine *, struct ds *);
void outgoing_destroy(struct engine *);

#endif /* engine/outgoing.h */
