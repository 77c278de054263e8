#include <config.h>

#include "engine/incoming-private.h"

#include <limits.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "core/hold.h"
#include "engine/spool.h"
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

/* What the source has relayed, and we did not get, is waited for so long. */
#define RELAYED_MS 5000

void
incoming_expect(struct incoming *in, const struct uuid *from, size_t nic,
                int patience_ms)
{
    const struct spool_record r = {
        .kind = SPOOL_EXPECT, .nic = nic, .from = *from,
        .number = patience_ms,
    };

    spool_put(in->spool, &r);
    hold_expect(in->hold, from, nic, patience_ms);
}

static void
put_fence(struct incoming *in, const struct relay *relay,
          const struct uuid *from)
{
    const struct spool_record r = {
        .kind = SPOOL_FENCE, .nic = relay->nic, .from = *from,
        .number = relay->number,
    };

    spool_put(in->spool, &r);
    hold_put_fence(in->hold, from, relay->nic);
}

/* Takes 'packet'. */
static void
put_frame(struct incoming *in, struct spool_record *r,
          struct dp_packet *packet)
{
    r->data = dp_packet_data(packet);
    r->len = dp_packet_size(packet);

    const struct hold_frame f = { packet, r->nic, spool_put(in->spool, r) };
    if (r->kind == SPOOL_RELAYED) {
        hold_put_relayed(in->hold, &f);
    } else {
        hold_put_direct(in->hold, &r->from, &f);
    }
}

void
incoming_relayed(struct engine *e, const struct relayed *r)
{
    struct incoming *in = incoming_find(e, &r->relay.about);
    unsigned int nic = r->relay.nic;
    struct frame_fence fence;

    if (in && !uuid_equals(&in->source, &r->from)) {
        channel_refuse(e->c.channel, &r->from, "frames for a VM of a "
                       "migration that is another host's");
        return;
    }
    if (!in || nic >= in->guest->vm.n_nics || in->state == INCOMING_ABORTING
        || r->relay.number < in->n_relayed[nic]) {
        return;
    }
    in->n_relayed[nic] = r->relay.number + 1;
    if (!frame_parse_fence(r->data, r->len, &fence)) {
        struct spool_record record = {
            .kind = SPOOL_RELAYED, .nic = nic, .number = r->relay.number,
        };
        put_frame(in, &record, dp_packet_clone_data(r->data, r->len));
    } else if (uuid_equals(&fence.migration, &in->migration)) {
        put_fence(in, &r->relay, &fence.from);
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
            struct spool_record r = {
                .kind = SPOOL_DIRECT, .nic = nic, .from = *from,
            };
            put_frame(in, &r, packet);
            return true;
        }
    }
    return false;
}

void
incoming_recall_frames(struct incoming *in)
{
    struct spool_record r;
    uint64_t pos = 0, at;

    while (spool_next(in->spool, &pos, &r, &at)) {
        if (r.nic >= in->guest->vm.n_nics) {
            continue;
        }
        if (r.kind == SPOOL_RELAYED || r.kind == SPOOL_FENCE) {
            in->n_relayed[r.nic] = r.number + 1;
        }
        if (r.kind == SPOOL_EXPECT) {
            hold_expect(in->hold, &r.from, r.nic, r.number);
        } else if (r.kind == SPOOL_FENCE) {
            hold_put_fence(in->hold, &r.from, r.nic);
        } else if (r.len) {
            const struct hold_frame f = {
                dp_packet_clone_data(r.data, r.len), r.nic, at,
            };
            if (r.kind == SPOOL_RELAYED) {
                hold_put_relayed(in->hold, &f);
            } else {
                hold_put_direct(in->hold, &r.from, &f);
            }
        }
    }
}

bool
incoming_has_all(const struct engine *e, const struct incoming *in)
{
    uint64_t n = 0;

    for (size_t i = 0; i < in->guest->vm.n_nics; i++) {
        n += in->n_relayed[i];
    }
    return in->granted && (n >= in->wanted
                           || e->now_ms >= in->granted_ms + RELAYED_MS);
}

/* Gives the guest at most 'max' frames. */
static void
inject(struct engine *e, struct incoming *in, unsigned int max)
{
    struct hold_frame f;
    unsigned int n;

    for (n = 0; n < max && hold_next(in->hold, e->now_ms, &f); n++) {
        guest_inject(e, in->guest, f.nic, f.packet);
        spool_take(in->spool, f.mark);
        dp_packet_delete(f.packet);
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
    struct hold_frame f;

    while (hold_take_back(in->hold, &f)) {
        /* A source that has not asked for them may have forgotten the
         * migration, but not the guest. */
        const struct relay relay = {
            .kind = in->tell_aborted ? RELAY_RETURNED : RELAY_LATE,
            .about = (in->tell_aborted ? in->migration
                      : in->guest->vm.nics[f.nic].interface.uuid),
            .nic = in->tell_aborted ? f.nic : 0,
        };

        channel_send_frame(e->c.channel, &in->source, &relay,
                           dp_packet_data(f.packet),
                           dp_packet_size(f.packet));
        in->n_returned++;
        spool_take(in->spool, f.mark);
        dp_packet_delete(f.packet);
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
    if (in->direct && !in->settled_told && in->granted
        && e->now_ms < in->granted_ms + RELAYED_MS) {
        poll_timer_wait_until(in->granted_ms + RELAYED_MS);
    }
    if (!e->shortcuts && e->now_ms < in->closing) {
        poll_immediate_wake();
    }
}
