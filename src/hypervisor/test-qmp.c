#include <config.h>

#include "hypervisor/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "openvswitch/json.h"
#include "socket-util.h"
#include "util.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define HELLO "\n{\"execute\":\"qmp_capabilities\",\"id\":0}"

static void
feed(struct qmp *q, const char *text)
{
    qmp_feed(q, text, strlen(text));
}

static void
expect_output(struct qmp *q, const char *expected)
{
    char *output = qmp_steal_output(q);
    assert_string_equal(output, expected);
    free(output);
}

/* A session behind its negotiation. */
static struct qmp *
ready(void)
{
    struct qmp *q = qmp_create();
    assert_int_equal(qmp_status(q, NULL), EINPROGRESS);
    feed(q, GREETING);
    expect_output(q, HELLO);
    assert_int_equal(qmp_status(q, NULL), EINPROGRESS);
    feed(q, "{\"return\": {}, \"id\": 0}\r\n");
    assert_int_equal(qmp_status(q, NULL), 0);
    return q;
}

/* The session must die of 'text', with 'code'. */
static void
expect_death(struct qmp *q, const char *text, int code)
{
    struct err err = ERR_INIT;
    uint64_t id = qmp_send(q, "query-status", NULL);
    feed(q, text);
    assert_int_equal(qmp_status(q, &err), code);
    assert_int_equal(err.code, code);

    /* So do all commands, and nothing that it says later counts. */
    assert_int_equal(qmp_reply(q, id, NULL, NULL), code);
    assert_int_equal(qmp_reply(q, qmp_send(q, "stop", NULL), NULL, NULL),
                     code);
    feed(q, GREETING);
    assert_int_equal(qmp_status(q, NULL), code);
    qmp_destroy(q);
}

static void
test_commands_wait_for_greeting(void **state)
{
    struct qmp *q = qmp_create();
    struct json *arguments = json_object_create();
    json_object_put_string(arguments, "uri", "tcp:[::1]:0");
    qmp_send(q, "migrate", arguments);
    qmp_send(q, "query-status", NULL);
    feed(q, GREETING);
    expect_output(q, HELLO
                  "\n{\"arguments\":{\"uri\":\"tcp:[::1]:0\"},"
                  "\"execute\":\"migrate\",\"id\":1}"
                  "\n{\"execute\":\"query-status\",\"id\":2}");
    qmp_destroy(q);
}

/* Replies, events in between, fed in all sizes of pieces. */
static void
test_split(void **state)
{
    const char text[] =
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 5}, "
        "\"event\": \"STOP\"}\r\n"
        "{\"return\": {\"status\": \"run}ning\\\"\"}, \"id\": 1}\r\n"
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 6}, "
        "\"event\": \"MIGRATION\", \"data\": {\"status\": \"setup\"}}\r\n"
        "{\"id\": 2, \"error\": {\"class\": \"GenericError\", "
        "\"desc\": \"no\"}}\r\n"
        "{\"return\": [], \"id\": 3}";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct qmp *q = ready();
        for (int i = 1; i <= 3; i++) {
            assert_int_equal(qmp_send(q, "x", NULL), i);
            assert_int_equal(qmp_reply(q, i, NULL, NULL), EINPROGRESS);
        }
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            qmp_feed(q, text + at, MIN(piece, sizeof text - 1 - at));
        }

        struct json *result;
        struct err err = ERR_INIT;
        assert_int_equal(qmp_reply(q, 3, NULL, NULL), 0);
        assert_int_equal(qmp_reply(q, 1, &result, NULL), 0);
        assert_string_equal(
            json_string(shash_find_data(json_object(result), "status")),
            "run}ning\"");
        json_destroy(result);
        assert_int_equal(qmp_reply(q, 2, &result, &err), EREMOTEIO);
        assert_string_equal(err.text, "QEMU: no");

        struct qmp_event event;
        assert_true(qmp_next_event(q, &event));
        assert_string_equal(event.name, "STOP");
        assert_null(event.data);
        assert_int_equal(event.timestamp_us, 1700000000000005LL);
        qmp_event_destroy(&event);
        assert_true(qmp_next_event(q, &event));
        assert_string_equal(event.name, "MIGRATION");
        assert_non_null(event.data);
        qmp_event_destroy(&event);
        assert_false(qmp_next_event(q, &event));
        qmp_destroy(q);
    }
}

static void
test_forget(void **state)
{
    struct qmp *q = ready();
    uint64_t early = qmp_send(q, "quit", NULL);
    uint64_t late = qmp_send(q, "quit", NULL);
    qmp_forget(q, early);
    feed(q, "{\"return\": {}, \"id\": 1}{\"return\": {}, \"id\": 2}");
    qmp_forget(q, late);
    assert_int_equal(qmp_status(q, NULL), 0);

    /* Both are gone: an answer to either is a lie now. */
    expect_death(q, "{\"return\": {}, \"id\": 1}", EPROTO);
}

static void
test_garbage(void **state)
{
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "[1, 2]\n",
        "{\"return\": {}",
        "{}",
        "{\"return\": {}}",                 /* To what? */
        "{\"return\": {}, \"id\": 99}",
        "{\"return\": {}, \"id\": \"1\"}",
        "{\"return\": {}, \"id\": 1}{\"return\": {}, \"id\": 1}",
        "{\"return\": {}, \"error\": {}, \"id\": 1}",
        "{\"error\": \"no\", \"id\": 1}",
        "{\"event\": \"STOP\"}",
        "{\"event\": 1, \"timestamp\": {}}",
        "{\"return\": 1 1}",
        "{\"a\": nul}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!strcmp(texts[i], "{\"return\": {}")) {
            struct qmp *q = ready();        /* Merely incomplete. */
            feed(q, texts[i]);
            assert_int_equal(qmp_status(q, NULL), 0);
            qmp_destroy(q);
        } else if (i != 7) {
            expect_death(ready(), texts[i], EPROTO);
        } else {
            struct qmp *q = ready();        /* An answer too many. */
            qmp_send(q, "x", NULL);
            feed(q, texts[i]);
            assert_int_equal(qmp_status(q, NULL), EPROTO);
            qmp_destroy(q);
        }
    }
}

static void
test_stranger(void **state)
{
    expect_death(qmp_create(), "{\"hello\": \"world\"}", EPROTO);
    expect_death(qmp_create(), "HTTP/1.1 400 Bad Request\r\n", EPROTO);
}

static void
test_times(void **state)
{
    static const struct {
        const char *timestamp;
        long long us;
    } rows[] = {
        { "{\"seconds\": 1, \"microseconds\": 2}", 1000002 },
        { "{\"seconds\": -1, \"microseconds\": -1}", 0 },   /* Unknown. */
        { "{\"seconds\": 9223372036854775807, \"microseconds\": 0}", 0 },
        { "{\"seconds\": 1, \"microseconds\": 1000000}", 0 },
        { "{\"seconds\": 1.5, \"microseconds\": 0}", 0 },
        { "{}", 0 },
    };
    struct qmp *q = ready();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct qmp_event event;
        snprintf(text, sizeof text, "{\"event\": \"X\", \"timestamp\": %s}",
                 rows[i].timestamp);
        feed(q, text);
        assert_true(qmp_next_event(q, &event));
        assert_int_equal(event.timestamp_us, rows[i].us);
        qmp_event_destroy(&event);
    }
    qmp_destroy(q);
}

static void
test_oversized(void **state)
{
    struct qmp *q = ready();
    char block[4096];
    memset(block, 'x', sizeof block);
    feed(q, "{\"return\": \"");
    size_t n = 0;
    while (!qmp_status(q, NULL)) {
        qmp_feed(q, block, sizeof block);
        n += sizeof block;
        assert_true(n <= QMP_MAX_MESSAGE + sizeof block);
    }
    assert_true(n > QMP_MAX_MESSAGE - (int) sizeof block);
    assert_int_equal(qmp_status(q, NULL), EMSGSIZE);
    qmp_destroy(q);
}

static void
test_limits(void **state)
{
    struct qmp *q = ready();
    for (int i = 0; i < QMP_MAX_EVENTS; i++) {
        feed(q, "{\"event\": \"X\", \"timestamp\": {}}");
    }
    assert_int_equal(qmp_status(q, NULL), 0);
    expect_death(q, "{\"event\": \"X\", \"timestamp\": {}}", ENOBUFS);

    q = ready();
    for (int i = 0; i < QMP_MAX_COMMANDS; i++) {
        qmp_send(q, "x", NULL);
    }
    assert_int_equal(qmp_status(q, NULL), 0);
    qmp_send(q, "x", NULL);
    assert_int_equal(qmp_status(q, NULL), ENOBUFS);
    qmp_destroy(q);
}

/* A QEMU at the other end of a socket: two descriptors, commands before,
 * between and behind, all queued before it greets. */
static void
test_descriptors(void **state)
{
    char dir[] = "/tmp/test-qmp-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = xasprintf("%s/s", dir);
    int listener = make_unix_socket(SOCK_STREAM, false, path, NULL);
    assert_true(listener >= 0);
    assert_int_equal(listen(listener, 1), 0);

    struct qmp *q = qmp_create();
    qmp_connect(q, path, 1000);
    qmp_send(q, "first", NULL);
    int pipes[2][2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        qmp_send_fd(q, i ? "b" : "a", NULL, pipes[i][1]);
        qmp_send(q, "next", NULL);
    }
    qmp_run(q, 0);
    int qemu = accept(listener, NULL, NULL);
    assert_true(qemu >= 0);
    assert_int_equal(write(qemu, GREETING, strlen(GREETING)),
                     strlen(GREETING));
    qmp_run(q, 1);

    /* Each comes with its command, and was closed here. */
    for (int i = 0; i < 2; i++) {
        char text[4096], control[CMSG_SPACE(sizeof(int))];
        struct iovec iov = { text, sizeof text - 1 };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof control,
        };
        ssize_t n = recvmsg(qemu, &msg, MSG_DONTWAIT);
        assert_true(n > 0);
        text[n] = '\0';
        assert_non_null(strstr(text, i ? "\"execute\":\"b\""
                               : "\"execute\":\"a\""));
        assert_int_equal(!strncmp(text, HELLO, strlen(HELLO)), !i);

        int fd;
        char byte;
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        assert_non_null(header);
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        close(fd);
        assert_int_equal(read(pipes[i][0], &byte, 1), 0);
        close(pipes[i][0]);
    }

    /* One that never leaves is closed, too. */
    assert_int_equal(pipe(pipes[0]), 0);
    qmp_send_fd(q, "c", NULL, pipes[0][1]);
    qmp_destroy(q);
    assert_int_equal(fcntl(pipes[0][1], F_GETFD), -1);
    close(pipes[0][0]);
    close(qemu);
    close(listener);
    unlink(path);
    rmdir(dir);
    free(path);
}

/* A QEMU that dies before it has read all of the last command, or after. */
static void
test_unread(void **state)
{
    static const struct {
        int left;               /* Bytes that it has not read. */
        bool unread;
    } rows[] = { { 0, false }, { 1, true }, { 20, true } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char dir[] = "/tmp/test-qmp-XXXXXX", text[4096];
        assert_non_null(mkdtemp(dir));
        char *path = xasprintf("%s/s", dir);
        int listener = make_unix_socket(SOCK_STREAM, false, path, NULL);
        assert_int_equal(listen(listener, 1), 0);

        struct qmp *q = qmp_create();
        qmp_connect(q, path, 1000);
        uint64_t first = qmp_send(q, "first", NULL);
        uint64_t last = qmp_send(q, "last", NULL);
        qmp_run(q, 0);
        int qemu = accept(listener, NULL, NULL);
        assert_int_equal(write(qemu, GREETING, strlen(GREETING)),
                         strlen(GREETING));
        qmp_run(q, 1);
        ssize_t n = recv(qemu, text, sizeof text, MSG_PEEK);
        assert_true(n > rows[i].left);
        assert_int_equal(read(qemu, text, n - rows[i].left),
                         n - rows[i].left);
        assert_false(qmp_was_unread(q, last));
        close(qemu);
        qmp_run(q, 2);
        assert_int_equal(qmp_status(q, NULL), ECONNRESET);
        assert_int_equal(qmp_was_unread(q, last), rows[i].unread);
        assert_false(qmp_was_unread(q, first));

        qmp_destroy(q);
        close(listener);
        unlink(path);
        rmdir(dir);
        free(path);
    }
}

static void
test_nobody_listens(void **state)
{
    struct qmp *q = qmp_create();
    struct err err = ERR_INIT;
    qmp_connect(q, "/nonexistent/socket", 100);
    qmp_run(q, 1000);
    qmp_run(q, 1099);
    assert_int_equal(qmp_status(q, NULL), EINPROGRESS);
    qmp_run(q, 1100);
    assert_int_equal(qmp_status(q, &err), ETIMEDOUT);
    assert_non_null(strstr(err.text, "/nonexistent/socket"));
    qmp_destroy(q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_wait_for_greeting),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_oversized),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_unread),
        cmocka_unit_test(test_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
