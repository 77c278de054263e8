#include <config.h>

#include "mobility/datapath.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "core/flow-table.h"
#include "core/frame.h"
#include "flow.h"
#include "mobility/pipeline.h"
#include "packets.h"
#include "uuid.h"

static const struct uuid blue = { { 1, 0, 0, 0 } };
static const struct uuid web = { { 2, 0, 0, 0 } };
static const struct uuid alice = { { 3, 0, 0, 0 } };
static const struct eth_addr web_mac = ETH_ADDR_C(02,00,00,00,01,11);

static struct addr_pair
pair(const char *v4, const char *v6)
{
    struct addr_pair p = { 0 };

    assert_int_equal(addr_pair_add(&p, v4, NULL), 0);
    assert_int_equal(addr_pair_add(&p, v6, NULL), 0);
    return p;
}

static struct datapath *
make_datapath(void)
{
    struct datapath *dp = datapath_create();
    struct network network = { .uuid = blue, .id = 0xabcdef };
    struct interface interface = {
        .uuid = web, .network = blue, .mac = web_mac,
        .home = pair("10.0.0.11", "fd00::11"),
        .inside = pair("10.0.0.99", "fd00::99"),
    };

    prefix_parse("10.0.0.0/24", &network.prefix[ADDR_V4], NULL);
    prefix_parse("fd00::/64", &network.prefix[ADDR_V6], NULL);
    datapath_set_network(dp, &network);
    datapath_set_interface(dp, &interface);
    interface = (struct interface) {
        .uuid = alice, .network = blue,
        .home = pair("10.0.0.21", "fd00::21"),
    };
    datapath_set_interface(dp, &interface);
    return dp;
}

static size_t
make_frame(uint8_t buf[FRAME_BUILT_MAX], uint8_t mark, const char *src_,
           const char *dst_)
{
    const struct eth_addr src_mac
        = { .ea = { 0x02, 0x57, mark, 0xab, 0xcd, 0xef } };
    struct frame_fence fence = { .sequence = 1 };
    struct in6_addr src, dst;

    addr_parse(src_, &src, NULL);
    addr_parse(dst_, &dst, NULL);
    return frame_build_fence(buf, src_mac, web_mac, &src, &dst, &fence);
}

static void
check_held(const char *src, const char *dst, const char *unknown)
{
    struct datapath *dp = make_datapath();
    uint8_t buf[FRAME_BUILT_MAX];
    struct datapath_held held;
    struct frame_fence fence;
    struct frame f;

    size_t n = make_frame(buf, PIPELINE_MARK_HELD, src, dst);
    assert_int_equal(datapath_parse_held(dp, buf, n, &held, NULL), 0);
    assert_int_equal(held.kind, DATAPATH_HELD);
    assert_true(uuid_equals(&held.to->uuid, &web));
    assert_true(uuid_equals(&held.from->uuid, &alice));

    /* As the guest sees it, with right checksums. */
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_true(eth_addr_equals(f.eth_src, datapath_router_mac));
    assert_true(eth_addr_equals(f.eth_dst, web_mac));
    assert_true(addr_pair_contains(&held.to->inside, &f.dst));
    assert_true(frame_parse_fence(buf, n, &fence));

    n = make_frame(buf, PIPELINE_MARK_WITNESS, unknown, dst);
    assert_int_equal(datapath_parse_held(dp, buf, n, &held, NULL), 0);
    assert_int_equal(held.kind, DATAPATH_WITNESS);
    assert_null(held.from);

    n = make_frame(buf, PIPELINE_MARK_HELD, src, unknown);
    assert_int_equal(datapath_parse_held(dp, buf, n, &held, NULL), EINVAL);
    n = make_frame(buf, 0, src, dst);
    assert_int_equal(datapath_parse_held(dp, buf, n, &held, NULL), EINVAL);
    assert_int_equal(datapath_parse_held(dp, buf, 10, &held, NULL), EINVAL);
    datapath_destroy(dp);
}

static void
test_held(void **state)
{
    check_held("10.0.0.21", "10.0.0.11", "10.0.0.50");
    check_held("fd00::21", "fd00::11", "fd00::50");
}

static void
test_cookies(void **state)
{
    struct datapath *dp = make_datapath();
    struct generation generation = { .counter = 1 };
    struct addr_pair mobile = pair("198.18.1.1", "2001:db8::1");
    const struct flow_entry *flow;
    int n = 0;

    datapath_accept(dp, &alice, &generation, &mobile);
    for (flow = flow_table_next(datapath_flows(dp), NULL); flow;
         flow = flow_table_next(datapath_flows(dp), flow)) {
        if (pipeline_cookie_part(flow->cookie) == PART_FROM) {
            const struct interface *interface
                = datapath_cookie_interface(dp, flow->cookie);

            assert_true(uuid_equals(&interface->uuid, &alice));
            n++;
        }
    }
    assert_int_equal(n, 2);
    assert_null(datapath_cookie_interface(
        dp, pipeline_cookie(PART_FROM, PIPELINE_NUMBER_MASK)));
    assert_string_equal(
        pipeline_drop_name(pipeline_cookie(PART_DROP, DROP_NO_ROUTE)),
        "no-route");
    assert_string_equal(pipeline_drop_name(pipeline_cookie(PART_SPOOFED, 5)),
                        "spoofed");
    assert_null(pipeline_drop_name(pipeline_cookie(PART_HERE, 5)));
    datapath_destroy(dp);
}

/* An ICMP error of 'router' about a datagram from 'src' to 'dst', for 'to'. */
static size_t
make_error(uint8_t *buf, const char *router_, const char *to_,
           const char *src_, const char *dst_)
{
    struct frame_fence fence = { .sequence = 1 };
    struct in6_addr router, to, src, dst;
    uint8_t quoted[FRAME_BUILT_MAX];
    struct frame f;

    addr_parse(router_, &router, NULL);
    addr_parse(to_, &to, NULL);
    addr_parse(src_, &src, NULL);
    addr_parse(dst_, &dst, NULL);
    size_t n = frame_build_fence(quoted, web_mac, web_mac, &src, &dst, &fence);
    size_t quote_len = n - ETH_HEADER_LEN;

    /* The outer header is that of another fence, with other contents. */
    frame_build_fence(buf, web_mac, web_mac, &router, &to, &fence);
    bool v6 = addr_family(&to) == ADDR_V6;
    uint8_t *ip = buf + ETH_HEADER_LEN;
    uint8_t *icmp = ip + (v6 ? 40 : 20);
    size_t l4_len = 8 + quote_len;
    ip[v6 ? 6 : 9] = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    ip[v6 ? 5 : 3] = v6 ? l4_len : 20 + l4_len;
    memset(icmp, 0, 8);
    icmp[0] = v6 ? 1 : 3;
    memcpy(icmp + 8, quoted + ETH_HEADER_LEN, quote_len);
    n = icmp + l4_len - buf;
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    return n;
}

static void
check_error(const char *router, const char *home, const char *src,
            const char *dst, const char *stranger)
{
    struct datapath *dp = make_datapath();
    struct generation generation = { .counter = 1 };
    struct addr_pair away = pair("198.18.2.1", "2001:db8:2::1");
    struct datapath_here here = { .port = 5, .mobile = pair("198.18.1.1",
                                                            "2001:db8::1") };
    uint8_t buf[2 * FRAME_BUILT_MAX], again[2 * FRAME_BUILT_MAX];
    const struct interface *to;
    struct frame_fence fence;
    struct frame f;

    datapath_set_here(dp, &web, &here);
    datapath_accept(dp, &alice, &generation, &away);
    size_t n = make_error(buf, router, home, src, dst);
    for (size_t i = 0; i < n; i++) {
        memcpy(again, buf, n);
        assert_int_not_equal(datapath_translate_error(dp, 0xabcdef, again, i,
                                                      &to, NULL), 0);
    }
    assert_int_equal(datapath_translate_error(dp, 0xabcdef, buf, n, &to,
                                              NULL), 0);
    assert_true(uuid_equals(&to->uuid, &web));
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_true(addr_pair_contains(&to->inside, &f.dst));
    assert_true(eth_addr_equals(f.eth_dst, web_mac));

    /* The quote is what web sent, with its checksum: a fence again. */
    uint8_t *quote = buf + f.l4_ofs + 8;
    quote -= ETH_HEADER_LEN;
    memcpy(quote, buf, ETH_HEADER_LEN);
    assert_int_equal(frame_parse(quote, buf + n - quote, &f, NULL), 0);
    assert_true(addr_pair_contains(&to->inside, &f.src));
    assert_true(addr_pair_contains(
        &datapath_find_interface(dp, &alice)->home, &f.dst));
    assert_true(frame_parse_fence(quote, buf + n - quote, &fence));

    n = make_error(buf, router, home, stranger, dst);
    assert_int_equal(datapath_translate_error(dp, 0xabcdef, buf, n, &to,
                                              NULL), ENOENT);
    n = make_error(buf, router, home, src, stranger);
    assert_int_equal(datapath_translate_error(dp, 0xabcdef, buf, n, &to,
                                              NULL), ENOENT);
    datapath_destroy(dp);
}

static void
test_error(void **state)
{
    check_error("198.18.9.1", "10.0.0.11", "198.18.1.1", "198.18.2.1",
                "198.18.7.7");
    check_error("2001:db8:9::1", "fd00::11", "2001:db8::1", "2001:db8:2::1",
                "2001:db8:7::7");
}

/* A handover's flip changes one flow a family and nothing else. */
static void
test_flip_is_small(void **state)
{
    struct datapath *dp = make_datapath();
    struct datapath_out out = { .kind = DATAPATH_AWAY,
                                .generation = { .counter = 1 },
                                .mobile = pair("198.18.1.1", "2001:db8::1") };
    int n = 0;

    datapath_set_out(dp, &web, &out);
    while (flow_table_next_change(datapath_flows(dp))) {
        continue;
    }
    out.generation.counter++;
    out.mobile = pair("198.18.2.1", "2001:db8:2::1");
    assert_true(datapath_set_out(dp, &web, &out));
    while (flow_table_next_change(datapath_flows(dp))) {
        n++;
    }
    assert_int_equal(n, 2);
    datapath_destroy(dp);
}

/* The store may have removed what somebody still speaks about. */
static void
test_unknown(void **state)
{
    struct datapath *dp = datapath_create();
    size_t n = flow_table_count(datapath_flows(dp));
    struct interface interface = { .uuid = web, .network = blue };
    struct datapath_here here = { .port = 5 };
    struct datapath_out out = { .kind = DATAPATH_HERE };
    struct generation generation = { .counter = 1 };

    datapath_set_interface(dp, &interface);
    datapath_set_here(dp, &web, &here);
    datapath_set_here(dp, &web, NULL);
    assert_false(datapath_set_out(dp, &web, &out));
    datapath_accept(dp, &web, &generation, &interface.home);
    datapath_reject(dp, &web, &generation);
    datapath_remove_interface(dp, &web);
    datapath_remove_network(dp, &blue);
    assert_null(datapath_get_here(dp, &web));
    assert_null(datapath_get_out(dp, &web));
    assert_int_equal(flow_table_count(datapath_flows(dp)), n);
    datapath_destroy(dp);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_flip_is_small),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
