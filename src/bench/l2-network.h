#ifndef BENCH_L2_NETWORK_H
#define BENCH_L2_NETWORK_H 1

/* Namespaces and cables of the plain L2 move, see l2.h. */

#include <stdbool.h>

#include "base/err.h"

#define L2_NETWORK_NETNS "watari-bench-net"
#define L2_NETWORK_WIRE_NETNS "watari-bench-wire"
#define L2_NETWORK_STREAM "192.0.2.%d"  /* 1: side 0, 2: side 1 */

/* Where the QEMU of 'side', 0 or 1, runs. */
const char *l2_network_netns(int side);

/* With 'wired', the migration stream has a gap between the interfaces "a" and
 * "b" of the wire's namespace. */
int l2_network_create(bool wired, struct err *);
void l2_network_destroy(void);

/* A descriptor for a QEMU: the guest's end of the tap of 'side'. */
int l2_network_attach(int side, int *fd, struct err *);

#endif /* bench/l2-network.h */
