#ifndef BENCH_SUPERVISOR_H
#define BENCH_SUPERVISOR_H 1

/* Keeps the parts of a lab running: who has died is started again a second
 * later, as systemd does it on a real host.  Whoever kills a part says so
 * before; another death is a crash. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct supervisor;

int supervisor_create(const char *lab, struct supervisor **, struct err *);
void supervisor_destroy(struct supervisor *);

/* A part will be killed. */
void supervisor_expect(struct supervisor *, const char *node,
                       const char *part);

/* Looks at all, and starts who is due. */
int supervisor_run(struct supervisor *, struct err *);

/* Does everything run?  As of the last supervisor_run(). */
bool supervisor_is_content(const struct supervisor *);

/* How many have died although nobody had said so, since the last call; the
 * last one is in 'name'. */
size_t supervisor_take_crashes(struct supervisor *, char name[64]);

#endif /* bench/supervisor.h */
