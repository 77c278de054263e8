#include <config.h>
#include "bench/faults.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "bench/arena.h"
#include "bench/child.h"
#include "bench/faults-private.h"
#include "bench/harm.h"
#include "bench/interrupt.h"
#include "bench/machine-info.h"
#include "bench/prober.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#define LAB "bench-faults"
#define MEMORY_MIB 128
#define RUNS 10
#define QUICK_RUNS 1

#define RESTART_MS 1000         /* Who dies is back so much later. */
#define STORE_MS 5000
#define CHANNEL_MS 3000
#define LINK_MS 5000
#define CANCEL_MS 1500          /* A guest may stand still for 2 s. */
#define POLL_MS 2

static const char *
source(const struct faults_move *m)
{
    return arena_hosts[m->source];
}

static const char *
destination(const struct faults_move *m)
{
    return arena_hosts[m->destination];
}

/* What goes wrong, and how it is put right. */

static int
kill_source_agent(const struct faults_move *m, struct err *err)
{
    return harm_kill(m->arena, source(m), "agent", err);
}

static int
start_source_agent(const struct faults_move *m, struct err *err)
{
    return harm_start(m->arena, source(m), "agent", err);
}

static int
kill_destination_agent(const struct faults_move *m, struct err *err)
{
    return harm_kill(m->arena, destination(m), "agent", err);
}

static int
start_destination_agent(const struct faults_move *m, struct err *err)
{
    return harm_start(m->arena, destination(m), "agent", err);
}

static int
kill_destination_qemu(const struct faults_move *m, struct err *err)
{
    return arena_kill_qemu(m->arena, 0, destination(m), err);
}

static int
kill_manager(const struct faults_move *m, struct err *err)
{
    return harm_kill(m->arena, "manager", "manager", err);
}

static int
start_manager(const struct faults_move *m, struct err *err)
{
    return harm_start(m->arena, "manager", "manager", err);
}

static int
kill_store(const struct faults_move *m, struct err *err)
{
    return harm_kill(m->arena, "store", "store", err);
}

static int
start_store(const struct faults_move *m, struct err *err)
{
    return harm_start(m->arena, "store", "store", err);
}

static int
kill_leader(const struct faults_move *m, struct err *err)
{
    return harm_kill_leader(m->arena, err);
}

static int
start_stores(const struct faults_move *m, struct err *err)
{
    return harm_start_stores(m->arena, err);
}

static int
cut_channel(const struct faults_move *m, struct err *err)
{
    return harm_cut_channel(m->arena, m->source, m->destination, true, err);
}

static int
heal_channel(const struct faults_move *m, struct err *err)
{
    return harm_cut_channel(m->arena, m->source, m->destination, false, err);
}

/* Of the destination's site and of the source's by turns. */
static size_t
cut_side(const struct faults_move *m)
{
    return m->run % 2 ? m->destination : m->source;
}

static int
cut_link(const struct faults_move *m, struct err *err)
{
    return harm_cut_link(m->arena, cut_side(m), true, err);
}

static int
heal_link(const struct faults_move *m, struct err *err)
{
    return harm_cut_link(m->arena, cut_side(m), false, err);
}

static int
cancel(const struct faults_move *m, struct err *err)
{
    int error = arena_cancel_move(m->arena, m->id, err);
    bool known = false;

    for (int ms = 0; !error && ms < CANCEL_MS; ms += POLL_MS) {
        error = harm_is_cancelled(m->arena, source(m), &known, err);
        if (error || known) {
            return error;
        }
        error = interrupt_sleep(POLL_MS, err);
    }
    return error ? error : err_set(err, ETIMEDOUT, "the agent has not heard "
                                   "that the move is to be cancelled");
}

static const struct faults_kind destination_agent = {
    .text = "killing the destination's agent",
    .harm = kill_destination_agent, .heal = start_destination_agent,
    .heal_ms = RESTART_MS,
};
static const struct faults_kind destination_qemu = {
    .text = "killing the destination's QEMU",
    .harm = kill_destination_qemu, .ends_guest = true,
};
static const struct faults_kind source_agent = {
    .text = "killing the source's agent",
    .harm = kill_source_agent, .heal = start_source_agent,
    .heal_ms = RESTART_MS, .ends_holder = true,
};
static const struct faults_kind manager = {
    .text = "killing the manager",
    .harm = kill_manager, .heal = start_manager, .heal_ms = RESTART_MS,
};
static const struct faults_kind store = {
    .text = "killing the store for 5 s",
    .harm = kill_store, .heal = start_store, .heal_ms = STORE_MS,
};
static const struct faults_kind leader = {
    .text = "killing the server that leads the store",
    .harm = kill_leader, .heal = start_stores, .heal_ms = RESTART_MS,
    .cluster = true,
};
static const struct faults_kind channel = {
    .text = "cutting the agents' channel for 3 s",
    .harm = cut_channel, .heal = heal_channel, .heal_ms = CHANNEL_MS,
};
static const struct faults_kind link_ = {
    .text = "cutting the link between the sites for 5 s",
    .harm = cut_link, .heal = heal_link, .heal_ms = LINK_MS, .loses = true,
};
static const struct faults_kind cancel_ = {
    .text = "cancelling", .harm = cancel, .rolls_back = true,
};

#define BEFORE_CONTINUE(NAME, KIND) \
    { NAME "-copy", &KIND, "copy", false }, \
    { NAME "-stop", &KIND, "stop", false }, \
    { NAME "-pre-switchover", &KIND, "pre-switchover", false }
#define EVERYWHERE(NAME, KIND) \
    BEFORE_CONTINUE(NAME, KIND), \
    { NAME "-continued", &KIND, "continued", false }, \
    { NAME "-granted", &KIND, "granted", true }

static const struct faults_row rows[] = {
    EVERYWHERE("destination-agent", destination_agent),
    EVERYWHERE("destination-qemu", destination_qemu),
    EVERYWHERE("source-agent", source_agent),
    { "manager-copy", &manager, "copy", false },
    { "store-copy", &store, "copy", false },
    { "store-stop", &store, "stop", false },
    EVERYWHERE("channel", channel),
    EVERYWHERE("link", link_),
    BEFORE_CONTINUE("cancel", cancel_),
    { "leader-copy", &leader, "copy", false },
    { "leader-stop", &leader, "stop", false },
};

const char *
faults_row_name(size_t i)
{
    return i < ARRAY_SIZE(rows) ? rows[i].name : NULL;
}

bool
faults_ends_guest(const struct faults_row *row)
{
    return row->kind->ends_guest && row->after_grant;
}

bool
faults_may_lose(const struct faults_row *row)
{
    return row->kind->loses || faults_ends_guest(row);
}

struct faults {
    const struct bench_options *options;
    struct document *document;
    struct progress *progress;
    struct arena *arena;        /* Null: none is up. */
    bool cluster;               /* Has it a store of three servers? */
    struct child echo;          /* Whom its guest asks. */
};

static void
end_arena(struct faults *f, bool keep)
{
    child_end(&f->echo, SIGTERM, 2000, NULL);
    arena_destroy(f->arena, keep);
    f->arena = NULL;
}

static int
need_arena(struct faults *f, bool cluster, struct err *err)
{
    struct arena_config config = {
        .lab = LAB, .folder = BENCH_FOLDER, .memory_mib = MEMORY_MIB,
        .test_faults = true, .store_cluster = cluster,
        .progress = f->progress,
    };

    if (f->arena && f->cluster == cluster) {
        return 0;
    }
    end_arena(f, false);
    f->cluster = cluster;
    int error = arena_create(&config, &f->arena, err);
    if (error) {
        return error;
    }
    json_object_put_string(f->document->machine, "accelerator",
                           arena_has_kvm(f->arena) ? "kvm" : "tcg");
    return prober_start_echo(
        arena_netns(f->arena, arena_correspondents[ARENA_THIRD]),
        BENCH_FOLDER, &f->echo, err);
}

/* A run that fails is a finding, and no reason to end, unless there is no
 * arena for the next one or everything is to be left as it is. */
static int
run_row(struct faults *f, const struct faults_row *row, struct err *err)
{
    unsigned int runs = f->options->runs ? f->options->runs
                        : f->options->quick ? QUICK_RUNS : RUNS;
    int error = 0;

    for (unsigned int i = 1; i <= runs && !error; i++) {
        struct json *json = json_object_create();
        struct err why = ERR_INIT;

        error = need_arena(f, row->kind->cluster, err);
        if (error) {
            json_destroy(json);
            break;
        }
        progress_step(f->progress, "%s: %s", row->name, row->kind->text);
        progress_bar(f->progress, (double) (i - 1) / runs);
        json_object_put_string(json, "row", row->name);
        json_object_put_string(json, "scheme", FAULTS_SCHEME);
        json_object_put(json, "run", json_integer_create(i));
        json_array_add(f->document->rows, json);
        int failure = faults_run_once(f->arena, row, i, BENCH_FOLDER, json,
                                      &why);
        if (failure) {
            json_object_put_string(json, "failure", why.text);
            progress_say(f->progress, "%s, run %u: %s", row->name, i,
                         why.text);
        }
        if (failure == EINTR || (failure && f->options->keep)) {
            error = failure;
            *err = why;
        } else if (failure) {
            end_arena(f, false);
        }
    }
    if (!interrupt_pending()) {
        faults_check(f->document, row);
    }
    return error ? err_add(err, error, "%s", row->name) : 0;
}

int
faults_run(const struct bench_options *options, struct document *document,
           struct progress *progress, struct err *err)
{
    struct faults f = {
        .options = options, .document = document, .progress = progress,
    };

    arena_sweep(LAB, progress);
    bench_folder_remove();
    int error = bench_folder_make(err);
    if (error) {
        return error;
    }
    machine_info_put(document->machine);
    for (size_t i = 0; i < ARRAY_SIZE(rows) && !error; i++) {
        error = bench_is_listed(options, rows[i].name)
                ? run_row(&f, &rows[i], err) : 0;
    }

    bool keep = options->keep && error && error != EINTR;
    end_arena(&f, keep);
    if (!keep) {
        bench_folder_remove();
    } else {
        progress_say(progress, "the lab is kept; the next run, or \"watari "
                     "lab down\", removes it");
    }
    return error;
}
