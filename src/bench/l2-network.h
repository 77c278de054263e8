#ifndef BENCH_L2_NETWORK_H
#define BENCH_L2_NETWORK_H 1

/* Namespaces and cables of the plain L2 move, see l2.h. */

#include <stdbool.h>

#include "base/err.h"

#define L2_NETWORK_NETNS "watari-bench-net"

/* For QEMUs that have no other place: namespaces and addresses. */
extern const char *const l2_network_sides[2];
extern const char *const l2_network_addresses[2];

/* With 'sides', also the namespaces of the sides and their cable. */
int l2_network_create(bool sides, struct err *);
void l2_network_destroy(void);

/* A descriptor for a QEMU: the guest's end of the tap of 'side'. */
int l2_network_attach(int side, int *fd, struct err *);

#endif /* bench/l2-network.h */
