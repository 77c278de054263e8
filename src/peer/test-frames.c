#include <config.h>

#include "peer/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/ofpbuf.h"
#include "util.h"
#include "uuid.h"

static const struct uuid host = { { 0x01020304, 2, 3, 4 } };
static const struct uuid move = { { 5, 6, 7, 0xfffefdfc } };

/* A record whose length says 'said' instead of the truth, unless 0. */
static void
put(struct ofpbuf *b, int kind, int nic, const struct uuid *uuid,
    const char *frame, size_t said)
{
    size_t len = strlen(frame);
    uint32_t n = said ? said : FRAMES_HEADER_LEN - 4 + len;
    uint8_t header[8] = { n >> 24, n >> 16, n >> 8, n, kind, nic };

    ofpbuf_put(b, header, sizeof header);
    for (int i = 0; i < 4; i++) {
        uint32_t v = uuid->parts[i];

        ofpbuf_put(b, (uint8_t []) { v >> 24, v >> 16, v >> 8, v }, 4);
    }
    ofpbuf_put(b, (uint8_t []) { 0, 0, 1, len }, 4);
    ofpbuf_put(b, frame, len);
}

/* Parses an exact copy, so that a sanitizer sees each byte too many. */
static long
parse(const void *data, size_t len, struct uuid *from, struct ovs_list *list)
{
    uint8_t *copy = xmalloc(len + !len);

    if (len) {
        memcpy(copy, data, len);
    }
    long used = frames_parse(copy, len, from, list);
    free(copy);
    return used;
}

static void
check_frame(struct ovs_list *list, enum relay_kind kind, unsigned int nic,
            const char *frame)
{
    assert_false(ovs_list_is_empty(list));
    struct relayed *r = CONTAINER_OF(ovs_list_pop_front(list),
                                     struct relayed, node);
    assert_int_equal(r->relay.kind, kind);
    assert_int_equal(r->relay.nic, nic);
    assert_int_equal(r->relay.number, 0x100 + strlen(frame));
    assert_true(uuid_equals(&r->from, &host));
    assert_true(uuid_equals(&r->relay.about, &move));
    assert_int_equal(r->len, strlen(frame));
    assert_memory_equal(r->data, frame, r->len);
    free(r);
}

static void
put_some(struct ofpbuf *b)
{
    put(b, RELAY_HELLO, 0, &host, "", 0);
    put(b, RELAY_CAPTURED, 0, &move, "one", 0);
    put(b, RELAY_PAD, 0, &host, "zeros", 0);
    put(b, RELAY_CAPTURED, 7, &move, "", 0);
    put(b, RELAY_RETURNED, 1, &move, "three", 0);
    put(b, RELAY_LATE, 255, &move, "four", 0);
}

static void
check_some(struct ovs_list *list)
{
    check_frame(list, RELAY_CAPTURED, 0, "one");
    check_frame(list, RELAY_CAPTURED, 7, "");
    check_frame(list, RELAY_RETURNED, 1, "three");
    check_frame(list, RELAY_LATE, 255, "four");
    assert_true(ovs_list_is_empty(list));
}

/* In two pieces, cut at each byte. */
static void
test_split_everywhere(void **state)
{
    struct ofpbuf b;

    ofpbuf_init(&b, 0);
    put_some(&b);
    for (size_t cut = 0; cut <= b.size; cut++) {
        struct ovs_list list = OVS_LIST_INITIALIZER(&list);
        struct uuid from = UUID_ZERO;

        long first = parse(b.data, cut, &from, &list);
        assert_in_range(first, 0, cut);
        long second = parse((uint8_t *) b.data + first, b.size - first,
                            &from, &list);
        assert_int_equal(first + second, b.size);
        check_some(&list);
    }
    ofpbuf_uninit(&b);
}

static void
test_byte_by_byte(void **state)
{
    struct ovs_list list = OVS_LIST_INITIALIZER(&list);
    struct uuid from = UUID_ZERO;
    size_t begin = 0;
    struct ofpbuf b;

    ofpbuf_init(&b, 0);
    put_some(&b);
    for (size_t end = 0; end <= b.size; end++) {
        long used = parse((uint8_t *) b.data + begin, end - begin, &from,
                          &list);
        assert_true(used >= 0);
        begin += used;
    }
    assert_int_equal(begin, b.size);
    check_some(&list);
    ofpbuf_uninit(&b);
}

/* One record after a hello, and what frames_parse() says to it. */
static long
after_hello(int kind, size_t said, int third_byte)
{
    struct ovs_list list = OVS_LIST_INITIALIZER(&list);
    struct uuid from = UUID_ZERO;
    struct relayed *r;
    struct ofpbuf b;

    ofpbuf_init(&b, 0);
    put(&b, RELAY_HELLO, 0, &host, "", 0);
    put(&b, kind, 0, &move, "frame", said);
    ((uint8_t *) b.data)[FRAMES_HEADER_LEN + 6] = third_byte;
    long used = parse(b.data, b.size, &from, &list);
    LIST_FOR_EACH_POP (r, node, &list) {
        free(r);
    }
    ofpbuf_uninit(&b);
    return used;
}

static void
test_bad_records(void **state)
{
    const size_t whole = 2 * FRAMES_HEADER_LEN + 5;

    assert_int_equal(after_hello(RELAY_CAPTURED, 0, 0), whole);
    assert_int_equal(after_hello(RELAY_LATE, 0, 0), whole);

    /* Lengths. */
    assert_int_equal(after_hello(RELAY_CAPTURED, 1, 0), -1);
    assert_int_equal(after_hello(RELAY_CAPTURED, FRAMES_HEADER_LEN - 5, 0),
                     -1);
    assert_int_equal(after_hello(RELAY_CAPTURED, FRAMES_HEADER_LEN - 4, 0),
                     2 * FRAMES_HEADER_LEN);
    assert_int_equal(after_hello(RELAY_CAPTURED, FRAMES_HEADER_LEN - 4
                                 + FRAMES_MAX_LEN, 0), FRAMES_HEADER_LEN);
    assert_int_equal(after_hello(RELAY_CAPTURED, FRAMES_HEADER_LEN - 3
                                 + FRAMES_MAX_LEN, 0), -1);
    assert_int_equal(after_hello(RELAY_CAPTURED, UINT32_MAX, 0), -1);
    assert_int_equal(after_hello(RELAY_CAPTURED, UINT32_MAX - 3, 0), -1);

    /* Kinds, and what has to be zero. */
    assert_int_equal(after_hello(0, 0, 0), -1);
    assert_int_equal(after_hello(RELAY_LATE + 1, 0, 0), -1);
    assert_int_equal(after_hello(255, 0, 0), -1);
    assert_int_equal(after_hello(RELAY_CAPTURED, 0, 1), -1);
}

static void
test_nothing_before_hello(void **state)
{
    struct ovs_list list = OVS_LIST_INITIALIZER(&list);
    struct uuid from = UUID_ZERO;
    struct ofpbuf b;

    ofpbuf_init(&b, 0);
    put(&b, RELAY_CAPTURED, 0, &move, "x", 0);
    put(&b, RELAY_HELLO, 0, &host, "", 0);
    assert_int_equal(parse(b.data, b.size, &from, &list), -1);
    assert_true(ovs_list_is_empty(&list));

    /* A hello of nobody is none. */
    ofpbuf_clear(&b);
    put(&b, RELAY_HELLO, 0, &from, "", 0);
    put(&b, RELAY_PAD, 0, &host, "", 0);
    assert_int_equal(parse(b.data, b.size, &from, &list), -1);
    ofpbuf_uninit(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_everywhere),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_nothing_before_hello),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
