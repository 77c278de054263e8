#ifndef STORE_WRITE_H
#define STORE_WRITE_H 1

/* Writes: what a program wants the store to say.
 *
 * The functions that write (hosts_put(), bindings_put(), ...) only queue;
 * writes are done in order, one transaction at a time, and tried again until
 * the store has answered, also across a reconnection.  Each is built anew
 * from the replica whenever it is tried, and is idempotent: done twice is
 * done.  A write whose precondition does not hold (any more) is refused and
 * changes nothing.
 *
 * They return a ticket, with which the caller may ask for the result:
 *
 *      if (!move->ticket) {
 *          move->ticket = vms_reserve(store, ...);
 *      }
 *      switch (write_result(store, move->ticket, &err)) { ...
 *
 * Results of the last WRITE_MAX_RESULTS writes are kept. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct store;

typedef uint64_t write_ticket;  /* Never 0. */

#define WRITE_MAX_QUEUED 4096
#define WRITE_MAX_RESULTS 1024

enum write_result {
    WRITE_PENDING,              /* Queued, or the store has not answered. */
    WRITE_DONE,
    WRITE_REFUSED,              /* '*err': which precondition, constraint. */
    WRITE_LOST,                 /* The queue was full, or it is long ago. */
};

/* '*err' is set for the last two. */
enum write_result write_result(const struct store *, write_ticket,
                               struct err *);

/* What the store does not permit is refused, too, but only after a while, so
 * that nobody tries it in a loop.  This is the next sentence about it, for the
 * log and for people; null: there is none.  A kind of write is complained
 * about once in a minute.  The caller frees it. */
char *write_next_denial(struct store *);

size_t write_n_queued(const struct store *);

#endif /* store/write.h */
