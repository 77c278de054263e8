#ifndef BENCH_INTERRUPT_H
#define BENCH_INTERRUPT_H 1

/* SIGINT and SIGTERM end a benchmark early, but not before it has cleaned
 * up: they are noted, and everything that waits looks at the note. */

#include <stdbool.h>

#include "base/err.h"

/* From now on signals are noted.  Again after code that has its own way with
 * them. */
void interrupt_catch(void);
bool interrupt_pending(void);

/* EINTR, with its sentence, if one has come. */
int interrupt_check(struct err *);

/* Sleeps; EINTR as above. */
int interrupt_sleep(int ms, struct err *);

#endif /* bench/interrupt.h */
