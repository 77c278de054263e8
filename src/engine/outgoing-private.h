#ifndef ENGINE_OUTGOING_PRIVATE_H
#define ENGINE_OUTGOING_PRIVATE_H 1

/* One migration at its source.  Only outgoing*.c and move.c include this. */

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

#include "base/step.h"
#include "core/pace.h"
#include "engine/guest.h"
#include "hypervisor/hypervisor.h"
#include "peer/message.h"
#include "store/migrations.h"

/* A host that has to know: of correspondents, the destination, ourselves. */
struct move_peer {
    struct uuid host;
    unsigned int said_accept;   /* The channel's epoch when we said so. */
    bool accepted;
};

/* A correspondent's interface that sends a fence for a NIC. */
struct move_fence {
    struct uuid from;
    size_t nic;
    size_t peer;                /* Its host, an index into 'peers'. */
};

struct outgoing {
    struct hmap_node node;
    struct engine *engine;
    struct uuid migration, destination;
    char destination_name[NAME_LEN + 1];
    struct vm vm;
    struct guest *guest;        /* Null before 'check', after 'release'. */
    struct step_run run;
    struct generation generation;       /* Of the guest at its new place. */
    struct generation old;              /* Where it was; see move_undo(). */
    struct addr_pair mobile[VM_MAX_NICS];       /* At its new place. */

    /* What the destination has said. */
    struct migration_target target;
    struct err declined, refused;       /* Code 0: not. */
    bool running, settled, aborted;
    long long resumed_us;       /* Its wall clock. */

    /* What we have said, by the channel's epoch; 0: not yet. */
    unsigned int said_prepare, said_grant, said_abort;

    /* The store. */
    write_ticket reserve, unreserve, moved;
    long long reserve_since;    /* 0: not yet. */
    struct migration row;
    bool cancel;                /* The store says so. */
    long long reported;

    /* Correspondents. */
    long long asked_idle;       /* 0: not yet. */
    struct move_peer *peers;
    size_t n_peers, allocated_peers;
    struct move_fence *fences_wanted;
    size_t n_fences_wanted, allocated_fences;

    /* The move. */
    struct migration_limits limits;
    struct copy_progress progress;
    bool armed, opened, paused, proceeded, granted;
    long long stopped_us;       /* Wall clock, from QEMU; 0: it runs. */
    bool flipped;
    bool lost;                  /* QEMU ended, nobody knows when. */

    /* When parts of the switchover were over; wall clock. */
    long long flipped_us, opened_us, paused_us, sent_us;
    long long granted_ms;
    uint32_t n_relayed[VM_MAX_NICS];    /* Of each NIC's frames. */
    unsigned int relay_epoch;   /* The channel's, when we began with them. */
    uint64_t n_captured;        /* All of them. */
    uint64_t granted_captured;  /* The same, as the latest grant said. */
    uint64_t held, fences, fences_missed;       /* From SETTLED. */

    /* Its undoing. */
    bool cancelled, flipped_back, giving, disarmed;
    long long undo_since;
    struct ovs_list returned;   /* Frames that the destination gave back. */
    uint64_t n_returned, returned_there;        /* Here; as ABORTED says. */
    struct pace pace;           /* At which the guest gets what waits. */

    long long buried;           /* When 'release' began; 0: not yet. */
    long long began_us, phase_us;       /* Monotonic. */
    size_t phase;               /* The step whose time runs. */
    bool phase_failed;          /* Something behind 'check' was undone. */
    bool over;                  /* The store has been told the end. */
    long long asked_ms;         /* If stuck: when the destination was. */
    struct uuid decided;        /* Of what a person said last about a stuck
                                 * one: done. */
};

struct outgoing *outgoing_find(const struct engine *,
                               const struct uuid *migration);

struct outgoing *outgoing_add(struct engine *, const struct uuid *migration,
                              const struct vm *,
                              const struct uuid *destination);

/* Says a message to the destination once for each connection: made by 'make',
 * or, if that is null, without further fields.  '*said' remembers.  True if
 * it has been said on the connection that there is. */
bool outgoing_say(struct outgoing *, enum message_type, unsigned int *said,
                  struct message *(*make)(struct outgoing *));

/* One that is over for now, as stuck; see outgoing-stuck.c.  It asks again
 * after so long. */
#define OUTGOING_ASK_MS 10000
void outgoing_run_stuck(struct outgoing *);

/* Tells the store; only what changed, unless 'final'. */
void outgoing_report(struct outgoing *, enum migration_state, bool final);

/* Ends the time of the step that ran until now, if another runs. */
void outgoing_count_phase(struct outgoing *);

#endif /* engine/outgoing-private.h */
