#include <config.h>
#include "bench/walk-private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "bench/child.h"
#include "bench/copies.h"
#include "bench/guest.h"
#include "bench/harm.h"
#include "bench/interrupt.h"
#include "lab/machine.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "util.h"

/* Of each copy, so that it takes some 3 s; see faults-run.c. */
#define BANDWIDTH (UINT64_C(32) << 20)
#define DOWNTIME_MS 30

#define TICK_MS 20              /* A sample is taken in each. */
#define LOOK_TICKS 5            /* Between questions to the manager. */
#define BEGIN_TIMEOUT_MS 30000  /* A manager may just have been restarted. */
#define END_TIMEOUT_MS 150000   /* An answer to a grant may take 30 s. */
#define COPIES_TIMEOUT_MS 20000
#define REST_TIMEOUT_MS 20000   /* For agents to forget their moves. */
#define CANCEL_HOLD_MS 300      /* Until an agent has heard of it. */
#define CANCEL_END_MS 1000

struct move {
    size_t from, to;            /* Hosts. */
    char *id;
    struct json *end;           /* The migration; null: under way. */
    bool stuck;                 /* It was, once. */
};

enum phase {
    PHASE_WAITING,              /* For its time, or for its move's hold. */
    PHASE_HELD,                 /* Its move is held. */
    PHASE_DONE,                 /* Its move is still to be let go. */
    PHASE_OVER
};

struct harm {
    const struct walk_harm *plan;
    enum phase phase;
    int64_t held, done;         /* When; 0: it was not. */
    int64_t heal;               /* A cut is to be healed then; 0: none. */
    const char *outcome;        /* For people. */
    size_t ends[2];             /* Hosts of a channel. */
    struct child canceller;
};

struct round {
    const struct walk_place *place;
    const struct walk_plan *plan;
    int64_t began;
    struct move moves[WALK_N_VMS];
    struct harm harms[WALK_MAX_HARMS];
};

static int
ms_between(int64_t a, int64_t b)
{
    return (b - a) / 1000000;
}

/* Moves. */

static int
find_vms(struct round *r, struct err *err)
{
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        struct copies copies;
        int error = copies_ask(r->place->arena, i, &copies, err);

        if (error) {
            return error;
        }
        if (copies.n_running != 1) {
            return err_set(err, EIO, "%zu of %zu copies of %s run before the "
                           "round", copies.n_running, copies.n,
                           arena_vms[i]);
        }
        r->moves[i].from = copies_host(&copies);
        r->moves[i].to = (r->moves[i].from + r->plan->turns[i])
                         % ARENA_N_HOSTS;
    }
    return 0;
}

static int
begin_moves(struct round *r, struct err *err)
{
    struct move_limits limits = {
        .bandwidth = BANDWIDTH, .downtime_ms = DOWNTIME_MS,
    };

    for (size_t i = 0; i < WALK_N_VMS; i++) {
        struct move *m = &r->moves[i];
        int error;

        for (int ms = 0; (error = arena_begin_move(
                 r->place->arena, i, arena_hosts[m->to], &limits, &m->id,
                 err)); ms += TICK_MS) {
            if ((error != ECONNREFUSED && error != EAGAIN)
                || ms >= BEGIN_TIMEOUT_MS || interrupt_sleep(TICK_MS, err)) {
                return err_add(err, error, "moving %s to %s", arena_vms[i],
                               arena_hosts[m->to]);
            }
        }
    }
    return 0;
}

/* A manager that does not answer does not know. */
static void
look_at_moves(struct round *r)
{
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        struct move *m = &r->moves[i];
        struct json *now;

        if (m->end || arena_look(r->place->arena, m->id, &now, NULL)) {
            continue;
        }
        const char *result = json_get_string(now, "result");
        if (result && !strcmp(result, "stuck")) {
            m->stuck = true;            /* It goes on by itself, later. */
        } else if (result) {
            m->end = now;
            continue;
        }
        json_destroy(now);
    }
}

static bool
have_ended(const struct round *r)
{
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        if (!r->moves[i].end) {
            return false;
        }
    }
    return true;
}

/* Harms. */

static const struct move *
move_of(const struct round *r, const struct harm *h)
{
    return &r->moves[h->plan->vm];
}

static const char *
holder(const struct round *r, const struct harm *h)
{
    return arena_hosts[move_of(r, h)->from];
}

static size_t
host_of(const struct move *m, enum walk_role role)
{
    return role == WALK_SOURCE ? m->from
           : role == WALK_DESTINATION ? m->to
           : ARENA_N_HOSTS - m->from - m->to;
}

static int
kill_part(const struct round *r, const char *node, const char *part)
{
    supervisor_expect(r->place->supervisor, node, part);
    return harm_kill(r->place->arena, node, part, NULL);
}

static int
cut_channel(struct round *r, struct harm *h)
{
    const struct move *m = move_of(r, h);
    size_t n = 0;

    for (size_t host = 0; host < ARENA_N_HOSTS; host++) {
        if (host != host_of(m, h->plan->role)) {
            h->ends[n++] = host;
        }
    }
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        const struct harm *other = &r->harms[i];

        if (other->heal && !memcmp(other->ends, h->ends, sizeof h->ends)) {
            return EEXIST;
        }
    }
    h->heal = clock_now() + h->plan->lasts_ms * INT64_C(1000000);
    return harm_cut_channel(r->place->arena, h->ends[0], h->ends[1], true,
                            NULL);
}

/* Never the only copy: its move must be held, which is before its grant, and
 * it must not say that it runs. */
static int
kill_qemu(struct round *r, const struct harm *h)
{
    const struct move *m = move_of(r, h);
    struct arena *arena = r->place->arena;
    size_t vm = h->plan->vm;
    bool held = false;

    sampler_run(r->place->sampler);
    if (harm_is_held(arena, arena_hosts[m->from], h->plan->point, &held,
                     NULL)
        || !held || !arena_find_qemu(arena, vm, arena_hosts[m->from])
        || sampler_runs(r->place->sampler, vm, m->to)) {
        return EPERM;
    }
    return arena_kill_qemu(arena, vm, arena_hosts[m->to], NULL);
}

/* A manager without its store answers late, and the store comes back only if
 * we do not wait for that. */
static int
cancel(const struct round *r, struct harm *h)
{
    char *program, *lab = CONST_CAST(char *, arena_lab(r->place->arena));
    int error = machine_find("watari", &program, NULL);

    if (!error) {
        char *argv[] = {
            program, "migration", "cancel", move_of(r, h)->id, "--lab", lab,
            NULL
        };
        struct child_spec spec = { .argv = argv };

        error = child_start(&spec, &h->canceller, NULL);
        free(program);
    }
    return error;
}

static int
act(struct round *r, struct harm *h)
{
    const struct move *m = move_of(r, h);

    switch (h->plan->kind) {
    case WALK_AGENT:
        return kill_part(r, arena_hosts[host_of(m, h->plan->role)], "agent");
    case WALK_MANAGER:
        return kill_part(r, "manager", "manager");
    case WALK_STORE:
        return kill_part(r, "store", "store");
    case WALK_CHANNEL:
        return cut_channel(r, h);
    case WALK_QEMU:
        return kill_qemu(r, h);
    case WALK_CANCEL:
        return cancel(r, h);
    case WALK_N_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}

static void
do_harm(struct round *r, struct harm *h)
{
    int error = act(r, h);

    h->done = clock_now();
    h->phase = h->plan->point ? PHASE_DONE : PHASE_OVER;
    h->outcome = (!error ? "done" : error == ESRCH ? "it did not run"
                  : error == EPERM ? "it might have run the guest"
                  : error == EEXIST ? "it was cut already"
                  : "refused");
}

/* What is to hold moves is set before they begin. */
static int
set_holds(const struct round *r, struct err *err)
{
    int error = 0;

    for (size_t i = 0; i < r->plan->n_harms && !error; i++) {
        const struct harm *h = &r->harms[i];

        error = h->plan->point
                ? harm_hold(r->place->arena, holder(r, h), h->plan->point,
                            err) : 0;
    }
    return error;
}

/* A dead agent holds nothing. */
static void
end_holds(const struct round *r)
{
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        const struct harm *h = &r->harms[i];

        if (h->plan->point) {
            harm_unhold(r->place->arena, holder(r, h), h->plan->point, NULL);
        }
    }
}

static void
look_for_hold(const struct round *r, struct harm *h)
{
    bool held = false;

    if (h->phase == PHASE_WAITING && h->plan->point
        && !harm_is_held(r->place->arena, holder(r, h), h->plan->point,
                         &held, NULL)
        && held) {
        h->phase = PHASE_HELD;
        h->held = clock_now();
    }
}

static bool
is_due(const struct round *r, const struct harm *h, int64_t now)
{
    return ((h->phase == PHASE_HELD
             && ms_between(h->held, now) >= (int) h->plan->delay_ms)
            || (h->phase == PHASE_WAITING && !h->plan->point
                && ms_between(r->began, now) >= (int) h->plan->delay_ms));
}

/* Lets go what a host holds once nothing more is to happen meanwhile. */
static void
let_go(struct round *r, struct harm *h, int64_t now)
{
    if (h->phase != PHASE_DONE
        || (h->plan->kind == WALK_CANCEL
            && ms_between(h->done, now) < CANCEL_HOLD_MS)) {
        return;
    }
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        const struct harm *other = &r->harms[i];

        if (other->phase == PHASE_HELD && holder(r, other) == holder(r, h)) {
            return;
        }
    }
    harm_release(r->place->arena, holder(r, h), NULL);
    h->phase = PHASE_OVER;
}

static void
heal(const struct round *r, struct harm *h, int64_t now)
{
    if (h->heal && now >= h->heal) {
        harm_cut_channel(r->place->arena, h->ends[0], h->ends[1], false,
                         NULL);
        h->heal = 0;
    }
}

static void
run_harms(struct round *r)
{
    size_t n = r->plan->n_harms;

    for (size_t i = 0; i < n; i++) {
        look_for_hold(r, &r->harms[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (is_due(r, &r->harms[i], clock_now())) {
            do_harm(r, &r->harms[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        let_go(r, &r->harms[i], clock_now());
        heal(r, &r->harms[i], clock_now());
    }
}

/* Is nothing harmed any more? */
static bool
is_healed(const struct round *r)
{
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        if (r->harms[i].heal || r->harms[i].phase == PHASE_HELD
            || r->harms[i].phase == PHASE_DONE) {
            return false;
        }
    }
    return supervisor_is_content(r->place->supervisor);
}

/* The round. */

static int
run(struct round *r, struct err *err)
{
    int error = 0;

    for (int i = 0; !error; i++) {
        error = supervisor_run(r->place->supervisor, err);
        run_harms(r);
        sampler_run(r->place->sampler);
        if (!(i % LOOK_TICKS)) {
            look_at_moves(r);
        }
        if (error || (have_ended(r) && is_healed(r))
            || ms_between(r->began, clock_now()) >= END_TIMEOUT_MS) {
            break;
        }
        error = interrupt_sleep(TICK_MS, err);
    }
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        heal(r, &r->harms[i], INT64_MAX);
        child_end(&r->harms[i].canceller, SIGTERM, CANCEL_END_MS, NULL);
    }
    end_holds(r);
    return error;
}

/* Waits until there is one copy, which runs. */
static int
wait_copies(const struct round *r, size_t vm, struct copies *copies,
            struct err *err)
{
    for (int ms = 0;; ms += TICK_MS) {
        int error = copies_ask(r->place->arena, vm, copies, err);

        if (error || copies->n_running > 1
            || (copies->n == 1 && copies->n_running == 1)
            || ms >= COPIES_TIMEOUT_MS) {
            return error;
        }
        error = interrupt_sleep(TICK_MS, err);
        if (error) {
            return error;
        }
    }
}

static bool
has_result(const struct move *m, const char *result)
{
    return m->end && !strcmp(json_get_string(m->end, "result"), result);
}

struct verdict {
    unsigned int lost, several, misplaced, silent;
};

static int
judge_vm(const struct round *r, size_t vm, struct verdict *v,
         struct err *err)
{
    const struct move *m = &r->moves[vm];
    struct copies copies = { .n = 0 };
    struct guest_place place = {
        arena_netns(r->place->arena, arena_correspondents[vm]),
        arena_vm_addresses[vm],
    };

    if (!m->end) {
        /* Its monitor may be in use. */
        v->lost += !sampler_runs(r->place->sampler, vm, ARENA_N_HOSTS);
        return 0;
    }
    int error = wait_copies(r, vm, &copies, err);
    if (error) {
        return error;
    }
    size_t host = has_result(m, "completed") ? m->to : m->from;
    v->lost += !copies.n_running;
    v->several += copies.n_running > 1;
    v->misplaced += (copies.n != 1 || !copies.runs[host]);
    v->silent += guest_load(&place, 0, 0, NULL) != 0;
    return 0;
}

/* How many agents are not done with their moves. */
static int
count_restless(const struct round *r, unsigned int *n, struct err *err)
{
    for (int ms = 0;; ms += TICK_MS) {
        *n = 0;
        for (size_t i = 0; i < ARENA_N_HOSTS; i++) {
            bool moving;

            *n += harm_is_moving(r->place->arena, arena_hosts[i], &moving,
                                 NULL) || moving;
        }
        if (!*n || ms >= REST_TIMEOUT_MS) {
            return 0;
        }
        int error = interrupt_sleep(TICK_MS, err);
        if (error) {
            return error;
        }
    }
}

static struct json *
move_to_json(const struct move *m, size_t vm)
{
    static const char *const figures[] = {
        "total_ms", "blackout_ms", "relayed_packets", "held_packets",
        "fences_missed",
    };
    struct json *json = json_object_create();

    json_object_put_string(json, "vm", arena_vms[vm]);
    json_object_put_string(json, "from", arena_hosts[m->from]);
    json_object_put_string(json, "to", arena_hosts[m->to]);
    if (m->id) {
        json_object_put_string(json, "uuid", m->id);
    }
    json_object_put_string(json, "result", m->end
                           ? json_get_string(m->end, "result")
                           : m->stuck ? "stuck" : "unfinished");
    const char *error = json_get_string(m->end, "error");
    if (error) {
        json_object_put_string(json, "error", error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        if (json_get(m->end, figures[i])) {
            document_put_number(json, figures[i],
                                json_get_number(m->end, figures[i], 0));
        }
    }
    return json;
}

static void
put_count(struct json *row, const char *name, uint64_t n)
{
    json_object_put(row, name, json_integer_create(n));
}

static void
put_round(const struct round *r, struct json *row)
{
    struct json *moves = json_array_create_empty();
    struct json *harms = json_array_create_empty();
    unsigned int ended[3] = { 0 }, stuck = 0, unfinished = 0;

    for (size_t i = 0; i < WALK_N_VMS; i++) {
        const struct move *m = &r->moves[i];

        json_array_add(moves, move_to_json(m, i));
        ended[0] += has_result(m, "completed");
        ended[1] += has_result(m, "rolled-back");
        ended[2] += has_result(m, "failed");
        stuck += m->stuck;
        unfinished += !m->end;
    }
    for (size_t i = 0; i < r->plan->n_harms; i++) {
        const struct harm *h = &r->harms[i];
        struct json *json = walk_harm_to_json(h->plan);

        if (h->done) {
            put_count(json, "done_ms", ms_between(r->began, h->done));
        }
        json_object_put_string(json, "outcome",
                               h->outcome ? h->outcome
                               : "its time did not come");
        json_array_add(harms, json);
    }
    json_object_put(row, "moves", moves);
    json_object_put(row, "harms", harms);
    put_count(row, "completed", ended[0]);
    put_count(row, "rolled_back", ended[1]);
    put_count(row, "failed", ended[2]);
    put_count(row, "stuck", stuck);
    put_count(row, "unfinished", unfinished);
    document_put_number(row, "ms", (clock_now() - r->began) / 1e6);
}

static int
judge(const struct round *r, struct json *row, struct err *err)
{
    struct sampler_report report;
    struct verdict v = { 0 };
    unsigned int restless = 0;
    int error = 0;

    for (size_t i = 0; i < WALK_N_VMS && !error; i++) {
        error = judge_vm(r, i, &v, err);
    }
    error = error ? error : count_restless(r, &restless, err);
    sampler_take(r->place->sampler, &report);
    put_count(row, "samples", report.samples);
    document_put_number(row, "sample_gap_ms", report.longest / 1e6);
    put_count(row, "double", report.doubles + v.several);
    if (report.doubles) {
        json_object_put_string(row, "first_double", report.first);
    }
    if (!error) {
        put_count(row, "lost_vms", v.lost);
        put_count(row, "misplaced", v.misplaced);
        put_count(row, "silent", v.silent);
        put_count(row, "restless", restless);
    }
    return error;
}

int
walk_round(const struct walk_place *place, const struct walk_plan *plan,
           struct json *row, struct err *err)
{
    struct round r = { .place = place, .plan = plan };

    for (size_t i = 0; i < plan->n_harms; i++) {
        r.harms[i].plan = &plan->harms[i];
    }
    int error = find_vms(&r, err);
    error = error ? error : set_holds(&r, err);
    r.began = clock_now();
    error = error ? error : begin_moves(&r, err);
    if (!error) {
        error = run(&r, err);
        put_round(&r, row);
    }
    error = error ? error : judge(&r, row, err);
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        free(r.moves[i].id);
        json_destroy(r.moves[i].end);
    }
    return error;
}
