#include "bench/drops.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static void
test_parse(void **state)
{
    static const char text[] =
        "p_raw UNCONN 0      0        *:wan       *     "
        "skmem:(r0,rb16777216,t0,tb212992,f0,w0,o0,bl0,d17)\n"
        "p_raw UNCONN 0      0        *:e-near    *     "
        "skmem:(r0,rb16777216,t0,tb212992,f0,w0,o0,bl0,d0)\n"
        "p_raw UNCONN 0      0      [0]:w1234     *     "
        "skmem:(r0,rb16777216,t0,tb212992,f0,w0,o0,bl0,d3)\n"
        "p_raw UNCONN 0      0        *:mgmt      *     "
        "skmem:(r0,rb16777216,t0,tb212992,f0,w0,o0,bl0,d1000)\n"
        "p_raw UNCONN 0      0        *:lo        *     "
        "skmem:(r0,rb16777216,t0,tb212992,f0,w0,o0,bl0,d1000)\n";

    assert_int_equal(drops_parse(text), 20);
}

/* What we do not understand counts nothing. */
static void
test_strange(void **state)
{
    assert_int_equal(drops_parse(""), 0);
    assert_int_equal(drops_parse("p_raw UNCONN 0 0 *:wan *\n"), 0);
    assert_int_equal(drops_parse("skmem:(r0,d5)\n"), 0);
    assert_int_equal(drops_parse("p_raw U 0 0 *:wan * skmem:(r0,dx)\n"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_strange),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
