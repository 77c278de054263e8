#include <config.h>

#include "core/generation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util.h"

/* Each is newer than the one before it. */
static void
test_order(void **state)
{
    static const struct generation g[] = {
        { 0, 0, { { 0 } } },
        { 0, 0, { { 1, 0, 0, 0 } } },
        { 0, 1, { { 0 } } },
        { 0, UINT64_C(1) << 40, { { 0 } } },
        { 1, 0, { { 0 } } },
        { 1, 0, { { 0xffffffff, 0, 0, 0 } } },
        { 2, 0, { { 0 } } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(g); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(g); j++) {
            int c = generation_compare(&g[i], &g[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
    }
}

static void
test_format(void **state)
{
    struct generation g = { UINT32_MAX, UINT64_MAX, { { 0xabc, 1, 2, 3 } } };
    char buf[GENERATION_STRLEN];

    assert_string_equal(generation_format(&g, buf),
                        "4294967295.18446744073709551615.00000abc");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
