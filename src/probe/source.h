#ifndef PROBE_SOURCE_H
#define PROBE_SOURCE_H 1

/* A source of data for downloads: sends numbered blocks (see payload.h) as
 * fast as it can, or at N bytes a second if the client's first line, within
 * 100 ms, is "rate N".  A process for each connection. */

#include <signal.h>
#include <stdint.h>

/* Opens the port.  Returns a file descriptor or a negative errno value. */
int source_open(uint16_t port);

/* Serves until '*stop' is set by a signal.  Its children are reaped by the
 * kernel, so the caller must not wait for any of its own. */
void source_run(int fd, volatile sig_atomic_t *stop);

#endif /* probe/source.h */
