#include <config.h>

#include "engine/engine.h"

#include <errno.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "random.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "engine/admission.h"
#include "engine/correspondent.h"
#include "engine/engine-private.h"
#include "engine/guest.h"
#include "engine/guests.h"
#include "engine/incoming.h"
#include "engine/journal.h"
#include "engine/outgoing.h"
#include "engine/tombstone.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/shortcut.h"
#include "hypervisor/tap.h"
#include "mobility/datapath.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/store.h"

#define HOLD_MTU 9000           /* The largest of any network. */
#define MAX_HELD_PER_TURN 1024
#define RECALL_MS 20000         /* Without a store: the tap is finite. */

int
engine_create(const struct engine_config *config, struct engine **ep,
              struct err *err)
{
    struct tap *hold;
    struct err no_keeper, no_bpf;
    int error;

    error = journal_init(config->journal_dir, err);
    if (!error) {
        error = tap_create(config->hold_tap, HOLD_MTU, err);
    }
    if (!error) {
        error = tap_open_kept(config->hold_tap, config->keeper,
                              config->keeper_socket, &hold, &no_keeper, err);
    }
    if (error) {
        return error;
    }

    struct engine *e = xzalloc(sizeof *e);
    e->c = *config;
    e->hold = hold;
    if (shortcuts_open(config->hold_tap, datapath_router_mac, &e->shortcuts,
                       &no_bpf)) {
        e->shortcuts = NULL;
    }
    e->fence_sender = random_uint64();
    hmap_init(&e->guests);
    hmap_init(&e->outgoing);
    hmap_init(&e->incoming);
    ovs_list_init(&e->asked);
    ovs_list_init(&e->answers);
    ovs_list_init(&e->fences);
    ovs_list_init(&e->tombstones);
    ovs_list_init(&e->notes);
    if (!e->shortcuts) {
        engine_note(e, "host", config->name, true, "a few packets may change "
                    "their order when VMs come to %s: %s", config->name,
                    no_bpf.text);
    }
    if (no_keeper.code) {
        engine_note(e, "host", config->name, true, "packets that %s holds "
                    "are lost if its agent ends: %s", config->name,
                    no_keeper.text);
    }
    *ep = e;
    return 0;
}

void
engine_destroy(struct engine *e)
{
    if (e) {
        struct engine_note *note;

        admission_destroy(e);
        incoming_destroy(e);
        outgoing_destroy(e);
        correspondent_destroy(e);
        tombstone_destroy(e);
        guests_destroy(e);
        LIST_FOR_EACH_POP (note, node, &e->notes) {
            free(note);
        }
        hmap_destroy(&e->guests);
        hmap_destroy(&e->outgoing);
        hmap_destroy(&e->incoming);
        shortcuts_close(e->shortcuts);
        tap_close(e->hold);
        free(e);
    }
}

void
engine_set_memory(struct engine *e, uint64_t mib)
{
    e->c.memory_mib = mib;
}

/* Who does what with a message. */

typedef void message_handler(struct engine *, const struct message *);

static message_handler *const handlers[N_MESSAGES] = {
    [MESSAGE_PREPARE] = incoming_handle_prepare,
    [MESSAGE_PREPARED] = outgoing_handle_message,
    [MESSAGE_DECLINED] = outgoing_handle_message,
    [MESSAGE_ACCEPT] = correspondent_handle_accept,
    [MESSAGE_ACCEPTED] = outgoing_handle_message,
    [MESSAGE_EXPECT] = incoming_handle_expect,
    [MESSAGE_FLIP] = correspondent_handle_flip,
    [MESSAGE_FORGET] = correspondent_handle_forget,
    [MESSAGE_GRANT] = incoming_handle_grant,
    [MESSAGE_RUNNING] = outgoing_handle_message,
    [MESSAGE_REFUSED] = outgoing_handle_message,
    [MESSAGE_SETTLED] = outgoing_handle_message,
    [MESSAGE_ABORT] = incoming_handle_abort,
    [MESSAGE_ABORTED] = outgoing_handle_message,
};

static void
run_messages(struct engine *e)
{
    struct message *m;

    while ((m = channel_next(e->c.channel))) {
        message_handler *handler = handlers[m->type];

        if (handler) {
            handler(e, m);
        }
        message_destroy(m);
    }
}

/* What came while no agent was there waits until we know again what is whose:
 * it would be nobody's. */
static bool
knows_held(const struct engine *e)
{
    return ((e->resumed && incoming_are_known(e))
            || e->now_ms >= e->began_ms + RECALL_MS);
}

static void
run_frames(struct engine *e)
{
    struct relayed *r;

    if (!knows_held(e)) {
        return;                 /* Nor what these are about. */
    }
    while ((r = channel_next_frame(e->c.channel))) {
        switch (r->relay.kind) {
        case RELAY_CAPTURED:
            incoming_relayed(e, r);
            break;
        case RELAY_RETURNED:
            outgoing_returned(e, r);
            break;
        case RELAY_LATE:
            tombstone_late(e, r);
            break;
        case RELAY_HELLO:
        case RELAY_PAD:
            OVS_NOT_REACHED();  /* The channel keeps these to itself. */
        }
        free(r);
    }
}

static void
run_events(struct engine *e)
{
    struct hypervisor_event event;

    while (hypervisor_next_event(e->c.hypervisor, &event)) {
        outgoing_handle_event(e, &event);
        incoming_handle_event(e, &event);
        guests_handle_event(e, &event);
    }
}

/* What our switch held, or copied to us as a witness. */
static void
handle_held(struct engine *e, struct dp_packet *packet)
{
    static const struct uuid unknown;
    struct datapath_held held;
    struct frame frame;
    size_t nic;

    if (datapath_parse_held(e->c.datapath, dp_packet_data(packet),
                            dp_packet_size(packet), &held, NULL)) {
        dp_packet_delete(packet);
        return;
    }

    const struct uuid *to = &held.to->uuid;
    const struct uuid *from = held.from ? &held.from->uuid : &unknown;
    if (held.from && !frame_parse(dp_packet_data(packet),
                                  dp_packet_size(packet), &frame, NULL)) {
        /* What is held has been through the whole pipeline, a witness copy
         * has its last table before it. */
        correspondent_witness(e, from, to,
                              frame.ttl - (held.kind == DATAPATH_WITNESS));
    }
    if (held.kind == DATAPATH_HELD) {
        if (incoming_held(e, to, from, packet)) {
            return;
        }
        struct guest *g = guest_find_interface(e, to, &nic);
        if (!tombstone_held(e, to, packet) && g) {
            guest_inject(e, g, nic, packet);    /* It was just released. */
        }
    }
    dp_packet_delete(packet);
}

static void
run_held(struct engine *e)
{
    struct dp_packet *packet;

    if (!knows_held(e)) {
        return;
    }
    for (int i = 0; i < MAX_HELD_PER_TURN; i++) {
        if (tap_recv(e->hold, &packet)) {
            return;
        }
        handle_held(e, packet);
    }
    poll_immediate_wake();
}

void
engine_drain_hold(struct engine *e)
{
    struct dp_packet *packet;

    for (int i = 0; i < MAX_HELD_PER_TURN && !tap_recv(e->hold, &packet);
         i++) {
        handle_held(e, packet);
    }
}

static void
run_hold_port(struct engine *e)
{
    static const struct uuid none;
    struct datapath_uplink uplink = *datapath_get_uplink(e->c.datapath);

    bridge_add_port(e->c.bridge, e->c.hold_tap, &none, eth_addr_zero, NULL);

    const struct bridge_port *port = bridge_find_port(e->c.bridge,
                                                      e->c.hold_tap);
    if (port && port->number != uplink.hold) {
        uplink.hold = port->number;
        datapath_set_uplink(e->c.datapath, &uplink);
        engine_sync(e);
    }
}

void
engine_run(struct engine *e, struct engine_time now)
{
    e->now = now;
    e->now_ms = now.mono_us / 1000;
    e->began_ms = e->began_ms ? e->began_ms : e->now_ms;

    if (!e->adopted) {
        if (hypervisor_adopt(e->c.hypervisor, NULL) == EINPROGRESS) {
            return;             /* Nobody gets an answer before we know. */
        }
        tombstone_load(e);
        incoming_resume(e);
        e->adopted = true;
    }

    /* First what is urgent: a guest that has stopped, and what is said and
     * sent about it. */
    run_events(e);
    run_messages(e);
    run_frames(e);
    run_held(e);
    outgoing_run(e);
    run_messages(e);            /* What we said to ourselves. */
    incoming_run(e);
    correspondent_run(e);

    run_hold_port(e);
    if (!e->resumed && store_is_ready(e->c.store)) {
        guests_adopt(e);
        outgoing_resume(e);
        tombstone_resume(e);
        e->resumed = true;
    }
    guests_run(e);
    tombstone_run(e);
}

void
engine_wait(struct engine *e)
{
    if (knows_held(e)) {
        tap_recv_wait(e->hold);
    }
    guests_wait(e);
    outgoing_wait(e);
    incoming_wait(e);
    correspondent_wait(e);
    tombstone_wait(e);
}

bool
engine_is_complete(const struct engine *e)
{
    return (guests_are_complete(e) && incoming_are_known(e)
            && datapath_get_uplink(e->c.datapath)->hold != OFPP_NONE);
}

void
engine_format(const struct engine *e, struct ds *s)
{
    guests_format(e, s);
    outgoing_format(e, s);
    incoming_format(e, s);
}

struct engine_note *
engine_next_note(struct engine *e)
{
    return (ovs_list_is_empty(&e->notes) ? NULL
            : CONTAINER_OF(ovs_list_pop_front(&e->notes),
                           struct engine_note, node));
}
