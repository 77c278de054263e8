#include <config.h>

#include "core/flow-table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "packets.h"

/* Adds a flow that matches 'in' and outputs to 'out'; 0: drops. */
static void
add(struct flow_table *table, int in, int out)
{
    uint64_t stub[8];
    struct ofpbuf actions = OFPBUF_STUB_INITIALIZER(stub);
    struct match match = MATCH_CATCHALL_INITIALIZER;

    match_set_in_port(&match, u16_to_ofp(in));
    if (out) {
        ofpact_put_OUTPUT(&actions)->port = u16_to_ofp(out);
    }
    flow_table_add(table, 0, 10, &match, &actions);
}

/* Drains the changes as "+PORT" and "-PORT", in order. */
static void
assert_changes(struct flow_table *table, const char *expect)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    const struct flow_entry *entry;

    while ((entry = flow_table_next_change(table))) {
        struct match match;

        minimatch_expand(&entry->match, &match);
        ds_put_format(&s, "%c%u", entry->actions ? '+' : '-',
                      match.flow.in_port.ofp_port);
    }
    assert_string_equal(ds_cstr(&s), expect);
    assert_false(flow_table_has_changes(table));
    ds_destroy(&s);
}

static void
test_replace(void **state)
{
    struct flow_table *table = flow_table_create();

    flow_table_begin(table, 1);
    add(table, 1, 0);
    add(table, 2, 5);
    flow_table_end(table);
    assert_int_equal(flow_table_count(table), 2);
    assert_changes(table, "+1+2");

    /* The same again is no change; another action and a new one are. */
    flow_table_begin(table, 1);
    add(table, 1, 0);
    add(table, 2, 6);
    add(table, 3, 0);
    flow_table_end(table);
    assert_changes(table, "+2+3");

    /* What is not added again goes; others' flows stay. */
    flow_table_begin(table, 2);
    add(table, 9, 0);
    flow_table_end(table);
    flow_table_begin(table, 1);
    add(table, 3, 0);
    flow_table_end(table);
    assert_int_equal(flow_table_count(table), 2);
    assert_true(flow_table_has_changes(table));
    flow_table_remove(table, 2);
    assert_int_equal(flow_table_count(table), 1);
    while (flow_table_next_change(table)) {
        continue;
    }
    flow_table_destroy(table);
}

static void
test_undone_before_drained(void **state)
{
    struct flow_table *table = flow_table_create();

    flow_table_begin(table, 1);
    add(table, 1, 4);
    flow_table_end(table);
    assert_changes(table, "+1");

    /* Gone, and back for another owner: one change. */
    flow_table_remove(table, 1);
    assert_int_equal(flow_table_count(table), 0);
    flow_table_begin(table, 2);
    add(table, 1, 4);
    flow_table_end(table);
    const struct flow_entry *entry = flow_table_next_change(table);
    assert_true(entry->cookie == 2);
    assert_non_null(entry->actions);
    assert_ptr_equal(flow_table_find(table, 0, 10, &entry->match), entry);
    assert_changes(table, "");

    /* Made and gone: the reader hears of it and finds nothing to do. */
    flow_table_begin(table, 3);
    add(table, 7, 0);
    flow_table_end(table);
    flow_table_remove(table, 3);
    assert_changes(table, "-7");
    assert_changes(table, "");
    flow_table_remove(table, 2);
    flow_table_destroy(table);
}

static void
test_format(void **state)
{
    struct flow_table *table = flow_table_create();
    struct ds s = DS_EMPTY_INITIALIZER;

    flow_table_begin(table, 0xab);
    add(table, 2, 3);
    add(table, 1, 0);
    flow_table_end(table);
    flow_table_format(table, &s);
    assert_string_equal(ds_cstr(&s),
        "cookie=0xab, table=0, priority=10,in_port=1 actions=drop\n"
        "cookie=0xab, table=0, priority=10,in_port=2 actions=output:3\n");
    ds_destroy(&s);
    flow_table_destroy(table);
}

/* A decoder says the packet type where a builder does not. */
static void
test_matches_are_equal(void **state)
{
    struct match built = MATCH_CATCHALL_INITIALIZER;
    struct minimatch a, b;

    match_set_dl_type(&built, htons(ETH_TYPE_ARP));
    struct match decoded = built;
    match_set_default_packet_type(&decoded);
    flow_table_init_match(&a, &built);
    flow_table_init_match(&b, &decoded);
    assert_true(minimatch_equal(&a, &b));
    assert_int_equal(minimatch_hash(&a, 0), minimatch_hash(&b, 0));
    minimatch_destroy(&a);
    minimatch_destroy(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_undone_before_drained),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_matches_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
