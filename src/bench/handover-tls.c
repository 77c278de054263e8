#include <config.h>

#include "bench/handover-private.h"
#include "openvswitch/util.h"
#include "util.h"

/* Each pair of moves begins with the other of the two labs. */
static int
measure_pair(struct handover *without, struct handover *tls, const char *row,
             unsigned int run, unsigned int *failures, struct err *err)
{
    struct move_limits limits = { 0 };
    int error = 0;

    for (unsigned int i = 0; i < 2 && !error; i++) {
        bool with_tls = (run + i) % 2, completed;

        error = handover_measure(with_tls ? tls : without, row,
                                 with_tls ? SCHEME_OURS : SCHEME_NO_TLS, run,
                                 &limits, &completed, err);
        error = error ? error : handover_count_failures(completed, failures,
                                                        err);
    }
    return error;
}

int
handover_run_tls(struct handover *h, const struct handover_row *row,
                 unsigned int runs, struct err *err)
{
    struct handover tls = {
        .options = h->options, .document = h->document,
        .progress = h->progress, .folder = h->folder,
    };
    unsigned int failures = 0;

    handover_end_l2(h);         /* Its guest would be a third one. */
    int error = handover_bring_up(&tls, row, true, err);
    for (unsigned int i = 1; i <= runs && !error; i++) {
        progress_step(h->progress, "%s: %s", row->name, row->text);
        progress_bar(h->progress, (double) (i - 1) / runs);
        error = measure_pair(h, &tls, row->name, i, &failures, err);
    }
    handover_take_down(&tls, false);
    return error;
}
