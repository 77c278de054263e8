#ifndef ENGINE_PRIVATE_H
#define ENGINE_PRIVATE_H 1

/* What the parts of the engine share: its state, and a few words that each of
 * them needs (context.c).  Only engine/ includes this. */

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

#include "engine/engine.h"

struct tap;

struct engine {
    struct engine_config c;
    struct engine_time now;
    long long now_ms;           /* Monotonic, from 'now'. */
    long long began_ms;         /* Our first turn. */

    struct hmap guests;         /* 'struct guest', by VM. */
    struct hmap outgoing;       /* 'struct outgoing', by migration. */
    struct hmap incoming;       /* 'struct incoming', by migration. */
    struct ovs_list asked;      /* 'struct asked'. */
    struct ovs_list answers;    /* 'struct accept_answer'. */
    struct ovs_list fences;     /* 'struct fence_job'. */
    struct ovs_list tombstones; /* 'struct tombstone'. */

    struct tap *hold;           /* What switches hold arrives here. */
    struct shortcuts *shortcuts;        /* From there; null: no BPF. */
    uint64_t fence_sender;      /* See core/frame.h. */
    bool adopted;               /* Is hypervisor_adopt() done? */
    bool resumed;               /* Are the journal's migrations known? */
    unsigned int store_seqno;   /* When guests were last compared. */
    struct ovs_list notes;
};

/* Reads what the switch holds, until nothing waits. */
void engine_drain_hold(struct engine *);

/* Sends what changed in the datapath; returns the switch's ticket. */
uint64_t engine_sync(struct engine *);
bool engine_is_acked(const struct engine *, uint64_t ticket);

/* Makes the datapath know an interface, and its network as the store has it.
 * ENOENT if it has not. */
struct interface;
int engine_set_interface(struct engine *, const struct interface *,
                         struct err *);

/* What the hypervisor knows of 'vm'; false if that is nothing. */
struct hypervisor_info;
bool engine_find_info(const struct engine *, const struct uuid *vm,
                      struct hypervisor_info *);

/* Connects to the agent of 'host' if there is no connection, with what the
 * store says about it. */
void engine_connect(struct engine *, const struct uuid *host);

void engine_note(struct engine *, const char *kind, const char *object,
                 bool bad, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif /* engine/engine-private.h */
