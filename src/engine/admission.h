#ifndef ENGINE_ADMISSION_H
#define ENGINE_ADMISSION_H 1

/* Whose word counts.
 *
 * A peer's certificate says which host it is, not what it may ask for.  That
 * the store says: a VM comes here only if a migration that somebody asked for
 * brings it from that host, and its own host has reserved it; and only hosts
 * that may have an interface say where it is, or send frames for it.  Whatever
 * else is said is refused, counted and reported (channel_refuse()). */

#include <stdbool.h>

#include "base/err.h"

struct engine;
struct message;
struct uuid;
struct vm;

/* May 'host' speak for 'interface'?  If not, that it has sent 'what' is
 * reported. */
bool admission_check(struct engine *, const struct uuid *interface,
                     const struct uuid *host, const char *what);

/* 'm' is a PREPARE for 'vm'.  Returns 0 if the store says so, EPERM if it says
 * otherwise.  EINPROGRESS: it does not know of it yet.  Then 'm' is remembered
 * and comes again through admission_next(). */
int admission_ask(struct engine *, const struct message *m,
                  const struct vm *, struct err *);

/* The next PREPARE that can be decided now; null: none.  The caller frees
 * it, and asks again. */
struct message *admission_next(struct engine *);

/* Does the store say that 'migration' is driven by 'source'?  If not, that it
 * has sent 'what' is reported. */
bool admission_check_source(struct engine *, const struct uuid *migration,
                            const struct uuid *source, const char *what);

/* Its source has given up 'migration'. */
void admission_forget(struct engine *, const struct uuid *migration,
                      const struct uuid *source);

void admission_wait(const struct engine *);
void admission_destroy(struct engine *);

#endif /* engine/admission.h */
