#include <config.h>

#include "hypervisor/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "util.h"

#define HEADER 16               /* Length, and virtio-net's header. */

/* Writes frame number 'id' of 'n' bytes as QEMU would; returns its length on
 * the wire. */
static size_t
put_frame(uint8_t *buffer, uint8_t id, uint32_t n)
{
    uint32_t length = htonl(n + 12);
    memcpy(buffer, &length, sizeof length);
    memset(buffer + 4, 0xee, 12);
    memset(buffer + HEADER, id, n);
    return HEADER + n;
}

static void
expect_frame(struct capture *c, size_t nic, uint8_t id, size_t n)
{
    size_t from = 99;
    struct dp_packet *packet = capture_next(c, &from);
    assert_non_null(packet);
    assert_int_equal(from, nic);
    assert_int_equal(dp_packet_size(packet), n);
    const uint8_t *data = dp_packet_data(packet);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(data[i], id);
    }
    dp_packet_delete(packet);
}

static void
expect_none(struct capture *c)
{
    size_t nic;
    assert_null(capture_next(c, &nic));
}

/* However the bytes come, the same frames come out. */
static void
test_split(void **state)
{
    uint8_t wire[3 * HEADER + 14 + 60 + 1514];
    size_t n = put_frame(wire, 1, 60);
    n += put_frame(wire + n, 2, 14);
    n += put_frame(wire + n, 3, 1514);
    assert_int_equal(n, sizeof wire);

    for (size_t piece = 1; piece <= sizeof wire; piece += 1 + piece / 16) {
        struct capture *c = capture_create();
        for (size_t at = 0; at < sizeof wire; at += piece) {
            size_t chunk = MIN(piece, sizeof wire - at);
            assert_int_equal(capture_feed(c, 0, wire + at, chunk, NULL), 0);
        }
        expect_frame(c, 0, 1, 60);
        expect_frame(c, 0, 2, 14);
        expect_frame(c, 0, 3, 1514);
        expect_none(c);
        capture_destroy(c);
    }
}

/* Halves of frames of different NICs do not meet. */
static void
test_nics(void **state)
{
    uint8_t a[HEADER + 60], b[HEADER + 80];
    put_frame(a, 1, 60);
    put_frame(b, 2, 80);
    struct capture *c = capture_create();
    assert_int_equal(capture_feed(c, 0, a, 30, NULL), 0);
    assert_int_equal(capture_feed(c, 7, b, sizeof b, NULL), 0);
    assert_int_equal(capture_feed(c, 0, a + 30, sizeof a - 30, NULL), 0);
    expect_frame(c, 7, 2, 80);
    expect_frame(c, 0, 1, 60);
    expect_none(c);
    capture_destroy(c);
}

static void
test_garbage(void **state)
{
    static const uint32_t lengths[] = {
        0, 11, 12 + 13, 12 + CAPTURE_MAX_FRAME + 1, UINT32_MAX
    };
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct capture *c = capture_create();
        struct err err = ERR_INIT;
        uint32_t length = htonl(lengths[i]);
        uint8_t good[HEADER + 60];
        put_frame(good, 1, 60);
        assert_int_equal(capture_feed(c, 0, good, sizeof good, NULL), 0);
        assert_int_equal(capture_feed(c, 0, &length, sizeof length, &err),
                         EPROTO);
        assert_int_equal(err.code, EPROTO);

        /* What came before counts, and so does who connects next. */
        assert_int_equal(capture_feed(c, 0, good, sizeof good, NULL), 0);
        expect_frame(c, 0, 1, 60);
        expect_frame(c, 0, 1, 60);
        expect_none(c);
        capture_destroy(c);
    }
}

static void
test_limit(void **state)
{
    static uint8_t wire[HEADER + CAPTURE_MAX_FRAME];
    struct capture *c = capture_create();
    struct capture_stats stats;
    uint64_t fit = CAPTURE_MAX_BYTES / CAPTURE_MAX_FRAME;

    size_t n = put_frame(wire, 5, CAPTURE_MAX_FRAME);
    for (uint64_t i = 0; i < fit + 3; i++) {
        assert_int_equal(capture_feed(c, 0, wire, n, NULL), 0);
    }
    capture_get_stats(c, &stats);
    assert_int_equal(stats.frames, fit + 3);
    assert_int_equal(stats.dropped, 3);
    assert_int_equal(stats.queued, fit);

    expect_frame(c, 0, 5, CAPTURE_MAX_FRAME);
    assert_int_equal(capture_feed(c, 0, wire, n, NULL), 0);
    capture_get_stats(c, &stats);
    assert_int_equal(stats.dropped, 3);
    capture_destroy(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_nics),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
