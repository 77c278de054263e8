#include <config.h>

#include "base/process.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

static int
run(char *const argv[], const char *input, int timeout_ms, struct ds *output,
    struct err *err)
{
    struct process_spec spec = { .argv = argv };

    return process_run(&spec, input, timeout_ms, output, err);
}

static void
test_run(void **state OVS_UNUSED)
{
    char *cat[] = { "cat", NULL };
    char *fail[] = { "sh", "-c", "echo why >&2; exit 3", NULL };
    char *sleep[] = { "sleep", "10", NULL };
    char *none[] = { "no-such-program", NULL };
    struct ds output = DS_EMPTY_INITIALIZER;
    struct err err;

    assert_int_equal(run(cat, "hello", 5000, &output, &err), 0);
    assert_string_equal(ds_cstr(&output), "hello");
    ds_destroy(&output);

    assert_int_equal(run(fail, NULL, 5000, NULL, &err), EIO);
    assert_string_equal(err.text, "sh: exit status 3: why");
    assert_int_equal(run(sleep, NULL, 20, NULL, &err), ETIMEDOUT);
    assert_int_equal(run(none, NULL, 5000, NULL, &err), ENOENT);
}

static void
record(const struct process_id *id, void *aux)
{
    *(struct process_id *) aux = *id;
}

static void
test_spawn_and_end(void **state OVS_UNUSED)
{
    char *argv[] = { "sleep", "100", NULL };
    struct process_spec spec = { .argv = argv };
    struct process_id id, recorded;

    assert_int_equal(process_spawn(&spec, record, &recorded, &id, NULL), 0);
    assert_int_equal(recorded.pid, id.pid);
    assert_int_equal(recorded.start, id.start);
    assert_true(process_is_alive(&id));

    /* Another process that has got the same number is not ours. */
    struct process_id other = { .pid = id.pid, .start = id.start + 1 };
    assert_false(process_is_alive(&other));
    assert_int_equal(process_end(&other, 0, NULL), 0);
    assert_true(process_is_alive(&id));

    assert_int_equal(process_end(&id, 1000, NULL), 0);
    assert_false(process_is_alive(&id));
    assert_int_equal(process_end(&id, 1000, NULL), 0);
}

/* What does not listen to SIGTERM ends all the same. */
static void
test_end_stubborn(void **state OVS_UNUSED)
{
    char *argv[] = { "sh", "-c", "trap '' TERM; while :; do sleep 1; done",
                     NULL };
    struct process_spec spec = { .argv = argv };
    struct process_id id;

    assert_int_equal(process_spawn(&spec, NULL, NULL, &id, NULL), 0);
    usleep(50000);
    assert_int_equal(process_end(&id, 50, NULL), 0);
    assert_false(process_is_alive(&id));
}

static void
test_spawn_fails(void **state OVS_UNUSED)
{
    char *argv[] = { "no-such-program", NULL };
    struct process_spec spec = { .argv = argv };
    struct process_id id = { .pid = 99 };
    struct err err;

    assert_int_equal(process_spawn(&spec, NULL, NULL, &id, &err), ENOENT);
    assert_int_equal(id.pid, 99);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_spawn_and_end),
        cmocka_unit_test(test_end_stubborn),
        cmocka_unit_test(test_spawn_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
