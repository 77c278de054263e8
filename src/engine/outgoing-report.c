#include <config.h>

#include "engine/outgoing-private.h"

#include <string.h>

#include "util.h"

#include "engine/engine-private.h"
#include "engine/outgoing.h"
#include "peer/channel.h"

/* What the store is told about a migration. */

#define PROGRESS_MS 200         /* Between reports. */

static void
put_figure(struct migration_figure *list, size_t *n, const char *name,
           double value)
{
    if (*n < MIGRATION_MAX_FIGURES) {
        ovs_strlcpy(list[*n].name, name, sizeof list[*n].name);
        list[(*n)++].value = value;
    }
}

/* Parts of the switchover, from the guest's stop on. */
static void
put_since_stop(struct outgoing *o, const char *name, long long us)
{
    if (o->stopped_us && us) {
        put_figure(o->row.figures, &o->row.n_figures, name,
                   (us - o->stopped_us) / 1e3);
    }
}

static void
put_figures(struct outgoing *o)
{
    struct migration *row = &o->row;
    struct channel_delay delay;
    size_t *n = &row->n_figures;

    channel_get_delay(o->engine->c.channel, &o->destination, &delay);
    *n = 0;
    put_figure(row->figures, n, "total_ms",
               (o->engine->now.mono_us - o->began_us) / 1e3);
    put_figure(row->figures, n, "bytes", o->progress.copied);
    if (o->stopped_us && o->resumed_us) {
        put_figure(row->figures, n, "blackout_ms",
                   (o->resumed_us - delay.offset_us - o->stopped_us) / 1e3);
        put_figure(row->figures, n, "blackout_error_ms",
                   delay.offset_error_us / 1e3);
        put_figure(row->figures, n, "stopped_us", o->stopped_us);
        put_figure(row->figures, n, "resumed_us",
                   o->resumed_us - delay.offset_us);
    }
    put_since_stop(o, "flip_ms", o->flipped_us);
    put_since_stop(o, "capture_ms", o->opened_us);
    put_since_stop(o, "pause_ms", o->paused_us);
    put_since_stop(o, "sent_ms", o->sent_us);
    put_figure(row->figures, n, "relayed_packets", o->n_captured);
    put_figure(row->figures, n, "held_packets", o->held);
    put_figure(row->figures, n, "fences", o->fences);
    put_figure(row->figures, n, "fences_missed", o->fences_missed);
    put_figure(row->figures, n, "correspondents", o->n_peers);
}

void
outgoing_report(struct outgoing *o, enum migration_state state, bool final)
{
    struct engine *e = o->engine;
    const char *step = outgoing_steps[o->run.mark.at].name;
    bool same = o->row.state == state && !strcmp(o->row.step, step);

    if (!final && same && e->now_ms < o->reported + PROGRESS_MS) {
        return;
    }
    o->reported = e->now_ms;
    o->row.state = state;
    ovs_strlcpy(o->row.step, step, sizeof o->row.step);
    o->row.copied = o->progress.copied;
    o->row.total = o->progress.total;
    ovs_strlcpy(o->row.error, o->run.cause.text, sizeof o->row.error);
    if (final) {
        o->row.finished = e->now.wall_us / 1000;
    }
    put_figures(o);
    migrations_put(e->c.store, &o->row);
}

void
outgoing_count_phase(struct outgoing *o)
{
    struct migration *row = &o->row;
    long long now = o->engine->now.mono_us;

    if (o->run.mark.at != o->phase || o->run.mark.mode != STEP_FORWARD) {
        if (o->phase < outgoing_n_steps) {
            put_figure(row->phases, &row->n_phases,
                       outgoing_steps[o->phase].name,
                       (now - o->phase_us) / 1e3);
        }
        o->phase = (o->run.mark.mode == STEP_FORWARD ? o->run.mark.at
                    : outgoing_n_steps);
        o->phase_us = now;
    }
}
