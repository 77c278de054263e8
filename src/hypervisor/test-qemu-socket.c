#include <config.h>

#include "hypervisor/qemu-socket.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "util.h"

static void
wait_fd(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    assert_int_equal(poll(&p, 1, 5000), 1);
}

static int
buffer(int fd, int option)
{
    int value;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &value, &len), 0);
    return value;
}

/* A window grows with the round trip, between bounds. */
static void
test_window(void **state)
{
    assert_int_equal(qemu_socket_window(0), 0);
    size_t last = qemu_socket_window(1);
    assert_true(last >= 64 << 10);
    for (unsigned int rtt_us = 10; rtt_us <= 1000000000; rtt_us *= 10) {
        size_t n = qemu_socket_window(rtt_us);
        assert_true(n >= last && n <= 64 << 20);
        last = n;
    }
    assert_true(qemu_socket_window(100000) > qemu_socket_window(20000));
    assert_int_equal(qemu_socket_window(1000000), qemu_socket_window(-1));
}

static void
test_host(void **state)
{
    static const char *const rows[][2] = {
        { "tcp:192.0.2.1:4711", "192.0.2.1" },
        { "tcp:[2001:db8::1]:4711", "2001:db8::1" },
        { "tcp:", NULL }, { "tcp:1", NULL }, { "tcp::1", NULL },
        { "unix:/x:1", NULL }, { "", NULL }, { "fd:3", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *host = qemu_socket_host(rows[i][0]);
        if (rows[i][1]) {
            assert_string_equal(host, rows[i][1]);
        } else {
            assert_null(host);
        }
        free(host);
    }
}

/* From listening to a byte that arrives. */
static void
check_connection(const char *address, const char *prefix)
{
    int listener, there, here;
    char *uri;
    unsigned int rtt_us = 20000;
    assert_int_equal(qemu_socket_listen(address, rtt_us, &listener, &uri,
                                        NULL), 0);
    assert_int_equal(strncmp(uri, prefix, strlen(prefix)), 0);
    assert_int_equal(qemu_socket_accept(listener, &there), EINPROGRESS);

    assert_int_equal(qemu_socket_connect(uri, &here, NULL), 0);
    wait_fd(listener, POLLIN);
    assert_int_equal(qemu_socket_accept(listener, &there), 0);
    wait_fd(here, POLLOUT);
    assert_int_equal(qemu_socket_status(here, NULL), 0);

    /* As set, which the kernel doubles; or, for who may not exceed the
     * system's maximum, that. */
    size_t window = qemu_socket_window(rtt_us);
    assert_true(buffer(there, SO_RCVBUF) <= 2 * window);
    assert_int_equal(buffer(there, SO_RCVBUF), buffer(listener, SO_RCVBUF));

    char c = 'x';
    assert_int_equal(write(here, &c, 1), 1);
    wait_fd(there, POLLIN);
    assert_int_equal(read(there, &c, 1), 1);
    close(here);
    close(there);
    close(listener);

    /* Nobody listens there any more. */
    struct err err = ERR_INIT;
    int error = qemu_socket_connect(uri, &here, &err);
    if (!error) {
        wait_fd(here, POLLOUT);
        error = qemu_socket_status(here, &err);
        close(here);
    }
    assert_int_equal(error, ECONNREFUSED);
    assert_int_equal(err.code, ECONNREFUSED);
    free(uri);
}

static void
test_connection(void **state)
{
    check_connection("127.0.0.1", "tcp:127.0.0.1:");
}

static void
test_connection_v6(void **state)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) {
        skip();
    }
    close(fd);
    check_connection("::1", "tcp:[::1]:");
}

static void
test_bad_uri(void **state)
{
    static const char *const uris[] = {
        "", "tcp:", "tcp:192.0.2.1", "tcp:name.example:1", "unix:/tmp/x",
        "tcp:192.0.2.1:70000", "exec:true", "fd:3",
    };
    for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
        int fd = -7;
        assert_int_equal(qemu_socket_connect(uris[i], &fd, NULL), EINVAL);
        assert_int_equal(fd, -7);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_connection_v6),
        cmocka_unit_test(test_bad_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
