#include <config.h>

/* A real tap, a real watari-keeper (the only argument), in a network
 * namespace of their own. */

#include "hypervisor/tap.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "util.h"

#define TAP "kept"
#define N 3000                  /* Frames. */
#define WAIT_MS 10000

static const char *keeper;
static char dir[] = "/tmp/test-keeper-XXXXXX";
static char *path;

static int
setup(void **state)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_non_null(mkdtemp(dir));
    path = xasprintf("%s/keeper", dir);
    assert_int_equal(tap_create(TAP, 0, NULL), 0);
    return 0;
}

static int
teardown(void **state)
{
    tap_delete(TAP, NULL);      /* And the keeper ends. */
    unlink(path);
    rmdir(dir);
    free(path);
    return 0;
}

static struct tap *
open_kept(void)
{
    struct err why, err = ERR_INIT;
    struct tap *tap = NULL;

    if (tap_open_kept(TAP, keeper, path, &tap, &why, &err) || why.code) {
        fail_msg("%s%s", err.text, why.text);
    }
    return tap;
}

static void
send_frames(int first, int n)
{
    struct injector *injector;

    assert_int_equal(injector_open(TAP, &injector, NULL), 0);
    for (int i = first; i < first + n; i++) {
        uint8_t frame[60] = { 2, [6] = 4, [12] = 0x88, 0xb5, i >> 8, i };
        struct dp_packet *p = dp_packet_clone_data(frame, sizeof frame);

        assert_int_equal(injector_send(injector, p), 0);
        dp_packet_delete(p);
    }
    injector_close(injector);
}

/* All of [0, n), in order. */
static void
check_frames(struct tap *tap, int n)
{
    struct dp_packet *p;

    for (int i = 0; i < n; ) {
        assert_int_equal(tap_recv(tap, &p), 0);
        const uint8_t *data = dp_packet_data(p);
        if (data[12] == 0x88 && data[13] == 0xb5) {
            assert_int_equal(data[14] << 8 | data[15], i);
            i++;
        }
        dp_packet_delete(p);
    }
    while (!tap_recv(tap, &p)) {
        dp_packet_delete(p);
    }
}

/* The kernel passes nothing on for a moment after a tap was first opened. */
static void
wait_open(struct tap *tap)
{
    struct dp_packet *p;

    for (int ms = 0; tap_recv(tap, &p); ms += 10) {
        assert_true(ms < WAIT_MS);
        usleep(10000);
        send_frames(0, 1);
    }
    do {
        dp_packet_delete(p);
    } while (!tap_recv(tap, &p));
}

/* What comes while nobody has it open waits for the next one. */
static void
test_nothing_is_lost(void **state)
{
    struct tap *tap = open_kept();

    wait_open(tap);
    for (int round = 0; round < 3; round++) {
        send_frames(0, N / 2);
        tap_close(tap);         /* As if we had died. */
        send_frames(N / 2, N / 2);
        tap = open_kept();
        check_frames(tap, N);
    }
    tap_close(tap);
}

/* One that nobody can find ends, and the tap is free for another. */
static void
test_lost_keeper(void **state)
{
    struct tap *tap = open_kept();

    tap_close(tap);
    assert_int_equal(unlink(path), 0);
    for (int ms = 0; ; ms += 10) {
        int error = tap_open(TAP, &tap, NULL);

        if (!error) {
            break;
        }
        assert_int_equal(error, EBUSY);
        assert_true(ms < WAIT_MS);
        usleep(10000);
    }
    tap_close(tap);
    tap_close(open_kept());
}

/* Without the program the tap works, and somebody is told why it is not
 * kept. */
static void
test_no_keeper(void **state)
{
    struct err why, err = ERR_INIT;
    struct tap *tap;

    assert_int_equal(tap_create("other", 0, NULL), 0);
    assert_int_equal(tap_open_kept("other", "/nowhere/watari-keeper",
                                   "/nowhere/keeper", &tap, &why, &err), 0);
    assert_int_not_equal(why.code, 0);
    tap_close(tap);
    assert_int_equal(tap_delete("other", NULL), 0);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_lost_keeper),
        cmocka_unit_test(test_no_keeper),
    };

    if (argc < 2 || geteuid()) {
        fprintf(stderr, "needs root, and the keeper as its argument\n");
        return 77;              /* Skipped. */
    }
    keeper = argv[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
