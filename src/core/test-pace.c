#include <config.h>

#include "core/pace.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void
test_asleep(void **state)
{
    struct pace pace;

    pace_open(&pace, 1000);
    assert_int_equal(pace_allowance(&pace, 1000), PACE_FIRST_FRAMES);
    pace_spend(&pace, 10);
    assert_int_equal(pace_allowance(&pace, 1030), PACE_FIRST_FRAMES - 10);
    pace_spend(&pace, PACE_FIRST_FRAMES - 10);
    assert_int_equal(pace_allowance(&pace, 1059), 0);
    assert_int_equal(pace_deadline(&pace, 1059), 1060);
    assert_true(pace_is_asleep(&pace, 1059));

    /* Nothing has been heard, but the time is up. */
    assert_false(pace_is_asleep(&pace, 1060));
    assert_int_equal(pace_allowance(&pace, 1060), PACE_FRAMES_PER_MS);
}

static void
test_ramp(void **state)
{
    struct pace pace;

    pace_open(&pace, 1000);
    pace_spend(&pace, 5);
    pace_wake(&pace, 1020);
    pace_wake(&pace, 1021);
    assert_false(pace_is_asleep(&pace, 1020));
    assert_int_equal(pace_allowance(&pace, 1020), PACE_FRAMES_PER_MS);
    pace_spend(&pace, PACE_FRAMES_PER_MS);
    assert_int_equal(pace_allowance(&pace, 1020), 0);
    assert_int_equal(pace_deadline(&pace, 1020), 1021);
    assert_int_equal(pace_allowance(&pace, 1021), PACE_FRAMES_PER_MS);
    assert_int_equal(pace_allowance(&pace, 1030), 2 * PACE_FRAMES_PER_MS);
    assert_int_equal(pace_allowance(&pace, 1099), 128 * PACE_FRAMES_PER_MS);
    assert_int_equal(pace_allowance(&pace, 1100), UINT_MAX);
    assert_true(pace_deadline(&pace, 1100) == LLONG_MAX);
}

/* What closes the hold gives more than the ramp allows. */
static void
test_overspent(void **state)
{
    struct pace pace;

    pace_open(&pace, 1000);
    pace_spend(&pace, 100);
    assert_int_equal(pace_allowance(&pace, 1001), 0);
}

/* One that runs never gets more than the limit, however long it lasts. */
static void
test_beside(void **state)
{
    struct pace pace;

    pace_open_beside(&pace, 1000);
    assert_false(pace_is_asleep(&pace, 1000));
    for (long long now = 1000; now < 1000 + 3 * PACE_RAMP_MS; now++) {
        unsigned int n = pace_allowance(&pace, now);

        assert_in_range(n, 1, PACE_BESIDE_PER_MS);
        pace_spend(&pace, n);
        assert_int_equal(pace_allowance(&pace, now), 0);
        assert_int_equal(pace_deadline(&pace, now), now + 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asleep),
        cmocka_unit_test(test_ramp),
        cmocka_unit_test(test_overspent),
        cmocka_unit_test(test_beside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
