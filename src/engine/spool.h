#ifndef ENGINE_SPOOL_H
#define ENGINE_SPOOL_H 1

/* The spool of a migration at its destination: what the hold of its guest
 * (core/hold.h) was given, in a file beside the journal.  An agent that dies
 * leaves it to the next one, which gives its own hold the same again, but for
 * what the guest has got already.
 *
 * It does its best: above SPOOL_MAX_BYTES, or if the file cannot be written,
 * what comes is in memory only, and lost with the agent. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/uuid.h"

struct spool;

#define SPOOL_MAX_BYTES (64 << 20)

enum spool_kind {
    SPOOL_EXPECT = 1,           /* A fence of 'from' is expected. */
    SPOOL_FENCE,                /* It came. */
    SPOOL_RELAYED,              /* A frame, from the source. */
    SPOOL_DIRECT,               /* A frame of 'from' that came here. */
};

struct spool_record {
    enum spool_kind kind;
    size_t nic;
    struct uuid from;           /* Zero for SPOOL_RELAYED. */
    uint32_t number;            /* SPOOL_RELAYED, SPOOL_FENCE: as relayed;
                                 * SPOOL_EXPECT: the patience in ms. */
    const void *data;           /* A frame. */
    size_t len;
};

/* The spool of 'migration', with what an earlier process wrote.  It always
 * succeeds. */
struct spool *spool_open(const char *dir, const struct uuid *migration);
void spool_close(struct spool *);

/* Removes the file, if there is one. */
void spool_remove(const char *dir, const struct uuid *migration);

/* Stores a record; returns where, for spool_take(), or 0 if it could not. */
uint64_t spool_put(struct spool *, const struct spool_record *);

/* The guest has the frame 'at', or whoever else it was for. */
void spool_take(struct spool *, uint64_t at);

/* Reads the records in their order: begin with '*pos' 0.  False behind the
 * last one.  A frame that was taken has a 'record->len' of 0.  'record->data'
 * is valid until the next call.  '*at' is as for spool_take(). */
bool spool_next(struct spool *, uint64_t *pos, struct spool_record *record,
                uint64_t *at);

#endif /* engine/spool.h */
