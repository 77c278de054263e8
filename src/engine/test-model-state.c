#include <config.h>

/* When are two states the same?  What is not named here is compared as it is:
 * a new member makes the search slower, not blind.  Times are compared by
 * their distance to now, tickets by their results, epochs by whether they are
 * today's; the data plane (packets, flows, fences) is left out. */

#include "engine/test-model.h"

#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guest.h"
#include "engine/incoming-private.h"
#include "engine/journal.h"
#include "engine/outgoing-private.h"
#include "engine/outgoing.h"
#include "engine/test-world.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/bindings.h"
#include "store/write.h"

#define FAR_MS 200000           /* Later is never. */

static uint8_t buffer[65536];
static size_t used;

static void
put(const void *data, size_t n)
{
    ovs_assert(used + n <= sizeof buffer);
    memcpy(buffer + used, data, n);
    used += n;
}

static void
put_int(long long value)
{
    put(&value, sizeof value);
}

static void
put_generation(const struct generation *g)
{
    put_int(g->counter);
    put_int(g->host.parts[0]);
}

/* 0 for never. */
static long long
since(const struct engine *e, long long ms)
{
    return ms ? 1 + MIN(FAR_MS, e->now_ms - ms) : 0;
}

static long long
result_of(const struct engine *e, write_ticket ticket)
{
    return ticket ? 1 + write_result(e->c.store, ticket, NULL) : 0;
}

static unsigned int
said(const struct engine *e, const struct uuid *host, unsigned int epoch)
{
    return (!epoch ? 0
            : epoch == channel_epoch(e->c.channel, host) ? 1 : 2);
}

static void
put_guest(const struct engine *e, const struct guest *g)
{
    put_int(g->role);
    put_generation(&g->generation);
    put_int(g->ticket ? 1 + engine_is_acked(e, g->ticket) : 0);
    put_int(result_of(e, g->advance));
    put_int(g->advance_counter);
    put_int(g->bridge_seqno);
    put_int(since(e, g->retry_at));
    put_int(g->present);
    put_int(g->bound);
    put_int(g->ended);
    put_int(g->stopping);
    put_int(g->told);
}

static void
put_run(const struct engine *e, const struct step_run *run)
{
    put_int(run->mark.mode);
    put_int(run->mark.at);
    put_int(run->saved);
    put_int(since(e, run->started));
    put_int(run->cause.code);
}

/* What never differs, or only in figures, or is a pointer. */
static void
forget_dull(struct outgoing *o)
{
    memset(&o->node, 0, sizeof o->node);
    memset(&o->vm, 0, sizeof o->vm);
    memset(&o->run, 0, sizeof o->run);
    memset(&o->generation, 0, sizeof o->generation);
    memset(&o->old, 0, sizeof o->old);
    memset(&o->target, 0, sizeof o->target);
    memset(&o->declined, 0, sizeof o->declined);
    memset(&o->refused, 0, sizeof o->refused);
    memset(&o->row, 0, sizeof o->row);
    memset(&o->returned, 0, sizeof o->returned);
    memset(&o->pace, 0, sizeof o->pace);
    memset(o->n_relayed, 0, sizeof o->n_relayed);
    memset(&o->progress, 0, sizeof o->progress);
    memset(&o->limits, 0, sizeof o->limits);
    memset(o->mobile, 0, sizeof o->mobile);
    memset(o->destination_name, 0, sizeof o->destination_name);
    o->engine = NULL;
    o->guest = NULL;
    o->peers = NULL;
    o->fences_wanted = NULL;
    o->allocated_peers = o->allocated_fences = 0;
    o->flipped_us = o->opened_us = o->paused_us = o->sent_us = 0;
    o->began_us = o->phase_us = o->reported = 0;
    o->n_captured = o->held = o->fences = o->fences_missed = 0;
    o->granted_captured = o->n_returned = o->returned_there = 0;
}

/* The copy keeps what has no line here. */
static void
put_outgoing(const struct engine *e, const struct outgoing *original)
{
    struct outgoing o = *original;

    put_run(e, &o.run);
    put_generation(&o.generation);
    put_generation(&o.old);
    put_int(o.target.uri != NULL);
    put_int(o.guest != NULL);
    put_int(o.declined.code);
    put_int(o.refused.code);
    put_int(o.row.state);
    put(o.row.step, strlen(o.row.step));
    for (size_t i = 0; i < o.n_peers; i++) {
        put_int(said(e, &o.peers[i].host, o.peers[i].said_accept));
        put_int(o.peers[i].accepted);
    }
    forget_dull(&o);

    o.said_prepare = said(e, &o.destination, o.said_prepare);
    o.said_grant = said(e, &o.destination, o.said_grant);
    o.said_abort = said(e, &o.destination, o.said_abort);
    o.relay_epoch = said(e, &o.destination, o.relay_epoch);
    o.reserve = result_of(e, o.reserve);
    o.unreserve = result_of(e, o.unreserve);
    o.moved = result_of(e, o.moved);
    o.reserve_since = since(e, o.reserve_since);
    o.asked_idle = since(e, o.asked_idle);
    o.granted_ms = since(e, o.granted_ms);
    o.asked_ms = since(e, o.asked_ms);
    o.undo_since = since(e, o.undo_since);
    o.buried = since(e, o.buried);
    o.stopped_us = !!o.stopped_us;
    o.resumed_us = !!o.resumed_us;
    put(&o, sizeof o);
}

static void
put_incoming(const struct engine *e, const struct incoming *original)
{
    struct incoming in = *original;

    put_generation(&in.generation);
    memset(&in.generation, 0, sizeof in.generation);
    in.heard = (in.state == INCOMING_LISTENING ? since(e, in.heard) : 0);
    in.resumed_us = !!in.resumed_us;
    in.bound = result_of(e, in.bound);
    in.store_seqno = 0;         /* It looks at the same row again. */
    in.direct = in.direct ? 1 + engine_is_acked(e, in.direct) : 0;
    in.closing = in.closing ? MAX(0, in.closing - e->now_ms) + 1 : 0;
    memset(&in.node, 0, sizeof in.node);
    memset(&in.pace, 0, sizeof in.pace);
    memset(in.n_relayed, 0, sizeof in.n_relayed);
    in.wanted = in.n_returned = 0;
    in.granted_ms = 0;          /* No frames: nothing is waited for. */
    in.abort_since = since(e, in.abort_since);
    in.buried = in.buried ? 1 + engine_is_acked(e, in.buried) : 0;
    in.guest = NULL;
    in.hold = NULL;
    in.spool = NULL;
    put(&in, sizeof in);
}

static void
put_engine(const struct engine *e)
{
    const struct guest *g;
    const struct outgoing *o;
    const struct incoming *in;

    put_int(e->adopted);
    put_int(e->resumed);
    put_int(ovs_list_size(&e->answers));
    put_int(ovs_list_size(&e->tombstones));
    HMAP_FOR_EACH (g, node, &e->guests) {
        put_guest(e, g);
    }
    put_int(-1);
    HMAP_FOR_EACH (o, node, &e->outgoing) {
        put_outgoing(e, o);
    }
    put_int(-2);
    HMAP_FOR_EACH (in, node, &e->incoming) {
        put_incoming(e, in);
    }
}

static void
put_journal(const struct world_host *h)
{
    struct ovs_list entries = OVS_LIST_INITIALIZER(&entries);
    struct journal_entry *entry;

    journal_load(h->journal, &entries);
    LIST_FOR_EACH_POP (entry, node, &entries) {
        put_int(entry->mark.mode);
        put_int(entry->mark.at);
        put_int(entry->cause[0] != 0);
        put_generation(&entry->generation);
        free(entry);
    }
}

static void
put_qemu(const struct world_qemu *q)
{
    put_int(q->state);
    put_int(q->taps | q->loaded << 1 | q->load_failed << 2 | q->granted << 3
            | q->consuming << 4 | q->sending << 5 | q->cancelled << 6
            | q->failed << 7 | q->paused << 8 | q->proceeding << 9
            | q->rest_sent << 10);
    put_int(q->capture);
    put_int(q->n_events);
    put(q->answers, sizeof q->answers);
    if (q->state == VM_PAUSED) {
        put_int(world.now_us - q->paused_us);
    }
}

static void
put_host(int host)
{
    const struct world_host *h = &world.hosts[host];

    put_int(h->engine != NULL);
    if (h->engine) {
        put_engine(h->engine);
    }
    put_journal(h);
    put_qemu(&h->qemu);
    put_int(h->ports[0] | h->ports[1] << 1);
    put_int(h->complete);
    put_int(ovs_list_size(&h->received));
    put_int(ovs_list_size(&h->received_frames));
    for (size_t i = 0; i < world_n_messages(host, HOST_D - host); i++) {
        put_int(world_message(host, HOST_D - host, i)->type);
    }
    for (size_t i = 0; i < world_n_writes(host); i++) {
        char buf[24];

        world_write_name(host, i, buf);
        put(buf, strlen(buf));
    }
}

static void
put_store(void)
{
    put_int(world.order.counter);
    put_int(world.order.host.parts[0]);
    put_int(world.order.migration.parts[0]);
    put_int(world.migration.state);
    put_int(world.migration.cancel);
    put_int(world.migration.runs_on.parts[0]);
    for (size_t i = 0; i < world.n_bindings; i++) {
        const struct world_binding *b = &world.bindings[i];

        put_int(b->gone | b->binding.active << 1);
        put_generation(&b->binding.generation);
    }
}

uint64_t
model_hash(void)
{
    ovs_u128 hash;

    used = 0;
    put_host(HOST_S);
    put_int(-1);
    put_host(HOST_D);
    put_store();
    put_int(world_is_up(HOST_S, HOST_D));
    put_int(world.ever_two);
    put(&model, sizeof model);
    hash_bytes128(buffer, used, 0, &hash);
    return hash.u64.lo;
}

/* For people. */

static const char *
format_qemu(const struct world_qemu *q)
{
    return (q->state == VM_PAUSED
            ? q->proceeding ? (q->rest_sent ? "sent but not completed"
                               : "sends the rest")
              : q->paused ? "in pre-switchover" : "stopped"
            : q->state == VM_RUNNING && q->sending ? "runs and is copied"
            : q->state == VM_LISTENING && q->loaded ? "loaded"
            : vm_state_name(q->state));
}

static void
format_agent(int host, char *buf, size_t size)
{
    static const char *const modes[] = {
        [STEP_FORWARD] = "", [STEP_BACK] = "undoing ",
        [STEP_FINISHED] = "finished ", [STEP_UNDONE] = "undone ",
        [STEP_STUCK] = "stuck in ",
    };
    static const char *const states[] = {
        [INCOMING_PREPARING] = "preparing",
        [INCOMING_LISTENING] = "listening", [INCOMING_LOADING] = "loading",
        [INCOMING_RESUMED] = "resumed", [INCOMING_SETTLING] = "settling",
        [INCOMING_MOVED] = "moved", [INCOMING_ABORTING] = "aborting",
    };
    const struct engine *e = world.hosts[host].engine;
    const struct outgoing *o;
    const struct incoming *in;

    ovs_strlcpy(buf, e ? "-" : "dead", size);
    if (!e) {
        return;
    }
    HMAP_FOR_EACH (o, node, &e->outgoing) {
        snprintf(buf, size, "%s%s", modes[o->run.mark.mode],
                 outgoing_steps[o->run.mark.at].name);
    }
    HMAP_FOR_EACH (in, node, &e->incoming) {
        ovs_strlcpy(buf, states[in->state], size);
    }
}

void
model_format(char buf[MODEL_LINE])
{
    char s[40], d[40];

    format_agent(HOST_S, s, sizeof s);
    format_agent(HOST_D, d, sizeof d);
    snprintf(buf, MODEL_LINE, "S: %s, QEMU %s | D: %s, QEMU %s | %s", s,
             format_qemu(&world.hosts[HOST_S].qemu), d,
             format_qemu(&world.hosts[HOST_D].qemu),
             migration_state_name(world.migration.state));
}
