#ifndef PEER_ARRIVALS_H
#define PEER_ARRIVALS_H 1

/* Connections that came in and are not ready yet: with TLS, until both sides
 * believe the other's certificate.  Who takes too long is closed; where there
 * are too many, the oldest are.  Only the channel uses this. */

#include <stdint.h>

#include "base/err.h"
#include "peer/refusals.h"

#define ARRIVALS_MAX 256
#define ARRIVALS_PATIENCE_US (10 * 1000000LL)

struct arrivals;
struct stream;

/* Listens on 'target', "ptcp:..." or "pssl:...". */
int arrivals_create(const char *target, struct arrivals **, struct err *);
void arrivals_destroy(struct arrivals *);

int arrivals_port(const struct arrivals *);

/* Accepts and shakes hands.  What is refused is said and counted. */
void arrivals_run(struct arrivals *, long long mono_us, struct refusals *,
                  uint64_t *n_refused);
void arrivals_wait(struct arrivals *, long long mono_us);

/* The next one that is ready, or null.  The caller closes it. */
struct stream *arrivals_next(struct arrivals *);

/* "192.0.2.1" in "ssl:192.0.2.1:4711"; the caller frees it. */
char *arrivals_address(const char *connection);

#endif /* peer/arrivals.h */
