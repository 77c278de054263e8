#include <config.h>

#include "engine/incoming-private.h"

#include <limits.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "core/hold.h"
#include "mobility/datapath.h"
#include "peer/channel.h"

/* The frames of a guest that comes: relayed by the source, held by our
 * switch, in which order and how fast the guest gets them, and how the switch
 * takes over in the end. */

/* What has waited for the guest comes in a burst when it runs.  The hold stays
 * for so long, until nothing waits in front of the agent any more. */
#define BURST_MS 20

/* While the switch changes over from the hold to the guest's port, a frame
 * must not rest with us: the next one of its sender would overtake it.  For so
 * long we look without sleeping, where there are no shortcuts. */
#define CLOSING_MS 15

void
incoming_relayed(struct engine *e, const struct relayed *r)
{
    struct incoming *in = incoming_find(e, &r->migration);
    struct frame_fence fence;

    if (in && !uuid_equals(&in->source, &r->from)) {
        channel_refuse(e->c.channel, &r->from, "frames for a VM of a "
                       "migration that is another host's");
        return;
    }
    if (!in || r->nic >= in->guest->vm.n_nics
        || in->state == INCOMING_ABORTING) {
        return;
    }
    if (frame_parse_fence(r->data, r->len, &fence)) {
        if (uuid_equals(&fence.migration, &in->migration)) {
            hold_put_fence(in->hold, &fence.from, r->nic);
        }
    } else {
        hold_put_relayed(in->hold, r->nic,
                         dp_packet_clone_data(r->data, r->len));
    }
}

bool
incoming_held(struct engine *e, const struct uuid *interface,
              const struct uuid *from, struct dp_packet *packet)
{
    struct incoming *in;

    HMAP_FOR_EACH (in, node, &e->incoming) {
        size_t nic;

        if (guest_find_interface(e, interface, &nic) == in->guest) {
            hold_put_direct(in->hold, from, nic, packet);
            return true;
        }
    }
    return false;
}

/* Gives the guest at most 'max' frames. */
static void
inject(struct engine *e, struct incoming *in, unsigned int max)
{
    struct dp_packet *packet;
    unsigned int n;
    size_t nic;

    for (n = 0; n < max && (packet = hold_next(in->hold, e->now_ms, &nic));
         n++) {
        guest_inject(e, in->guest, nic, packet);
        dp_packet_delete(packet);
    }
    pace_spend(&in->pace, n);
}

void
incoming_open(struct engine *e, struct incoming *in)
{
    pace_open(&in->pace, e->now_ms);
    hold_open(in->hold, e->now_ms);
    incoming_pass(e, in);
}

void
incoming_pass(struct engine *e, struct incoming *in)
{
    if (pace_is_asleep(&in->pace, e->now_ms)
        && guest_is_awake(e, in->guest)) {
        pace_wake(&in->pace, e->now_ms);
    }
    inject(e, in, pace_allowance(&in->pace, e->now_ms));
}

/* First the kernel passes on what the switch holds: between the last frame
 * that we inject and the first one that it passes on there are only a few
 * instructions.  Then the switch delivers by itself, from whenever it
 * likes. */
void
incoming_close(struct engine *e, struct incoming *in)
{
    if (in->direct || !hold_is_settled(in->hold)
        || e->now_ms < in->pace.opened + BURST_MS) {
        return;
    }
    engine_drain_hold(e);
    inject(e, in, UINT_MAX);
    guest_set_shortcuts(e, in->guest, true);
    engine_drain_hold(e);
    inject(e, in, UINT_MAX);
    in->direct = guest_set_delivery(e, in->guest, DATAPATH_DIRECT);
    in->closing = e->now_ms + CLOSING_MS;
}

void
incoming_return_frames(struct engine *e, struct incoming *in)
{
    struct dp_packet *packet;
    size_t nic;

    while ((packet = hold_take_back(in->hold, &nic))) {
        channel_send_frame(e->c.channel, &in->source, RELAY_RETURNED,
                           &in->migration, nic, dp_packet_data(packet),
                           dp_packet_size(packet));
        dp_packet_delete(packet);
    }
}

void
incoming_wait_frames(const struct engine *e, const struct incoming *in)
{
    long long deadline = hold_deadline(in->hold);

    if (deadline != LLONG_MAX) {
        poll_timer_wait_until(deadline);
    }
    if (in->state == INCOMING_SETTLING) {
        if (pace_is_asleep(&in->pace, e->now_ms)) {
            guest_wait_awake(in->guest);
        }
        deadline = pace_deadline(&in->pace, e->now_ms);
        if (deadline != LLONG_MAX && hold_has_more(in->hold)) {
            poll_timer_wait_until(deadline);
        }
        if (e->now_ms < in->pace.opened + BURST_MS) {
            poll_timer_wait_until(in->pace.opened + BURST_MS);
        }
    }
    if (!e->shortcuts && e->now_ms < in->closing) {
        poll_immediate_wake();
    }
}
