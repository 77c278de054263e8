#include <config.h>

#include "core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "uuid.h"

static const struct eth_addr mac_a = ETH_ADDR_C(02,00,00,00,00,0a);
static const struct eth_addr mac_b = ETH_ADDR_C(02,00,00,00,00,0b);

static struct in6_addr
ip(const char *text)
{
    struct in6_addr a;

    assert_int_equal(addr_parse(text, &a, NULL), 0);
    return a;
}

/* What Open vSwitch's own parser makes of it. */
static struct flow
extract(const uint8_t *buf, size_t n)
{
    struct dp_packet packet;
    struct flow flow;

    dp_packet_use_const(&packet, buf, n);
    flow_extract(&packet, &flow);
    return flow;
}

static void
check_neighbor(const char *ip_a, const char *ip_b, enum frame_kind request,
               enum frame_kind reply)
{
    struct in6_addr a = ip(ip_a), b = ip(ip_b);
    uint8_t buf[FRAME_BUILT_MAX];
    struct frame f, g;

    size_t n = frame_build_neighbor_request(buf, mac_a, &a, &b);
    assert_true(n <= sizeof buf);
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, request);
    assert_true(addr_equals(&f.src, &a));
    assert_true(addr_equals(&f.target, &b));
    assert_true(eth_addr_equals(f.lladdr, mac_a));
    assert_true(eth_addr_is_multicast(f.eth_dst));

    n = frame_build_neighbor_reply(buf, &f, mac_b);
    assert_true(n <= sizeof buf);
    assert_int_equal(frame_parse(buf, n, &g, NULL), 0);
    assert_int_equal(g.kind, reply);
    assert_true(addr_equals(&g.dst, request == FRAME_NS
                                    || request == FRAME_ARP_REQUEST
                                    ? &a : &g.dst));
    assert_true(eth_addr_equals(g.lladdr, mac_b));
    assert_true(eth_addr_equals(g.eth_dst, mac_a));

    struct flow flow = extract(buf, n);
    if (reply == FRAME_NA) {
        assert_true(addr_equals(&flow.nd_target, &b));
        assert_true(eth_addr_equals(flow.arp_tha, mac_b));
        assert_int_equal(packet_csum_upperlayer6(
            (const void *) (buf + 14), buf + 54, IPPROTO_ICMPV6, n - 54), 0);
    } else {
        assert_int_equal(flow.nw_proto, ARP_OP_REPLY);
        assert_true(eth_addr_equals(flow.arp_sha, mac_b));
        assert_true(eth_addr_equals(flow.arp_tha, mac_a));
    }
}

static void
test_neighbor(void **state)
{
    check_neighbor("10.0.0.1", "10.0.0.2", FRAME_ARP_REQUEST,
                   FRAME_ARP_REPLY);
    check_neighbor("fd00::1", "fd00::2", FRAME_NS, FRAME_NA);
}

static void
test_probe_and_gratuitous(void **state)
{
    struct in6_addr a = ip("10.0.0.1");
    uint8_t buf[FRAME_BUILT_MAX];
    struct frame f;

    size_t n = frame_build_neighbor_request(buf, mac_a, &in6addr_any, &a);
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_ARP_PROBE);
    n = frame_build_neighbor_request(buf, mac_a, &a, &a);
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_ARP_GRATUITOUS);

    a = ip("fd00::1");
    n = frame_build_neighbor_request(buf, mac_a, &in6addr_any, &a);
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_NS_PROBE);

    /* The answer goes to all nodes. */
    n = frame_build_neighbor_reply(buf, &f, mac_b);
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_NA_UNSOLICITED);
    assert_true(IN6_IS_ADDR_MULTICAST(&f.dst));

    struct dp_packet packet;
    dp_packet_init(&packet, 0);
    compose_rarp(&packet, mac_a);
    assert_int_equal(frame_parse(dp_packet_data(&packet),
                                 dp_packet_size(&packet), &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_RARP);
    assert_true(eth_addr_equals(f.lladdr, mac_a));
    dp_packet_uninit(&packet);
}

static void
check_fence(const char *src, const char *dst)
{
    struct in6_addr a = ip(src), b = ip(dst);
    struct frame_fence fence = {
        .sender = UINT64_C(0x0123456789abcdef), .sequence = 7,
        .migration = { { 1, 2, 3, 4 } }, .from = { { 5, 6, 7, 8 } },
    };
    struct frame_fence got;
    uint8_t buf[FRAME_BUILT_MAX], work[FRAME_BUILT_MAX];
    struct frame f;

    size_t n = frame_build_fence(buf, mac_a, mac_b, &a, &b, &fence);
    assert_true(n <= sizeof buf);
    assert_true(frame_parse_fence(buf, n, &got));
    assert_true(uuid_equals(&got.migration, &fence.migration));
    assert_true(uuid_equals(&got.from, &fence.from));
    assert_true(got.sender == fence.sender);
    assert_int_equal(got.sequence, 7);

    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_int_equal(f.kind, FRAME_IP);
    assert_int_equal(f.proto, IPPROTO_UDP);
    assert_int_equal(f.dst_port, FRAME_FENCE_PORT);
    assert_false(f.fragment);
    assert_true(addr_equals(&f.src, &a));
    assert_true(addr_equals(&f.dst, &b));

    struct flow flow = extract(buf, n);
    assert_int_equal(ntohs(flow.tp_dst), FRAME_FENCE_PORT);

    /* No cut and no flipped bit passes; only MACs and the TTL may change. */
    for (size_t i = 0; i < n; i++) {
        assert_false(frame_parse_fence(buf, i, &got));
    }
    size_t l4 = f.l4_ofs;
    for (size_t bit = l4 * 8; bit < n * 8; bit++) {
        memcpy(work, buf, n);
        work[bit / 8] ^= 0x80 >> bit % 8;
        assert_false(frame_parse_fence(work, n, &got));
    }

    /* Trailing padding is not part of it. */
    memset(work, 0, sizeof work);
    memcpy(work, buf, n);
    assert_true(frame_parse_fence(work, n + 2, &got));
}

static void
test_fence(void **state)
{
    check_fence("10.0.0.1", "10.0.0.2");
    check_fence("fd00::1", "fd00::2");
}

/* Its addresses are rewritten on the way, checksums with them. */
static void
test_fence_rewritten(void **state)
{
    struct in6_addr a = ip("10.0.0.1"), b = ip("10.0.0.2");
    struct frame_fence fence = { .sequence = 1 }, got;
    uint8_t buf[FRAME_BUILT_MAX];

    size_t n = frame_build_fence(buf, mac_a, mac_b, &a, &b, &fence);
    struct dp_packet packet;
    dp_packet_init(&packet, 0);
    dp_packet_put(&packet, buf, n);
    struct flow flow;
    flow_extract(&packet, &flow);
    packet_set_ipv4(&packet, inet_addr("198.18.1.1"), inet_addr("198.18.2.2"),
                    0, 61);
    assert_true(frame_parse_fence(dp_packet_data(&packet),
                                  dp_packet_size(&packet), &got));
    dp_packet_uninit(&packet);
}

static void
test_fragment(void **state)
{
    uint8_t buf[FRAME_BUILT_MAX];
    struct frame_fence fence = { .sequence = 1 };
    struct in6_addr a = ip("10.0.0.1"), b = ip("10.0.0.2");
    struct frame f;

    size_t n = frame_build_fence(buf, mac_a, mac_b, &a, &b, &fence);
    buf[20] = 0x20;             /* More fragments. */
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_true(f.fragment);
    assert_false(f.later_fragment);
    buf[21] = 1;                /* Offset. */
    assert_int_equal(frame_parse(buf, n, &f, NULL), 0);
    assert_true(f.later_fragment);
    assert_int_equal(f.src_port, 0);
    assert_false(frame_parse_fence(buf, n, &fence));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbor),
        cmocka_unit_test(test_probe_and_gratuitous),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_fence_rewritten),
        cmocka_unit_test(test_fragment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
