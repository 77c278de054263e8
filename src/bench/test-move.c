#include <config.h>
#include "bench/move.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "probe/record.h"

#define MS INT64_C(1000000)
#define STOP 1000
#define RESUME 1010

/* A probe each ms for two seconds, answered 1 ms later, but for those in
 * [lost_from, lost_to). */
static void
make_record(struct record *record, int lost_from, int lost_to)
{
    record_init(record, RECORD_UDP, "10.0.0.1", 7, MS);
    for (int i = 0; i < 2000; i++) {
        record_add_sent(record, i * MS);
    }
    for (int i = 0; i < 2000; i++) {
        if (i < lost_from || i >= lost_to) {
            record_add_answer(record, i, (i + 1) * MS, i);
        }
    }
}

static const struct move_times times = {
    .began = 0, .stopped = STOP * MS, .resumed = RESUME * MS,
    .ended = 1100 * MS,
};

static void
test_nothing_lost(void **state)
{
    struct move_figures f;
    struct record record;

    make_record(&record, 0, 0);
    assert_int_equal(move_analyse(&record, &times, &f, NULL), 0);
    assert_int_equal(f.sent, 515);
    assert_int_equal(f.sent_outside, 2000 - 515);
    assert_int_equal(f.lost + f.lost_outside + f.duplicated + f.reordered,
                     0);
    assert_true(f.gap_ms == 1);
    assert_true(f.net_after_ms == -10);         /* Sent at STOP. */
    assert_true(isnan(f.first_lost_ms) && isnan(f.last_lost_ms));
    record_finish(&record);
}

/* Lost from 2 ms before STOP to 5 ms after RESUME. */
static void
test_loss_in_window(void **state)
{
    struct move_figures f;
    struct record record;

    make_record(&record, STOP - 2, RESUME + 5);
    assert_int_equal(move_analyse(&record, &times, &f, NULL), 0);
    assert_int_equal(f.lost, 17);
    assert_int_equal(f.lost_outside, 0);
    assert_true(f.net_after_ms == 5);
    assert_true(f.gap_ms == 18);
    assert_true(f.copy_gap_ms == 1);
    record_finish(&record);
}

static void
test_loss_outside(void **state)
{
    struct move_figures f;
    struct record record;

    make_record(&record, 500, 520);
    assert_int_equal(move_analyse(&record, &times, &f, NULL), 0);
    assert_int_equal(f.lost, 0);
    assert_int_equal(f.lost_outside, 20);
    assert_true(f.gap_ms == 1);
    assert_true(f.copy_gap_ms == 21);
    assert_true(f.first_lost_ms == -500 && f.last_lost_ms == -481);
    record_finish(&record);
}

/* A record that ends before the window does proves nothing. */
static void
test_short_record(void **state)
{
    struct move_times late = times;
    struct move_figures f;
    struct record record;

    make_record(&record, 0, 0);
    late.resumed = 1600 * MS;
    assert_int_equal(move_analyse(&record, &late, &f, NULL), ERANGE);
    record_finish(&record);
    make_record(&record, STOP, 2000);
    assert_int_equal(move_analyse(&record, &times, &f, NULL), ETIMEDOUT);
    record_finish(&record);
}

static void
test_merge(void **state)
{
    struct move_figures sum = { 0 }, a = { .sent = 1, .lost = 2,
                                           .gap_ms = 5,
                                           .net_after_ms = -3,
                                           .first_lost_ms = 2,
                                           .last_lost_ms = 3 };
    struct move_figures b = { .sent = 10, .lost = 1, .gap_ms = 4,
                              .net_after_ms = -1, .first_lost_ms = NAN,
                              .last_lost_ms = NAN };

    move_merge(&sum, &a);
    assert_true(sum.net_after_ms == -3);        /* Not 0. */
    move_merge(&sum, &b);
    assert_int_equal(sum.sent, 11);
    assert_int_equal(sum.lost, 3);
    assert_true(sum.gap_ms == 5 && sum.net_after_ms == -1);
    assert_true(sum.first_lost_ms == 2 && sum.last_lost_ms == 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_lost),
        cmocka_unit_test(test_loss_in_window),
        cmocka_unit_test(test_loss_outside),
        cmocka_unit_test(test_short_record),
        cmocka_unit_test(test_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
