#ifndef BENCH_L2_H
#define BENCH_L2_H 1

/* A plain L2 move, to compare with: QEMU alone.
 *
 *      side 0                  watari-bench-net        watari-bench-near
 *      QEMU --------- tap-a -- br -- near ------------ eth0 10.255.0.21
 *      QEMU --------- tap-b --'                        (probes)
 *      side 1
 *
 * The guest, its devices and its limits are those of a lab's VM, made by the
 * same code, and the QEMUs run in the namespaces of the lab's hosts, so that
 * the migration stream takes the same way.  One bridge that learns MAC
 * addresses joins everything; QEMU announces the guest at its new place as it
 * does by default.  There are no filters, and the destination runs as soon as
 * it has loaded. */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "bench/move.h"

struct l2;

#define L2_GUEST "10.255.0.11"
#define L2_NEAR "10.255.0.21"
#define L2_NEAR_NETNS "watari-bench-near"

struct l2_config {
    const char *folder;         /* For logs and sockets; exists. */

    /* Where the QEMUs run, and the address of each for the stream.  Null:
     * in two namespaces of their own with a cable between them. */
    const char *netns[2], *address[2];
    uint64_t memory_kib;        /* Padded already. */
    const char *machine, *cpu;
    bool kvm;
};

/* Makes all of it and returns when the guest answers.  '*l2' is the caller's
 * to destroy also if it fails. */
int l2_create(const struct l2_config *, struct l2 **, struct err *);

/* Accepts null. */
void l2_destroy(struct l2 *);

/* Removes what an earlier benchmark that was killed has left. */
void l2_sweep(void);

/* Moves the guest to the other side. */
int l2_move(struct l2 *, const struct move_limits *, struct move_times *,
            struct err *);

#endif /* bench/l2.h */
