#ifndef ENGINE_INCOMING_H
#define ENGINE_INCOMING_H 1

/* The destination of a migration.
 *
 *      PREPARE
 *         |   the guest gets ports, addresses, a listening QEMU; its packets
 *         v   are held
 *     PREPARING --failed--> DECLINED, nothing is left
 *         |
 *         v   PREPARED
 *     LISTENING --ABORT, or the source is silent--> ABORTING --> (none)
 *         |
 *         v   GRANT
 *      LOADING --load failed--> REFUSED, ABORTING
 *         |
 *         v   RUNNING: the guest runs
 *     SETTLING    frames in order; bindings into the store; then direct
 *         |
 *         v   SETTLED
 *       MOVED     until the store says that the VM is ours
 *
 * From LOADING on, ABORTING follows only if a person has said that the guest
 * runs at the source.
 *
 * The guest never runs before the grant.  Before it, forgetting everything is
 * always safe, because a source whose grant finds nobody is answered REFUSED
 * and takes the guest back. */

#include <stddef.h>

#include "openvswitch/uuid.h"

struct dp_packet;
struct ds;
struct engine;
struct hypervisor_event;
struct message;
struct relayed;

void incoming_handle_prepare(struct engine *, const struct message *);
void incoming_handle_expect(struct engine *, const struct message *);
void incoming_handle_grant(struct engine *, const struct message *);
void incoming_handle_abort(struct engine *, const struct message *);
void incoming_handle_event(struct engine *, const struct hypervisor_event *);

/* A frame that the source captured, with RELAY_CAPTURED. */
void incoming_relayed(struct engine *, const struct relayed *);

/* A frame for 'interface' that our switch held; takes 'packet' and returns
 * true if a migration brings that interface. */
bool incoming_held(struct engine *, const struct uuid *interface,
                   const struct uuid *from, struct dp_packet *packet);

/* Once, when the hypervisor has been asked: takes up what the journal says
 * about an earlier process.  A guest that was granted is let go, if it does
 * not run yet, and put in order; any other is removed, so that a late grant is
 * refused. */
void incoming_resume(struct engine *);

/* Is it known of all of them what their held frames are about? */
bool incoming_are_known(const struct engine *);

void incoming_run(struct engine *);
void incoming_wait(struct engine *);
void incoming_format(const struct engine *, struct ds *);
void incoming_destroy(struct engine *);

#endif /* engine/incoming.h */
