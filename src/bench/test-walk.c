/* What the random walk draws, and what it holds its rounds against. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/json-get.h"
#include "bench/walk-private.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#define ROUNDS 1000

static char *
plan_to_text(uint64_t seed, unsigned int round)
{
    struct json *list = json_array_create_empty();
    struct walk_plan plan;

    walk_plan(seed, round, &plan);
    for (size_t i = 0; i < WALK_N_VMS; i++) {
        json_array_add(list, json_integer_create(plan.turns[i]));
    }
    for (size_t i = 0; i < plan.n_harms; i++) {
        json_array_add(list, walk_harm_to_json(&plan.harms[i]));
    }
    char *text = json_to_string(list, 0);
    json_destroy(list);
    return text;
}

/* The same seed and round are the same plan, others are another. */
static void
test_repeats(void **state)
{
    char *first = plan_to_text(1, 1);

    for (unsigned int i = 0; i < 4; i++) {
        char *other = plan_to_text(1 + i / 2, 1 + i % 2);

        assert_int_equal(!strcmp(first, other), i == 0);
        free(other);
    }
    free(first);
}

/* All kinds are drawn, and none of them says what makes no sense. */
static void
test_plans(void **state)
{
    unsigned int kinds[WALK_N_KINDS] = { 0 }, turns[3] = { 0 };

    for (unsigned int round = 1; round <= ROUNDS; round++) {
        struct walk_plan plan;

        walk_plan(42, round, &plan);
        assert_in_range(plan.n_harms, 1, WALK_MAX_HARMS);
        for (size_t i = 0; i < WALK_N_VMS; i++) {
            assert_in_range(plan.turns[i], 1, 2);
            turns[plan.turns[i]]++;
        }
        for (size_t i = 0; i < plan.n_harms; i++) {
            const struct walk_harm *h = &plan.harms[i];

            kinds[h->kind]++;
            assert_true(h->vm < WALK_N_VMS);
            assert_true(h->lasts_ms > 0);
            if (h->kind == WALK_QEMU) {
                assert_non_null(h->point);
                assert_string_not_equal(h->point, "granted");
            }
            if (h->point && strcmp(h->point, "copy")) {
                assert_int_equal(h->delay_ms, 0);
            }
        }
    }
    for (size_t i = 0; i < WALK_N_KINDS; i++) {
        assert_true(kinds[i] > ROUNDS / 20);
    }
    assert_in_range(turns[1], ROUNDS, 2 * ROUNDS);
}

/* A round in which nothing is wrong, which tests then spoil. */
static struct json *
add_round(struct document *d)
{
    static const char *const none[] = {
        "lost_vms", "double", "tcp_resets", "unfinished", "misplaced",
        "silent", "restless", "crashes", "tcp_silent",
    };
    struct json *r = json_object_create();

    json_object_put_string(r, "row", "walk");
    json_object_put_string(r, "scheme", WALK_SCHEME);
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        json_object_put(r, none[i], json_integer_create(0));
    }
    json_array_add(d->rows, r);
    return r;
}

static void
test_checks(void **state)
{
    static const char *const figures[] = {
        NULL, "lost_vms", "double", "tcp_resets", "unfinished", "misplaced",
        "silent", "restless", "crashes", "tcp_silent",
    };

    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        struct document d;

        document_init(&d, "walk");
        add_round(&d);
        struct json *r = add_round(&d);
        if (figures[i]) {
            json_object_put(r, figures[i], json_integer_create(1));
        }
        assert_int_equal(walk_is_good(r),
                         !figures[i] || !strcmp(figures[i], "tcp_silent"));
        walk_check(&d);
        assert_int_equal(document_ok(&d), !figures[i]);
        for (size_t j = 0; j < json_length(d.checks); j++) {
            const struct json *check = json_at(d.checks, j);
            const char *name = json_get_string(check, "name");

            assert_int_equal(json_get_bool(check, "ok"),
                             !figures[i] || strcmp(name + strlen("walk."),
                                                   figures[i]));
        }
        document_finish(&d);
    }
}

/* A round that could not be looked at, or none at all, keeps no promise. */
static void
test_unknown(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct document d;

        document_init(&d, "walk");
        if (i) {
            struct json *r = json_object_create();

            json_object_put_string(r, "row", "walk");
            json_object_put_string(r, "scheme", WALK_SCHEME);
            json_array_add(d.rows, r);
            assert_false(walk_is_good(r));
        }
        walk_check(&d);
        for (size_t j = 0; j < json_length(d.checks); j++) {
            assert_false(json_get_bool(json_at(d.checks, j), "ok"));
        }
        document_finish(&d);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
