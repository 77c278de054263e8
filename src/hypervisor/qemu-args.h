#ifndef HYPERVISOR_QEMU_ARGS_H
#define HYPERVISOR_QEMU_ARGS_H 1

/* From a VM's record to QEMU's command line.  No I/O.
 *
 * Two hosts that are given the same record make the same guest, which is what
 * a migration between them needs: whatever the guest can see comes from the
 * record or is fixed here.
 *
 * QEMU gets files from us open, because its user may not be able to reach
 * them.  It runs in its own folder and finds its sockets there, so that no
 * path is too long for a socket:
 *
 *      agent.qmp       the agent's session
 *      watchdog.qmp    watari-watchdog's
 *      monitor         for people
 *      console         the guest's serial console
 *      console.log     what the guest wrote to it since this QEMU started
 */

#include <stdbool.h>

#include "base/err.h"
#include "core/vm.h"

struct svec;

#define QEMU_PROGRAM "qemu-system-x86_64"

struct qemu_args {
    bool kvm;                   /* Else TCG. */
    bool incoming;              /* Waits for a migration. */
    int kernel_fd, initrd_fd;   /* Of the image "mini". */
    const int *tap_fds;         /* One for each NIC of the VM. */
};

/* Is 'vm' something that can be put on a command line?  Else EINVAL. */
int qemu_args_check(const struct vm *vm, struct err *);

/* Appends the program and its arguments to 'argv'.  'vm' has been checked. */
void qemu_args_make(const struct vm *vm, const struct qemu_args *,
                    struct svec *argv);

/* Does the guest write to a disk, so that its files may grow? */
bool qemu_args_has_disk(const struct vm *);

#endif /* hypervisor/qemu-args.h */
