#include <config.h>
#include "bench/watch.h"

#include <stdlib.h>

#include "bench/document.h"
#include "bench/interrupt.h"
#include "openvswitch/json.h"
#include "probe/analysis.h"
#include "util.h"

/* Before: neighbours are found, flows are in their caches.  After: the
 * window's end must have been seen. */
#define SETTLE_MS 700
#define LINGER_MS 800

struct watch {
    struct watch_place place;
    struct prober *prober;
    struct guest_report outward;
};

int
watch_start(const struct watch_place *place, struct watch **watchp,
            struct err *err)
{
    struct watch *w = xzalloc(sizeof *w);

    w->place = *place;
    int error = prober_start(place->correspondents, WATCH_CORRESPONDENTS,
                             place->folder, &w->prober, err);
    error = error ? error : guest_probe(&place->guest, place->echo, err);
    error = error ? error : interrupt_sleep(SETTLE_MS, err);
    if (error) {
        watch_destroy(w);
        return error;
    }
    *watchp = w;
    return 0;
}

int
watch_stop(struct watch *w, struct err *err)
{
    int error = interrupt_sleep(LINGER_MS, err);

    error = error ? error : prober_stop(w->prober, err);
    return error ? error : guest_probe_end(&w->place.guest, w->place.echo,
                                           &w->outward, err);
}

void
watch_destroy(struct watch *w)
{
    if (w) {
        prober_destroy(w->prober);
        free(w);
    }
}

static void
put_count(struct json *row, const char *name, uint64_t n)
{
    json_object_put(row, name, json_integer_create(n));
}

static void
put_outward(const struct watch *w, struct json *row)
{
    put_count(row, "outward_sent", w->outward.sent);
    put_count(row, "outward_lost", w->outward.lost);
    put_count(row, "outward_duplicated", w->outward.duplicated);
    put_count(row, "outward_reordered", w->outward.reordered);
}

int
watch_put_move(const struct watch *w, const struct move_times *times,
               struct json *row, struct err *err)
{
    struct json *each = json_array_create_empty();
    struct move_figures sum = { 0 };
    int error = 0;

    for (size_t i = 0; i < WATCH_CORRESPONDENTS && !error; i++) {
        const char *name = w->place.correspondents[i].name;
        struct move_figures figures;

        error = move_analyse(prober_record(w->prober, i), times, &figures,
                             err);
        if (!error) {
            struct json *object = json_object_create();

            json_object_put_string(object, "name", name);
            move_put(object, &figures);
            json_array_add(each, object);
            move_merge(&sum, &figures);
        } else {
            err_add(err, error, "%s", name);
        }
    }
    if (error) {
        json_destroy(each);
        return error;
    }
    move_put(row, &sum);
    put_outward(w, row);
    put_count(row, "stopped_ns", times->stopped);
    put_count(row, "resumed_ns", times->resumed);
    json_object_put(row, "correspondents", each);
    return 0;
}

int
watch_put_all(const struct watch *w, struct json *row, struct err *err)
{
    struct analysis_probes sum = { 0 };

    for (size_t i = 0; i < WATCH_CORRESPONDENTS; i++) {
        struct analysis_probes a;
        int error = analysis_probes(prober_record(w->prober, i), 0,
                                    INT64_MAX, &a, err);
        if (error) {
            return error;
        }
        sum.sent += a.sent;
        sum.lost += a.lost;
        sum.duplicated += a.duplicated;
        sum.reordered += a.reordered;
        sum.gap = a.gap > sum.gap ? a.gap : sum.gap;
    }
    put_count(row, "sent", sum.sent);
    put_count(row, "lost", sum.lost);
    put_count(row, "duplicated", sum.duplicated);
    put_count(row, "reordered", sum.reordered);
    document_put_number(row, "gap_ms", sum.gap / 1e6);
    put_outward(w, row);
    return 0;
}
