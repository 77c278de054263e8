#include <config.h>

#include "engine/move.h"

#include <errno.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "core/pace.h"
#include "engine/engine-private.h"
#include "engine/fault.h"
#include "engine/outgoing-private.h"
#include "hypervisor/capture.h"
#include "mobility/datapath.h"
#include "mobility/pipeline.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/bindings.h"

/* Correspondents are those heard within so many seconds. */
#define CORRESPONDENT_S 60

/* Without an answer to a grant for so long, nobody knows. */
#define GRANT_MS 30000

/* The delay of a host with which we never spoke. */
#define UNKNOWN_RTT_MS 300

/* A frame that the destination has given back. */
struct returned_frame {
    struct ovs_list node;
    size_t nic;
    struct dp_packet *packet;
};

/* Correspondents. */

static size_t
add_peer(struct outgoing *o, const struct uuid *host)
{
    for (size_t i = 0; i < o->n_peers; i++) {
        if (uuid_equals(&o->peers[i].host, host)) {
            return i;
        }
    }
    if (o->n_peers >= o->allocated_peers) {
        o->peers = x2nrealloc(o->peers, &o->allocated_peers,
                              sizeof *o->peers);
    }
    o->peers[o->n_peers] = (struct move_peer) { .host = *host };
    engine_connect(o->engine, host);
    return o->n_peers++;
}

/* 'from' talks, perhaps, to those NICs of the guest that share its network. */
static void
add_correspondent(struct outgoing *o, const struct interface *from,
                  const struct uuid *host)
{
    for (size_t i = 0; i < o->vm.n_nics; i++) {
        const struct interface *nic = &o->vm.nics[i].interface;

        if (!uuid_equals(&nic->network, &from->network)
            || uuid_equals(&nic->uuid, &from->uuid)
            || o->n_fences_wanted >= MESSAGE_MAX_LIST) {
            continue;
        }
        if (o->n_fences_wanted >= o->allocated_fences) {
            o->fences_wanted = x2nrealloc(o->fences_wanted,
                                          &o->allocated_fences,
                                          sizeof *o->fences_wanted);
        }
        o->fences_wanted[o->n_fences_wanted++] = (struct move_fence) {
            .from = from->uuid, .nic = i, .peer = add_peer(o, host),
        };
    }
}

void
move_ask_correspondents(struct outgoing *o)
{
    of_switch_request_idle(o->engine->c.of_switch,
                           pipeline_cookie(PART_FROM, 0),
                           PIPELINE_PART_MASK);
}

bool
move_find_correspondents(struct outgoing *o)
{
    struct engine *e = o->engine;
    struct datapath *dp = e->c.datapath;
    struct hmap_position at = { 0 };
    size_t n;

    if (!of_switch_idle_done(e->c.of_switch)) {
        return false;
    }
    add_peer(o, &e->c.host);
    add_peer(o, &o->destination);

    const struct of_idle *idle = of_switch_idle(e->c.of_switch, &n);
    for (size_t i = 0; i < n; i++) {
        const struct interface *from
            = datapath_cookie_interface(dp, idle[i].cookie);
        struct binding binding;

        if (from && idle[i].packets && idle[i].idle_s <= CORRESPONDENT_S
            && bindings_find_newest(e->c.store, &from->uuid, true,
                                    &binding)) {
            add_correspondent(o, from, &binding.generation.host);
        }
    }

    /* Local ones leave no trace in those flows: all of them. */
    const struct interface *from;
    while ((from = datapath_next_interface(dp, &at))) {
        const struct datapath_here *here = datapath_get_here(dp,
                                                             &from->uuid);

        if (here && here->port != OFPP_NONE) {
            add_correspondent(o, from, &e->c.host);
        }
    }
    return true;
}

/* Telling them. */

static struct message *
make_accept(struct outgoing *o, enum message_type type)
{
    struct message *m = message_create(type, &o->migration);
    struct json *list;

    message_put_generation(m->body, &o->generation);
    list = message_put_list(m->body, "interfaces");
    for (size_t i = 0; i < o->vm.n_nics; i++) {
        struct json *object = json_object_create();

        message_put_uuid(object, "interface", &o->vm.nics[i].interface.uuid);
        message_put_addrs(object, "mobile", &o->mobile[i]);
        json_array_add(list, object);
    }
    return m;
}

bool
move_tell_accept(struct outgoing *o)
{
    struct channel *channel = o->engine->c.channel;
    bool all = true;

    for (size_t i = 0; i < o->n_peers; i++) {
        struct move_peer *peer = &o->peers[i];
        unsigned int epoch = channel_epoch(channel, &peer->host);

        channel_connect(channel, &peer->host);
        if (!peer->accepted && epoch && peer->said_accept != epoch
            && !channel_send(channel, &peer->host,
                             make_accept(o, MESSAGE_ACCEPT))) {
            peer->said_accept = epoch;
        }
        all = all && peer->accepted;
    }
    return all;
}

void
move_tell_forget(struct outgoing *o)
{
    for (size_t i = 0; i < o->n_peers; i++) {
        channel_send(o->engine->c.channel, &o->peers[i].host,
                     make_accept(o, MESSAGE_FORGET));
    }
}

static int
rtt_ms(struct outgoing *o, const struct uuid *host)
{
    struct channel_delay delay;

    channel_get_delay(o->engine->c.channel, host, &delay);
    return delay.rtt_us < 0 ? UNKNOWN_RTT_MS : delay.rtt_us / 1000 + 1;
}

/* The news travels to the correspondent's host, its fence here, and with the
 * relayed frames on to the destination. */
void
move_tell_expect(struct outgoing *o)
{
    struct message *m = message_create(MESSAGE_EXPECT, &o->migration);
    struct json *list = message_put_list(m->body, "fences");

    for (size_t i = 0; i < o->n_fences_wanted; i++) {
        const struct move_fence *f = &o->fences_wanted[i];
        int delay = (rtt_ms(o, &o->peers[f->peer].host)
                     + rtt_ms(o, &o->destination) / 2);
        struct json *object = json_object_create();

        message_put_uuid(object, "from", &f->from);
        message_put_uuid(object, "to", &o->vm.nics[f->nic].interface.uuid);
        json_object_put(object, "delay_ms", json_integer_create(delay));
        json_array_add(list, object);
    }
    channel_send(o->engine->c.channel, &o->destination, m);
}

/* From now on the guest is at 'generation', with the mobile addresses 'new',
 * and not with 'old'.  'fenced': its old paths end with fences. */
static void
tell_flip(struct outgoing *o, const struct generation *generation,
          bool back, bool fenced)
{
    for (size_t p = 0; p < o->n_peers; p++) {
        struct message *m = message_create(MESSAGE_FLIP, &o->migration);
        struct json *interfaces, *fences;

        message_put_generation(m->body, generation);
        interfaces = message_put_list(m->body, "interfaces");
        for (size_t i = 0; i < o->vm.n_nics; i++) {
            const struct addr_pair *here = &o->guest->nics[i].mobile;
            struct json *object = json_object_create();

            message_put_uuid(object, "interface",
                             &o->vm.nics[i].interface.uuid);
            message_put_addrs(object, "mobile", back ? here : &o->mobile[i]);
            message_put_addrs(object, "old", back ? &o->mobile[i] : here);
            json_array_add(interfaces, object);
        }
        fences = message_put_list(m->body, "fences");
        for (size_t i = 0; fenced && i < o->n_fences_wanted; i++) {
            const struct move_fence *f = &o->fences_wanted[i];

            if (f->peer == p) {
                struct json *object = json_object_create();

                message_put_uuid(object, "from", &f->from);
                message_put_uuid(object, "to",
                                 &o->vm.nics[f->nic].interface.uuid);
                json_array_add(fences, object);
            }
        }
        channel_send(o->engine->c.channel, &o->peers[p].host, m);
    }
}

struct message *
move_make_grant(struct outgoing *o)
{
    struct message *m = message_create(MESSAGE_GRANT, &o->migration);

    message_put_generation(m->body, &o->generation);
    o->granted_captured = o->n_captured;
    json_object_put(m->body, "relayed", json_integer_create(o->n_captured));
    return m;
}

/* Frames. */

/* What was relayed on an earlier connection may have been lost with it, and
 * with an agent of ours what it remembered: everything once more. */
static void
begin_relaying(struct outgoing *o, struct capture *capture)
{
    unsigned int epoch = channel_epoch(o->engine->c.channel,
                                       &o->destination);

    if (epoch && o->relay_epoch != epoch && !o->settled) {
        o->relay_epoch = epoch;
        capture_rewind(capture);
        memset(o->n_relayed, 0, sizeof o->n_relayed);
        o->n_captured = 0;
    }
}

void
move_relay(struct outgoing *o)
{
    struct engine *e = o->engine;
    struct capture *capture = hypervisor_capture(e->c.hypervisor,
                                                 &o->vm.uuid);
    struct dp_packet *packet;
    size_t nic;

    if (!capture || o->run.mark.mode != STEP_FORWARD) {
        return;                 /* Going back, move_give_back() does it. */
    }
    begin_relaying(o, capture);
    while ((packet = capture_next(capture, &nic))) {
        struct relay relay = {
            .kind = RELAY_LATE, .about = o->vm.nics[nic].interface.uuid,
        };

        if (!o->settled) {
            relay = (struct relay) {
                .kind = RELAY_CAPTURED, .about = o->migration, .nic = nic,
                .number = o->n_relayed[nic]++,
            };
            o->n_captured++;
        }
        channel_send_frame(e->c.channel, &o->destination, &relay,
                           dp_packet_data(packet), dp_packet_size(packet));
        dp_packet_delete(packet);
    }
}

void
move_forget_returned(struct outgoing *o)
{
    struct returned_frame *r;

    LIST_FOR_EACH_POP (r, node, &o->returned) {
        dp_packet_delete(r->packet);
        free(r);
    }
}

/* Frames travel on a connection of their own: those that a destination gives
 * back may be here before its refusal. */
void
move_returned(struct outgoing *o, const struct relayed *relayed)
{
    if (o->guest && relayed->relay.nic < o->vm.n_nics) {
        struct returned_frame *r = xzalloc(sizeof *r);

        r->nic = relayed->relay.nic;
        r->packet = dp_packet_clone_data(relayed->data, relayed->len);
        ovs_list_push_back(&o->returned, &r->node);
        o->n_returned++;
    }
}

/* First what was captured here, then what came back. */
static struct dp_packet *
next_to_give(struct outgoing *o, size_t *nic)
{
    struct capture *capture = hypervisor_capture(o->engine->c.hypervisor,
                                                 &o->vm.uuid);
    struct dp_packet *packet = capture ? capture_next(capture, nic) : NULL;

    if (!packet && !ovs_list_is_empty(&o->returned)) {
        struct returned_frame *r
            = CONTAINER_OF(ovs_list_pop_front(&o->returned),
                           struct returned_frame, node);

        packet = r->packet;
        *nic = r->nic;
        free(r);
    }
    return packet;
}

bool
move_give_back(struct outgoing *o)
{
    struct engine *e = o->engine;
    unsigned int max = pace_allowance(&o->pace, e->now_ms), n;
    struct dp_packet *packet = NULL;
    struct frame_fence fence;
    size_t nic;

    for (n = 0; n < max && (packet = next_to_give(o, &nic)); n++) {
        if (o->guest
            && !frame_parse_fence(dp_packet_data(packet),
                               dp_packet_size(packet), &fence)) {
            guest_inject(e, o->guest, nic, packet);
        }
        dp_packet_delete(packet);
    }
    pace_spend(&o->pace, n);
    return n < max;
}

/* The step. */

void
move_stopped(struct outgoing *o, long long stopped_us)
{
    struct engine *e = o->engine;

    if (o->flipped || !o->armed || o->run.mark.mode != STEP_FORWARD) {
        return;
    }
    /* First what saves packets, then what redirects them. */
    o->opened = !hypervisor_set_capture(e->c.hypervisor, &o->vm.uuid,
                                        CAPTURE_OPEN, NULL);
    o->flipped = true;
    o->flipped_us = e->now.wall_us;
    o->stopped_us = stopped_us;
    tell_flip(o, &o->generation, false, true);
}

/* Does somebody not want the guest to leave?  It can stay as long as QEMU has
 * not been told to go on. */
static bool
is_unwanted(const struct outgoing *o, struct err *err)
{
    if (o->cancel) {
        err_set(err, ECANCELED, "cancelled");
    } else if (o->declined.code) {
        *err = o->declined;
    }
    return o->cancel || o->declined.code;
}

static enum step_result
copy(struct outgoing *o, struct err *err)
{
    struct engine *e = o->engine;
    int error = 0;

    if ((o->flipped || o->progress.copied)
        && !fault_pass(e->c.fault, o->flipped ? FAULT_STOP : FAULT_COPY)) {
        return STEP_WAIT;
    }
    if (is_unwanted(o, err)) {
        return STEP_FAILED;
    }
    if (!o->armed) {
        error = hypervisor_set_capture(e->c.hypervisor, &o->vm.uuid,
                                       CAPTURE_ARMED, err);
        o->armed = !error;
    }
    if (!error) {
        error = hypervisor_send(e->c.hypervisor, &o->vm.uuid, &o->target,
                                &o->limits, &o->progress, err);
    }
    if (error == EINPROGRESS) {
        channel_warm(e->c.channel, &o->destination, e->now.mono_us);
        for (size_t i = 0; i < o->n_peers; i++) {
            channel_connect(e->c.channel, &o->peers[i].host);
        }
        return STEP_WAIT;
    }
    o->paused = !error;
    o->paused_us = e->now.wall_us;
    return error ? STEP_FAILED : STEP_DONE;
}

static enum step_result
proceed(struct outgoing *o, struct err *err)
{
    struct engine *e = o->engine;
    int error = 0;

    if (!fault_pass(e->c.fault, o->proceeded ? FAULT_CONTINUED
                                : FAULT_PRE_SWITCHOVER)) {
        return STEP_WAIT;
    }
    if (!o->proceeded && is_unwanted(o, err)) {
        return STEP_FAILED;
    }
    if (!o->flipped) {
        move_stopped(o, e->now.wall_us);
    }
    if (!o->opened) {
        error = hypervisor_set_capture(e->c.hypervisor, &o->vm.uuid,
                                       CAPTURE_OPEN, err);
        o->opened = !error;
    }
    if (!error) {
        if (!o->proceeded) {
            o->opened_us = e->now.wall_us;
        }
        error = hypervisor_proceed(e->c.hypervisor, &o->vm.uuid, err);
        o->proceeded = true;
    }
    if (!error) {
        o->sent_us = e->now.wall_us;
    }
    return !error ? STEP_DONE : error == EINPROGRESS ? STEP_WAIT
           : STEP_FAILED;
}

void
move_say_grant(struct outgoing *o)
{
    if (o->lost) {
        outgoing_say(o, MESSAGE_ABORT, &o->said_abort, NULL);
    }
    outgoing_say(o, MESSAGE_GRANT, &o->said_grant, move_make_grant);
}

/* Has the guest here ended? */
static bool
is_lost(const struct outgoing *o)
{
    struct hypervisor_info info;

    return (!engine_find_info(o->engine, &o->vm.uuid, &info)
            || info.state == VM_FAILED || info.state == VM_ABSENT);
}

static enum step_result
grant(struct outgoing *o, struct err *err)
{
    struct engine *e = o->engine;

    if (o->refused.code) {
        int error = hypervisor_take_back(e->c.hypervisor, &o->vm.uuid, err);

        if (error == EINPROGRESS) {
            return STEP_WAIT;
        } else if (error && !is_lost(o)) {
            return STEP_UNKNOWN;
        }
        *err = o->refused;      /* Or it runs nowhere any more. */
        return STEP_FAILED;
    }
    if (!o->granted_ms) {
        o->granted_ms = e->now_ms;
    }
    move_say_grant(o);
    if (o->said_grant && !fault_pass(e->c.fault, FAULT_GRANTED)) {
        return STEP_WAIT;
    }
    if (o->running) {
        return STEP_DONE;
    }
    if (e->now_ms >= o->granted_ms + GRANT_MS && !o->said_grant) {
        /* It does not run without a grant, and from now on it gets none. */
        err_set(&o->refused, ETIMEDOUT, "no connection to %s for %d s",
                o->destination_name, GRANT_MS / 1000);
        return STEP_WAIT;
    } else if (e->now_ms >= o->granted_ms + GRANT_MS) {
        err_set(err, ETIMEDOUT, "%s has not said for %d s whether \"%s\" "
                "runs there", o->destination_name, GRANT_MS / 1000,
                o->vm.name);
        return STEP_UNKNOWN;
    }
    return STEP_WAIT;
}

enum step_result
move_run(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    enum step_result result = STEP_DONE;

    if (!o->paused) {
        result = copy(o, err);
    }
    if (result == STEP_DONE && !o->granted) {
        result = proceed(o, err);
        o->granted = result == STEP_DONE;
    }
    return result == STEP_DONE ? grant(o, err) : result;
}

/* The mappings go back with a generation of their own, above the void one. */
static void
flip_back(struct outgoing *o)
{
    struct engine *e = o->engine;
    struct generation back = {
        .epoch = o->generation.epoch,
        .counter = o->generation.counter + 1,
        .host = e->c.host,
    };

    o->guest->generation = back;
    guest_bind(e, o->guest, true);
    guest_tell(e, o->guest, VM_RUNNING, "");
    tell_flip(o, &back, true, false);
}

/* Nothing of the guest's is captured any more. */
static int
disarm(struct outgoing *o, struct err *err)
{
    int error = o->disarmed ? 0
                : hypervisor_set_capture(o->engine->c.hypervisor,
                                         &o->vm.uuid, CAPTURE_OFF, err);

    o->disarmed = !error;
    return error;
}

/* It runs here.  What it did not get is given to it, not all at once. */
static int
give_back(struct outgoing *o, struct err *err)
{
    struct engine *e = o->engine;
    struct capture *capture = hypervisor_capture(e->c.hypervisor,
                                                 &o->vm.uuid);
    int error = 0;

    if (!o->giving && capture) {
        error = hypervisor_set_capture(e->c.hypervisor, &o->vm.uuid,
                                       CAPTURE_CLOSED, err);
        if (error) {
            return error;
        }
        capture_rewind(capture);
        capture_consume(capture);
    }
    if (!o->giving) {
        o->giving = true;
        pace_open_beside(&o->pace, e->now_ms);
    }
    return o->disarmed || move_give_back(o) ? 0 : EINPROGRESS;
}

enum step_result
move_undo(void *o_, struct err *err)
{
    struct outgoing *o = o_;
    int error = 0;

    if (o->flipped && !o->flipped_back) {
        flip_back(o);
        o->flipped_back = true;
    }
    if (!o->cancelled && !o->proceeded) {
        error = hypervisor_cancel(o->engine->c.hypervisor, &o->vm.uuid, err);
        o->cancelled = !error;
    }
    error = error ? error : give_back(o, err);
    error = error ? error : disarm(o, err);
    if (error && error != EINPROGRESS && is_lost(o)) {
        disarm(o, NULL);        /* What is left of it. */
        return STEP_DONE;
    }
    return !error ? STEP_DONE : error == EINPROGRESS ? STEP_WAIT
           : STEP_FAILED;
}
