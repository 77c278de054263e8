#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/handover-private.h"
#include "bench/interrupt.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* So slow that there is time to interfere. */
#define SLOW_BANDWIDTH (UINT64_C(4) << 20)
#define COPY_MS 1000            /* How long the copy goes on before that. */
#define RESTARTED_MS 2000       /* How long a restarted part is watched. */

/* What goes wrong during the copy to 'to'. */
typedef int fault_func(struct arena *, const char *to, const char *id,
                       struct err *);

static int
cancel(struct arena *arena, const char *to, const char *id, struct err *err)
{
    return arena_cancel_move(arena, id, err);
}

static int
kill_destination(struct arena *arena, const char *to, const char *id,
                 struct err *err)
{
    return arena_kill_qemu(arena, 0, to, err);
}

/* Begins a move, interferes, and puts what came of it into 'row'. */
static int
spoil_move(struct handover *h, fault_func *fault, struct json *row,
           struct err *err)
{
    struct move_limits limits = { .bandwidth = SLOW_BANDWIDTH };
    struct json *migration = NULL;
    struct move_times times;
    size_t from, where;
    char *id = NULL;
    bool completed;

    int error = arena_where(h->arena, 0, &from, err);
    if (error) {
        return error;
    }
    const char *to = arena_hosts[!from];
    json_object_put_string(row, "from", arena_hosts[from]);
    json_object_put_string(row, "to", to);
    error = arena_begin_move(h->arena, 0, to, &limits, &id, err);
    error = error ? error : arena_wait_copy(h->arena, id, err);
    error = error ? error : interrupt_sleep(COPY_MS, err);
    error = error ? error : fault(h->arena, to, id, err);
    error = error ? error : arena_wait_move(h->arena, id, &migration, err);
    error = error ? error : handover_put_migration(migration, row, &times,
                                                   &completed, err);
    error = error ? error : arena_where(h->arena, 0, &where, err);
    if (!error) {
        const char *result = json_get_string(migration, "result");

        json_object_put(row, "rolled_back", json_integer_create(
            !strcmp(result, "rolled-back") && where == from));
    }
    json_destroy(migration);
    free(id);
    return error;
}

static int
run_fault(struct handover *h, const struct handover_row *row,
          unsigned int runs, fault_func *fault, struct err *err)
{
    struct watch_place place;
    int error = 0;

    for (unsigned int i = 1; i <= runs && !error; i++) {
        handover_arena_place(h, row->name, SCHEME_OURS, i, &place);
        struct json *json = handover_add_row(h, row->name, SCHEME_OURS, i);
        struct watch *watch = NULL;

        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (i - 1) / runs);
        error = watch_start(&place, &watch, err);
        error = error ? error : spoil_move(h, fault, json, err);
        error = error ? error : watch_stop(watch, err);
        error = error ? error : watch_put_all(watch, json, err);
        watch_destroy(watch);
    }
    return error;
}

int
handover_run_cancel(struct handover *h, const struct handover_row *row,
                    unsigned int runs, struct err *err)
{
    return run_fault(h, row, runs, cancel, err);
}

int
handover_run_kill(struct handover *h, const struct handover_row *row,
                  unsigned int runs, struct err *err)
{
    return run_fault(h, row, runs, kill_destination, err);
}

static int
restart_part(struct handover *h, const struct handover_row *row,
             const char *node, const char *part, unsigned int run,
             struct err *err)
{
    struct json *json = handover_add_row(h, row->name, SCHEME_OURS, run);
    struct watch_place place;
    struct watch *watch = NULL;

    handover_arena_place(h, node, SCHEME_OURS, run, &place);
    json_object_put_string(json, "node", node);
    json_object_put_string(json, "part", part);
    progress_step(h->progress, "%s: %s of %s", row->name, part, node);
    int error = watch_start(&place, &watch, err);
    error = error ? error : arena_restart(h->arena, node, part, err);
    error = error ? error : interrupt_sleep(RESTARTED_MS, err);
    error = error ? error : watch_stop(watch, err);
    error = error ? error : watch_put_all(watch, json, err);
    watch_destroy(watch);
    return error;
}

int
handover_run_restart(struct handover *h, const struct handover_row *row,
                     unsigned int runs, struct err *err)
{
    static const struct {
        const char *node, *part;
    } parts[] = {
        { "t1", "agent" }, { "o1", "agent" }, { "n1", "agent" },
        { "manager", "manager" }, { "store", "store" },
    };
    int error = 0;

    for (unsigned int i = 1; i <= runs && !error; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(parts) && !error; j++) {
            error = restart_part(h, row, parts[j].node, parts[j].part, i,
                                 err);
        }
    }
    return error;
}
