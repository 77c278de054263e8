#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H 1

/* The engine: VMs of this host, and their moves.
 *
 * It makes VMs run that the store wants here (guests.h), drives migrations
 * whose source is this host (outgoing.h), receives those whose destination it
 * is (incoming.h), and does what a move asks of the host of a correspondent
 * (correspondent.h).
 *
 * It acts through the layers below (hypervisor, channel, switch, store) and
 * calls nobody above: what people should know are notes to drain. */

#include <stdbool.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/err.h"

struct bridge;
struct channel;
struct datapath;
struct fault;
struct hypervisor;
struct of_switch;
struct store;

struct engine;

struct engine_config {
    struct uuid host;           /* Our Host row. */
    const char *name;
    const char *journal_dir;    /* Made if it is missing. */
    const char *hold_tap;       /* Made, and made a port of the bridge... */
    const char *keeper;         /* ...and kept open by this program... */
    const char *keeper_socket;  /* ...which is found here. */
    struct hypervisor *hypervisor;
    struct channel *channel;
    struct store *store;
    struct datapath *datapath;
    struct of_switch *of_switch;
    struct bridge *bridge;
    uint64_t memory_mib;        /* For VMs. */
    struct fault *fault;        /* For tests, see fault.h; otherwise null. */
};

/* Everything in the configuration outlives the engine. */
int engine_create(const struct engine_config *, struct engine **,
                  struct err *);
void engine_destroy(struct engine *);

/* From now on VMs may have so much; those that are here stay. */
void engine_set_memory(struct engine *, uint64_t mib);

struct engine_time {
    long long mono_us;          /* Monotonic. */
    long long wall_us;          /* Since the epoch, as QEMU's events. */
};

void engine_run(struct engine *, struct engine_time);
void engine_wait(struct engine *);

/* Have all guests that were found at the start been presented to the switch,
 * so that its old flows may go? */
bool engine_is_complete(const struct engine *);

/* Guests and moves, a line each, for people. */
struct ds;
void engine_format(const struct engine *, struct ds *);

/* Something that people should know; an event for the store and a line for
 * the log. */
struct engine_note {
    struct ovs_list node;
    char kind[16];              /* "vm", "migration". */
    char object[64];            /* A name. */
    bool bad;
    char text[400];
};

/* The caller frees it with free().  Null if there is none. */
struct engine_note *engine_next_note(struct engine *);

#endif /* engine/engine.h */
