#include <config.h>
#include "bench/walk-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/prober.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/analysis.h"
#include "util.h"

/* What is younger may still be under way when everything ends. */
#define UNDER_WAY_NS INT64_C(10000000000)

enum { UDP, USED, IDLE, N_TALKS };

static const struct {
    const char *name;
    enum prober_kind kind;
    unsigned int interval_ms;
} talks[N_TALKS] = {
    [UDP] = { "udp", PROBER_UDP, 5 },
    [USED] = { "tcp", PROBER_IDLE, 20 },
    [IDLE] = { "idle", PROBER_IDLE, 5000 },
};

struct walk_talk {
    const struct arena *arena;
    char folder[64];
    struct prober *probers[WALK_N_VMS][N_TALKS];
};

static int
start(struct walk_talk *t, size_t vm, size_t talk, struct err *err)
{
    char *name = xasprintf("%s-%s", arena_vms[vm], talks[talk].name);
    struct prober_spec spec = {
        .name = name,
        .netns = arena_netns(t->arena, arena_correspondents[vm]),
        .kind = talks[talk].kind,
        .address = arena_vm_addresses[vm],
        .interval_ms = talks[talk].interval_ms,
    };
    int error = prober_start(&spec, 1, t->folder, &t->probers[vm][talk],
                             err);

    free(name);
    return error;
}

int
walk_talk_start(const struct arena *arena, const char *folder,
                struct walk_talk **talkp, struct err *err)
{
    struct walk_talk *t = xzalloc(sizeof *t);
    int error = 0;

    t->arena = arena;
    ovs_strlcpy(t->folder, folder, sizeof t->folder);
    for (size_t i = 0; i < WALK_N_VMS * N_TALKS && !error; i++) {
        error = start(t, i / N_TALKS, i % N_TALKS, err);
    }
    if (error) {
        walk_talk_destroy(t);
        return error;
    }
    *talkp = t;
    return 0;
}

void
walk_talk_destroy(struct walk_talk *t)
{
    if (t) {
        for (size_t i = 0; i < WALK_N_VMS * N_TALKS; i++) {
            prober_destroy(t->probers[i / N_TALKS][i % N_TALKS]);
        }
        free(t);
    }
}

/* Why a connection has ended. */
static void
explain(struct prober *prober, char why[256])
{
    struct err err = ERR_INIT;

    if (prober_stop(prober, &err)) {
        ovs_strlcpy(why, err.text, 256);
    } else {
        const struct record *record = prober_record(prober, 0);

        snprintf(why, 256, "after %zu messages and %zu answers: %s",
                 record->n_sent, record->n_answers,
                 record->broken_errno ? ovs_strerror(record->broken_errno)
                 : "closed by the guest");
    }
}

unsigned int
walk_talk_check(struct walk_talk *t, char why[256])
{
    unsigned int n = 0;

    for (size_t i = 0; i < WALK_N_VMS * N_TALKS; i++) {
        size_t vm = i / N_TALKS, talk = i % N_TALKS;
        struct prober **prober = &t->probers[vm][talk];
        char reason[256];

        if (*prober && !prober_is_alive(*prober, 0)) {
            explain(*prober, reason);
            snprintf(why, 256, "%s of %s: %.200s", talks[talk].name,
                     arena_vms[vm], reason);
            prober_destroy(*prober);
            *prober = NULL;
            n++;
        }
        if (!*prober) {
            start(t, vm, talk, NULL);
        }
    }
    return n;
}

void
walk_talk_stop(struct walk_talk *t)
{
    for (size_t i = 0; i < WALK_N_VMS * N_TALKS; i++) {
        struct prober **prober = &t->probers[i / N_TALKS][i % N_TALKS];

        if (*prober && prober_stop(*prober, NULL)) {
            prober_destroy(*prober);
            *prober = NULL;
        }
    }
}

int
walk_talk_put(const struct walk_talk *t, int64_t from, int64_t to,
              struct json *row, struct err *err)
{
    struct analysis_probes sum = { 0 };
    int error = 0;

    for (size_t i = 0; i < WALK_N_VMS && !error; i++) {
        const struct prober *prober = t->probers[i][UDP];
        struct analysis_probes a = { 0 };

        error = prober ? analysis_probes(prober_record(prober, 0), from, to,
                                         &a, err) : 0;
        sum.sent += a.sent;
        sum.lost += a.lost;
        sum.duplicated += a.duplicated;
        sum.reordered += a.reordered;
        sum.gap = MAX(sum.gap, a.gap);
    }
    if (!error) {
        json_object_put(row, "sent", json_integer_create(sum.sent));
        json_object_put(row, "lost", json_integer_create(sum.lost));
        json_object_put(row, "duplicated",
                        json_integer_create(sum.duplicated));
        json_object_put(row, "reordered",
                        json_integer_create(sum.reordered));
        document_put_number(row, "gap_ms", sum.gap / 1e6);
    }
    return error;
}

/* Is what was said on a connection answered, all of it and in order? */
static bool
is_silent(const struct record *record)
{
    size_t n = record->n_sent;

    while (n && record->sent[n - 1]
           > record->sent[record->n_sent - 1] - UNDER_WAY_NS) {
        n--;
    }
    return record->n_answers < n;
}

unsigned int
walk_talk_count_silent(const struct walk_talk *t)
{
    unsigned int n = 0;

    for (size_t i = 0; i < WALK_N_VMS; i++) {
        for (size_t talk = USED; talk < N_TALKS; talk++) {
            const struct prober *prober = t->probers[i][talk];

            n += !prober || is_silent(prober_record(prober, 0));
        }
    }
    return n;
}
