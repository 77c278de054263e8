#include <config.h>

#include "engine/correspondent.h"

#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "core/frame.h"
#include "engine/admission.h"
#include "engine/engine-private.h"
#include "mobility/datapath.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "peer/message.h"

/* What is refused. */
#define ELSEWHERE "where a VM is that it does not have"

/* Of most packets, before a switch has decremented it. */
#define USUAL_TTL 64

/* An ACCEPTED that waits for the switch. */
struct accept_answer {
    struct ovs_list node;
    struct uuid source, migration;
    uint64_t ticket;
};

/* The end of one endpoint's old path to an interface that moves. */
struct fence_job {
    struct ovs_list node;
    struct uuid migration, from, to;
    struct in6_addr source, target;     /* On the old path. */
    struct eth_addr eth_src, eth_dst;
    ofp_port_t port;            /* Where the old path leaves our switch. */
    uint64_t ticket;            /* The flip. */
    long long acked;            /* Monotonic ms; 0: not yet. */
    bool witnessed;
    uint8_t ttl;                /* Of what it sends, where that leaves. */
    uint32_t sequence;          /* Fences sent. */
    long long next;             /* When the next one is due. */
};

void
correspondent_handle_accept(struct engine *e, const struct message *m)
{
    struct generation generation = message_get_generation(m->body);
    const struct json_array *list = message_get_list(m->body, "interfaces");

    for (size_t i = 0; i < list->n; i++) {
        struct uuid uuid = message_get_uuid(list->elems[i], "interface");
        struct addr_pair mobile = message_get_addrs(list->elems[i],
                                                    "mobile");

        if (datapath_find_interface(e->c.datapath, &uuid)
            && admission_check(e, &uuid, &m->from, ELSEWHERE)) {
            datapath_accept(e->c.datapath, &uuid, &generation, &mobile);
        }
    }

    struct accept_answer *answer = xzalloc(sizeof *answer);
    answer->source = m->from;
    answer->migration = message_get_uuid(m->body, "migration");
    answer->ticket = engine_sync(e);
    ovs_list_push_back(&e->answers, &answer->node);
}

void
correspondent_handle_forget(struct engine *e, const struct message *m)
{
    struct generation generation = message_get_generation(m->body);
    const struct json_array *list = message_get_list(m->body, "interfaces");

    for (size_t i = 0; i < list->n; i++) {
        struct uuid uuid = message_get_uuid(list->elems[i], "interface");

        if (admission_check(e, &uuid, &m->from, ELSEWHERE)) {
            datapath_reject(e->c.datapath, &uuid, &generation);
        }
    }
    engine_sync(e);
}

static const struct json *
find_interface(const struct json_array *list, const struct uuid *uuid)
{
    for (size_t i = 0; i < list->n; i++) {
        struct uuid u = message_get_uuid(list->elems[i], "interface");

        if (uuid_equals(&u, uuid)) {
            return list->elems[i];
        }
    }
    return NULL;
}

/* Where does the old path from 'job->from' to 'job->to' leave our switch, and
 * what does a packet look like there?  False if there is none. */
static bool
find_old_path(const struct engine *e, const struct addr_pair *old,
              bool comes_here, struct fence_job *job)
{
    const struct interface *from
        = datapath_find_interface(e->c.datapath, &job->from);
    const struct interface *to
        = datapath_find_interface(e->c.datapath, &job->to);
    const struct datapath_here *from_here
        = datapath_get_here(e->c.datapath, &job->from);
    const struct datapath_here *to_here
        = datapath_get_here(e->c.datapath, &job->to);

    if (!from || !to || !from_here) {
        return false;
    }

    bool local = !comes_here && to_here && to_here->port != OFPP_NONE;
    ADDR_FOR_EACH_FAMILY (family) {
        job->source = local ? from->home.of[family]
                      : from_here->mobile.of[family];
        job->target = local ? to->home.of[family] : old->of[family];
        if (addr_is_none(&job->source) || addr_is_none(&job->target)) {
            continue;
        }
        if (local) {
            job->port = to_here->port;
            job->eth_src = datapath_router_mac;
            job->eth_dst = to->mac;
        } else {
            const struct datapath_uplink *uplink
                = datapath_get_uplink(e->c.datapath);

            job->port = uplink->wan;
            job->eth_src = uplink->mac;
            job->eth_dst = uplink->router[family];
        }
        return true;
    }
    return false;
}

/* Nobody needs the witness of 'to' any more, unless another job does. */
static void
dismiss_witness(struct engine *e, const struct uuid *to)
{
    const struct datapath_out *old = datapath_get_out(e->c.datapath, to);
    const struct fence_job *job;

    LIST_FOR_EACH (job, node, &e->fences) {
        if (uuid_equals(&job->to, to)) {
            return;
        }
    }
    if (old && old->witness) {
        struct datapath_out out = *old;

        out.witness = false;
        datapath_set_out(e->c.datapath, to, &out);
        engine_sync(e);
    }
}

void
correspondent_handle_flip(struct engine *e, const struct message *m)
{
    struct generation generation = message_get_generation(m->body);
    const struct json_array *interfaces
        = message_get_list(m->body, "interfaces");
    const struct json_array *fences = message_get_list(m->body, "fences");
    bool comes_here = uuid_equals(&generation.host, &e->c.host);

    for (size_t i = 0; i < interfaces->n; i++) {
        const struct json *o = interfaces->elems[i];
        struct uuid uuid = message_get_uuid(o, "interface");
        struct datapath_out out = {
            .kind = comes_here ? DATAPATH_HERE : DATAPATH_AWAY,
            .generation = generation,
            .mobile = message_get_addrs(o, "mobile"),
            .witness = fences->n > 0 && !comes_here,
        };

        if (datapath_find_interface(e->c.datapath, &uuid)
            && admission_check(e, &uuid, &m->from, ELSEWHERE)) {
            if (!comes_here) {
                datapath_accept(e->c.datapath, &uuid, &generation,
                                &out.mobile);
            }
            datapath_set_out(e->c.datapath, &uuid, &out);
        }
    }

    uint64_t ticket = engine_sync(e);
    for (size_t i = 0; i < fences->n; i++) {
        struct fence_job *job = xzalloc(sizeof *job);

        job->migration = message_get_uuid(m->body, "migration");
        job->from = message_get_uuid(fences->elems[i], "from");
        job->to = message_get_uuid(fences->elems[i], "to");
        job->ticket = ticket;
        job->ttl = USUAL_TTL - 1;

        const struct json *o = find_interface(interfaces, &job->to);
        struct addr_pair old = { 0 };
        if (o) {
            old = message_get_addrs(o, "old");
        }
        if (o && admission_check(e, &job->to, &m->from, ELSEWHERE)
            && find_old_path(e, &old, comes_here, job)) {
            ovs_list_push_back(&e->fences, &job->node);
        } else {
            free(job);
        }
    }
    for (size_t i = 0; i < interfaces->n; i++) {
        struct uuid uuid = message_get_uuid(interfaces->elems[i],
                                            "interface");

        dismiss_witness(e, &uuid);
    }
}

void
correspondent_witness(struct engine *e, const struct uuid *from,
                      const struct uuid *to, uint8_t ttl)
{
    struct fence_job *job;

    LIST_FOR_EACH (job, node, &e->fences) {
        if (!job->witnessed && uuid_equals(&job->from, from)
            && uuid_equals(&job->to, to)) {
            job->witnessed = true;
            job->ttl = ttl;
            job->next = e->now_ms;
        }
    }
}

static void
send_fence(struct engine *e, struct fence_job *job)
{
    uint8_t buf[FRAME_BUILT_MAX];
    struct frame_fence fence = {
        .migration = job->migration,
        .from = job->from,
        .sender = e->fence_sender,
        .sequence = job->sequence++,
        .ttl = job->ttl,
    };
    size_t n = frame_build_fence(buf, job->eth_src, job->eth_dst,
                                 &job->source, &job->target, &fence);

    of_switch_packet_out(e->c.of_switch, buf, n, OFPP_CONTROLLER, job->port);
    job->next = e->now_ms + FENCE_INTERVAL_MS;
}

static void
run_fence_job(struct engine *e, struct fence_job *job)
{
    if (!job->acked) {
        if (!engine_is_acked(e, job->ticket)) {
            return;
        }
        job->acked = e->now_ms;
        if (!job->witnessed) {
            job->next = e->now_ms + FENCE_QUIET_MS;
        }
    }
    if (job->sequence < FENCE_TIMES && e->now_ms >= job->next) {
        send_fence(e, job);
    }
    if (e->now_ms >= job->acked + WITNESS_MS) {
        struct uuid to = job->to;

        ovs_list_remove(&job->node);
        free(job);
        dismiss_witness(e, &to);
    }
}

void
correspondent_run(struct engine *e)
{
    struct accept_answer *answer;
    LIST_FOR_EACH_SAFE (answer, node, &e->answers) {
        if (engine_is_acked(e, answer->ticket)) {
            channel_send(e->c.channel, &answer->source,
                         message_create(MESSAGE_ACCEPTED,
                                        &answer->migration));
            ovs_list_remove(&answer->node);
            free(answer);
        }
    }

    struct fence_job *job;
    LIST_FOR_EACH_SAFE (job, node, &e->fences) {
        run_fence_job(e, job);
    }
}

void
correspondent_wait(struct engine *e)
{
    const struct fence_job *job;

    LIST_FOR_EACH (job, node, &e->fences) {
        if (job->acked) {
            poll_timer_wait_until(job->sequence < FENCE_TIMES ? job->next
                                  : job->acked + WITNESS_MS);
        }
    }
}

void
correspondent_destroy(struct engine *e)
{
    struct accept_answer *answer;
    LIST_FOR_EACH_POP (answer, node, &e->answers) {
        free(answer);
    }
    struct fence_job *job;
    LIST_FOR_EACH_POP (job, node, &e->fences) {
        free(job);
    }
}
