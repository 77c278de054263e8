#ifndef BENCH_HANDOVER_H
#define BENCH_HANDOVER_H 1

/* The handover of a running VM between sites, beside a plain L2 move of the
 * same guest.
 *
 * What it measures is a table of rows (handover.c); each row adds one object
 * for each move to the document's rows, and what is promised of them is
 * another table (handover-checks.c).  docs/benchmarks.md says what the
 * figures mean. */

#include "base/err.h"
#include "bench/bench.h"

struct document;

int handover_run(const struct bench_options *, struct document *,
                 struct progress *, struct err *);

/* The name of the i-th row; null behind the last. */
const char *handover_row_name(size_t i);

#endif /* bench/handover.h */
