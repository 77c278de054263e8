/* What the handover's measurements are held against, on made-up ones. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/json-get.h"
#include "bench/handover-private.h"
#include "openvswitch/json.h"

static const struct handover_row near = { .name = "near" };
static const struct handover_row far = { .name = "far", .delay_ms = 25 };
static const struct handover_row kill_row = { .name = "kill" };

/* A run in which nothing is wrong, which tests then spoil. */
static struct json *
add_run(struct document *d, const char *row, const char *scheme,
        double blackout_ms, double gap_ms, double net_after_ms)
{
    static const char *const none[] = {
        "lost", "lost_outside", "duplicated", "duplicated_outside",
        "reordered", "outward_lost", "outward_duplicated", "switch_drops",
    };
    struct json *r = json_object_create();

    json_object_put_string(r, "row", row);
    json_object_put_string(r, "scheme", scheme);
    json_object_put_string(r, "result", "completed");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        json_object_put(r, none[i], json_integer_create(0));
    }
    json_object_put(r, "sent", json_integer_create(1500));
    document_put_number(r, "blackout_ms", blackout_ms);
    document_put_number(r, "gap_ms", gap_ms);
    document_put_number(r, "net_after_ms", net_after_ms);
    json_array_add(d->rows, r);
    return r;
}

static const struct json *
find_check(const struct document *d, const char *name)
{
    for (size_t i = 0; i < json_length(d->checks); i++) {
        const struct json *check = json_at(d->checks, i);

        if (!strcmp(json_get_string(check, "name"), name)) {
            return check;
        }
    }
    fail_msg("there is no check %s", name);
    return NULL;
}

static bool
is_kept(const struct document *d, const char *name)
{
    return json_get_bool(find_check(d, name), "ok");
}

static void
test_good(void **state)
{
    struct document d;

    document_init(&d, "handover");
    for (int i = 0; i < 10; i++) {
        add_run(&d, "near", "watari", 9 + i % 3, 52, -9);
        add_run(&d, "near", "l2", 7, 50, .5);
    }
    handover_check(&d, &near);
    assert_true(document_ok(&d));
    assert_true(json_get_number(find_check(&d, "near.net_after_ms"), "bar",
                                0) == .5);
    document_finish(&d);
}

static void
test_tls(void **state)
{
    static const struct handover_row row = { .name = "tls" };

    for (int excess = 0; excess <= 6; excess += 6) {
        struct document d;

        document_init(&d, "handover");
        for (int i = 0; i < 10; i++) {
            add_run(&d, "tls", "no-tls", 9, 50 + i, -9);
            add_run(&d, "tls", "watari", 9 + excess, 51 + i + excess, -9);
        }
        handover_check(&d, &row);
        assert_true(is_kept(&d, "tls.lost"));
        assert_int_equal(is_kept(&d, "tls.blackout_excess_ms"), !excess);
        assert_int_equal(is_kept(&d, "tls.gap_excess_ms"), !excess);
        document_finish(&d);
    }
}

/* One thing wrong, one check that says so. */
static void
test_each(void **state)
{
    static const struct {
        const char *figure;
        double value;
        const char *check;
    } rows[] = {
        { "lost", 1, "near.lost" },
        { "lost_outside", 1, "near.lost_outside" },
        { "duplicated", 1, "near.duplicated" },
        { "duplicated_outside", 2, "near.duplicated_outside" },
        { "outward_lost", 1, "near.outward_lost" },
        { "outward_duplicated", 1, "near.outward_duplicated" },
        { "reordered", 2, "near.reordered" },
        { "switch_drops", 2, "near.switch_drops" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct document d;

        document_init(&d, "handover");
        for (int j = 0; j < 10; j++) {
            struct json *r = add_run(&d, "near", "watari", 9, 52, -9);

            add_run(&d, "near", "l2", 7, 50, .5);
            if (j == 5) {
                json_object_put(r, rows[i].figure,
                                json_integer_create(rows[i].value));
            }
        }
        handover_check(&d, &near);
        for (size_t j = 0; j < json_length(d.checks); j++) {
            const struct json *check = json_at(d.checks, j);
            bool spoilt = !strcmp(json_get_string(check, "name"),
                                  rows[i].check);

            assert_int_equal(json_get_bool(check, "ok"), !spoilt);
        }
        document_finish(&d);
    }
}

/* 1 in 15,000 is not more than 1 in 10,000. */
static void
test_rare(void **state)
{
    struct document d;

    document_init(&d, "handover");
    for (int i = 0; i < 10; i++) {
        struct json *r = add_run(&d, "near", "watari", 9, 52, -9);

        json_object_put(r, "reordered", json_integer_create(i == 0));
        add_run(&d, "near", "l2", 7, 50, .5);
    }
    handover_check(&d, &near);
    assert_true(is_kept(&d, "near.reordered"));
    document_finish(&d);
}

/* Slower than plain L2 by more than the allowance, every time. */
static void
test_excess(void **state)
{
    struct document d;

    document_init(&d, "handover");
    for (int i = 0; i < 10; i++) {
        add_run(&d, "near", "watari", 13, 70, -9);
        add_run(&d, "near", "l2", 7, 50 + i % 4, .5);
    }
    handover_check(&d, &near);
    assert_false(is_kept(&d, "near.blackout_excess_ms"));
    assert_false(is_kept(&d, "near.gap_excess_ms"));
    assert_true(is_kept(&d, "near.net_after_ms"));
    document_finish(&d);
}

/* A move that failed has no figures, and its pair does not count. */
static void
test_failed_move(void **state)
{
    struct document d;

    document_init(&d, "handover");
    for (int i = 0; i < 5; i++) {
        struct json *r = json_object_create();

        if (i) {
            json_destroy(r);
            add_run(&d, "near", "watari", 9, 52, -9);
        } else {
            json_object_put_string(r, "row", "near");
            json_object_put_string(r, "scheme", "watari");
            json_object_put_string(r, "result", "failed");
            json_array_add(d.rows, r);
        }
        add_run(&d, "near", "l2", i ? 7 : -1000, 50, .5);
    }
    handover_check(&d, &near);
    assert_false(is_kept(&d, "near.failed"));
    assert_true(is_kept(&d, "near.blackout_excess_ms"));
    document_finish(&d);
}

/* Without plain L2 there is nothing to compare with. */
static void
test_missing(void **state)
{
    struct document d;

    document_init(&d, "handover");
    add_run(&d, "near", "watari", 9, 52, -9);
    handover_check(&d, &near);
    assert_false(is_kept(&d, "near.gap_excess_ms"));
    assert_true(is_kept(&d, "near.lost"));
    assert_int_equal(json_get(find_check(&d, "near.gap_excess_ms"),
                              "value")->type, JSON_NULL);
    document_finish(&d);
}

/* 50 ms between the sites and 10 ms besides. */
static void
test_far(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct document d;

        document_init(&d, "handover");
        for (int i = 0; i < 5; i++) {
            add_run(&d, "far", "watari", 10, 10 + 45 + 60 + late, -9);
            add_run(&d, "far", "l2", 7, 7 + 45, .5);
        }
        handover_check(&d, &far);
        assert_int_equal(is_kept(&d, "far.gap_beyond_ms"), !late);
        document_finish(&d);
    }
}

static void
test_rolled_back(void **state)
{
    struct document d;

    document_init(&d, "handover");
    for (int i = 0; i < 3; i++) {
        struct json *r = add_run(&d, "kill", "watari", 0, 20, 0);

        json_object_put(r, "rolled_back", json_integer_create(i != 1));
    }
    handover_check(&d, &kill_row);
    assert_false(is_kept(&d, "kill.rolled_back"));
    assert_true(is_kept(&d, "kill.lost"));
    document_finish(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_rare),
        cmocka_unit_test(test_excess),
        cmocka_unit_test(test_failed_move),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_rolled_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
