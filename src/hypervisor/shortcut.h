#ifndef HYPERVISOR_SHORTCUT_H
#define HYPERVISOR_SHORTCUT_H 1

/* Shortcuts: the kernel passes frames on from one tap to another.
 *
 * The agent holds packets by reading them from a tap of its own and injecting
 * them into a guest's.  When nothing has to be held any more, the switch is
 * to send to the guest's tap by itself; but it changes over at some time that
 * nobody knows, and then a frame that still is with the agent is overtaken by
 * the next one.  A shortcut takes the agent out first, at a time that the
 * agent chooses and without delay:
 *
 *      switch ---> hold tap ---> agent ---> guest's tap        held
 *      switch ---> hold tap ------------->  guest's tap        shortcut
 *      switch ---------------------------->  guest's tap        direct
 *
 * Between the last two nothing can be overtaken, because the kernel does both
 * while the switch sends.
 *
 * It is a BPF program at the hold tap's egress (cls_bpf), with a map from the
 * first 12 bytes of a frame to a device.  Where the kernel has no BPF,
 * shortcuts_open() fails, and the caller does without. */

#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

#include "base/err.h"

#define SHORTCUT_KEY_LEN 12     /* Ethernet destination and source. */
#define SHORTCUT_MAX 1024

struct shortcuts;

/* On the tap 'hold'; replaces what an earlier process left there.  Frames that
 * take a shortcut get the Ethernet source 'source'. */
int shortcuts_open(const char *hold, struct eth_addr source,
                   struct shortcuts **, struct err *);

/* Those that were made stay, so that an agent may be restarted. */
void shortcuts_close(struct shortcuts *);

/* From the time it returns on, frames that begin with 'key' go to 'tap'. */
int shortcuts_add(struct shortcuts *, const uint8_t key[SHORTCUT_KEY_LEN],
                  const char *tap, struct err *);
void shortcuts_remove(struct shortcuts *,
                      const uint8_t key[SHORTCUT_KEY_LEN]);

#endif /* hypervisor/shortcut.h */
