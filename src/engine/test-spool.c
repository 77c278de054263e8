#include <config.h>

#include "engine/spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "util.h"
#include "uuid.h"

static const struct uuid migration = { { 1, 2, 3, 4 } };
static const struct uuid sender = { { 5, 6, 7, 8 } };

static char dir[] = "/tmp/test-spool-XXXXXX";
static char *file;

static int
setup(void **state)
{
    strcpy(dir, "/tmp/test-spool-XXXXXX");
    assert_non_null(mkdtemp(dir));
    file = xasprintf("%s/"UUID_FMT".spool", dir, UUID_ARGS(&migration));
    return 0;
}

static int
teardown(void **state)
{
    spool_remove(dir, &migration);
    assert_int_equal(rmdir(dir), 0);
    free(file);
    return 0;
}

static uint64_t
put(struct spool *s, enum spool_kind kind, uint32_t number, const char *data)
{
    const struct spool_record r = {
        .kind = kind, .nic = number % 3, .from = sender, .number = number,
        .data = data, .len = strlen(data),
    };
    return spool_put(s, &r);
}

/* Reads everything: "KIND NUMBER DATA", one behind the other. */
static void
check(struct spool *s, const char *want)
{
    char got[512] = "";
    struct spool_record r;
    uint64_t pos = 0, at;

    while (spool_next(s, &pos, &r, &at)) {
        size_t n = strlen(got);

        assert_true(uuid_equals(&r.from, &sender));
        assert_int_equal(r.nic, r.number % 3);
        snprintf(got + n, sizeof got - n, "%s%d %u %.*s", n ? ", " : "",
                 r.kind, r.number, (int) r.len, (const char *) r.data);
    }
    assert_string_equal(got, want);
}

static void
put_some(struct spool *s)
{
    put(s, SPOOL_EXPECT, 50, "");
    put(s, SPOOL_RELAYED, 0, "one");
    uint64_t two = put(s, SPOOL_DIRECT, 1, "two");
    put(s, SPOOL_FENCE, 2, "");
    assert_true(two > 0);
    spool_take(s, two);
    put(s, SPOOL_DIRECT, 4, "three");
}

#define SOME "1 50 , 3 0 one, 4 1 , 2 2 , 4 4 three"

static void
test_next_process(void **state)
{
    struct spool *s = spool_open(dir, &migration);

    check(s, "");
    put_some(s);
    check(s, SOME);
    spool_close(s);

    s = spool_open(dir, &migration);
    check(s, SOME);
    put(s, SPOOL_RELAYED, 7, "more");
    spool_close(s);

    s = spool_open(dir, &migration);
    check(s, SOME ", 3 7 more");
    spool_close(s);
}

/* Whoever wrote may have died at any byte: what is whole counts, and what
 * follows is put behind it. */
static void
test_cut_anywhere(void **state)
{
    struct spool *s = spool_open(dir, &migration);
    struct stat st;

    put_some(s);
    spool_close(s);
    assert_int_equal(stat(file, &st), 0);
    for (off_t end = st.st_size; end >= 0; end--) {
        struct spool_record r;
        uint64_t pos = 0, at;
        int n = 0, m = 0;

        assert_int_equal(truncate(file, end), 0);
        s = spool_open(dir, &migration);
        while (spool_next(s, &pos, &r, &at)) {
            n++;
        }
        assert_true(n < 5 || end == st.st_size);
        assert_true(put(s, SPOOL_RELAYED, 9, "last") > 0);
        pos = 0;
        while (spool_next(s, &pos, &r, &at)) {
            m++;
        }
        assert_int_equal(m, n + 1);
        assert_int_equal(r.number, 9);
        spool_close(s);
    }
}

static void
test_garbage(void **state)
{
    static const char text[] = "This is no spool, whatever it is called.";
    int fd = open(file, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    close(fd);
    struct spool *s = spool_open(dir, &migration);
    check(s, "");
    put_some(s);
    check(s, SOME);
    spool_close(s);
}

static void
test_limit(void **state)
{
    static const char big[65000];
    struct spool *s = spool_open(dir, &migration);
    struct spool_record r = {
        .kind = SPOOL_RELAYED, .from = sender, .data = big,
        .len = sizeof big,
    };
    size_t n = 0;

    while (spool_put(s, &r)) {
        n++;
    }
    assert_in_range(n, SPOOL_MAX_BYTES / (sizeof big + 64),
                    SPOOL_MAX_BYTES / sizeof big);
    spool_take(s, 0);           /* What was not kept need not be taken. */
    spool_close(s);

    /* Where there is no place for a file. */
    s = spool_open("/proc/nowhere", &migration);
    assert_int_equal(spool_put(s, &r), 0);
    check(s, "");
    spool_close(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_next_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
