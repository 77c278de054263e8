#include <config.h>
#include "bench/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json-get.h"
#include "bench/html.h"
#include "openvswitch/dynamic-string.h"

static bool
last_is_ok(const struct document *d)
{
    return json_get_bool(json_at(d->checks, json_length(d->checks) - 1),
                         "ok");
}

static void
test_relations(void **state)
{
    static const struct {
        double value;
        const char *relation;
        double bar;
        bool ok;
    } rows[] = {
        { 1, "<=", 1, true }, { 1.1, "<=", 1, false },
        { 1, "<", 1, false }, { .9, "<", 1, true },
        { 1, ">=", 1, true }, { .9, ">=", 1, false },
        { 1, ">", 1, false }, { 1.1, ">", 1, true },
        { 0, "==", 0, true }, { 1, "==", 0, false },
        /* The verdict is about what is printed. */
        { 1.0001, "<=", 1, true },
    };
    struct document d;

    document_init(&d, "x");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        document_check(&d, "c", rows[i].value, "ms", rows[i].relation,
                       rows[i].bar);
        assert_int_equal(last_is_ok(&d), rows[i].ok);
    }
    document_finish(&d);
}

static void
test_ok(void **state)
{
    struct document d;

    document_init(&d, "x");
    assert_false(document_ok(&d));      /* Nothing was looked at. */
    document_check(&d, "a", 0, "", "==", 0);
    assert_true(document_ok(&d));
    document_check_missing(&d, "b", "", "==", 0, "no lab");
    assert_false(document_ok(&d));
    document_finish(&d);
}

static void
test_json(void **state)
{
    struct document d;

    document_init(&d, "x");
    document_check(&d, "a.b", 1.23456, "ms", "<=", 4);
    struct json *json = document_to_json(&d);
    char *text = json_to_string(json, JSSF_SORT);

    assert_string_equal(text, "{\"bench\":\"x\",\"checks\":[{\"bar\":4,"
                        "\"name\":\"a.b\",\"ok\":true,\"relation\":\"<=\","
                        "\"unit\":\"ms\",\"value\":1.235}],\"machine\":{},"
                        "\"rows\":[],\"summary\":[]}");
    free(text);
    json_destroy(json);
    document_finish(&d);
}

static void
test_html(void **state)
{
    struct ds page = DS_EMPTY_INITIALIZER;
    struct document d;

    document_init(&d, "x");
    for (int i = 0; i < 3; i++) {
        struct json *row = json_object_create();

        json_object_put_string(row, "row", "near");
        json_object_put_string(row, "scheme", i % 2 ? "l2" : "watari");
        document_put_number(row, "gap_ms", i == 2 ? 1e6 : -i);
        json_array_add(d.rows, row);
    }
    document_check(&d, "a<b", 1, "ms", "<=", 4);
    document_check(&d, "c", 5, "ms", "<=", 4);
    html_format(&d, &page);
    assert_non_null(strstr(page.string, "<svg"));
    assert_non_null(strstr(page.string, "a&lt;b"));
    assert_null(strstr(page.string, "a<b"));
    assert_non_null(strstr(page.string, "not kept"));
    assert_non_null(strstr(page.string, "1e+06 ms"));
    ds_destroy(&page);
    document_finish(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_ok),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_html),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
