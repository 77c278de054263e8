#ifndef PROBE_NET_H
#define PROBE_NET_H 1

/* Sockets for probes and echoes, both families alike.  Functions return a
 * file descriptor, or a negative errno value. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NET_BUFFER_BYTES (32 << 20)

struct net_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* Parses a numeric address.  Returns 0 or EINVAL. */
int net_parse(const char *address, uint16_t port, struct net_address *);

/* A datagram socket that talks to 'to' only, from 'from' if that is not
 * null, with large buffers. */
int net_open_udp(const struct net_address *to,
                 const struct net_address *from);

/* A connected stream socket, non-blocking, without Nagle's algorithm.  Waits
 * for at most 'timeout_ms'. */
int net_connect_tcp(const struct net_address *to, int timeout_ms);

/* Sockets that serve 'port' on all addresses of both families. */
int net_serve_udp(uint16_t port);
int net_serve_tcp(uint16_t port);

/* Large buffers, as far as we are allowed to. */
void net_enlarge_buffers(int fd);

#endif /* probe/net.h */
