#include "probe/analysis.h"

#include <errno.h>
#include <stdlib.h>

/* Keeps the longest gap. */
struct longest {
    int64_t last;               /* The gap under way began here. */
    int64_t gap, from;
};

static void
longest_event(struct longest *longest, int64_t t)
{
    if (t - longest->last > longest->gap) {
        longest->gap = t - longest->last;
        longest->from = longest->last;
    }
    longest->last = t;
}

static int64_t
max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t
min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int
compare(const void *a_, const void *b_)
{
    const int64_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Returns the first request that left at 't' or later. */
static size_t
first_sent_at(const struct record *record, int64_t t)
{
    size_t low = 0, high = record->n_sent;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (record->sent[middle] < t) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
find_gap(const struct record *record, int64_t t0, int64_t t1,
         struct analysis_probes *a)
{
    if (!record->n_sent) {
        return;
    }
    t0 = max(t0, record->sent[0]);
    t1 = min(t1, record->sent[record->n_sent - 1]);
    if (t0 >= t1) {
        return;
    }

    struct longest longest = { .last = t0, .from = t0 };
    for (size_t i = 0; i < record->n_answers; i++) {
        int64_t rx = record->answers[i].rx;

        if (rx > t0 && rx < t1) {
            longest_event(&longest, rx);
        }
    }
    longest_event(&longest, t1);
    a->gap = longest.gap;
    a->gap_from = longest.from;
}

static void
find_lost(const struct record *record, size_t from, size_t to,
          const int64_t *rtt, struct analysis_probes *a)
{
    for (size_t i = from; i < to; i++) {
        if (rtt[i - from] < 0) {
            a->first_lost = a->lost++ ? a->first_lost : record->sent[i];
            a->last_lost = record->sent[i];
        }
    }
}

/* Sorts the round trip times; the lost ones, negative, come first. */
static void
find_percentiles(int64_t *rtt, struct analysis_probes *a)
{
    if (a->answered) {
        int64_t *answered = rtt + a->lost;
        uint64_t last = a->answered - 1;

        qsort(rtt, a->sent, sizeof *rtt, compare);
        a->rtt_min = answered[0];
        a->rtt_p50 = answered[(uint64_t) (.5 * last + .5)];
        a->rtt_p99 = answered[(uint64_t) (.99 * last + .5)];
        a->rtt_max = answered[last];
    }
}

int
analysis_probes(const struct record *record, int64_t t0, int64_t t1,
                struct analysis_probes *result, struct err *err)
{
    struct analysis_probes a = { 0 };
    size_t from = first_sent_at(record, t0), to = first_sent_at(record, t1);

    to = to > from ? to : from;
    int64_t *rtt = malloc((to - from + 1) * sizeof *rtt);
    if (!rtt) {
        return err_set(err, ENOMEM, "no memory for %zu probes", to - from);
    }
    for (size_t i = from; i < to; i++) {
        rtt[i - from] = -1;
    }

    a.sent = to - from;
    uint64_t next = 0;          /* One more than the highest answered. */
    for (size_t i = 0; i < record->n_answers; i++) {
        const struct record_answer *answer = &record->answers[i];
        bool early = answer->seq >= next;

        next = early ? answer->seq + 1 : next;
        if (answer->seq < from || answer->seq >= to) {
            continue;
        }

        int64_t *slot = &rtt[answer->seq - from];
        if (*slot >= 0) {
            a.duplicated++;
        } else {
            *slot = max(answer->rx - record->sent[answer->seq], 0);
            a.answered++;
            a.reordered += !early;
        }
    }
    find_lost(record, from, to, rtt, &a);
    find_percentiles(rtt, &a);
    find_gap(record, t0, t1, &a);
    free(rtt);
    *result = a;
    return 0;
}

bool
analysis_first_answered(const struct record *record, int64_t t,
                        struct analysis_first *first)
{
    size_t from = first_sent_at(record, t);
    const struct record_answer *best = NULL;

    for (size_t i = 0; i < record->n_answers; i++) {
        const struct record_answer *answer = &record->answers[i];

        if (answer->seq >= from && (!best || answer->seq < best->seq)) {
            best = answer;
        }
    }
    if (best) {
        first->seq = best->seq;
        first->tx = record->sent[best->seq];
        first->rx = best->rx;
    }
    return best != NULL;
}

void
analysis_download(const struct record *record, int64_t t0, int64_t t1,
                  struct analysis_download *result)
{
    struct analysis_download a = { 0 };
    const struct record_sample *before = NULL, *last = NULL;
    struct longest longest = { .last = t0, .from = t0 };

    a.broken = record->broken_at && record->broken_at < t1;
    for (size_t i = 0; i < record->n_samples; i++) {
        const struct record_sample *sample = &record->samples[i];

        if (sample->t >= t1) {
            break;
        }
        if (sample->t < t0 || !before) {
            before = last = sample;
            longest.last = longest.from = max(t0, sample->t);
            continue;
        }
        if (sample->bytes > last->bytes) {
            longest_event(&longest, sample->t);
        }
        last = sample;
    }
    if (before) {
        /* A connection that broke never goes on. */
        longest_event(&longest, a.broken ? t1 : max(last->t, longest.last));
        a.bytes = last->bytes - before->bytes;
        a.retrans = last->retrans - before->retrans;
        a.out_of_order = last->out_of_order - before->out_of_order;
        a.stall = longest.gap;
        a.stall_from = longest.from;
    }
    *result = a;
}
