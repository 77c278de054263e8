#ifndef HYPERVISOR_TAP_H
#define HYPERVISOR_TAP_H 1

/* Taps: the cables between a switch and a guest, or between a switch and the
 * agent itself, which holds packets by taking a guest's place.
 *
 *                 switch port          fd
 *      switch ------------------ tap ------ QEMU (guest) or 'struct tap'
 *                                 ^
 *                                 `-------- 'struct injector': towards the fd
 *
 * All of it in the network namespace of the caller. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct dp_packet;
struct injector;
struct tap;

/* So long that a burst during a switchover waits instead of being dropped. */
#define TAP_QUEUE_LEN 20000

/* Makes the persistent tap 'name', up, without offloads and without addresses
 * of this host.  One that exists is set right. */
int tap_create(const char *name, unsigned int mtu, struct err *);

/* 0 also if there is none. */
int tap_delete(const char *name, struct err *);

/* Stores in '*fd' a descriptor for a QEMU: close-on-exec, and with a header
 * for virtio-net in front of each frame.  EBUSY if another has it. */
int tap_attach(const char *name, int *fd, struct err *);

/* The guest's end of a tap that exists, in the agent's own hands; plain
 * Ethernet frames. */
int tap_open(const char *name, struct tap **, struct err *);
void tap_close(struct tap *);

/* The same, kept open by watari-keeper (keeper.h, the program 'keeper') while
 * there is no process of ours: from one that waits at 'socket', or a new one.
 * Without a keeper the tap works, too: then '*why' says what is wrong with
 * it, and is otherwise empty. */
int tap_open_kept(const char *name, const char *keeper, const char *socket,
                  struct tap **, struct err *why, struct err *);

/* EAGAIN if there is none.  The caller owns '*frame'. */
int tap_recv(struct tap *, struct dp_packet **frame);
void tap_recv_wait(struct tap *);

/* Sends to the switch, as the guest would. */
int tap_send(struct tap *, const struct dp_packet *frame);

/* Sends to the guest, behind the switch's back. */
int injector_open(const char *name, struct injector **, struct err *);
void injector_close(struct injector *);

/* EAGAIN if the tap's queue is full. */
int injector_send(struct injector *, const struct dp_packet *frame);

/* Has the guest sent anything since listener_open(), or since this was asked
 * last?  What its hypervisor announces for it (RARP) does not count. */
struct listener;
int listener_open(const char *name, struct listener **, struct err *);
void listener_close(struct listener *);
bool listener_heard(struct listener *);
void listener_wait(struct listener *);

#endif /* hypervisor/tap.h */
