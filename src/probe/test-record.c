/* Unit tests of probe/record.h: what is written can be read. */
#include "probe/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int
read_text(const char *text, struct record *record, struct err *err)
{
    FILE *in = fmemopen((void *) text, strlen(text), "r");

    assert_non_null(in);
    int error = record_read(in, record, err);
    fclose(in);
    return error;
}

static void
test_round_trip(void **state)
{
    struct record a, b;
    struct record_sample sample = { 5, 6, 7, 8 };
    char *text;
    size_t size;

    record_init(&a, RECORD_UDP, "fd00:255::11", 7, 1000000);
    a.guest_clock = true;
    a.broken_at = 99;
    a.broken_errno = ECONNRESET;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(record_add_sent(&a, 1000 + i), 0);
        assert_int_equal(record_add_answer(&a, i, 2000 + i, 7 * i), 0);
    }
    assert_int_equal(record_add_sample(&a, &sample), 0);

    FILE *out = open_memstream(&text, &size);
    record_write(&a, out);
    fclose(out);
    assert_int_equal(read_text(text, &b, NULL), 0);
    free(text);

    assert_int_equal(b.kind, RECORD_UDP);
    assert_true(b.guest_clock);
    assert_string_equal(b.address, "fd00:255::11");
    assert_int_equal(b.port, 7);
    assert_int_equal(b.interval, 1000000);
    assert_int_equal(b.n_sent, a.n_sent);
    assert_memory_equal(b.sent, a.sent, a.n_sent * sizeof *a.sent);
    assert_int_equal(b.n_answers, a.n_answers);
    assert_memory_equal(b.answers, a.answers,
                        a.n_answers * sizeof *a.answers);
    assert_int_equal(b.n_samples, 1);
    assert_memory_equal(b.samples, &sample, sizeof sample);
    assert_int_equal(b.broken_at, 99);
    assert_int_equal(b.broken_errno, ECONNRESET);
    record_finish(&a);
    record_finish(&b);
}

static void
test_refuses(void **state)
{
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        { "", "no end" },
        { "watari-record 1 udp\ns 1\n", "no end" },
        { "watari-record 2 udp\nend\n", "line 1 " },
        { "watari-record 1 tcp\nend\n", "line 1 " },
        { "watari-record 1 udp\ns x\nend\n", "line 2 " },
        { "watari-record 1 udp\ns -1\nend\n", "line 2 " },
        { "watari-record 1 udp\ns 1 2\nend\n", "line 2 " },
        { "watari-record 1 udp\ns 99999999999999999999\nend\n", "line 2 " },
        /* An answer to what was never asked. */
        { "watari-record 1 udp\ns 1\na 1 2 3\nend\n", "line 3 " },
        { "watari-record 1 udp\nclock moon\nend\n", "line 2 " },
        { "watari-record 1 udp\ntarget ::1 65536\nend\n", "line 2 " },
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct record record = { .port = 77 };
        struct err err = ERR_INIT;

        assert_int_equal(read_text(bad[i].text, &record, &err), EINVAL);
        if (!strstr(err.text, bad[i].sentence)) {
            fail_msg("%s: got \"%s\"", bad[i].text, err.text);
        }
        assert_int_equal(record.port, 77);
    }
}

static void
test_save_and_load(void **state)
{
    char path[] = "/tmp/test-record-XXXXXX";
    struct record a, b;
    struct err err = ERR_INIT;

    close(mkstemp(path));
    record_init(&a, RECORD_IDLE, "10.0.0.1", 7, 200000000);
    assert_int_equal(record_add_sent(&a, 5), 0);
    assert_int_equal(record_save(&a, path, &err), 0);
    assert_int_equal(record_load(path, &b, &err), 0);
    assert_int_equal(b.kind, RECORD_IDLE);
    assert_int_equal(b.n_sent, 1);
    record_finish(&a);
    record_finish(&b);
    unlink(path);
    assert_int_equal(record_load(path, &b, &err), ENOENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
