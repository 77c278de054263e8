#include <config.h>

/* Fault points: what they obey, and that each is where its name says. */

#include "engine/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "util.h"

#include "engine/test-world.h"

#define ALL ((1u << N_HOSTS) - 1)
#define HELD_TURNS 600          /* Every point is reached by then. */
#define END_TURNS 5000
#define MAX_LOST 5              /* Those that our agent had when it died, and
                                 * while its successor takes the switch up. */
#define S (&world.hosts[HOST_S])

/* Does "show" have a line that begins so? */
static bool
shows(const struct fault *f, const char *line)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    fault_format(f, &s);

    const char *at = strstr(ds_cstr(&s), line);
    bool found = at && (at == ds_cstr(&s) || at[-1] == '\n');
    ds_destroy(&s);
    return found;
}

static void
test_nothing(void **state)
{
    struct fault *f = fault_create();

    for (size_t i = 0; i < N_FAULT_POINTS; i++) {
        assert_true(fault_pass(NULL, i));
        assert_true(fault_pass(f, i));
    }
    assert_false(fault_release(f));
    fault_destroy(f);
}

static void
test_hold(void **state)
{
    struct fault *f = fault_create();

    assert_int_equal(fault_set(f, "stop", "hold", NULL), 0);
    assert_true(shows(f, "stop hold: "));
    assert_false(fault_release(f));     /* Nobody has come by. */
    assert_true(fault_pass(f, FAULT_COPY));
    assert_false(fault_pass(f, FAULT_STOP));
    assert_false(fault_pass(f, FAULT_STOP));
    assert_true(shows(f, "stop held: "));
    assert_true(shows(f, "copy off: "));
    assert_true(fault_release(f));
    assert_true(fault_pass(f, FAULT_STOP));
    assert_true(shows(f, "stop off: "));

    assert_int_equal(fault_set(f, "stop", "hold", NULL), 0);
    assert_false(fault_pass(f, FAULT_STOP));
    assert_int_equal(fault_set(f, "stop", "off", NULL), 0);
    assert_true(fault_pass(f, FAULT_STOP));
    fault_destroy(f);
}

static void
test_kill(void **state)
{
    struct fault *f = fault_create();
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (!pid) {
        fault_set(f, "granted", "kill", NULL);
        fault_pass(f, FAULT_CONTINUED);
        fault_pass(f, FAULT_GRANTED);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fault_destroy(f);
}

static void
test_wrong(void **state)
{
    struct fault *f = fault_create();
    struct err err;

    assert_int_equal(fault_set(f, "stopp", "hold", &err), EINVAL);
    assert_non_null(strstr(err.text, "pre-switchover"));
    assert_int_equal(fault_set(f, "stop", "wait", &err), EINVAL);
    assert_non_null(strstr(err.text, "\"wait\""));
    assert_true(fault_pass(f, FAULT_STOP));
    fault_destroy(f);
}

/* From a guest that runs on S to a migration that is held. */
static void
play_to(const char *point)
{
    char *held = xasprintf("%s held: ", point);

    world_begin(NULL, 0, ALL);
    world_run(100);
    world.talking = true;
    world_run(50);
    assert_int_equal(fault_set(world.fault, point, "hold", NULL), 0);
    world_request();
    for (int i = 0; i < HELD_TURNS && !shows(world.fault, held); i++) {
        world_turn(false);
    }
    if (!shows(world.fault, held)) {
        fail_msg("it did not come to \"%s\"", point);
    }
    free(held);
}

/* Packets since each sender's 'from' that did not reach the guest; none may
 * reach it twice. */
static int
count_lost(const int from[N_SENDERS])
{
    int n = 0;

    for (int sender = 0; sender < N_SENDERS; sender++) {
        for (int i = from[sender]; i < world.n_said[sender]; i++) {
            assert_true(world.got[sender][i] <= 1);
            n += !world.got[sender][i];
        }
    }
    return n;
}

/* Lets it go; returns how it ended.  Nobody's packet is lost. */
static enum migration_state
play_on(void)
{
    static const int all[N_SENDERS];

    assert_true(fault_release(world.fault));
    for (int i = 0; i < END_TURNS && world.migration.state <= MOVE_RUNNING;
         i++) {
        world_turn(true);
        assert_false(world.ever_two);
    }
    enum migration_state state = world.migration.state;
    world_run(100);
    world.talking = false;
    world_run(300);
    int n_lost = count_lost(all);
    if (n_lost) {
        fail_msg("%d packets were lost", n_lost);
    }
    world_end();
    return state;
}

static void
test_copy(void **state)
{
    play_to("copy");
    assert_int_equal(S->qemu.state, VM_RUNNING);
    assert_true(S->qemu.sending);
    assert_int_equal(play_on(), MOVE_COMPLETED);
}

static void
test_stop(void **state)
{
    play_to("stop");
    world_run(100);             /* It stays. */
    assert_int_equal(S->qemu.state, VM_PAUSED);
    assert_false(S->qemu.proceeding);
    assert_non_null(world_heard(HOST_S, HOST_C, MESSAGE_FLIP));
    assert_int_equal(play_on(), MOVE_COMPLETED);
}

static void
test_pre_switchover(void **state)
{
    play_to("pre-switchover");
    world_run(100);
    assert_int_equal(S->qemu.state, VM_PAUSED);
    assert_true(S->qemu.paused);
    assert_false(S->qemu.proceeding);
    assert_int_equal(play_on(), MOVE_COMPLETED);
}

static void
test_continued(void **state)
{
    play_to("continued");
    assert_true(S->qemu.proceeding);
    world_run(100);
    assert_int_equal(S->qemu.state, VM_SENT);
    assert_false(world.granted);
    assert_int_equal(play_on(), MOVE_COMPLETED);
}

static void
test_granted(void **state)
{
    play_to("granted");
    assert_true(world.granted);
    world_run(100);
    assert_int_equal(S->qemu.state, VM_SENT);
    assert_int_equal(world.hosts[HOST_D].qemu.state, VM_RUNNING);
    assert_int_equal(world.migration.state, MOVE_RUNNING);
    assert_int_equal(play_on(), MOVE_COMPLETED);
}

/* Until QEMU has been told to go on a user may have second thoughts, and
 * the VM stays where it was. */
static void
test_cancel(void **state)
{
    static const struct {
        const char *point;
        enum migration_state end;
    } rows[] = {
        { "copy", MOVE_ROLLED_BACK },
        { "stop", MOVE_ROLLED_BACK },
        { "pre-switchover", MOVE_ROLLED_BACK },
        { "continued", MOVE_COMPLETED },
        { "granted", MOVE_COMPLETED },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        play_to(rows[i].point);
        world.migration.cancel = true;
        world_turn(false);
        assert_int_equal(play_on(), rows[i].end);
    }
}

/* A destination that has no guest any more need not be sent the rest. */
static void
test_destination_dies(void **state)
{
    static const char *const points[] = { "copy", "stop", "pre-switchover" };

    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        play_to(points[i]);
        world_kill_qemu(&world.hosts[HOST_D], "killed");
        world_run(20);
        assert_int_equal(play_on(), MOVE_ROLLED_BACK);
    }
}

/* What a destination gives back that has declined may come later than its
 * word: it travels on a connection of its own. */
static void
test_late_return(void **state)
{
    play_to("stop");
    world.broken[HOST_D][CALL_DESTROY] = CALL_HANGS;
    world_kill_qemu(&world.hosts[HOST_D], "killed");
    assert_true(fault_release(world.fault));
    world_run(500);
    assert_int_equal(S->qemu.state, VM_RUNNING);
    assert_int_equal(world.got[SENDER_REMOTE][0], 1);
    world_relay(HOST_D, HOST_S,
                &(struct relay) { RELAY_RETURNED, world_migration },
                world_make_frame(SENDER_REMOTE, 0));
    world_run(20);
    assert_int_equal(world.got[SENDER_REMOTE][0], 2);
    world_end();
}

/* Once its agent is back, the guest gets what the destination has held for
 * it.  What a dead agent had in its hands is gone. */
static void
test_source_dies(void **state)
{
    int said[N_SENDERS];

    play_to("stop");
    memcpy(said, world.n_said, sizeof said);
    world_kill_agent(HOST_S);
    assert_int_equal(fault_set(world.fault, "stop", "off", NULL), 0);
    S->back_us = world.now_us + 1000000;
    for (int i = 0; i < END_TURNS && world.migration.state <= MOVE_RUNNING;
         i++) {
        world_turn(false);
    }
    assert_int_equal(world.migration.state, MOVE_ROLLED_BACK);
    world_run(200);
    world.talking = false;
    world_run(200);
    int n_lost = count_lost(said);
    if (n_lost > MAX_LOST) {
        fail_msg("%d packets were lost", n_lost);
    }
    world_end();
}

/* A guest that has come by a migration: its QEMU says "completed" of that one
 * until the next has begun, also to an agent that was restarted before. */
static void
test_source_dies_before_copy(void **state)
{
    world_begin(NULL, 0, ALL);
    world_run(100);
    S->qemu.loaded = true;
    world.broken[HOST_S][CALL_SEND] = CALL_HANGS;
    world_request();
    world_run(500);
    assert_int_equal(world.hosts[HOST_D].qemu.state, VM_LISTENING);
    assert_false(S->qemu.sending);
    world_kill_agent(HOST_S);
    world.broken[HOST_S][CALL_SEND] = WEATHER_FINE;
    S->back_us = world.now_us + 1000000;
    for (int i = 0; i < END_TURNS && world.migration.state <= MOVE_RUNNING;
         i++) {
        world_turn(false);
    }
    assert_int_equal(world.migration.state, MOVE_ROLLED_BACK);
    assert_string_equal(world.migration.error,
                        "the agent was restarted during the copy");
    world_end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_pre_switchover),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_granted),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_destination_dies),
        cmocka_unit_test(test_late_return),
        cmocka_unit_test(test_source_dies),
        cmocka_unit_test(test_source_dies_before_copy),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
