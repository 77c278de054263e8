#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/handover-private.h"
#include "bench/wallclock.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "util.h"

/* Of the row "dirty": the guest writes at half of what the copy may take. */
#define DIRTY_BANDWIDTH (UINT64_C(64) << 20)
#define DIRTY_LOAD (UINT64_C(32) << 20)
#define DIRTY_MEGABYTES 48

/* So many moves in a row that fail are no accident. */
#define MAX_FAILURES 3

static void
copy_number(struct json *row, const struct json *from, const char *name)
{
    if (json_get(from, name)) {
        document_put_number(row, name, json_get_number(from, name, 0));
    }
}

int
handover_put_migration(const struct json *migration, struct json *row,
                       struct move_times *times, bool *completed,
                       struct err *err)
{
    static const char *const figures[] = {
        "total_ms", "blackout_ms", "blackout_error_ms", "bytes",
        "relayed_packets", "held_packets", "fences", "fences_missed",
        "correspondents_told",
    };
    const char *result = json_get_string(migration, "result");
    const char *error = json_get_string(migration, "error");
    long long stopped = json_get_number(migration, "stopped_us", 0);
    long long resumed = json_get_number(migration, "resumed_us", 0);

    json_object_put_string(row, "result", result ? result : "unknown");
    if (error && *error) {
        json_object_put_string(row, "error", error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        copy_number(row, migration, figures[i]);
    }
    const struct json *phases = json_get(migration, "phases");
    if (phases) {
        json_object_put(row, "phases", json_deep_clone(phases));
    }

    *completed = result && !strcmp(result, "completed");
    if (*completed && (!stopped || !resumed)) {
        return err_set(err, EPROTO, "the manager does not say when the guest "
                       "was stopped");
    }
    times->stopped = wallclock_to_monotonic(stopped);
    times->resumed = wallclock_to_monotonic(resumed);
    times->bytes = json_get_number(migration, "bytes", 0);
    return 0;
}

int
handover_move(struct handover *h, const struct move_limits *limits,
              struct json *row, struct move_times *times, bool *completed,
              struct err *err)
{
    struct json *migration = NULL;
    char *id = NULL;
    size_t from;

    int error = arena_where(h->arena, 0, &from, err);
    if (error) {
        return error;
    }
    const char *to = arena_hosts[!from];
    json_object_put_string(row, "from", arena_hosts[from]);
    json_object_put_string(row, "to", to);
    times->began = clock_now();
    error = arena_begin_move(h->arena, 0, to, limits, &id, err);
    error = error ? error : arena_wait_move(h->arena, id, &migration, err);
    times->ended = clock_now();
    error = error ? error : handover_put_migration(migration, row, times,
                                                   completed, err);
    json_destroy(migration);
    free(id);
    return error;
}

int
handover_measure(struct handover *h, const char *name, const char *scheme,
                 unsigned int run, const struct move_limits *limits,
                 bool *completed, struct err *err)
{
    struct json *row = handover_add_row(h, name, scheme, run);
    struct watch_place place;
    struct watch *watch = NULL;
    struct move_times times;
    uint64_t before, after;

    *completed = false;
    handover_arena_place(h, name, scheme, run, &place);
    int error = arena_count_drops(h->arena, &before, err);
    error = error ? error : watch_start(&place, &watch, err);
    error = error ? error : handover_move(h, limits, row, &times, completed,
                                          err);
    error = error ? error : watch_stop(watch, err);
    error = error ? error : arena_count_drops(h->arena, &after, err);
    if (!error) {
        json_object_put(row, "switch_drops", json_integer_create(
            after > before ? after - before : 0));
        error = *completed ? watch_put_move(watch, &times, row, err)
                : watch_put_all(watch, row, err);
    }
    if (error) {
        json_object_put_string(row, "result", "unknown");
    }
    watch_destroy(watch);
    return error;
}

int
handover_count_failures(bool completed, unsigned int *failures,
                        struct err *err)
{
    *failures = completed ? 0 : *failures + 1;
    return *failures < MAX_FAILURES ? 0
           : err_set(err, EIO, "%u moves in a row have failed", *failures);
}

static int
measure_l2(struct handover *h, const char *name, unsigned int run,
           const struct move_limits *limits, struct err *err)
{
    struct json *row = handover_add_row(h, name, SCHEME_L2, run);
    struct watch_place place;
    struct watch *watch = NULL;
    struct move_times times;

    handover_l2_place(h, name, run, &place);
    int error = watch_start(&place, &watch, err);
    error = error ? error : l2_move(h->l2, limits, &times, err);
    error = error ? error : watch_stop(watch, err);
    if (!error) {
        move_put_times(row, &times);
        error = watch_put_move(watch, &times, row, err);
    }
    json_object_put_string(row, "result", error ? "unknown" : "completed");
    watch_destroy(watch);
    return error;
}

int
handover_run_moves(struct handover *h, const struct handover_row *row,
                   unsigned int runs, struct err *err)
{
    struct move_limits limits = { 0 };
    unsigned int failures = 0;

    int error = handover_need_l2(h, err);
    for (unsigned int i = 1; i <= runs && !error; i++) {
        bool completed;

        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (i - 1) / runs);
        error = handover_measure(h, row->name, SCHEME_OURS, i, &limits,
                                 &completed, err);
        error = error ? error : handover_count_failures(completed, &failures,
                                                        err);
        error = error ? error : measure_l2(h, row->name, i, &limits, err);
    }
    return error;
}

int
handover_run_l2(struct handover *h, const struct handover_row *row,
                unsigned int runs, struct err *err)
{
    struct move_limits limits = { 0 };

    int error = handover_need_l2(h, err);
    for (unsigned int i = 1; i <= runs && !error; i++) {
        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (i - 1) / runs);
        error = measure_l2(h, row->name, i, &limits, err);
    }
    return error;
}

/* How fast the copy was: what was sent, by the time of its phase. */
static void
put_copy_rate(struct json *row)
{
    const struct json *phases = json_get(row, "phases");
    double bytes = json_get_number(row, "bytes", 0);

    for (size_t i = 0; i < json_length(phases); i++) {
        const struct json *phase = json_at(phases, i);
        const char *name = json_get_string(phase, "name");
        double ms = json_get_number(phase, "ms", 0);

        if (name && !strcmp(name, "move") && ms > 0) {
            document_put_number(row, "copy_mb_per_s",
                                bytes / (1 << 20) / (ms / 1000));
        }
    }
}

int
handover_run_dirty(struct handover *h, const struct handover_row *row,
                   unsigned int runs, struct err *err)
{
    struct move_limits limits = { .bandwidth = DIRTY_BANDWIDTH };
    unsigned int failures = 0;
    struct watch_place place;

    handover_arena_place(h, row->name, SCHEME_OURS, 0, &place);
    int error = guest_load(&place.guest, DIRTY_LOAD, DIRTY_MEGABYTES, err);
    for (unsigned int i = 1; i <= runs && !error; i++) {
        bool completed;

        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (i - 1) / runs);
        error = handover_measure(h, row->name, SCHEME_OURS, i, &limits,
                                 &completed, err);

        struct json *json = CONST_CAST(struct json *, json_at(
            h->document->rows, json_length(h->document->rows) - 1));
        document_put_number(json, "limit_mb_per_s", DIRTY_BANDWIDTH >> 20);
        document_put_number(json, "load_mb_per_s", DIRTY_LOAD >> 20);
        put_copy_rate(json);
        error = error ? error : handover_count_failures(completed, &failures,
                                                        err);
    }

    struct err ignored;
    int end = guest_load(&place.guest, 0, 0, error ? &ignored : err);
    return error ? error : end;
}
