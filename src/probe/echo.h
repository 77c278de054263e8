#ifndef PROBE_ECHO_H
#define PROBE_ECHO_H 1

/* An echo for datagrams and streams on one port, of both families. */

#include <signal.h>
#include <stdint.h>

struct echo;

/* Opens the sockets.  Returns 0 or a positive errno value. */
int echo_create(uint16_t port, struct echo **);
void echo_destroy(struct echo *);

/* Echoes until '*stop' is set by a signal. */
void echo_run(struct echo *, volatile sig_atomic_t *stop);

#endif /* probe/echo.h */
