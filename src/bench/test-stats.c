#include "bench/stats.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void
test_median(void **state)
{
    double odd[] = { 9, 1, 5 }, even[] = { 4, 1, 3, 2 };

    assert_true(stats_median(odd, 3) == 5);
    assert_true(stats_median(even, 4) == 2.5);
    assert_true(stats_median(NULL, 0) == 0);
    assert_true(odd[0] == 9);   /* Left as it was. */
}

static void
test_percentile(void **state)
{
    double values[101];

    for (int i = 0; i <= 100; i++) {
        values[i] = 100 - i;
    }
    assert_true(stats_percentile(values, 101, .99) == 99);
    assert_true(stats_percentile(values, 101, 0) == 0);
    assert_true(stats_max(values, 101) == 100);
    assert_true(stats_max(NULL, 0) == 0);
}

/* All alike: no doubt.  Otherwise the interval holds the median, lies within
 * the values, and is the same again. */
static void
test_bootstrap(void **state)
{
    double same[] = { 3, 3, 3, 3 };
    double values[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 100 };
    struct stats_interval i = stats_bootstrap(same, 4, 1);

    assert_true(i.low == 3 && i.high == 3);
    i = stats_bootstrap(values, 15, 1);
    assert_true(i.low >= 3 && i.low <= 6);
    assert_true(i.high >= 10 && i.high <= 13);
    struct stats_interval again = stats_bootstrap(values, 15, 1);
    assert_true(i.low == again.low && i.high == again.high);
    i = stats_bootstrap(values, 1, 1);
    assert_true(i.low == 1 && i.high == 1);
    i = stats_bootstrap(values, 0, 1);
    assert_true(i.low == 0 && i.high == 0);
}

/* For the median of n values that are drawn independently, order statistics
 * give an interval without a bootstrap: for 15 values, the 4th and the 12th
 * with 96.5 %.  The bootstrap must come out near it. */
static void
test_bootstrap_agrees_with_order_statistics(void **state)
{
    double values[15];

    for (int i = 0; i < 15; i++) {
        values[i] = (i * 7 % 15) + 1;
    }
    struct stats_interval i = stats_bootstrap(values, 15, 42);
    assert_true(i.low >= 4 - 1 && i.low <= 4 + 1);
    assert_true(i.high >= 12 - 1 && i.high <= 12 + 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_percentile),
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_bootstrap_agrees_with_order_statistics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
