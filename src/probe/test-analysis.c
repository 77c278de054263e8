/* Unit tests of probe/analysis.h. */
#include "probe/analysis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* A record of requests at 0, 10, 20, ... with the given answers. */
static void
make(struct record *record, int n_sent, const struct record_answer *answers,
     int n_answers)
{
    record_init(record, RECORD_UDP, "10.0.0.1", 7, 10);
    for (int i = 0; i < n_sent; i++) {
        assert_int_equal(record_add_sent(record, 10 * i), 0);
    }
    for (int i = 0; i < n_answers; i++) {
        assert_int_equal(record_add_answer(record, answers[i].seq,
                                           answers[i].rx, i), 0);
    }
}

static void
test_counts(void **state)
{
    /* 3 and 7 are lost, 4 and 5 changed places, 6 came twice. */
    static const struct record_answer answers[] = {
        { 0, 2 }, { 1, 12 }, { 2, 24 }, { 5, 58 }, { 4, 59 }, { 6, 62 },
        { 6, 63 }, { 8, 82 }, { 9, 92 },
    };
    struct record record;
    struct analysis_probes a;

    make(&record, 10, answers, 9);
    assert_int_equal(analysis_probes(&record, 0, 1000, &a, NULL), 0);
    assert_int_equal(a.sent, 10);
    assert_int_equal(a.answered, 8);
    assert_int_equal(a.lost, 2);
    assert_int_equal(a.duplicated, 1);
    assert_int_equal(a.reordered, 1);
    assert_int_equal(a.first_lost, 30);
    assert_int_equal(a.last_lost, 70);
    assert_int_equal(a.rtt_min, 2);
    assert_int_equal(a.rtt_max, 19);
    assert_int_equal(a.gap, 34);
    assert_int_equal(a.gap_from, 24);

    /* Requests that left in [30, 60): one lost, one reordered. */
    assert_int_equal(analysis_probes(&record, 30, 60, &a, NULL), 0);
    assert_int_equal(a.sent, 3);
    assert_int_equal(a.lost, 1);
    assert_int_equal(a.duplicated, 0);
    assert_int_equal(a.reordered, 1);
    /* The gap began before the window, but only what is inside counts. */
    assert_int_equal(a.gap, 28);
    assert_int_equal(a.gap_from, 30);
    record_finish(&record);
}

static void
test_silence(void **state)
{
    static const struct record_answer answers[] = { { 0, 2 }, { 9, 95 } };
    struct record record;
    struct analysis_probes a;

    make(&record, 10, answers, 2);
    assert_int_equal(analysis_probes(&record, 20, 80, &a, NULL), 0);
    assert_int_equal(a.sent, 6);
    assert_int_equal(a.lost, 6);
    assert_int_equal(a.gap, 60);
    assert_int_equal(a.gap_from, 20);

    /* What lies beyond the record is not silence. */
    assert_int_equal(analysis_probes(&record, -1000, 1000, &a, NULL), 0);
    assert_int_equal(a.gap, 88);
    assert_int_equal(a.gap_from, 2);

    /* Windows with nothing in them. */
    assert_int_equal(analysis_probes(&record, 500, 600, &a, NULL), 0);
    assert_int_equal(a.sent, 0);
    assert_int_equal(a.gap, 0);
    assert_int_equal(analysis_probes(&record, 80, 20, &a, NULL), 0);
    assert_int_equal(a.sent, 0);
    record_finish(&record);

    record_init(&record, RECORD_UDP, "::1", 7, 1);
    assert_int_equal(analysis_probes(&record, 0, 10, &a, NULL), 0);
    assert_int_equal(a.sent, 0);
    assert_int_equal(a.gap, 0);
}

static void
test_first_answered(void **state)
{
    static const struct record_answer answers[] = {
        { 0, 2 }, { 6, 70 }, { 5, 71 }, { 7, 72 },
    };
    struct record record;
    struct analysis_first first;

    make(&record, 10, answers, 4);
    assert_true(analysis_first_answered(&record, 11, &first));
    assert_int_equal(first.seq, 5);
    assert_int_equal(first.tx, 50);
    assert_int_equal(first.rx, 71);
    assert_true(analysis_first_answered(&record, 60, &first));
    assert_int_equal(first.seq, 6);
    assert_false(analysis_first_answered(&record, 71, &first));
    record_finish(&record);
}

static void
test_download(void **state)
{
    static const struct record_sample samples[] = {
        { 0, 0, 0, 0 }, { 10, 100, 0, 0 }, { 20, 200, 1, 0 },
        { 30, 200, 1, 0 }, { 40, 200, 3, 0 }, { 50, 300, 3, 2 },
        { 60, 400, 3, 2 }, { 70, 500, 4, 2 },
    };
    struct record record;
    struct analysis_download a;

    record_init(&record, RECORD_DOWNLOAD, "::1", 19, 10);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(record_add_sample(&record, &samples[i]), 0);
    }
    analysis_download(&record, 0, 1000, &a);
    assert_int_equal(a.bytes, 500);
    assert_int_equal(a.retrans, 4);
    assert_int_equal(a.out_of_order, 2);
    assert_int_equal(a.stall, 30);
    assert_int_equal(a.stall_from, 20);
    assert_false(a.broken);

    analysis_download(&record, 35, 65, &a);
    assert_int_equal(a.bytes, 200);
    assert_int_equal(a.retrans, 2);
    assert_int_equal(a.stall, 15);
    assert_int_equal(a.stall_from, 35);

    /* It stands still until the end of the window. */
    record.broken_at = 75;
    analysis_download(&record, 0, 200, &a);
    assert_true(a.broken);
    assert_int_equal(a.stall, 130);
    assert_int_equal(a.stall_from, 70);
    analysis_download(&record, 0, 72, &a);
    assert_false(a.broken);
    record_finish(&record);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_first_answered),
        cmocka_unit_test(test_download),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
