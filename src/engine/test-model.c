#include <config.h>

/* Exhaustive in another way than test-crash.c: there one or two things go
 * wrong at any time of a move whose own times are fixed; here everything
 * happens in every order, too, at any speed.  See test-model.h.
 *
 *      test-model FAULTS DELAYS [SEED]
 *
 * explores with that bound, and prints the shortest path to what is wrong;
 * 'test-model full' is what 'make model' does. */

#include "engine/test-model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/vlog.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guest.h"
#include "engine/incoming-private.h"
#include "engine/journal.h"
#include "engine/outgoing-private.h"
#include "engine/outgoing.h"
#include "engine/test-world.h"
#include "store/bindings.h"

#define ALL ((1u << N_HOSTS) - 1)
#define TICK_MS 250             /* More than any wait in normal operation. */
#define MAX_TICKS 8
#define DRAIN_MS 200            /* As in outgoing-steps.c. */
#define MAX_PASSES 200

/* More than ABORT_MS, ACCEPT_MS and the watchdog; more than GRANT_MS. */
static const int delays_s[] = { 4, 31 };

struct model model;

/* How much has to go wrong until they show. */
static const struct {
    const char *name;
    struct model_bound bound;
} seeds[N_SEEDS] = {
    [SEED_NONE] = { "none", { 0, 0 } },
    [SEED_EARLY_GRANT] = { "early-grant", { 1, 0 } },
    [SEED_NO_GRANT] = { "no-grant", { 1, 0 } },
    [SEED_TAKES_BACK] = { "takes-back", { 0, 1 } },
    [SEED_FORGETS_MARK] = { "forgets-mark", { 1, 0 } },
    [SEED_LATE_MARK] = { "late-mark", { 1, 0 } },
    [SEED_ABORTS_GRANTED] = { "aborts-granted", { 1, 0 } },
};

/* What 'make check' and 'make model' explore. */
static const struct model_bound quick[] = { { 1, 0 }, { 0, 1 } };
static const struct model_bound full[] = { { 0, 2 }, { 1, 1 }, { 2, 0 } };

static const char *
host_name(int host)
{
    return host == HOST_S ? "S" : "D";
}

/* Running until there is nothing more to do. */

/* Nobody waits for these, nor reads them. */
static void
do_trivial_writes(int host)
{
    char name[24];

    while (world_n_writes(host)) {
        world_write_name(host, 0, name);
        if (strcmp(name, "other") && strcmp(name, "migration running")) {
            return;
        }
        world_do_write(host, false);
    }
}

void
model_settle(void)
{
    uint64_t hash = model_hash();
    int n_same = 0;

    for (int pass = 0; n_same < 2; pass++) {
        for (int host = 0; host < N_HOSTS; host++) {
            world_run_data();
            world_run_agent(host);
            if (host != HOST_C) {
                do_trivial_writes(host);
            }
        }
        uint64_t now = model_hash();
        n_same = now == hash ? n_same + 1 : 0;
        hash = now;
        if (pass > MAX_PASSES) {
            model_give_up("the engines never rest");
        }
    }
}

/* 'host' has something to look at; it may not live to see it. */
static void
wake(int host)
{
    if (!model.dead[host]) {
        model_may_die(host, "it sees that");
    }
    model_settle();
}

static void
pass_time(long long ms)
{
    world.now_us += ms * 1000;
    for (int host = 0; host < 2; host++) {
        world_run_qemu(&world.hosts[host]);
    }
    model_settle();
}

bool
model_wait(void)
{
    /* After a day steps give up. */
    static const int steps_s[] = { 1, 1, 1, 1, 7, 10, 10, 10, 30, 60, 61,
                                   25 * 3600 };
    struct model_action list[MODEL_MAX_ACTIONS];

    for (size_t i = 0; i < ARRAY_SIZE(steps_s); i++) {
        pass_time(steps_s[i] * 1000);
        if (model_actions(list, false)) {
            model_note("time goes by");
            return true;
        }
    }
    return false;
}

/* What can happen. */

/* Of a wait in normal operation, which needs nobody. */
static bool
waits_shortly(void)
{
    const struct engine *s = world.hosts[HOST_S].engine;
    const struct engine *d = world.hosts[HOST_D].engine;
    const struct outgoing *o;
    const struct incoming *in;

    if (model.ticks == MAX_TICKS) {
        return false;
    }
    if (s) {
        HMAP_FOR_EACH (o, node, &s->outgoing) {
            if (o->buried && s->now_ms < o->buried + DRAIN_MS) {
                return true;
            }
        }
    }
    if (d) {
        HMAP_FOR_EACH (in, node, &d->incoming) {
            if (in->state == INCOMING_SETTLING && !in->direct) {
                return true;
            }
        }
    }
    return false;
}

static bool
qemu_goes_on(void)
{
    const struct world_qemu *q = &world.hosts[HOST_S].qemu;

    return (q->proceeding || (q->state == VM_RUNNING && q->sending)
            || (q->state == VM_PAUSED
                && (!q->paused || !world.hosts[HOST_S].engine)));
}

struct action_list {
    struct model_action *actions;
    size_t n;
};

static void
can(struct action_list *list, enum model_kind kind, int host, int arg)
{
    ovs_assert(list->n < MODEL_MAX_ACTIONS);
    list->actions[list->n++] = (struct model_action) { kind, host, arg };
}

static void
add_host(struct action_list *list, int host)
{
    const struct world_host *h = &world.hosts[host];

    if (model.dead[host]) {
        if (host == HOST_S || !model.gone) {
            can(list, DO_RESTART, host, 0);
        }
    } else if (world_n_messages(HOST_D - host, host)) {
        can(list, DO_MESSAGE, host, 0);
    }
    if (world_n_writes(host)) {
        can(list, DO_WRITE, host, 0);
    }
    for (int call = 0; call < N_CALLS; call++) {
        if (h->qemu.answers[call] == ASKED) {
            can(list, DO_ANSWER, host, call);
        }
    }
}

/* A person looks before saying anything. */
static void
add_person(struct action_list *list)
{
    if (world.migration.state == MOVE_STUCK && !model.person
        && !model.dead[HOST_S] && model.dead[HOST_D]) {
        can(list, DO_RESOLVE,
            world.hosts[HOST_D].qemu.state == VM_RUNNING ? HOST_D : HOST_S,
            0);
    }
}

/* What somebody else may have changed meanwhile. */
static bool
may_be_refused(int host)
{
    char name[24] = "";

    if (world_n_writes(host)) {
        world_write_name(host, 0, name);
    }
    return !strcmp(name, "reserve") || !strcmp(name, "advance");
}

static void
add_faults(struct action_list *list)
{
    const struct world_qemu *s = &world.hosts[HOST_S].qemu;
    const struct world_qemu *d = &world.hosts[HOST_D].qemu;

    for (int host = 0; host < 2; host++) {
        if (!model.dead[host]) {
            can(list, DO_CRASH, host, 0);
        }
        if (may_be_refused(host)) {
            can(list, DO_REFUSE, host, 0);
        }
    }
    if (world_is_up(HOST_S, HOST_D) && !model.dead[HOST_S]
        && !model.dead[HOST_D]) {
        can(list, DO_BREAK, 0, 0);
    }
    if (world.migration.state <= MOVE_RUNNING && !world.migration.cancel) {
        can(list, DO_CANCEL, 0, 0);
    }
    if (s->state != VM_ABSENT && s->state != VM_FAILED) {
        can(list, DO_KILL_QEMU, HOST_S, 0);
    }
    if (d->state != VM_ABSENT && d->state != VM_FAILED) {
        can(list, DO_KILL_QEMU, HOST_D, 0);
    }
    if (s->sending) {
        can(list, DO_BREAK_STREAM, 0, 0);
    }
    if (s->proceeding && !s->rest_sent && d->state == VM_LISTENING) {
        can(list, DO_BAD_LOAD, 0, 0);
    }
    if (!model.gone) {
        can(list, DO_LOSE_HOST, 0, 0);
    }
}

size_t
model_actions(struct model_action actions[MODEL_MAX_ACTIONS],
              bool faults_too)
{
    struct action_list list = { .actions = actions };

    if (faults_too && model.left.faults) {
        add_faults(&list);
    }
    size_t n_faults = list.n;
    add_host(&list, HOST_S);
    add_host(&list, HOST_D);
    if (qemu_goes_on()) {
        can(&list, DO_QEMU, HOST_S, 0);
    }
    if (!world_is_up(HOST_S, HOST_D)) {
        can(&list, DO_MEND, 0, 0);
    }
    add_person(&list);
    if (waits_shortly()) {
        can(&list, DO_TICK, 0, 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(delays_s) && list.n > n_faults
         && faults_too && model.left.delays; i++) {
        /* Not the last one, which goes on in the same process. */
        can(&list, DO_DELAY, 0, delays_s[i]);
    }
    return list.n;
}

/* Doing it. */

void
model_die(int host)
{
    model.dead[host] = true;
    world_abandon_agent(host);
    world_drop_messages(HOST_D - host, host);
}

static void
do_message(int host)
{
    const struct message *m = world_message(HOST_D - host, host, 0);

    model_note("%s arrives at %s", message_name(m->type), host_name(host));
    world_deliver(HOST_D - host, host);
    wake(host);
}

static void
do_write(int host, bool refuse)
{
    char name[24];

    world_write_name(host, 0, name);
    model_note("the store %s what %s wrote: %s",
               refuse ? "refuses" : "does", host_name(host), name);
    world_do_write(host, refuse);
    do_trivial_writes(host);
    wake(host);
}

static void
do_qemu(void)
{
    struct world_host *s = &world.hosts[HOST_S];

    model_note(s->qemu.state == VM_PAUSED && !s->qemu.proceeding && !s->engine
               ? "the watchdog of S cancels" : "QEMU of S goes on");
    s->qemu.next_us = world.now_us;
    world_run_qemu(s);
    s->qemu.next_us = world_later(0);
    wake(HOST_S);
}

static void
do_restart(int host)
{
    model_note("the agent of %s starts again", host_name(host));
    world_drop_messages(host, HOST_D - host);
    world_drop_writes(host);
    model.dead[host] = false;
    world_start_agent(host);
    model_settle();
}

static void
do_kill_qemu(int host)
{
    struct world_qemu *s = &world.hosts[HOST_S].qemu;
    struct world_qemu *d = &world.hosts[HOST_D].qemu;
    bool breaks = (host == HOST_S && s->sending
                   && d->state == VM_LISTENING && !d->loaded);

    model_note("QEMU of %s is killed", host_name(host));
    if (host == HOST_S || d->state == VM_RUNNING) {
        model.lost = true;
    }
    world_kill_qemu(&world.hosts[host], "killed");
    if (breaks) {
        world_kill_qemu(&world.hosts[HOST_D], "its stream broke");
    }
    wake(host);
}

static void
do_lose_host(void)
{
    struct world_host *d = &world.hosts[HOST_D];

    model_note("the host of D is gone for good");
    model.lost = model.lost || d->qemu.state == VM_RUNNING;
    model.gone = true;
    world_kill_qemu(d, "its host is gone");
    d->qemu.state = VM_ABSENT;
    if (!model.dead[HOST_D]) {
        model_die(HOST_D);
    }
    world_drop_messages(HOST_D, HOST_S);
    world_drop_writes(HOST_D);
    wake(HOST_S);
}

static void
do_fault(const struct model_action *a)
{
    model.left.faults--;
    switch ((int) a->kind) {
    case DO_CRASH:
        model_note("the agent of %s dies", host_name(a->host));
        model_die(a->host);
        break;
    case DO_BREAK:
        model_note("the connection breaks");
        world_break(HOST_S, HOST_D);
        break;
    case DO_CANCEL:
        model_note("the user cancels");
        world.migration.cancel = true;
        break;
    case DO_KILL_QEMU:
        do_kill_qemu(a->host);
        break;
    case DO_BREAK_STREAM:
        model_note("the stream between the QEMUs breaks");
        world_break_stream();
        break;
    case DO_BAD_LOAD:
        model_note("QEMU of D will not load it");
        world.hosts[HOST_D].qemu.load_failed = true;
        break;
    case DO_REFUSE:
        do_write(a->host, true);
        break;
    case DO_LOSE_HOST:
        do_lose_host();
        break;
    default:
        OVS_NOT_REACHED();
    }
    model_settle();
}

void
model_do(const struct model_action *a)
{
    switch (a->kind) {
    case DO_MESSAGE:
        do_message(a->host);
        break;
    case DO_QEMU:
        do_qemu();
        break;
    case DO_ANSWER:
        model_note("QEMU of %s has done %s", host_name(a->host),
                   world_call_name(a->arg));
        world.hosts[a->host].qemu.answers[a->arg] = ANSWERED;
        wake(a->host);
        break;
    case DO_WRITE:
        do_write(a->host, false);
        break;
    case DO_TICK:
        model_note("%d ms pass", TICK_MS);
        model.ticks++;
        pass_time(TICK_MS);
        break;
    case DO_RESTART:
        do_restart(a->host);
        break;
    case DO_MEND:
        model_note("there is a connection again");
        world_mend(HOST_S, HOST_D);
        model_settle();
        break;
    case DO_RESOLVE:
        model_note("a person says that it runs on %s", host_name(a->host));
        model.person = true;
        world.migration.runs_on = world.hosts[a->host].uuid;
        wake(HOST_S);
        break;
    case DO_DELAY:
        model_note("%d s pass", a->arg);
        model.left.delays--;
        pass_time(a->arg * 1000);
        break;
    case DO_CRASH:
    case DO_BREAK:
    case DO_CANCEL:
    case DO_KILL_QEMU:
    case DO_BREAK_STREAM:
    case DO_BAD_LOAD:
    case DO_REFUSE:
    case DO_LOSE_HOST:
        do_fault(a);
        break;
    }
}

/* What must hold. */

const char *
model_check(void)
{
    return world.ever_two ? "two copies run" : NULL;
}

static bool
has_journal(int host)
{
    struct ovs_list entries = OVS_LIST_INITIALIZER(&entries);
    struct journal_entry *entry;

    journal_load(world.hosts[host].journal, &entries);
    bool has = !ovs_list_is_empty(&entries);
    LIST_FOR_EACH_POP (entry, node, &entries) {
        free(entry);
    }
    return has;
}

/* Of a host whose agent runs: is the guest there, and well, or is nothing
 * there at all? */
static const char *
check_host(int host, bool runs, bool lost)
{
    const struct engine *e = world.hosts[host].engine;
    const struct guest *g = guest_find(e, &world.vm.uuid);

    if (runs && (!g || g->role != GUEST_OWN || g->told != VM_RUNNING)) {
        return "the guest runs, but has no owner";
    } else if (!runs && g && g->told == VM_RUNNING) {
        return "a guest that ended is shown as running";
    } else if (!runs && !lost
               && world.hosts[host].qemu.state != VM_ABSENT) {
        return "a QEMU is left";
    } else if (!hmap_is_empty(&e->outgoing) || !hmap_is_empty(&e->incoming)) {
        return "an agent does not let go of the migration";
    }
    return has_journal(host) ? "a mark is left in a journal" : NULL;
}

/* A guest that was killed runs nowhere, but its move has to end, too. */
const char *
model_check_end(void)
{
    bool lost = model.lost && !world_n_running();
    bool on_d = world.hosts[HOST_D].qemu.state == VM_RUNNING;
    bool completed = world.migration.state == MOVE_COMPLETED;
    struct uuid interface = world_interface(-1);
    struct binding binding;

    if (!migration_state_is_final(world.migration.state)) {
        return "the migration never ends";
    } else if (world.migration.state == MOVE_STUCK) {
        return model.gone && lost ? NULL
               : "it is stuck though somebody knows";
    } else if (!uuid_is_zero(&world.order.migration)) {
        return "it is still reserved";
    } else if (!lost && !world_n_running()) {
        return "it runs nowhere";
    } else if (!lost && completed != on_d) {
        return "it does not run where the migration says";
    }
    int owner = completed ? HOST_D : HOST_S;
    if (!uuid_equals(&world.order.host, &world.hosts[owner].uuid)) {
        return "the store says that it is elsewhere";
    } else if (!lost
               && (!bindings_find_newest(NULL, &interface, true, &binding)
                   || !uuid_equals(&binding.generation.host,
                                   &world.hosts[owner].uuid))) {
        return "its newest binding is elsewhere";
    }
    for (int host = 0; host < 2; host++) {
        const char *wrong
            = (model.dead[host] ? NULL
               : check_host(host, !lost && owner == host, lost));

        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

/* Tests. */

static void
effect(struct world_host *h, const char *what)
{
    if (h->index != HOST_C) {
        model_may_die(h->index, what);
    }
}

static struct model_result
explore(struct model_bound bound, enum model_seed seed, bool shortest)
{
    world_begin(NULL, 0, ALL);
    world_run(150);
    world.hosts[HOST_S].qemu.loaded = true;     /* It came by another one. */
    model = (struct model) { .seed = seed, .left = bound };
    world.stepwise = true;
    world.effect = effect;
    world_request();
    struct model_result result = model_explore(shortest);
    world.stepwise = false;
    world.effect = NULL;
    world_end();
    return result;
}

/* Returns whether anything was wrong. */
static bool
print(struct model_result r, struct model_bound bound, enum model_seed seed)
{
    printf("seeded bug %s, at most %d faults and %d delays: %"PRIu64
           " states, %"PRIu64" actions, %"PRIu64" ends, longest path %d: "
           "%s\n", seeds[seed].name, bound.faults, bound.delays, r.n_states,
           r.n_actions, r.n_ends, r.deepest, r.wrong ? r.wrong : "good");
    if (r.wrong) {
        model_print_path();
    }
    fflush(stdout);
    return r.wrong;
}

static void
test_nothing_goes_wrong(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(quick); i++) {
        struct model_result r = explore(quick[i], SEED_NONE, false);

        assert_false(print(r, quick[i], SEED_NONE));
        assert_true(r.n_ends > 0);
    }
}

static void
test_seeds_are_found(void **state)
{
    for (enum model_seed seed = 1; seed < N_SEEDS; seed++) {
        struct model_result r = explore(seeds[seed].bound, seed, false);

        assert_non_null(r.wrong);
    }
}

/* Everything, for some minutes. */
static int
explore_fully(void)
{
    int n_bad = 0;

    for (enum model_seed seed = 1; seed < N_SEEDS; seed++) {
        struct model_bound bound = seeds[seed].bound;

        n_bad += !print(explore(bound, seed, true), bound, seed);
    }
    for (size_t i = 0; i < ARRAY_SIZE(full); i++) {
        n_bad += print(explore(full[i], SEED_NONE, false), full[i],
                       SEED_NONE);
    }
    printf("model: %s\n", n_bad ? "wrong" : "good");
    return n_bad > 0;
}

static enum model_seed
find_seed(const char *name)
{
    for (enum model_seed seed = 0; seed < N_SEEDS; seed++) {
        if (!strcmp(seeds[seed].name, name)) {
            return seed;
        }
    }
    fprintf(stderr, "no such bug: %s\n", name);
    exit(2);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_goes_wrong),
        cmocka_unit_test(test_seeds_are_found),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (argc == 2 && !strcmp(argv[1], "full")) {
        return explore_fully();
    } else if (argc >= 3) {
        struct model_bound bound = { atoi(argv[1]), atoi(argv[2]) };
        enum model_seed seed = argc > 3 ? find_seed(argv[3]) : SEED_NONE;

        return print(explore(bound, seed, true), bound, seed);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
