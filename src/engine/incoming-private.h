#ifndef ENGINE_INCOMING_PRIVATE_H
#define ENGINE_INCOMING_PRIVATE_H 1

/* One migration at its destination.  Only incoming*.c include this. */

#include "openvswitch/hmap.h"

#include "core/pace.h"
#include "engine/engine-private.h"
#include "engine/guest.h"
#include "engine/incoming.h"

struct hold;
struct spool;

enum incoming_state {
    INCOMING_PREPARING,
    INCOMING_LISTENING,
    INCOMING_LOADING,
    INCOMING_RESUMED,           /* It was granted when our process began. */
    INCOMING_SETTLING,
    INCOMING_MOVED,
    INCOMING_ABORTING,
};

struct incoming {
    struct hmap_node node;
    struct uuid migration, source;
    struct generation generation;
    enum incoming_state state;
    struct guest *guest;
    long long heard;            /* From the source; monotonic ms. */
    long long resumed_us;       /* Wall clock, from QEMU. */
    bool runs;                  /* QEMU was let go, or has ended since. */
    bool running_told;
    write_ticket bound;         /* Bindings and instance. */
    unsigned int store_seqno;   /* When we looked whether it is void. */
    bool settled_told;
    bool tell_aborted;
    uint64_t n_returned;        /* Frames that it gave back. */
    long long abort_since;
    uint64_t buried;            /* Its tombstones; 0: not yet. */

    /* From the latest grant; see incoming_has_all(). */
    bool granted;
    uint64_t wanted;
    long long granted_ms;

    /* Its frames. */
    struct hold *hold;
    struct spool *spool;        /* What the hold was given. */
    uint32_t n_relayed[VM_MAX_NICS];    /* The next one's number. */
    struct pace pace;
    uint64_t direct;            /* The switch delivers by itself. */
    long long closing;          /* Until then it changes over. */
};

struct incoming *incoming_find(const struct engine *,
                               const struct uuid *migration);
struct incoming *incoming_add(struct engine *, const struct uuid *migration,
                              const struct uuid *source,
                              const struct generation *, const struct vm *);

/* Ends it, with what was prepared; says so to the source if 'tell'. */
void incoming_abort(struct engine *, struct incoming *, bool tell);

/* incoming-frames.c */

/* Gives the hold what it was given before a crash of ours. */
void incoming_recall_frames(struct incoming *);

/* Has it got all that the source had relayed when it said the grant, or is it
 * not worth while to wait for it any more? */
bool incoming_has_all(const struct engine *, const struct incoming *);

void incoming_expect(struct incoming *, const struct uuid *from, size_t nic,
                     int patience_ms);

/* The guest runs. */
void incoming_open(struct engine *, struct incoming *);

/* Gives it what it may have now. */
void incoming_pass(struct engine *, struct incoming *);

/* Once nothing waits, takes us out of the way; then 'direct' is set. */
void incoming_close(struct engine *, struct incoming *);

/* What came here directly goes back to the source. */
void incoming_return_frames(struct engine *, struct incoming *);

void incoming_wait_frames(const struct engine *, const struct incoming *);

#endif /* engine/incoming-private.h */
