#include <config.h>
#include "bench/move.h"

#include <errno.h>
#include <math.h>

#include "bench/document.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/analysis.h"
#include "probe/record.h"
#include "util.h"

int
move_analyse(const struct record *record, const struct move_times *times,
             struct move_figures *figures, struct err *err)
{
    int64_t from = times->stopped - MOVE_BEFORE_NS;
    int64_t to = times->resumed + MOVE_AFTER_NS;
    struct analysis_probes all, inside, before;
    struct analysis_first first;

    int error = analysis_probes(record, 0, INT64_MAX, &all, err);
    error = error ? error : analysis_probes(record, from, to, &inside, err);
    error = error ? error : analysis_probes(record, 0, from, &before, err);
    if (error) {
        return error;
    }
    if (!record->n_sent || record->sent[0] > from
        || record->sent[record->n_sent - 1] < to) {
        return err_set(err, ERANGE, "the probe of %s does not cover the move",
                       record->address);
    }
    if (!analysis_first_answered(record, times->stopped, &first)) {
        return err_set(err, ETIMEDOUT, "%s did not answer any more after the "
                       "move", record->address);
    }
    *figures = (struct move_figures) {
        .sent = inside.sent,
        .lost = inside.lost,
        .duplicated = inside.duplicated,
        .reordered = inside.reordered,
        .sent_outside = all.sent - inside.sent,
        .lost_outside = all.lost - inside.lost,
        .duplicated_outside = all.duplicated - inside.duplicated,
        .reordered_outside = all.reordered - inside.reordered,
        .gap_ms = inside.gap / 1e6,
        .net_after_ms = (first.tx - times->resumed) / 1e6,
        .copy_gap_ms = before.gap / 1e6,
        .first_lost_ms = all.lost ? (all.first_lost - times->stopped) / 1e6
                         : NAN,
        .last_lost_ms = all.lost ? (all.last_lost - times->stopped) / 1e6
                        : NAN,
    };
    return 0;
}

void
move_merge(struct move_figures *a, const struct move_figures *b)
{
    if (!a->sent) {
        *a = *b;
        return;
    }
    a->sent += b->sent;
    a->lost += b->lost;
    a->duplicated += b->duplicated;
    a->reordered += b->reordered;
    a->sent_outside += b->sent_outside;
    a->lost_outside += b->lost_outside;
    a->duplicated_outside += b->duplicated_outside;
    a->reordered_outside += b->reordered_outside;
    a->gap_ms = MAX(a->gap_ms, b->gap_ms);
    a->net_after_ms = MAX(a->net_after_ms, b->net_after_ms);
    a->copy_gap_ms = MAX(a->copy_gap_ms, b->copy_gap_ms);
    a->first_lost_ms = fmin(a->first_lost_ms, b->first_lost_ms);
    a->last_lost_ms = fmax(a->last_lost_ms, b->last_lost_ms);
}

static void
put_count(struct json *row, const char *name, uint64_t n)
{
    json_object_put(row, name, json_integer_create(n));
}

void
move_put(struct json *row, const struct move_figures *f)
{
    put_count(row, "sent", f->sent);
    put_count(row, "lost", f->lost);
    put_count(row, "duplicated", f->duplicated);
    put_count(row, "reordered", f->reordered);
    put_count(row, "sent_outside", f->sent_outside);
    put_count(row, "lost_outside", f->lost_outside);
    put_count(row, "duplicated_outside", f->duplicated_outside);
    put_count(row, "reordered_outside", f->reordered_outside);
    document_put_number(row, "gap_ms", f->gap_ms);
    document_put_number(row, "net_after_ms", f->net_after_ms);
    document_put_number(row, "copy_gap_ms", f->copy_gap_ms);
    if (!isnan(f->first_lost_ms)) {
        document_put_number(row, "first_lost_ms", f->first_lost_ms);
        document_put_number(row, "last_lost_ms", f->last_lost_ms);
    }
}

void
move_put_times(struct json *row, const struct move_times *t)
{
    document_put_number(row, "total_ms", (t->ended - t->began) / 1e6);
    document_put_number(row, "blackout_ms", (t->resumed - t->stopped) / 1e6);
    put_count(row, "bytes", t->bytes);
}
