/* What moves that go wrong are held against, on made-up runs. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/json-get.h"
#include "bench/faults-private.h"
#include "bench/faults.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

static const struct faults_kind plain = { .text = "harming" };
static const struct faults_kind cut = { .text = "cutting", .loses = true };
static const struct faults_kind killed = { .ends_guest = true };
static const struct faults_row row = { "harm-copy", &plain, "copy", false };

/* A run in which nothing is wrong, which tests then spoil. */
static struct json *
add_run(struct document *d)
{
    static const char *const none[] = {
        "lost", "duplicated", "outward_lost", "outward_duplicated",
    };
    struct json *r = json_object_create();

    json_object_put_string(r, "row", "harm-copy");
    json_object_put_string(r, "scheme", FAULTS_SCHEME);
    json_object_put(r, "ended_well", json_integer_create(1));
    json_object_put(r, "one_copy", json_integer_create(1));
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        json_object_put(r, none[i], json_integer_create(0));
    }
    json_array_add(d->rows, r);
    return r;
}

/* The names of the checks that do not hold, with a space before each. */
static void
check_broken(const struct document *d, const char *want)
{
    char broken[256] = "";

    for (size_t i = 0; i < json_length(d->checks); i++) {
        const struct json *check = json_at(d->checks, i);

        if (!json_get_bool(check, "ok")) {
            size_t n = strlen(broken);

            snprintf(broken + n, sizeof broken - n, " %s",
                     json_get_string(check, "name"));
        }
    }
    assert_string_equal(broken, want);
}

static void
test_each(void **state)
{
    static const struct {
        const char *figure;
        int value;
        const char *broken;
    } rows[] = {
        { "ended_well", 1, "" },
        { "ended_well", 0, " harm-copy.ended" },
        { "one_copy", 0, " harm-copy.one_copy" },
        { "lost", 1, " harm-copy.lost" },
        { "duplicated", 1, " harm-copy.duplicated" },
        { "outward_lost", 2, " harm-copy.outward_lost" },
        { "outward_duplicated", 1, " harm-copy.outward_duplicated" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct document d;

        document_init(&d, "faults");
        add_run(&d);
        json_object_put(add_run(&d), rows[i].figure,
                        json_integer_create(rows[i].value));
        add_run(&d);
        faults_check(&d, &row);
        check_broken(&d, rows[i].broken);
        document_finish(&d);
    }
}

/* A run that could not be looked at has kept no promise. */
static void
test_failed_run(void **state)
{
    struct document d;

    document_init(&d, "faults");
    add_run(&d);
    struct json *r = json_object_create();
    json_object_put_string(r, "row", "harm-copy");
    json_object_put_string(r, "scheme", FAULTS_SCHEME);
    json_array_add(d.rows, r);
    faults_check(&d, &row);
    check_broken(&d, " harm-copy.ended harm-copy.one_copy");
    document_finish(&d);
}

/* Where a link is cut, or the guest itself has died, packets are lost. */
static void
test_may_lose(void **state)
{
    static const struct faults_row rows[] = {
        { "harm-copy", &cut, "copy", false },
        { "harm-copy", &killed, "copy", true },
    };

    assert_false(faults_may_lose(&(struct faults_row) {
        "harm-copy", &killed, "continued", false }));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct document d;

        document_init(&d, "faults");
        json_object_put(add_run(&d), "lost", json_integer_create(100));
        faults_check(&d, &rows[i]);
        check_broken(&d, "");
        document_finish(&d);
    }
}

/* A copy that was too quick for its point. */
static void
test_held(void **state)
{
    static const struct faults_row stop = { "harm-copy", &plain, "stop",
                                            false };
    struct document d;

    document_init(&d, "faults");
    document_put_number(add_run(&d), "held_ms", 3001);
    document_put_number(add_run(&d), "held_ms", 2999);
    faults_check(&d, &stop);
    check_broken(&d, " harm-copy.held_ms");
    document_finish(&d);
}

/* Rows are chosen by name. */
static void
test_names(void **state)
{
    for (size_t i = 0; faults_row_name(i); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(faults_row_name(i), faults_row_name(j));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_failed_run),
        cmocka_unit_test(test_may_lose),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
