#ifndef PROBE_STREAM_H
#define PROBE_STREAM_H 1

/* Probes over one TCP connection: a download from a source, and a connection
 * that is mostly idle, like a remote shell.  Both end when '*stop' is set,
 * when 'until' (ns) is reached, or when the connection breaks; the record
 * says which.  They return 0, or ENOMEM or EFBIG if the record is full, or
 * EPROTO if the source's blocks are damaged. */

#include <signal.h>
#include <stdint.h>

#include "probe/record.h"

/* Reads from a source at most 'rate' bytes a second (0: as fast as it comes)
 * and adds a sample every millisecond. */
int stream_download(int fd, uint64_t rate, int64_t until, struct record *,
                    volatile sig_atomic_t *stop);

/* Has one small message echoed every 'interval' ns. */
int stream_idle(int fd, int64_t interval, int64_t until, struct record *,
                volatile sig_atomic_t *stop);

#endif /* probe/stream.h */
