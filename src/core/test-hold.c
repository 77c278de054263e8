#include <config.h>

#include "core/hold.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

/* A script test.  Each line is one of
 *
 *      expect FROM PATIENCE        a fence of FROM (a letter) is expected
 *      relayed X                   frame X came by the old path
 *      direct FROM X               frame X came directly
 *      fence FROM                  in the relayed stream
 *      open AT
 *      next AT -> X Y              what the guest gets at time AT
 *      take AT -> X                ... if it takes only one frame
 *      back -> X Y                 what hold_take_back() gives
 *      settled yes|no
 *      deadline AT|never
 */

static struct uuid
sender(char letter)
{
    return (struct uuid) { { letter, 0, 0, 1 } };
}

static struct hold_frame
frame(char letter)
{
    return (struct hold_frame) { dp_packet_clone_data(&letter, 1), 3,
                                 letter };
}

static void
check_frames(struct hold *hold, bool back, int max, long long now,
             const char *want)
{
    struct ds got = DS_EMPTY_INITIALIZER;
    struct hold_frame f;

    for (; max && (back ? hold_take_back(hold, &f)
                   : hold_next(hold, now, &f)); max--) {
        char letter = *(char *) dp_packet_data(f.packet);

        ds_put_format(&got, " %c", letter);
        assert_int_equal(f.nic, 3);
        assert_int_equal(f.mark, letter);
        dp_packet_delete(f.packet);
    }
    assert_string_equal(ds_cstr(&got), want);
    ds_destroy(&got);
}

static void
run_line(struct hold *hold, const char *line)
{
    char from, x, word[16];
    long long at;
    struct uuid uuid;

    if (sscanf(line, "expect %c %lld", &from, &at) == 2) {
        uuid = sender(from);
        hold_expect(hold, &uuid, 3, at);
    } else if (sscanf(line, "relayed %c", &x) == 1) {
        struct hold_frame f = frame(x);

        hold_put_relayed(hold, &f);
    } else if (sscanf(line, "direct %c %c", &from, &x) == 2) {
        uuid = sender(from);
        struct hold_frame f = frame(x);

        hold_put_direct(hold, &uuid, &f);
    } else if (sscanf(line, "fence %c", &from) == 1) {
        uuid = sender(from);
        hold_put_fence(hold, &uuid, 3);
    } else if (sscanf(line, "open %lld", &at) == 1) {
        hold_open(hold, at);
    } else if (sscanf(line, "next %lld", &at) == 1) {
        check_frames(hold, false, INT_MAX, at, strchr(line, '>') + 1);
    } else if (sscanf(line, "take %lld", &at) == 1) {
        check_frames(hold, false, 1, at, strchr(line, '>') + 1);
    } else if (!strncmp(line, "back", 4)) {
        check_frames(hold, true, INT_MAX, 0, strchr(line, '>') + 1);
    } else if (sscanf(line, "settled %15s", word) == 1) {
        assert_int_equal(hold_is_settled(hold), !strcmp(word, "yes"));
    } else if (sscanf(line, "deadline %15s", word) == 1) {
        assert_int_equal(hold_deadline(hold), !strcmp(word, "never")
                         ? LLONG_MAX : atoll(word));
    } else {
        fail_msg("bad line: %s", line);
    }
}

static void
run_script(const char *const lines[])
{
    struct hold *hold = hold_create();

    for (; *lines; lines++) {
        run_line(hold, *lines);
    }
    hold_destroy(hold);
}

static void
test_relayed_come_first(void **state)
{
    run_script((const char *const[]) {
        "expect A 100", "relayed 1", "direct A 4", "next 5 ->", "relayed 2",
        "open 10", "next 10 -> 1 2", "settled no", "direct A 5",
        "relayed 3", "fence A", "direct A 6", "next 11 -> 3 4 5 6",
        "settled yes", "direct A 7", "next 12 -> 7", NULL });
}

static void
test_near_does_not_wait_for_far(void **state)
{
    run_script((const char *const[]) {
        "expect A 100", "expect B 100", "open 0", "direct A 1", "direct B 2",
        "fence A", "next 1 -> 1", "settled no", "relayed 3", "next 2 -> 3",
        "direct A 4", "direct B 5", "fence B", "next 3 -> 4 2 5",
        "settled yes", NULL });
}

static void
test_patience_ends(void **state)
{
    run_script((const char *const[]) {
        "expect A 100", "expect B 50", "deadline never", "open 1000",
        "deadline 1050", "direct A 1", "direct B 2", "next 1049 ->",
        "next 1050 -> 2", "deadline 1100", "next 1100 -> 1", "settled yes",
        "deadline never", "fence A", "direct A 3", "next 1101 -> 3", NULL });
}

/* Nor does a guest that takes its frames slowly change their order. */
static void
test_slow_guest(void **state)
{
    run_script((const char *const[]) {
        "expect A 50", "expect B 50", "relayed 1", "relayed 2", "fence A",
        "direct A 3", "direct B 4", "open 0", "take 1 -> 1", "deadline 50",
        "next 60 -> 2 3 4", "settled yes", NULL });
    run_script((const char *const[]) {
        "expect A 50", "relayed 1", "relayed 2", "relayed 3", "direct A 4",
        "open 0", "take 50 -> 1", "deadline never", "take 51 -> 2",
        "next 52 -> 3 4", "settled yes", NULL });
}

static void
test_unexpected_keep_their_order(void **state)
{
    run_script((const char *const[]) {
        "relayed 1", "direct C 2", "relayed 3", "fence C", "open 0",
        "next 0 -> 1 2 3", "settled yes", NULL });
}

static void
test_repeated_fence(void **state)
{
    run_script((const char *const[]) {
        "expect A 9", "open 0", "fence A", "fence A", "direct A 1",
        "next 1 -> 1", "fence A", "direct A 2", "next 2 -> 2",
        "settled yes", NULL });
}

static void
test_rollback_gives_all_back(void **state)
{
    run_script((const char *const[]) {
        "expect A 9", "relayed 1", "direct A 2", "direct C 3",
        "back -> 2 3", NULL });
}

static void
test_full(void **state)
{
    struct hold *hold = hold_create();

    for (int i = 0; i < HOLD_MAX_FRAMES + 5; i++) {
        struct hold_frame f = frame('x');

        hold_put_relayed(hold, &f);
    }
    assert_int_equal(hold_counters(hold)->dropped, 5);
    hold_destroy(hold);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relayed_come_first),
        cmocka_unit_test(test_near_does_not_wait_for_far),
        cmocka_unit_test(test_patience_ends),
        cmocka_unit_test(test_slow_guest),
        cmocka_unit_test(test_unexpected_keep_their_order),
        cmocka_unit_test(test_repeated_fence),
        cmocka_unit_test(test_rollback_gives_all_back),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
