#include <config.h>

#include "base/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "openvswitch/util.h"
#include "util.h"

typedef int parse_func(const char *, uint64_t *, struct err *);

static void
test_good(void **state OVS_UNUSED)
{
    static const struct {
        parse_func *parse;
        const char *text;
        uint64_t value;
    } cases[] = {
        { units_parse_size, "0", 0 },
        { units_parse_size, "17", 17 },
        { units_parse_size, "256M", 256 << 20 },
        { units_parse_size, "1.5 GiB", 3ULL << 29 },
        { units_parse_duration, "0", 0 },
        { units_parse_duration, "5ms", 5000 },
        { units_parse_duration, "0.25ms", 250 },
        { units_parse_duration, "2s", 2000000 },
        { units_parse_duration, "2min", 120000000 },
        { units_parse_rate, "1gbit", 1000000000 },
        { units_parse_rate, "800 Kbit", 800000 },
        { units_parse_percent, "0.1%", 1000 },
        { units_parse_percent, "100%", 1000000 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value = 99;

        assert_int_equal(cases[i].parse(cases[i].text, &value, NULL), 0);
        assert_int_equal(value, cases[i].value);
    }
}

static void
test_bad(void **state OVS_UNUSED)
{
    static const struct {
        parse_func *parse;
        const char *text;
    } cases[] = {
        { units_parse_size, "" }, { units_parse_size, "M" },
        { units_parse_size, "-1M" }, { units_parse_size, "1X" },
        { units_parse_size, "0x10" }, { units_parse_size, "inf" },
        { units_parse_size, "99999999999G" }, { units_parse_size, "1..2M" },
        { units_parse_duration, "5" }, { units_parse_duration, "5m" },
        { units_parse_rate, "1" }, { units_parse_rate, "1mb" },
        { units_parse_percent, "1" }, { units_parse_percent, "101%" },
        { units_parse_percent, "nan%" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t value = 99;

        assert_int_equal(cases[i].parse(cases[i].text, &value, NULL),
                         EINVAL);
        assert_int_equal(value, 99);
    }
}

static void
test_format(void **state OVS_UNUSED)
{
    char buf[UNITS_STRLEN];

    assert_string_equal(units_format_size(17, buf), "17 B");
    assert_string_equal(units_format_size(3 << 19, buf), "1.5 MiB");
    assert_string_equal(units_format_size(256 << 20, buf), "256 MiB");
    assert_string_equal(units_format_ms(7.94, buf), "7.9 ms");
    assert_string_equal(units_format_ms(1234, buf), "1234 ms");
    assert_string_equal(units_format_ms(12345, buf), "12.3 s");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
