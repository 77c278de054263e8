#include <config.h>
#include "bench/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/process.h"
#include "bench/interrupt.h"
#include "bench/machine-info.h"
#include "bench/walk-private.h"
#include "lab/state.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "random.h"
#include "svec.h"
#include "util.h"

#define LAB "bench-walk"
#define MEMORY_MIB 128
#define ROUNDS 100
#define QUICK_ROUNDS 3
#define SETTLE_MS 1000          /* Between rounds. */
#define LINGER_MS 3000          /* For the last answers. */

#define EVIDENCE "/var/tmp/watari-walk"
#define COPY_TIMEOUT_MS 30000

/* A round whose probes are counted at the end of its lab. */
struct walked {
    struct json *row;           /* In the document. */
    int64_t from, to;
};

struct walk {
    const struct bench_options *options;
    struct document *document;
    struct progress *progress;
    uint64_t seed;
    struct walk_place place;    /* No arena: none is up. */
    struct walk_talk *talk;
    struct walked *walked;      /* In this lab. */
    size_t n_walked, allocated_walked;
};

const char *
walk_row_name(size_t i)
{
    return i ? NULL : "walk";
}

static int
begin_place(struct walk *w, struct err *err)
{
    struct arena_config config = {
        .lab = LAB, .folder = BENCH_FOLDER, .memory_mib = MEMORY_MIB,
        .n_vms = WALK_N_VMS, .test_faults = true, .progress = w->progress,
    };
    struct walk_place *p = &w->place;

    if (p->arena) {
        return 0;
    }
    int error = arena_create(&config, &p->arena, err);
    if (error) {
        return error;
    }
    json_object_put_string(w->document->machine, "accelerator",
                           arena_has_kvm(p->arena) ? "kvm" : "tcg");
    error = supervisor_create(LAB, &p->supervisor, err);
    error = error ? error : sampler_create(p->arena, WALK_N_VMS, &p->sampler,
                                           err);
    return error ? error : walk_talk_start(p->arena, BENCH_FOLDER, &w->talk,
                                           err);
}

/* Counts what the probes of all rounds in this lab have seen. */
static int
count_probes(struct walk *w, struct err *err)
{
    int error = interrupt_sleep(LINGER_MS, err);

    if (!error) {
        walk_talk_stop(w->talk);
    }
    for (size_t i = 0; i < w->n_walked && !error; i++) {
        error = walk_talk_put(w->talk, w->walked[i].from, w->walked[i].to,
                              w->walked[i].row, err);
    }
    if (!error && w->n_walked) {
        json_object_put(w->walked[w->n_walked - 1].row, "tcp_silent",
                        json_integer_create(
                            walk_talk_count_silent(w->talk)));
    }
    return error;
}

static int
end_place(struct walk *w, bool keep, struct err *err)
{
    int error = w->talk ? count_probes(w, err) : 0;

    walk_talk_destroy(w->talk);
    sampler_destroy(w->place.sampler);
    supervisor_destroy(w->place.supervisor);
    arena_destroy(w->place.arena, keep);
    w->talk = NULL;
    w->place = (struct walk_place) { .arena = NULL };
    w->n_walked = 0;
    return error;
}

/* Saves what a round has left that did not keep its promises, and says
 * where. */
static void
save_evidence(const struct walk *w, unsigned int round, struct json *row)
{
    char *folder = xasprintf("%s-%"PRIu64"-%u", EVIDENCE, w->seed, round);
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    struct process_spec spec;
    struct err err;

    json_object_put_string(row, "evidence", folder);
    char *text = json_to_string(row, JSSF_PRETTY);
    mkdir(folder, 0700);

    svec_parse_words(&argv, "cp -a "STATE_ROOT"/"LAB);
    svec_add(&argv, folder);
    svec_terminate(&argv);
    spec = (struct process_spec) { .argv = argv.names };
    if (process_run(&spec, NULL, COPY_TIMEOUT_MS, NULL, &err)) {
        progress_say(w->progress, "%s: %s", folder, err.text);
    }
    progress_say(w->progress, "round %u has not kept its promises: its logs "
                 "and journals are in %s\n%s", round, folder, text);
    svec_destroy(&argv);
    free(text);
    free(folder);
}

/* After all that a round itself looks at. */
static void
look_around(struct walk *w, struct json *row)
{
    char name[64], why[256];
    size_t crashes = supervisor_take_crashes(w->place.supervisor, name);
    unsigned int resets = walk_talk_check(w->talk, why);

    json_object_put(row, "crashes", json_integer_create(crashes));
    if (crashes) {
        json_object_put_string(row, "crashed", name);
    }
    json_object_put(row, "tcp_resets", json_integer_create(resets));
    if (resets) {
        json_object_put_string(row, "reset", why);
    }
}

static int
walk_one(struct walk *w, unsigned int round, struct err *err)
{
    struct json *row = json_object_create();
    struct err why = ERR_INIT;
    struct walk_plan plan;

    walk_plan(w->seed, round, &plan);
    json_object_put_string(row, "row", "walk");
    json_object_put_string(row, "scheme", WALK_SCHEME);
    json_object_put(row, "run", json_integer_create(round));
    json_object_put_format(row, "seed", "%"PRIu64, w->seed);
    json_array_add(w->document->rows, row);

    int64_t from = clock_now();
    int failure = walk_round(&w->place, &plan, row, &why);
    look_around(w, row);
    if (w->n_walked == w->allocated_walked) {
        w->walked = x2nrealloc(w->walked, &w->allocated_walked,
                               sizeof *w->walked);
    }
    w->walked[w->n_walked++] = (struct walked) { row, from, clock_now() };
    if (failure == EINTR) {
        *err = why;
        return failure;
    }
    if (failure) {
        json_object_put_string(row, "failure", why.text);
    }
    if (walk_is_good(row)) {
        return interrupt_sleep(SETTLE_MS, err);
    }
    save_evidence(w, round, row);
    if (w->options->keep) {
        return err_set(err, EIO, "round %u has not kept its promises",
                       round);
    }
    /* The next round begins with a lab in which nothing is wrong. */
    return end_place(w, false, err);
}

static int
walk_all(struct walk *w, unsigned int rounds, struct err *err)
{
    int error = 0;

    for (unsigned int i = 1; i <= rounds && !error; i++) {
        error = begin_place(w, err);
        progress_step(w->progress, "round %u of %u, seed %"PRIu64, i, rounds,
                      w->seed);
        progress_bar(w->progress, (double) (i - 1) / rounds);
        error = error ? error : walk_one(w, i, err);
    }
    return error;
}

int
walk_run(const struct bench_options *options, struct document *document,
         struct progress *progress, struct err *err)
{
    struct walk w = {
        .options = options, .document = document, .progress = progress,
        .seed = options->seed ? options->seed : random_uint32() | 1,
    };
    unsigned int rounds = (options->runs ? options->runs
                           : options->quick ? QUICK_ROUNDS : ROUNDS);

    progress_say(progress, "seed %"PRIu64": \"watari bench walk --seed %"
                 PRIu64" --runs %u\" does the same again", w.seed, w.seed,
                 rounds);
    arena_sweep(LAB, progress);
    bench_folder_remove();
    int error = bench_folder_make(err);
    if (error) {
        return error;
    }
    machine_info_put(document->machine);
    json_object_put_format(document->machine, "seed", "%"PRIu64, w.seed);
    error = walk_all(&w, rounds, err);

    bool keep = options->keep && error && error != EINTR;
    struct err late = ERR_INIT;
    int failure = end_place(&w, keep, &late);
    if (!error && failure) {
        *err = late;
        error = failure;
    }
    if (!interrupt_pending()) {
        walk_check(document);
    }
    if (!keep) {
        bench_folder_remove();
    }
    free(w.walked);
    return error;
}
