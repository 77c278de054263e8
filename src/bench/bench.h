#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H 1

/* Benchmarks: what the project promises, measured.
 *
 * A benchmark is a row of the table in bench.c.  It measures, adds what it
 * found to a document (document.h), and cleans up, also when a signal ends
 * it early (interrupt.h).  To add one, write its function and its row. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/progress.h"

struct document;

struct bench_options {
    unsigned int runs;          /* Of each row; 0: as many as it takes. */
    bool quick;
    bool keep;                  /* A failed run leaves its parts. */
    const char *rows;           /* "near,far"; null: all. */
    uint64_t seed;              /* Of what is random; 0: any. */
};

struct bench {
    const char *name;
    const char *help;           /* A line. */

    /* The name of its i-th row, which bench_options.rows may choose; null
     * behind the last. */
    const char *(*row_name)(size_t i);

    /* Measures.  When it fails, what has been measured so far is in the
     * document. */
    int (*run)(const struct bench_options *, struct document *,
               struct progress *, struct err *);
};

extern const struct bench benches[];
extern const size_t n_benches;

/* Null if there is none. */
const struct bench *bench_find(const char *name);

/* Are all of 'rows', a list with commas, rows of 'bench'?  Else returns the
 * first that is not, for the caller to free. */
char *bench_find_unknown_row(const struct bench *, const char *rows);

/* Do the options choose the row 'name'? */
bool bench_is_listed(const struct bench_options *, const char *name);

/* Where benchmarks put their files. */
#define BENCH_FOLDER "/run/watari-bench"

int bench_folder_make(struct err *);
void bench_folder_remove(void);

/* Only one benchmark may run on a machine: they would measure each other.
 * '*fd' is to be closed afterwards; EBUSY while there is another. */
int bench_lock(int *fd, struct err *);

#endif /* bench/bench.h */
