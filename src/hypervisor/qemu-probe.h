#ifndef HYPERVISOR_QEMU_PROBE_H
#define HYPERVISOR_QEMU_PROBE_H 1

/* Does KVM work here?
 *
 * /dev/kvm may exist, and QEMU start with it, without the guest ever executing
 * an instruction.  So a tiny guest has to print a byte, within a second. */

#include "base/err.h"
#include "hypervisor/qemu-process.h"

struct probe;

#define PROBE_TIMEOUT_MS 1000

/* 'folder' is where the tiny guest's firmware may be put. */
int probe_start(const char *folder, const struct credentials *,
                struct probe **, struct err *);

/* 0: it works; EINPROGRESS; anything else: it does not. */
int probe_run(struct probe *, long long now);
void probe_wait(struct probe *);

/* Accepts null. */
void probe_destroy(struct probe *);

#endif /* hypervisor/qemu-probe.h */
