#ifndef HYPERVISOR_QEMU_SOCKET_H
#define HYPERVISOR_QEMU_SOCKET_H 1

/* The connection of a migration, made by us and handed over to QEMU.
 *
 * What is under way when the source has sent everything, the destination has
 * yet to load while the guest stands still.  Left to itself the kernel lets
 * that grow to many MB, since a destination loads more slowly than a network
 * delivers.  So the buffers are as large as the path needs, and no larger;
 * docs/adr/0005-migration-sockets.md has the figures.
 *
 * URIs are QEMU's, with addresses only: "tcp:192.0.2.1:4711",
 * "tcp:[2001:db8::1]:4711". */

#include <stddef.h>

#include "base/err.h"

/* Bytes that may be under way on a path with this round trip; 0 if it is
 * unknown (0): then the kernel decides. */
size_t qemu_socket_window(unsigned int rtt_us);

/* Listens on 'address', on any port, and says on which in '*uri', which the
 * caller frees. */
int qemu_socket_listen(const char *address, unsigned int rtt_us, int *listener,
                       char **uri, struct err *);

/* EINPROGRESS if nobody has connected; anything else will not pass. */
int qemu_socket_accept(int listener, int *fd);

/* Begins to connect; qemu_socket_status() says what has become of it: 0,
 * EINPROGRESS, or why not. */
int qemu_socket_connect(const char *uri, int *fd, struct err *);
int qemu_socket_status(int fd, struct err *);

/* The address in 'uri', without brackets, which the caller frees; null if
 * there is none. */
char *qemu_socket_host(const char *uri);

#endif /* hypervisor/qemu-socket.h */
