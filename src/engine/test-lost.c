#include <config.h>

/* A move whose guest ends at its source: it runs at the destination, or it
 * has failed and everybody is told so.  It never passes for running where
 * there is nothing that could run. */

#include "engine/test-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/vlog.h"
#include "util.h"
#include "uuid.h"

#define ALL ((1u << N_HOSTS) - 1)
#define BUSY_TURNS 120          /* In these the migration does its work. */
#define MAX_TURNS 8000          /* Of up to 20 ms. */
#define WHY "killed by signal 9"
#define S (&world.hosts[HOST_S])
#define D (&world.hosts[HOST_D])

static void
begin(const struct weather *weather)
{
    world_begin(weather, 1, ALL);
    world_run(150);
    assert_int_equal(S->qemu.state, VM_RUNNING);
    world_request();
}

static bool
is_over(void)
{
    return (migration_state_is_final(world.migration.state)
            && world.migration.state != MOVE_STUCK);
}

/* Until it is over, and a little longer. */
static void
finish(void)
{
    for (int i = 0; i < MAX_TURNS && !is_over(); i++) {
        world_turn(true);
    }
    world_run(500);
}

static void
check_failed(void)
{
    assert_int_equal(world.migration.state, MOVE_FAILED);
    assert_non_null(strstr(world.migration.error, "\"web1\" ended on s"));
    assert_int_equal(world.instance.state, VM_FAILED);
    assert_true(world.instance.reason[0]);
    assert_true(uuid_equals(&world.instance.generation.host, &S->uuid));
    assert_true(uuid_equals(&world.order.host, &S->uuid));
    assert_true(uuid_is_zero(&world.order.migration));
    assert_int_equal(world_n_running(), 0);
    assert_int_equal(D->qemu.state, VM_ABSENT);

    /* Nobody starts it again by itself. */
    world_run(3000);
    assert_int_equal(world_n_running(), 0);
}

/* It ends at 'turn', and, if 'restart', so does its agent. */
static enum migration_state
end_at(int turn, bool restart)
{
    struct weather weather = {
        restart ? AGENT_S_DIES : WEATHER_FINE, turn + 1, 200,
    };
    enum migration_state state;

    begin(&weather);
    while (world.n_turns < turn) {
        world_turn(false);
    }
    /* What it was sending breaks off. */
    bool sending = S->qemu.sending;
    world_kill_qemu(S, WHY);
    if (sending && !D->qemu.granted) {
        D->qemu.load_failed = true;
    }
    finish();
    state = world.migration.state;
    if (world.ever_two) {
        fail_msg("turn %d: it ran twice", turn);
    }
    if (state == MOVE_COMPLETED) {
        assert_int_equal(D->qemu.state, VM_RUNNING);
        assert_true(uuid_equals(&world.order.host, &D->uuid));
    } else {
        check_failed();
    }
    world_end();
    return state;
}

static void
end_at_each_turn(bool restart)
{
    int n[MOVE_STUCK + 1] = { 0 };

    for (int turn = 2; turn < BUSY_TURNS; turn++) {
        n[end_at(turn, restart)]++;
    }
    assert_in_range(n[MOVE_FAILED], 10, BUSY_TURNS);
    assert_in_range(n[MOVE_COMPLETED], 3, BUSY_TURNS);
}

static void
test_qemu_ends(void **state OVS_UNUSED)
{
    end_at_each_turn(false);
}

static void
test_qemu_and_agent_end(void **state OVS_UNUSED)
{
    end_at_each_turn(true);
}

/* The destination's host is gone behind the grant, and then the guest that
 * waits at the source ends, too.  A person says that it runs at the source. */
static void
decide(bool restart)
{
    struct weather weather = { AGENT_D_DIES, 0, 1000000 };

    begin(&weather);
    while (!world.granted) {
        world.weathers[0].at = world.n_turns + 10;
        world_turn(true);
    }
    world.weathers[0].at = world.n_turns;
    while (world.migration.state != MOVE_STUCK) {
        world_turn(true);
        assert_true(world.n_turns < MAX_TURNS);
    }
    world_kill_qemu(D, WHY);
    world_kill_qemu(S, WHY);
    world_run(100);
    if (restart) {
        world_kill_agent(HOST_S);
        world_start_agent(HOST_S);
        world_run(40000);       /* It asks the destination once more. */
        assert_int_equal(world.migration.state, MOVE_STUCK);
    }
    world.migration.runs_on = S->uuid;
    world.store_seqno++;
    finish();
    assert_int_equal(world.migration.state, MOVE_FAILED);
    assert_non_null(strstr(world.migration.error, "\"web1\" ended on s"));
    assert_int_equal(world.instance.state, VM_FAILED);
    assert_true(world.instance.reason[0]);
    world_end();
}

static void
test_resolved(void **state OVS_UNUSED)
{
    decide(false);
}

static void
test_resolved_after_restart(void **state OVS_UNUSED)
{
    decide(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qemu_ends),
        cmocka_unit_test(test_qemu_and_agent_end),
        cmocka_unit_test(test_resolved),
        cmocka_unit_test(test_resolved_after_restart),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
