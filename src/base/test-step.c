#include <config.h>

/* Exhaustive: every step fails in every way, the program crashes at every
 * point, and still the outcome is all or nothing. */

#include "base/step.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "util.h"

enum { N_STEPS = 6, COMMIT = 3, MAX_TURNS = 1000 };

enum plan { WORKS, FAILS_ONCE, FAILS, HANGS, UNKNOWN, N_PLANS };

/* What a run meets. */
struct weather {
    enum plan run_plan, undo_plan;
    int run_at, undo_at;        /* The steps that behave as planned. */
    int crash_at;               /* At this point; 0: never. */
};

/* What outlives a crash. */
struct world {
    struct weather weather;
    bool half[N_STEPS], whole[N_STEPS];
    struct step_mark disk;
    bool disk_is_slow;
    bool committed, undone_after_commit;
    int run_failures, undo_failures;
    int points;
};

static jmp_buf crash;

static void
point(struct world *w)
{
    if (++w->points == w->weather.crash_at) {
        longjmp(crash, 1);
    }
}

static enum step_result
misbehave(enum plan plan, int *failures, int i, struct err *err)
{
    switch (plan) {
    case HANGS:
        return STEP_WAIT;
    case UNKNOWN:
        return STEP_UNKNOWN;
    case FAILS_ONCE:
    case FAILS:
        ++*failures;
        err_set(err, EIO, "step %d broke", i);
        return STEP_FAILED;
    case WORKS:
    case N_PLANS:
        break;
    }
    OVS_NOT_REACHED();
}

static bool
misbehaves(enum plan plan, int at, int failures, int i)
{
    return at == i && plan != WORKS && !(plan == FAILS_ONCE && failures);
}

static enum step_result
do_run(struct world *w, int i, struct err *err)
{
    /* The mark came before the step. */
    assert_int_equal(w->disk.mode, STEP_FORWARD);
    assert_int_equal(w->disk.at, i);
    point(w);
    if (!w->whole[i]) {
        if (misbehaves(w->weather.run_plan, w->weather.run_at,
                       w->run_failures, i)) {
            w->half[i] = true;
            return misbehave(w->weather.run_plan, &w->run_failures, i, err);
        }
        if (!w->half[i]) {
            w->half[i] = true;
            point(w);
            return STEP_WAIT;
        }
        w->whole[i] = true;
    }
    w->committed = w->committed || i == COMMIT;
    point(w);
    return STEP_DONE;
}

static enum step_result
do_undo(struct world *w, int i, struct err *err)
{
    assert_int_equal(w->disk.mode, STEP_BACK);
    assert_int_equal(w->disk.at, i);
    w->undone_after_commit = w->undone_after_commit || w->committed;
    point(w);
    if (misbehaves(w->weather.undo_plan, w->weather.undo_at,
                   w->undo_failures, i)) {
        return misbehave(w->weather.undo_plan, &w->undo_failures, i, err);
    }
    w->half[i] = w->whole[i] = false;
    point(w);
    return STEP_DONE;
}

#define STEP(I)                                                         \
    static enum step_result                                             \
    run##I(void *w, struct err *err)                                    \
    {                                                                   \
        return do_run(w, I, err);                                       \
    }                                                                   \
    static enum step_result                                             \
    undo##I(void *w, struct err *err)                                   \
    {                                                                   \
        return do_undo(w, I, err);                                      \
    }
STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)

static const struct step steps[N_STEPS] = {
    { "s0", run0, undo0, 100, false }, { "s1", run1, undo1, 100, false },
    { "s2", run2, undo2, 100, false }, { "s3", run3, undo3, 100, true },
    { "s4", run4, undo4, 100, false }, { "s5", run5, undo5, 100, false },
};

static bool
save(void *w_, struct step_mark mark)
{
    struct world *w = w_;

    point(w);
    w->disk_is_slow = !w->disk_is_slow;
    if (w->disk_is_slow) {
        return false;
    }
    w->disk = mark;
    point(w);
    return true;
}

static struct step_run
begin(struct world *w)
{
    return (struct step_run) {
        .steps = steps, .n_steps = N_STEPS, .aux = w, .save = save,
        .mark = w->disk,
    };
}

/* May a run in this weather need a person? */
static bool
may_get_stuck(const struct weather *weather)
{
    int at = weather->run_at;

    switch (weather->run_plan) {
    case UNKNOWN:
    case HANGS:
        if (at >= COMMIT) {
            return true;
        }
        break;
    case FAILS:
        if (at > COMMIT) {
            return true;
        }
        break;
    case WORKS:
    case FAILS_ONCE:
    case N_PLANS:
        break;
    }
    return weather->undo_plan != WORKS && weather->undo_plan != FAILS_ONCE;
}

static void
check_outcome(const struct world *w, const struct step_run *run)
{
    int n_some = 0, n_whole = 0;

    for (int i = 0; i < N_STEPS; i++) {
        n_some += w->half[i] || w->whole[i];
        n_whole += w->whole[i];
    }
    switch (run->mark.mode) {
    case STEP_FINISHED:
        assert_int_equal(n_whole, N_STEPS);
        break;
    case STEP_UNDONE:
        assert_int_equal(n_some, 0);
        assert_false(w->committed);
        break;
    case STEP_STUCK:
        assert_true(may_get_stuck(&w->weather));
        break;
    case STEP_FORWARD:
    case STEP_BACK:
        fail();
    }
    assert_false(w->undone_after_commit);
    assert_int_equal(w->disk.mode, run->mark.mode);
}

/* Returns the number of points at which it could have crashed. */
static int
run_world(const struct weather *weather)
{
    static struct world w;      /* As a disk: it survives longjmp(). */
    static struct step_run run;
    static long long now;

    w = (struct world) { .weather = *weather };
    now = 1;
    if (setjmp(crash)) {
        w.disk_is_slow = false;
    }
    run = begin(&w);
    for (int turn = 0; !step_run(&run, now); turn++) {
        now += 10;
        assert_true(turn < MAX_TURNS);
    }
    check_outcome(&w, &run);
    if (w.weather.run_plan == WORKS) {
        assert_int_equal(run.mark.mode, STEP_FINISHED);
    }
    return w.points;
}

static void
test_all_or_nothing(void **state)
{
    struct weather weather = { .crash_at = 0 };
    long n_runs = 0;

    for (int i = 0; i < N_PLANS * N_STEPS * N_PLANS * N_STEPS; i++) {
        weather.run_plan = i % N_PLANS;
        weather.run_at = i / N_PLANS % N_STEPS;
        weather.undo_plan = i / N_PLANS / N_STEPS % N_PLANS;
        weather.undo_at = i / N_PLANS / N_STEPS / N_PLANS;
        weather.crash_at = 0;

        int n = run_world(&weather);
        for (int k = 1; k <= n; k++) {
            weather.crash_at = k;
            run_world(&weather);
        }
        n_runs += n + 1;
    }
    print_message("%ld runs\n", n_runs);
}

static void
test_cancel(void **state)
{
    const struct err cause = { ECANCELED, "cancelled" };

    for (int turns = 0; turns < 2 * N_STEPS; turns++) {
        struct world w = { .weather = { .crash_at = 0 } };
        struct step_run run = begin(&w);
        long long now = 1;

        for (int i = 0; i < turns; i++) {
            step_run(&run, now++);
        }

        bool early = run.mark.mode == STEP_FORWARD && run.mark.at < COMMIT;
        assert_int_equal(step_cancel(&run, &cause), early);
        while (!step_run(&run, now)) {
            now++;
        }
        check_outcome(&w, &run);
        assert_int_equal(run.mark.mode, early ? STEP_UNDONE : STEP_FINISHED);
        assert_int_equal(run.cause.code, early ? ECANCELED : 0);
    }
}

static void
test_timeout_says_which(void **state)
{
    struct world w = { .weather = { .run_plan = HANGS, .run_at = 1 } };
    struct step_run run = begin(&w);

    for (long long now = 1; !step_run(&run, now); now += 10) {
        continue;
    }
    assert_int_equal(run.mark.mode, STEP_UNDONE);
    assert_int_equal(run.cause.code, ETIMEDOUT);
    assert_string_equal(run.cause.text, "s1: no result within 100 ms");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_timeout_says_which),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
