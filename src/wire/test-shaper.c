/* Unit tests of wire/shaper.h. */
#include "wire/shaper.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define MS INT64_C(1000000)

static struct shape
shape_of(const char *spec)
{
    struct shape shape;
    struct err err = { 0 };

    if (shape_parse(spec, &shape, &err)) {
        fail_msg("%s: %s", spec, err.text);
    }
    return shape;
}

static void
test_parse(void **state)
{
    (void) state;
    struct shape s = shape_of(
        "delay=5ms,jitter=1500us,loss=0.1%,rate=1gbit,queue=250000");
    assert_int_equal(s.delay, 5 * MS);
    assert_int_equal(s.jitter, 1500000);
    assert_int_equal(s.loss_ppm, 1000);
    assert_int_equal(s.rate, 1000000000);
    assert_int_equal(s.queue, 250000);

    s = shape_of("");
    assert_int_equal(s.delay, 0);
    assert_int_equal(s.rate, 0);
    assert_int_equal(s.queue, SHAPE_DEFAULT_QUEUE);

    assert_int_equal(shape_of("delay=1.5s").delay, 1500 * MS);
    assert_int_equal(shape_of("delay=0").delay, 0);
    assert_int_equal(shape_of("rate=64kbit").rate, 64000);
    assert_int_equal(shape_of("rate=2.5mbit").rate, 2500000);
    assert_int_equal(shape_of("loss=100%").loss_ppm, 1000000);
}

static void
test_parse_refuses(void **state)
{
    (void) state;
    static const struct {
        const char *spec, *sentence;
    } bad[] = {
        { "delay", "\"delay\" is not one of" },
        { "dely=5ms", "\"dely=5ms\" is not one of" },
        { "delay=5", "no known unit" },
        { "delay=5m", "no known unit" },
        { "delay=", "is not a number" },
        { "delay=-5ms", "is not a number" },
        { "delay=nan", "is not a number" },
        { "delay=0x5ms", "is not a number" },
        { "delay=2ms,delay=2ms", "delay is given twice" },
        { "delay=61s", "too large a delay" },
        { "delay=1ms,jitter=2ms", "jitter is larger" },
        { "loss=101%", "too large a loss" },
        { "loss=1", "no known unit" },
        { "rate=1000", "no known unit" },
        { "queue=1kb", "no known unit" },
        { "delay=1ms,", "comma at the end" },
        { ",", "is not one of" },
        { "delay=00000000000000000000000000000000001ms", "too long" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct shape shape = { .delay = 77 };
        struct err err = { 0 };

        assert_int_equal(shape_parse(bad[i].spec, &shape, &err), EINVAL);
        if (!strstr(err.text, bad[i].sentence)) {
            fail_msg("%s: got \"%s\"", bad[i].spec, err.text);
        }
        /* Untouched on failure. */
        assert_int_equal(shape.delay, 77);
    }
}

static void
test_format(void **state)
{
    (void) state;
    struct shape a = shape_of(
        "delay=5ms,jitter=1ms,loss=0.25%,rate=10mbit,queue=99");
    char buf[160];

    shape_format(&a, buf, sizeof buf);
    struct shape b = shape_of(buf);
    assert_memory_equal(&a, &b, sizeof a);
}

static int64_t
admit(struct shaper *shaper, int64_t now, size_t bytes)
{
    int64_t due = -1;

    return shaper_admit(shaper, now, bytes, &due) == SHAPER_PASS ? due : -1;
}

static void
test_delay(void **state)
{
    (void) state;
    struct shape shape = shape_of("delay=5ms");
    struct shaper shaper;

    shaper_init(&shaper, &shape, 1);
    assert_int_equal(admit(&shaper, 0, 1500), 5 * MS);
    assert_int_equal(admit(&shaper, 1, 60), 5 * MS + 1);
}

static void
test_rate(void **state)
{
    (void) state;
    /* 8 Mbit/s: 1000 bytes take 1 ms.  The queue holds three. */
    struct shape shape = shape_of("rate=8mbit,queue=3000,delay=10ms");
    struct shaper shaper;
    int64_t due;

    shaper_init(&shaper, &shape, 1);
    assert_int_equal(admit(&shaper, 0, 1000), 11 * MS);
    assert_int_equal(admit(&shaper, 0, 1000), 12 * MS);
    assert_int_equal(admit(&shaper, 0, 1000), 13 * MS);
    assert_int_equal(shaper_admit(&shaper, 0, 1000, &due), SHAPER_FULL);
    /* One has left the queue by now. */
    assert_int_equal(admit(&shaper, 1 * MS, 1000), 14 * MS);
    assert_int_equal(shaper_admit(&shaper, 1 * MS, 1000, &due), SHAPER_FULL);
    /* After a rest the line starts at once. */
    assert_int_equal(admit(&shaper, 100 * MS, 1000), 111 * MS);
}

static void
test_jitter_keeps_order(void **state)
{
    (void) state;
    struct shape shape = shape_of("delay=5ms,jitter=5ms");
    struct shaper shaper;
    int64_t last = 0, low = INT64_MAX, high = 0;

    shaper_init(&shaper, &shape, 3);
    for (int i = 0; i < 100000; i++) {
        int64_t now = i * INT64_C(100000), due = admit(&shaper, now, 100);

        assert_true(due >= last);
        assert_true(due >= now && due <= now + 10 * MS);
        last = due;
        low = due - now < low ? due - now : low;
        high = due - now > high ? due - now : high;
    }
    assert_true(high > 9 * MS);
    assert_true(low < 9 * MS);
}

static void
test_loss(void **state)
{
    (void) state;
    struct shape shape = shape_of("loss=1%");
    struct shaper a, b;
    int lost = 0;

    shaper_init(&a, &shape, 7);
    shaper_init(&b, &shape, 7);
    for (int i = 0; i < 1000000; i++) {
        int64_t due;
        enum shaper_verdict verdict = shaper_admit(&a, i, 100, &due);

        assert_int_equal(verdict, shaper_admit(&b, i, 100, &due));
        lost += verdict == SHAPER_LOST;
    }
    /* Five standard deviations are 500. */
    assert_in_range(lost, 9500, 10500);

    shape = shape_of("loss=100%");
    shaper_reshape(&a, &shape);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(admit(&a, 2000000, 100), -1);
    }
}

static void
test_reshape_keeps_order(void **state)
{
    (void) state;
    struct shape slow = shape_of("delay=50ms"), fast = shape_of("delay=1ms");
    struct shaper shaper;

    shaper_init(&shaper, &slow, 1);
    assert_int_equal(admit(&shaper, 0, 100), 50 * MS);
    shaper_reshape(&shaper, &fast);
    assert_int_equal(admit(&shaper, 1 * MS, 100), 50 * MS);
    assert_int_equal(admit(&shaper, 60 * MS, 100), 61 * MS);
}

static void
test_cut(void **state)
{
    (void) state;
    struct shape shape = SHAPE_INIT;
    struct shaper shaper;
    int64_t due;

    shaper_init(&shaper, &shape, 1);
    shaper.cut = true;
    assert_int_equal(shaper_admit(&shaper, 5, 100, &due), SHAPER_CUT);
    shaper.cut = false;
    assert_int_equal(admit(&shaper, 6, 100), 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_jitter_keeps_order),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_reshape_keeps_order),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
