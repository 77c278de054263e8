#include <config.h>

/* Exhaustive: a VM moves between two real engines, and at each point of it
 * each thing goes wrong that can.  Whatever happens, the VM never runs twice,
 * ends up somewhere in one piece, and nobody's packet comes twice.
 *
 * With the numbers KIND AT MS of a weather as arguments, as failures print
 * them, it runs that one alone and tells what happened. */

#include "engine/test-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "random.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine.h"
#include "peer/message.h"

#define ALL ((1u << N_HOSTS) - 1)
#define TALK_MS 450             /* From before the request on. */
#define TIDY_TURNS 4000         /* After its end, of up to 20 ms each. */
#define MAX_TURNS 20000
#define BUSY_TURNS 80           /* In these the migration does its work. */
#define SHORT_MS 1000           /* So long nobody gives up. */
#define GRANT_MS 30000          /* As in move.c. */
#define ABORT_MS 3000           /* As in outgoing.c. */

/* In words, for failures. */
static const char *
weather_format(const struct weather *w, char buf[100])
{
    static const char *const names[] = {
        "fine", "call fails once", "call fails", "call hangs",
        "connection breaks", "message late", "write is refused",
        "store away", "user cancels", "agent D dies", "agent S dies",
        "QEMU D dies", "load fails",
    };

    snprintf(buf, 100, "%s (%d %d %d)", names[w->kind], w->kind, w->at,
             w->ms);
    return buf;
}

static bool
is_over(void)
{
    return world.migration.state > MOVE_RUNNING;
}

/* What the packets say: how many were lost, how many came twice. */
static void
count_packets(int *lost, int *twice)
{
    *lost = *twice = 0;
    for (int sender = 0; sender < N_SENDERS; sender++) {
        for (int i = 0; i < world.n_said[sender]; i++) {
            *lost += !world.got[sender][i];
            *twice += world.got[sender][i] > 1;
        }
    }
}

static void
print_outcome(void)
{
    int lost, twice;

    count_packets(&lost, &twice);
    printf("state %d (%s), S %s, D %s, turns %d\n", world.migration.state,
           world.migration.error, vm_state_name(world.hosts[0].qemu.state),
           vm_state_name(world.hosts[1].qemu.state), world.n_turns);
    printf("packets: %d and %d said, %d lost (%d in queues), %d twice, %d "
           "reordered, %d fences to the guest\n", world.n_said[0],
           world.n_said[1], lost, world.n_lost, twice, world.n_reordered,
           world.n_fences_to_guest);
    printf("calls %d, messages %d, writes %d\n", world.n_calls,
           world.n_messages, world.n_counted);
    for (int i = 0; i < N_HOSTS; i++) {
        if (world.hosts[i].engine) {
            struct ds s = DS_EMPTY_INITIALIZER;

            engine_format(world.hosts[i].engine, &s);
            printf("%s", ds_cstr(&s));
            ds_destroy(&s);
        }
    }
}

/* Is everything as an outcome promises? */

static const char *
check_completed(void)
{
    const struct world_host *s = &world.hosts[HOST_S];
    const struct world_host *d = &world.hosts[HOST_D];
    struct uuid vm = world_interface(-1);
    const struct datapath_here *here;

    if (d->qemu.state != VM_RUNNING || s->qemu.state != VM_ABSENT) {
        return "it does not run where it should";
    } else if (world_has(CALL_FAILS) || world_has(CALL_HANGS)) {
        return NULL;
    } else if (!uuid_equals(&world.order.host, &d->uuid)
               || !uuid_is_zero(&world.order.migration)) {
        return "the store does not know";
    }
    here = datapath_get_here(s->datapath, &vm);
    if (!here || here->port != OFPP_NONE
        || here->delivery != DATAPATH_HOLD) {
        return "there is no tombstone";
    }
    here = datapath_get_here(d->datapath, &vm);
    if (!here || here->port != WORLD_VM_PORT
        || here->delivery != DATAPATH_DIRECT) {
        return "its packets are not delivered";
    }
    return NULL;
}

static const char *
check_undone(void)
{
    bool broken = world_has(CALL_FAILS) || world_has(CALL_HANGS);
    const struct world_host *s = &world.hosts[HOST_S];
    const struct world_host *d = &world.hosts[HOST_D];

    if (s->qemu.state != VM_RUNNING || s->qemu.sending) {
        return "it does not run where it was";
    } else if (d->qemu.state != VM_ABSENT && !broken) {
        return "something is left at the destination";
    } else if (!uuid_equals(&world.order.host, &s->uuid)) {
        return "the store says that it has moved";
    } else if (!uuid_is_zero(&world.order.migration)) {
        return "it is still reserved";
    } else if (s->qemu.capture != CAPTURE_OFF || s->qemu.captured.n
               || s->qemu.kept.n) {
        return "packets are still captured";
    }
    /* Those that a dead agent had taken are given back by edge/. */
    for (int i = 0; i < 256; i++) {
        if (d->used[i] && !d->rested[i] && !broken && !d->died) {
            return "an address of the destination is still in use";
        }
    }
    const struct world_flows *flows = &world.hosts[HOST_C].flows;
    if (flows->out.kind != DATAPATH_AWAY
        || !addr_pair_equals(&flows->out.mobile, &s->flows.here.mobile)
        || s->flows.out.kind != DATAPATH_HERE
        || s->flows.here.delivery != DATAPATH_DIRECT) {
        return "its packets go elsewhere";
    }
    return NULL;
}

/* Which state has the migration to end in?  Null: the present one will do. */
static const char *
check_state(void)
{
    bool broken = world_has(CALL_FAILS) || world_has(CALL_HANGS);

    switch (world.migration.state) {
    case MOVE_COMPLETED:
        return check_completed();
    case MOVE_ROLLED_BACK:
    case MOVE_FAILED:
        return check_undone();
    case MOVE_STUCK:
        /* The destination is there again, and knows. */
        return broken ? NULL : "it is stuck";
    case MOVE_REQUESTED:
    case MOVE_RUNNING:
        /* What never works may never end. */
        return broken ? NULL : "it never ends";
    }
    OVS_NOT_REACHED();
}

/* Packets may be lost with a guest that died, in what never ends, and if they
 * come back after a rollback is over. */
static bool
may_lose(void)
{
    for (int i = 0; i < N_WEATHERS_AT_ONCE; i++) {
        const struct weather *w = &world.weathers[i];

        if (((w->kind == MESSAGE_LATE || w->kind == CONNECTION_BREAKS)
             && w->ms > ABORT_MS) || w->ms > GRANT_MS) {
            return true;
        }
    }
    return (world.hosts[HOST_D].qemu.state == VM_FAILED
            || world.migration.state == MOVE_RUNNING
            || world.migration.state == MOVE_STUCK);
}

static const char *
check_outcome(void)
{
    bool died = (world_has(QEMU_D_DIES)
                 && world.hosts[HOST_D].qemu.state == VM_FAILED);
    int lost, twice;
    const char *wrong;

    count_packets(&lost, &twice);
    if (!world.hosts[HOST_S].engine || !world.hosts[HOST_D].engine) {
        return "an agent is away";
    } else if (world.ever_two) {
        return "it ran twice";
    } else if (twice) {
        return "a packet came twice";
    } else if (died && world.hosts[HOST_D].qemu.granted) {
        return NULL;            /* A guest can die, too. */
    } else if (world.n_fences_to_guest
               && world.migration.state == MOVE_COMPLETED) {
        return "the guest got a fence";
    } else if (!world_n_running() && world.migration.state != MOVE_STUCK
               && !world_has(CALL_HANGS)) {
        return "it runs nowhere";
    }
    wrong = check_state();
    return wrong ? wrong : lost && !may_lose() ? "packets were lost" : NULL;
}

/* From a VM that runs on S to an outcome; returns what is wrong with it. */
static const char *
play(const struct weather *weathers, size_t n)
{
    const char *wrong;
    int quiet = 0;

    world_begin(weathers, n, ALL);
    world_run(100);
    world.talking = true;
    world_run(50);
    assert_int_equal(world.hosts[HOST_S].qemu.state, VM_RUNNING);
    world_request();
    for (;;) {
        world.talking = world.n_turns < TALK_MS;
        world_turn(true);
        quiet = is_over() && !world.talking ? quiet + 1 : 0;
        wrong = check_outcome();
        if ((quiet > 50 && !wrong) || quiet > TIDY_TURNS
            || world.n_turns >= MAX_TURNS) {
            return wrong;
        }
    }
}

static int n_runs;

/* Plays and tells; returns whether it went wrong. */
static bool
try(const struct weather *weathers, size_t n)
{
    const char *wrong = play(weathers, n);

    if (!wrong && n == 1 && weathers[0].kind == CONNECTION_BREAKS
        && weathers[0].ms <= SHORT_MS
        && world.migration.state != MOVE_COMPLETED) {
        wrong = "it was undone for nothing";
    }
    if (wrong) {
        char a[100], b[100];

        print_message("%s%s%s: %s (state %d)\n",
                      weather_format(&weathers[0], a), n > 1 ? ", " : "",
                      n > 1 ? weather_format(&weathers[1], b) : "", wrong,
                      world.migration.state);
    }
    world_end();
    n_runs++;
    return wrong;
}

/* Plays each point in [0, 'n') of 'kind'; returns how many went wrong. */
static int
explore(enum weather_kind kind, int n, int ms)
{
    int n_wrong = 0;

    for (int at = 0; at < n; at++) {
        n_wrong += try(&(struct weather) { kind, at, ms }, 1);
    }
    return n_wrong;
}

static int n_calls, n_messages, n_writes, n_turns;

static void
test_fine(void **state)
{
    struct weather weather = { .kind = WEATHER_FINE };
    const char *wrong = play(&weather, 1);

    if (wrong) {
        fail_msg("%s", wrong);
    }
    assert_int_equal(world.migration.state, MOVE_COMPLETED);
    assert_int_equal(world.n_reordered, 0);
    n_calls = world.n_calls;
    n_messages = world.n_messages;
    n_writes = world.n_counted;
    n_turns = TALK_MS;
    world_end();
}

static void
test_calls_fail(void **state)
{
    int wrong = 0;

    wrong += explore(CALL_FAILS_ONCE, n_calls, 0);
    wrong += explore(CALL_FAILS, n_calls, 0);
    assert_int_equal(wrong, 0);
}

static void
test_calls_hang(void **state)
{
    int wrong = 0;

    wrong += explore(CALL_HANGS, n_calls, 0);
    assert_int_equal(wrong, 0);
}

static void
test_connections_break(void **state)
{
    static const int ms[] = { 10, 500, 5000, 40000 };
    int wrong = 0;

    for (int i = 0; i < ARRAY_SIZE(ms); i++) {
        wrong += explore(CONNECTION_BREAKS, n_messages, ms[i]);
    }
    wrong += explore(MESSAGE_LATE, n_messages, 50);
    wrong += explore(MESSAGE_LATE, n_messages, 4000);
    assert_int_equal(wrong, 0);
}

static void
test_store_fails(void **state)
{
    int wrong = 0;

    wrong += explore(WRITE_IS_REFUSED, n_writes, 0);
    wrong += explore(STORE_AWAY, n_writes, 10000);
    assert_int_equal(wrong, 0);
}

static void
test_user_cancels(void **state)
{
    int wrong = 0;

    wrong += explore(USER_CANCELS, n_turns, 0);
    assert_int_equal(wrong, 0);
}

static void
test_destination_dies(void **state)
{
    int wrong = 0;

    wrong += explore(LOAD_FAILS, 1, 0);
    wrong += explore(QEMU_D_DIES, n_turns, 0);
    assert_int_equal(wrong, 0);
}

static void
test_destination_agent_dies(void **state)
{
    int wrong = explore(AGENT_D_DIES, n_turns, 200);

    assert_int_equal(wrong, 0);
}

static void
test_source_agent_dies(void **state)
{
    int wrong = explore(AGENT_S_DIES, n_turns, 200);

    assert_int_equal(wrong, 0);
}

/* Two things at once, by the lot; the same ones each time.  WORLD_PAIRS says
 * how many. */
static void
test_pairs(void **state)
{
    static const int ms[] = { 10, 500, 5000, 40000 };
    const char *wanted = getenv("WORLD_PAIRS");
    int n = wanted ? atoi(wanted) : 800;
    int wrong = 0;

    random_set_seed(1);
    for (int i = 0; i < n; i++) {
        struct weather pair[2];

        for (int k = 0; k < 2; k++) {
            enum weather_kind kind = 1 + random_range(N_WEATHERS - 1);
            int max = (kind <= CALL_HANGS ? n_calls
                       : kind <= MESSAGE_LATE ? n_messages + 4
                       : kind <= STORE_AWAY ? n_writes : BUSY_TURNS);

            pair[k] = (struct weather) { kind, random_range(max),
                                         ms[random_range(ARRAY_SIZE(ms))] };
        }
        wrong += try(pair, 2);
    }
    assert_int_equal(wrong, 0);
    print_message("%d runs\n", n_runs);
}

/* The turn after that in which the grant is sent. */
static int
find_grant(void)
{
    world_begin(&(struct weather) { WEATHER_FINE }, 1, ALL);
    world_run(150);
    world_request();
    while (!world.granted) {
        world_turn(true);
    }
    int turn = world.n_turns;
    world_end();
    return turn;
}

/* The destination's agent dies 'after' turns behind the grant, and a person
 * says where the guest runs; true if the migration was stuck. */
static bool
decide(int grant, int after, int runs_on)
{
    struct weather weather = { AGENT_D_DIES, grant + after, 120000 };

    world_begin(&weather, 1, ALL);
    world_run(150);
    world_request();
    while (world.migration.state != MOVE_STUCK
           && !migration_state_is_final(world.migration.state)) {
        world_turn(true);
    }
    bool stuck = world.migration.state == MOVE_STUCK;
    bool there = world.hosts[HOST_D].qemu.state == VM_RUNNING;
    if (!stuck || there != (runs_on == HOST_D)) {
        world_end();
        return false;           /* A person who errs is not our subject. */
    }
    assert_null(world.hosts[HOST_D].engine);
    world.migration.runs_on = world.hosts[runs_on].uuid;
    world.store_seqno++;
    world_run(1000);
    assert_null(world.hosts[HOST_D].engine);
    assert_int_not_equal(world.migration.state, MOVE_STUCK);
    assert_int_equal(world_n_running(), 1);

    /* And then it comes back. */
    while (!world.hosts[HOST_D].engine) {
        world_turn(true);
    }
    world_run(10000);
    assert_false(world.ever_two);
    assert_int_equal(world.migration.state,
                     runs_on == HOST_D ? MOVE_COMPLETED : MOVE_ROLLED_BACK);
    assert_int_equal(world.hosts[runs_on].qemu.state, VM_RUNNING);
    assert_int_equal(world_n_running(), 1);
    world_end();
    return true;
}

static void
test_somebody_decides(void **state)
{
    int grant = find_grant();
    int n_source = 0, n_destination = 0;

    for (int after = 0; after < 12; after++) {
        n_source += decide(grant, after, HOST_S);
        n_destination += decide(grant, after, HOST_D);
    }
    assert_true(n_source > 0);
    assert_true(n_destination > 0);
}

/* Pairs that found faults, and that chance would seldom find again. */
static void
test_hard_pairs(void **state)
{
    struct weather pairs[][2] = {
        /* A guest that runs is not failed if its taps are not made at once. */
        { { CALL_FAILS_ONCE, 23, 500 }, { AGENT_S_DIES, 24, 40000 } },
    };
    int wrong = 0;

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        wrong += try(pairs[i], 2);
    }
    assert_int_equal(wrong, 0);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fine),
        cmocka_unit_test(test_calls_fail),
        cmocka_unit_test(test_calls_hang),
        cmocka_unit_test(test_connections_break),
        cmocka_unit_test(test_store_fails),
        cmocka_unit_test(test_user_cancels),
        cmocka_unit_test(test_destination_dies),
        cmocka_unit_test(test_destination_agent_dies),
        cmocka_unit_test(test_source_agent_dies),
        cmocka_unit_test(test_somebody_decides),
        cmocka_unit_test(test_hard_pairs),
        cmocka_unit_test(test_pairs),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (argc >= 4) {
        struct weather weathers[2] = { { 0 } };

        for (int i = 0; i < 2 && argc >= 4 + 3 * i; i++) {
            weathers[i] = (struct weather) { atoi(argv[1 + 3 * i]),
                                             atoi(argv[2 + 3 * i]),
                                             atoi(argv[3 + 3 * i]) };
        }
        setenv("WORLD_NOTES", "1", 1);
        const char *wrong = play(weathers, 2);
        print_outcome();
        world_end();
        printf("%s\n", wrong ? wrong : "good");
        return wrong != NULL;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
