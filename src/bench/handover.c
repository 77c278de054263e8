#include <config.h>
#include "bench/handover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json-get.h"
#include "bench/handover-private.h"
#include "bench/interrupt.h"
#include "bench/machine-info.h"
#include "hypervisor/hypervisor.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#define MEMORY_MIB 256
#define LAB_NEAR "bench-near"
#define LAB_FAR "bench-far"
#define LAB_TLS "bench-tls"     /* Beside one of them. */
#define FAR_DELAY_MS 25         /* Of each site's link: 50 ms between two. */

/* In the order in which they are measured: each lab comes up once. */
static const struct handover_row rows[] = {
    { "near", "moving between near sites, and by plain L2", LAB_NEAR, 0,
      30, 4, false, handover_run_moves },
    { "tcp", "moving under TCP connections", LAB_NEAR, 0,
      30, 2, false, handover_run_tcp },
    { "dirty", "moving while memory is written to", LAB_NEAR, 0,
      10, 2, false, handover_run_dirty },
    { "cancel", "cancelling a move", LAB_NEAR, 0,
      3, 1, false, handover_run_cancel },
    { "kill", "killing the destination's QEMU", LAB_NEAR, 0,
      3, 1, false, handover_run_kill },
    { "restart", "restarting agents, manager and store", LAB_NEAR, 0,
      1, 1, false, handover_run_restart },
    { "tls", "moving with TLS and without", LAB_NEAR, 0,
      12, 2, false, handover_run_tls },
    { "far", "moving between far sites, and by plain L2", LAB_FAR,
      FAR_DELAY_MS, 12, 2, false, handover_run_moves },
    { "l2", "moving by plain L2", NULL, 0, 30, 4, true, handover_run_l2 },
};

struct json *
handover_add_row(struct handover *h, const char *row, const char *scheme,
                 unsigned int run)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "row", row);
    json_object_put_string(json, "scheme", scheme);
    json_object_put(json, "run", json_integer_create(run));
    json_array_add(h->document->rows, json);
    return json;
}

void
handover_end_l2(struct handover *h)
{
    child_end(&h->l2_echo, SIGTERM, 2000, NULL);
    l2_destroy(h->l2);
    h->l2 = NULL;
}

/* The same guest as the lab's, if there is a lab. */
static int
describe_guest(struct handover *h, struct l2_config *config,
               struct json **vm, struct err *err)
{
    *vm = NULL;
    if (!h->arena) {
        config->memory_kib = hypervisor_pad_memory(MEMORY_MIB * 1024);
        config->machine = "q35";
        config->cpu = "qemu64";
        return 0;
    }

    int error = arena_guest(h->arena, 0, vm, err);
    if (error) {
        return error;
    }
    config->machine = json_get_string(*vm, "machine");
    config->cpu = json_get_string(*vm, "cpu");
    config->memory_kib = json_get_number(*vm, "memory_kib", 0);
    config->kvm = arena_has_kvm(h->arena);
    for (int side = 0; side < 2; side++) {
        config->netns[side] = arena_netns(h->arena, arena_hosts[side]);
        config->address[side] = arena_stream_address(h->arena, side);
    }
    return config->machine && config->cpu && config->memory_kib ? 0
           : err_set(err, EPROTO, "the manager does not say what "ARENA_VM
                     " is made of");
}

int
handover_need_l2(struct handover *h, struct err *err)
{
    struct l2_config config = { .folder = h->folder };
    struct json *vm;

    if (h->l2) {
        return 0;
    }
    progress_step(h->progress, "bringing up the plain L2 pair");

    int error = describe_guest(h, &config, &vm, err);
    error = error ? error : l2_create(&config, &h->l2, err);
    json_destroy(vm);
    if (error) {
        return error;
    }
    return prober_start_echo(L2_NEAR_NETNS, h->folder, &h->l2_echo, err);
}

void
handover_take_down(struct handover *h, bool keep)
{
    child_end(&h->arena_echo, SIGTERM, 2000, NULL);
    arena_destroy(h->arena, keep);
    h->arena = NULL;
    h->arena_lab = NULL;
}

int
handover_bring_up(struct handover *h, const struct handover_row *row,
                  bool tls, struct err *err)
{
    struct arena_config config = {
        .lab = tls ? LAB_TLS : row->lab, .folder = h->folder,
        .delay_ms = row->delay_ms, .memory_mib = MEMORY_MIB, .tls = tls,
        .progress = h->progress,
    };

    int error = arena_create(&config, &h->arena, err);
    if (error) {
        return error;
    }
    h->arena_lab = config.lab;
    json_object_put_string(h->document->machine, "accelerator",
                           arena_has_kvm(h->arena) ? "kvm" : "tcg");
    return prober_start_echo(
        arena_netns(h->arena, arena_correspondents[ARENA_THIRD]), h->folder,
        &h->arena_echo, err);
}

static int
need_arena(struct handover *h, const struct handover_row *row,
           struct err *err)
{
    if (h->arena && row->lab && !strcmp(h->arena_lab, row->lab)) {
        return 0;
    }
    handover_end_l2(h);
    handover_take_down(h, false);
    return row->lab ? handover_bring_up(h, row, false, err) : 0;
}

static void
place_folder(struct handover *h, const char *row, const char *scheme,
             unsigned int run, struct watch_place *place)
{
    ovs_strlcpy(place->folder, h->folder, sizeof place->folder);
    if (h->options->keep) {
        snprintf(place->folder, sizeof place->folder, "%s/%s-%s-%u",
                 h->folder, row, scheme, run);
        mkdir(place->folder, 0755);
    }
}

void
handover_arena_place(struct handover *h, const char *row, const char *scheme,
                     unsigned int run, struct watch_place *place)
{
    arena_put_place(h->arena, h->folder, place);
    place_folder(h, row, scheme, run, place);
}

void
handover_l2_place(struct handover *h, const char *row, unsigned int run,
                  struct watch_place *place)
{
    static const char *const names[] = { "l2-1", "l2-2", "l2-3" };

    place_folder(h, row, SCHEME_L2, run, place);

    for (size_t i = 0; i < WATCH_CORRESPONDENTS; i++) {
        place->correspondents[i] = (struct prober_spec) {
            .name = names[i], .netns = L2_NEAR_NETNS, .address = L2_GUEST,
        };
    }
    place->guest.netns = L2_NEAR_NETNS;
    place->guest.address = L2_GUEST;
    place->echo = L2_NEAR;
}

const char *
handover_row_name(size_t i)
{
    return i < ARRAY_SIZE(rows) ? rows[i].name : NULL;
}

static int
run_row(struct handover *h, const struct handover_row *row, struct err *err)
{
    unsigned int runs = h->options->runs ? h->options->runs
                        : h->options->quick ? row->quick_runs : row->runs;

    int error = need_arena(h, row, err);
    error = error ? error : row->run(h, row, runs, err);
    if (!interrupt_pending()) {
        handover_check(h->document, row);
    }
    return error ? err_add(err, error, "%s", row->name) : 0;
}

/* Removes what a benchmark that was killed, or kept, has left: nobody else
 * runs one now. */
static void
sweep(struct handover *h)
{
    l2_sweep();
    arena_sweep(LAB_NEAR, h->progress);
    arena_sweep(LAB_FAR, h->progress);
    arena_sweep(LAB_TLS, h->progress);
    bench_folder_remove();
}

int
handover_run(const struct bench_options *options, struct document *document,
             struct progress *progress, struct err *err)
{
    struct handover h = {
        .options = options, .document = document, .progress = progress,
        .folder = BENCH_FOLDER,
    };

    sweep(&h);
    int error = bench_folder_make(err);
    if (error) {
        return error;
    }
    machine_info_put(document->machine);
    for (size_t i = 0; i < ARRAY_SIZE(rows) && !error; i++) {
        bool wanted = options->rows ? bench_is_listed(options, rows[i].name)
                      : !rows[i].optional;

        error = wanted ? run_row(&h, &rows[i], err) : 0;
    }

    bool keep = (options->keep && error != EINTR
                 && (error || !document_ok(document)));
    handover_end_l2(&h);
    handover_take_down(&h, keep);
    if (!keep) {
        bench_folder_remove();
    } else {
        progress_say(progress, "records are in "BENCH_FOLDER"; the next run, "
                     "or \"watari lab down\", removes what was kept");
    }
    return error;
}
