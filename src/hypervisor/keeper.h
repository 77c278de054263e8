#ifndef HYPERVISOR_KEEPER_H
#define HYPERVISOR_KEEPER_H 1

/* watari-keeper: keeps the agent's end of a tap open while there is no agent.
 *
 * A tap that nobody has open loses its packets.  So the agent hands the
 * descriptor to a small process of its own, and an agent that comes after one
 * that died gets it back, with what waits in the tap's queue: see
 * tap_open_kept().  KEEPER_PATIENCE_MS after the last agent, or when the tap
 * or the socket is removed, the keeper ends. */

#define KEEPER_PATIENCE_MS 60000

#endif /* hypervisor/keeper.h */
