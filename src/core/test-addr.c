#include <config.h>

#include "core/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "util.h"

static struct in6_addr
ip(const char *text)
{
    struct in6_addr a;

    assert_int_equal(addr_parse(text, &a, NULL), 0);
    return a;
}

static void
test_parse(void **state)
{
    static const char *const good[] = { "10.0.0.1", "fd00::1", "2001:db8::a" };
    static const char *const bad[] = {
        "", "10.0.0", "10.0.0.1 ", "10.0.0.1/8", "0.0.0.0", "127.0.0.1",
        "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1",
        "::ffff:10.0.0.1", "x",
    };
    char buf[ADDR_STRLEN];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct in6_addr a = ip(good[i]);
        assert_string_equal(addr_format(&a, buf), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct in6_addr a = ip("10.0.0.1");
        struct err err = ERR_INIT;

        assert_int_equal(addr_parse(bad[i], &a, &err), EINVAL);
        assert_int_equal(err.code, EINVAL);
        assert_string_equal(addr_format(&a, buf), "10.0.0.1");
    }
    assert_string_equal(addr_format(&in6addr_any, buf), "");
}

static void
test_plus(void **state)
{
    char buf[ADDR_STRLEN];
    struct in6_addr a = ip("10.0.0.255"), b = ip("fd00::ffff:ffff:ffff:ffff");

    a = addr_plus(&a, 2);
    assert_string_equal(addr_format(&a, buf), "10.0.1.1");
    b = addr_plus(&b, 1);
    assert_string_equal(addr_format(&b, buf), "fd00:0:0:1::");
}

static void
test_pair(void **state)
{
    struct addr_pair pair = { 0 };
    struct in6_addr a = ip("10.0.0.1"), b = ip("fd00::1");

    assert_true(addr_pair_is_none(&pair));
    assert_int_equal(addr_pair_add(&pair, "10.0.0.1", NULL), 0);
    assert_int_equal(addr_pair_add(&pair, "10.0.0.2", NULL), EEXIST);
    assert_true(addr_pair_contains(&pair, &a));
    assert_false(addr_pair_contains(&pair, &b));
    assert_false(addr_pair_contains(&pair, &in6addr_any));
    assert_int_equal(addr_pair_add(&pair, "fd00::1", NULL), 0);
    assert_true(addr_pair_contains(&pair, &b));
}

static void
test_prefix(void **state)
{
    static const char *const bad[] = {
        "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/24",
        "10.0.0.0/24x", "10.0.0.0/ 24", "fd00::/129", "fd00::1/64", "/8",
    };
    struct prefix p, q;
    char buf[PREFIX_STRLEN];
    struct in6_addr a = ip("10.255.0.255"), b = ip("10.255.1.0"),
                    c = ip("fd00:255::1");

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(prefix_parse(bad[i], &p, NULL), EINVAL);
    }
    assert_int_equal(prefix_parse("10.255.0.0/24", &p, NULL), 0);
    assert_string_equal(prefix_format(&p, buf), "10.255.0.0/24");
    assert_true(prefix_contains(&p, &a));
    assert_false(prefix_contains(&p, &b));
    assert_false(prefix_contains(&p, &c));
    assert_int_equal(prefix_parse("10.0.0.0/8", &q, NULL), 0);
    assert_true(prefix_overlaps(&p, &q));
    assert_true(prefix_overlaps(&q, &p));
    assert_int_equal(prefix_parse("fd00:255::/64", &q, NULL), 0);
    assert_true(prefix_contains(&q, &c));
    assert_false(prefix_overlaps(&p, &q));
    assert_int_equal(prefix_parse("0.0.0.0/0", &q, NULL), 0);
    assert_true(prefix_contains(&q, &a));
    assert_false(prefix_contains(&q, &c));
}

static void
test_range(void **state)
{
    static const char *const bad[] = {
        "10.0.0.1", "10.0.0.2-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.1-",
    };
    struct addr_range r;
    struct in6_addr first = ip("198.18.1.100"), last = ip("198.18.1.199"),
                    after = ip("198.18.1.200"), six = ip("fd00::1");

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(addr_range_parse(bad[i], &r, NULL), EINVAL);
    }
    assert_int_equal(addr_range_parse("198.18.1.100-198.18.1.199", &r, NULL),
                     0);
    assert_int_equal(addr_range_size(&r), 100);
    assert_true(addr_range_contains(&r, &first));
    assert_true(addr_range_contains(&r, &last));
    assert_false(addr_range_contains(&r, &after));
    assert_false(addr_range_contains(&r, &six));
    assert_int_equal(addr_range_parse("fd00::-fd01::", &r, NULL), 0);
    assert_true(addr_range_size(&r) == UINT32_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_plus),
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
