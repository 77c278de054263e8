#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "bench/handover-private.h"
#include "bench/interrupt.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/analysis.h"
#include "util.h"

/* What an emulated guest can send without straining. */
#define DOWNLOAD_RATE (2 << 20) /* Bytes a second. */
#define SETTLE_MS 1000

enum { DOWNLOAD, IDLE, N_STREAMS };

struct tcp_move {
    struct json *row;           /* In the document. */
    struct move_times times;
    bool completed;
};

static int
start(struct handover *h, struct prober **prober, struct err *err)
{
    const char *netns = arena_netns(h->arena,
                                    arena_correspondents[ARENA_THIRD]);
    const struct prober_spec specs[N_STREAMS] = {
        [DOWNLOAD] = { "tcp-download", netns, PROBER_DOWNLOAD,
                       ARENA_VM_ADDRESS, DOWNLOAD_RATE },
        [IDLE] = { "tcp-idle", netns, PROBER_IDLE, ARENA_VM_ADDRESS, 0 },
    };

    return prober_start(specs, N_STREAMS, h->folder, prober, err);
}

/* Puts what both connections saw of a move, and returns how many segments
 * were repeated in its window. */
static uint64_t
put_move(const struct prober *prober, struct tcp_move *move)
{
    int64_t from = move->times.stopped - MOVE_BEFORE_NS;
    int64_t to = move->times.resumed + MOVE_AFTER_NS;
    const struct record *idle = prober_record(prober, IDLE);
    struct analysis_download download;
    struct analysis_probes probes;

    analysis_download(prober_record(prober, DOWNLOAD), from, to, &download);
    document_put_number(move->row, "stall_ms", download.stall / 1e6);
    json_object_put(move->row, "retransmitted",
                    json_integer_create(download.retrans));
    json_object_put(move->row, "out_of_order",
                    json_integer_create(download.out_of_order));
    if (!analysis_probes(idle, from, to, &probes, NULL)) {
        document_put_number(move->row, "idle_rtt_max_ms",
                            probes.rtt_max / 1e6);
    }
    bool reset = download.broken
                 || (idle->broken_at && idle->broken_at < to);
    json_object_put(move->row, "resets", json_integer_create(reset));
    return download.retrans;
}

/* One more row: both connections from their beginning to their end. */
static int
put_whole(struct handover *h, const char *name, const struct prober *prober,
          uint64_t in_windows, struct err *err)
{
    struct json *row = handover_add_row(h, name, "whole", 1);
    const struct record *download = prober_record(prober, DOWNLOAD);
    const struct record *idle = prober_record(prober, IDLE);
    struct analysis_download a;
    struct analysis_probes probes;

    int error = analysis_probes(idle, 0, INT64_MAX, &probes, err);
    if (error) {
        return error;
    }
    analysis_download(download, 0, INT64_MAX, &a);
    document_put_number(row, "rtt_ms", probes.rtt_p50 / 1e6);
    json_object_put(row, "bytes", json_integer_create(a.bytes));
    json_object_put(row, "retransmitted", json_integer_create(a.retrans));
    json_object_put(row, "retransmitted_outside",
                    json_integer_create(a.retrans - in_windows));
    document_put_number(row, "stall_ms", a.stall / 1e6);
    json_object_put(row, "resets", json_integer_create(
        (download->broken_at != 0) + (idle->broken_at != 0)));
    return 0;
}

int
handover_run_tcp(struct handover *h, const struct handover_row *row,
                 unsigned int runs, struct err *err)
{
    struct tcp_move *moves = xcalloc(runs, sizeof *moves);
    struct move_limits limits = { 0 };
    struct prober *prober = NULL;
    unsigned int n = 0;

    int error = start(h, &prober, err);
    while (n < runs && !error) {
        struct tcp_move *move = &moves[n++];

        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (n - 1) / runs);
        move->row = handover_add_row(h, row->name, SCHEME_OURS, n);
        error = interrupt_sleep(SETTLE_MS, err);
        error = error ? error : handover_move(h, &limits, move->row,
                                              &move->times,
                                              &move->completed, err);
    }
    error = error ? error : interrupt_sleep(SETTLE_MS, err);
    error = error ? error : prober_stop(prober, err);

    uint64_t in_windows = 0;
    for (unsigned int i = 0; i < n && !error; i++) {
        if (moves[i].completed) {
            in_windows += put_move(prober, &moves[i]);
        }
    }
    error = error ? error : put_whole(h, row->name, prober, in_windows, err);
    prober_destroy(prober);
    free(moves);
    return error;
}
