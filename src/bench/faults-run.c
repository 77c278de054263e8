#include <config.h>
#include "bench/faults-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/arena.h"
#include "bench/copies.h"
#include "bench/harm.h"
#include "bench/interrupt.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "util.h"

/* Of the copy, so that it takes FAULTS_COPY_MS at least. */
#define BANDWIDTH (UINT64_C(32) << 20)

/* At that bandwidth, what probes dirty is never sent in the usual 5 ms. */
#define DOWNTIME_MS 30

#define POLL_MS 5
#define LOOK_MS 100             /* Between questions to the manager. */
#define HELD_TIMEOUT_MS 60000
#define END_TIMEOUT_MS 90000    /* An answer to a grant may take 30 s. */
#define COPIES_TIMEOUT_MS 20000
#define GUEST_TIMEOUT_MS 60000  /* To boot. */

static double
ms_since(int64_t then)
{
    return (clock_now() - then) / 1e6;
}

/* Has the migration ended?  A manager that does not answer does not know. */
static bool
has_ended(struct arena *arena, const char *id, struct json **migration)
{
    struct json *now;

    if (arena_look(arena, id, &now, NULL)) {
        return false;
    }
    if (!json_get_string(now, "result")) {
        json_destroy(now);
        return false;
    }
    *migration = now;
    return true;
}

static int
wait_held(const struct faults_move *m, const char *point, struct err *err)
{
    const char *host = arena_hosts[m->source];
    struct json *migration = NULL;
    bool held = false;
    int error = 0;

    for (int i = 0; !held && !error; i++) {
        error = harm_is_held(m->arena, host, point, &held, err);
        if (error || held) {
            break;
        }
        if (!(i % (LOOK_MS / POLL_MS))
            && has_ended(m->arena, m->id, &migration)) {
            const char *why = json_get_string(migration, "error");

            error = err_set(err, EIO, "the move ended before it came to "
                            "\"%s\": %s", point, why ? why : "without error");
            json_destroy(migration);
        } else if (i >= HELD_TIMEOUT_MS / POLL_MS) {
            error = err_set(err, ETIMEDOUT, "the move did not come to \"%s\"",
                            point);
        } else {
            error = interrupt_sleep(POLL_MS, err);
        }
    }
    return error;
}

static int
wait_end(const struct faults_move *m, struct json **migration,
         struct err *err)
{
    for (int ms = 0; ms < END_TIMEOUT_MS; ms += LOOK_MS) {
        if (has_ended(m->arena, m->id, migration)) {
            return 0;
        }
        int error = interrupt_sleep(LOOK_MS, err);
        if (error) {
            return error;
        }
    }
    return err_set(err, ETIMEDOUT, "the move did not end in %d s",
                   END_TIMEOUT_MS / 1000);
}

/* Waits until there is one QEMU, which runs, or, for a guest that has died,
 * none.  What there is at last is in 'copies' in any case. */
static int
wait_copies(const struct faults_move *m, bool died, struct copies *copies,
            struct err *err)
{
    for (int ms = 0; ms < COPIES_TIMEOUT_MS; ms += LOOK_MS) {
        int error = copies_ask(m->arena, 0, copies, err);

        if (!error && copies->n_running > 1) {
            return err_set(err, EIO, "several copies of "ARENA_VM" run");
        }
        if (error || (copies->n == 1 && copies->n_running == 1)
            || (died && !copies->n)) {
            return error;
        }
        error = interrupt_sleep(LOOK_MS, err);
        if (error) {
            return error;
        }
    }
    return err_set(err, ETIMEDOUT, "%zu of %zu QEMUs of "ARENA_VM" run",
                   copies->n_running, copies->n);
}

/* Brings a guest to life again that has died with its QEMU. */
static int
revive(const struct faults_move *m, const struct guest_place *place,
       struct copies *copies, struct err *err)
{
    int error = arena_start_vm(m->arena, err);

    error = error ? error : wait_copies(m, false, copies, err);
    for (int ms = 0; !error && guest_load(place, 0, 0, err); ms += LOOK_MS) {
        error = ms < GUEST_TIMEOUT_MS ? interrupt_sleep(LOOK_MS, err)
                : err_set(err, ETIMEDOUT, ARENA_VM" does not answer after "
                          "it was started again");
    }
    return error;
}

/* From a request to its end. */
static int
spoil_move(const struct faults_row *row, struct faults_move *m,
           struct json *json, struct json **migration, struct err *err)
{
    struct move_limits limits = {
        .bandwidth = BANDWIDTH, .downtime_ms = DOWNTIME_MS,
    };
    const char *host = arena_hosts[m->source];
    const struct faults_kind *kind = row->kind;
    int64_t began = clock_now();
    char *id = NULL;

    int error = harm_hold(m->arena, host, row->point, err);
    error = error ? error : arena_begin_move(
        m->arena, 0, arena_hosts[m->destination], &limits, &id, err);
    m->id = id;
    error = error ? error : wait_held(m, row->point, err);
    if (!error) {
        document_put_number(json, "held_ms", ms_since(began));
    }
    error = error ? error : kind->harm(m, err);
    if (!error && !kind->ends_holder) {
        error = harm_release(m->arena, host, err);
    }
    if (!error && kind->heal) {
        error = interrupt_sleep(kind->heal_ms, err);
        error = error ? error : kind->heal(m, err);
    }
    error = error ? error : wait_end(m, migration, err);
    if (!error) {
        document_put_number(json, "end_ms", ms_since(began));
    }
    m->id = NULL;
    free(id);
    return error;
}

static void
put_migration(const struct json *migration, struct json *json)
{
    static const char *const figures[] = {
        "total_ms", "blackout_ms", "bytes", "relayed_packets",
        "held_packets", "fences", "fences_missed",
    };
    const char *error = json_get_string(migration, "error");
    const struct json *phases = json_get(migration, "phases");

    json_object_put_string(json, "result",
                           json_get_string(migration, "result"));
    if (error) {
        json_object_put_string(json, "error", error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        if (json_get(migration, figures[i])) {
            document_put_number(json, figures[i],
                                json_get_number(migration, figures[i], 0));
        }
    }
    if (phases) {
        json_object_put(json, "phases", json_deep_clone(phases));
    }
}

/* Was this a way in which such a move may end? */
static bool
ended_well(const struct faults_row *row, const struct json *migration)
{
    const char *result = json_get_string(migration, "result");

    return !strcmp(result, "rolled-back")
           || (!row->kind->rolls_back && !strcmp(result, "completed"));
}

/* Does it run where the migration's end says? */
static bool
is_where_it_says(const struct faults_move *m, const struct json *migration,
                 const struct copies *copies)
{
    bool completed = !strcmp(json_get_string(migration, "result"),
                             "completed");

    return copies->n_running == 1
           && copies->runs[completed ? m->destination : m->source];
}

static int
look_at_end(const struct faults_row *row, const struct faults_move *m,
            const struct json *migration, const struct guest_place *place,
            struct json *json, struct err *err)
{
    struct copies copies = { .n = 0 };

    put_migration(migration, json);
    json_object_put(json, "ended_well", json_integer_create(
        ended_well(row, migration)));
    int error = wait_copies(m, faults_ends_guest(row), &copies, err);
    if (!error && !copies.n) {
        json_object_put(json, "revived", json_integer_create(1));
        error = revive(m, place, &copies, err);
    }
    json_object_put(json, "running", json_integer_create(copies.n_running));
    json_object_put(json, "one_copy", json_integer_create(
        is_where_it_says(m, migration, &copies)));
    return error;
}

/* After a run that failed halfway: who runs is asked in any case. */
static void
put_copies(const struct arena *arena, struct json *json)
{
    struct copies copies;

    if (!json_get(json, "running") && !copies_ask(arena, 0, &copies, NULL)) {
        json_object_put(json, "running",
                        json_integer_create(copies.n_running));
    }
}

int
faults_run_once(struct arena *arena, const struct faults_row *row,
                unsigned int run, const char *folder, struct json *json,
                struct err *err)
{
    struct faults_move m = { .arena = arena, .run = run };
    struct json *migration = NULL;
    struct watch *watch = NULL;
    struct watch_place place;
    uint64_t before, after;

    arena_put_place(arena, folder, &place);
    int error = arena_where(arena, 0, &m.source, err);
    m.destination = !m.source;
    error = error ? error : arena_count_drops(arena, &before, err);
    error = error ? error : watch_start(&place, &watch, err);
    if (error) {
        return error;
    }
    json_object_put_string(json, "from", arena_hosts[m.source]);
    json_object_put_string(json, "to", arena_hosts[m.destination]);
    error = spoil_move(row, &m, json, &migration, err);
    error = error ? error : look_at_end(row, &m, migration, &place.guest,
                                        json, err);
    if (!error) {
        error = watch_stop(watch, err);
        /* A guest that was started again knows nothing of its probes. */
        error = faults_ends_guest(row) && error != EINTR ? 0 : error;
    }
    error = error ? error : watch_put_all(watch, json, err);
    error = error ? error : arena_count_drops(arena, &after, err);
    if (!error) {
        json_object_put(json, "switch_drops", json_integer_create(
            after > before ? after - before : 0));
    }
    put_copies(arena, json);
    watch_destroy(watch);
    json_destroy(migration);
    return error;
}
