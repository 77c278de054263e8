#ifndef BENCH_FAULTS_H
#define BENCH_FAULTS_H 1

/* Moves in which something goes wrong, at a known point of each.
 *
 * A row is what happens and where (faults.c).  A run of it (faults-run.c)
 * holds a move at the point, does the harm, lets go, heals, and looks what
 * came of it; what is promised of that is in faults-checks.c.
 * docs/benchmarks.md says what each row does. */

#include "base/err.h"
#include "bench/bench.h"

struct document;

int faults_run(const struct bench_options *, struct document *,
               struct progress *, struct err *);

/* The name of the i-th row; null behind the last. */
const char *faults_row_name(size_t i);

#endif /* bench/faults.h */
