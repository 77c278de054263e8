#include <config.h>

/* Channels over TLS, on loopback, in one process.  libopenvswitch has one key
 * and one CA for a process, so each side puts on its own before its turn. */

#include "peer/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "jsonrpc.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "stream-ssl.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

#include "base/pki.h"
#include "peer/test-channel.h"

#define DAY 86400

struct side {
    struct uuid host;
    const char *name;           /* Of its Host row... */
    const char *as;             /* ...and in its certificate. */
    const char *ca;             /* The folder of its CA. */
    int port;
    int frames_port;            /* 0: any. */
    struct channel *channel;    /* Null: not there. */
    struct ds said;             /* All sentences about refusals. */
};

static struct side a = { .host = { { 0xa, 0, 0, 1 } }, .name = "a" };
static struct side b = { .host = { { 0xb, 0, 0, 1 } }, .name = "b" };
static const struct uuid move = { { 1, 2, 3, 4 } };
static char folder[] = "/tmp/test-channel-tls.XXXXXX";

/* Becomes the process of 'side', as far as TLS is concerned. */
static void
become(const struct side *side)
{
    char *key = xasprintf("%s/%s/%s.key", folder, side->ca, side->as);
    char *crt = xasprintf("%s/%s/%s.crt", folder, side->ca, side->as);
    char *ca = xasprintf("%s/%s/ca.crt", folder, side->ca);

    stream_ssl_set_key_and_cert(key, crt);
    stream_ssl_set_ca_cert_file(ca, false);
    free(key);
    free(crt);
    free(ca);
}

static void
turn(void)
{
    struct side *sides[] = { &a, &b };
    char *text;

    for (int i = 0; i < 2; i++) {
        if (sides[i]->channel) {
            become(sides[i]);
            channel_run(sides[i]->channel, time_usec(), time_wall_usec());
            while ((text = channel_next_refusal(sides[i]->channel))) {
                ds_put_format(&sides[i]->said, "%s\n", text);
                free(text);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        if (sides[i]->channel) {
            become(sides[i]);
            channel_wait(sides[i]->channel, time_usec());
        }
    }
    poll_timer_wait(10);
    poll_block();
}

static bool
has_said(const struct side *side, const char *part)
{
    return side->said.length && strstr(side->said.string, part);
}

static void
set_hosts(struct side *side, const char *name_of_a, const char *name_of_b)
{
    struct channel_host hosts[] = { { .uuid = b.host }, { .uuid = a.host } };

    ovs_strlcpy(hosts[0].name, name_of_b, sizeof hosts[0].name);
    ovs_strlcpy(hosts[1].name, name_of_a, sizeof hosts[1].name);
    channel_set_hosts(side->channel, hosts, 2);
}

static void
begin(struct side *side)
{
    char listen[64], frames[64];
    struct channel_config config = {
        .host = side->host,
        .name = side->name,
        .listen = listen,
        .listen_frames = frames,
    };

    become(side);
    snprintf(listen, sizeof listen, "pssl:%d:127.0.0.1", side->port);
    snprintf(frames, sizeof frames, "pssl:%d:127.0.0.1", side->frames_port);
    assert_int_equal(channel_create(&config, &side->channel, NULL), 0);
    set_hosts(side, "a", "b");
}

static void
introduce(struct side *who, const struct side *to)
{
    char target[64];

    snprintf(target, sizeof target, "ssl:127.0.0.1:%d", to->port);
    become(who);
    channel_set_target(who->channel, &to->host, target);
}

static int
setup(void **state)
{
    struct side *sides[] = { &a, &b };

    for (int i = 0; i < 2; i++) {
        sides[i]->as = sides[i]->name;
        sides[i]->ca = "ours";
        sides[i]->port = free_port();
        sides[i]->frames_port = 0;
        ds_init(&sides[i]->said);
        begin(sides[i]);
    }
    introduce(&a, &b);
    turn();
    return 0;
}

static int
teardown(void **state)
{
    struct side *sides[] = { &a, &b };

    for (int i = 0; i < 2; i++) {
        channel_destroy(sides[i]->channel);
        sides[i]->channel = NULL;
        ds_destroy(&sides[i]->said);
    }
    return 0;
}

static void
send_frame(int number)
{
    struct relay relay = { .kind = RELAY_CAPTURED, .about = move };

    channel_send_frame(a.channel, &b.host, &relay, &number, sizeof number);
}

static bool
next_frame(int *number)
{
    struct relayed *r = channel_next_frame(b.channel);

    if (r) {
        assert_true(uuid_equals(&r->from, &a.host));
        memcpy(number, r->data, sizeof *number);
        free(r);
    }
    return r != NULL;
}

/* Nothing passes between the two, in either direction, whoever calls.  Who has
 * the bad certificate may believe for a moment that it is welcome. */
static void
check_apart(const struct side *good)
{
    const struct side *other = good == &a ? &b : &a;
    int number;

    introduce(&b, &a);
    for (int i = 0; i < 20; i++) {
        channel_connect(a.channel, &b.host);
        channel_connect(b.channel, &a.host);
        channel_warm(a.channel, &b.host, time_usec());
        channel_send(a.channel, &b.host, message_create(MESSAGE_ABORT,
                                                        &move));
        channel_send(b.channel, &a.host, message_create(MESSAGE_ABORT,
                                                        &move));
        send_frame(i);
        rest(30);
        assert_int_equal(channel_epoch(good->channel, &other->host), 0);
        assert_false(next_frame(&number));
        assert_null(channel_next(a.channel));
        assert_null(channel_next(b.channel));
    }
}

/* Good certificates. */

static void
test_good(void **state)
{
    static uint8_t big[60000];
    int number = -1;

    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    assert_int_equal(channel_send(a.channel, &b.host, message_create(
                                      MESSAGE_ABORT, &move)), 0);
    struct message *m;
    WAIT_UNTIL((m = channel_next(b.channel)));
    assert_true(uuid_equals(&m->from, &a.host));
    message_destroy(m);

    /* More than a TLS stream takes at once, in order. */
    struct relay late = { .kind = RELAY_LATE, .about = move };
    for (int i = 0; i < 100; i++) {
        send_frame(i);
        channel_send_frame(a.channel, &b.host, &late, big, sizeof big);
    }
    for (int i = 0; i < 100; i++) {
        WAIT_UNTIL(next_frame(&number));
        assert_int_equal(number, i);
        WAIT_UNTIL(next_frame(&number));
    }
    assert_int_equal(channel_counters(a.channel)->refused, 0);
    assert_int_equal(channel_counters(b.channel)->refused, 0);
    assert_int_equal(a.said.length + b.said.length, 0);

    /* Who goes away is not said to have a bad certificate. */
    channel_destroy(b.channel);
    b.channel = NULL;
    WAIT_UNTIL(!channel_epoch(a.channel, &b.host));
    rest(100);
    assert_int_equal(a.said.length, 0);
}

/* The store renames a host: its certificate is no longer right. */
static void
test_renamed(void **state)
{
    int number;

    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    send_frame(1);
    WAIT_UNTIL(next_frame(&number));
    set_hosts(&b, "other", "b");
    WAIT_UNTIL(has_said(&b, "the certificate of \"a\" is not that of host "
                        "\"other\""));
    assert_int_equal(channel_epoch(b.channel, &a.host), 0);
    check_apart(&b);

    set_hosts(&b, "a", "b");
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
}

/* New keys from the same CA, while both run. */
static void
test_rotated(void **state)
{
    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));

    char *ca = xasprintf("%s/ours", folder);
    assert_int_equal(pki_rotate(ca, "a", time_wall(), 30, NULL), 0);
    free(ca);
    channel_destroy(a.channel);
    begin(&a);
    introduce(&a, &b);
    turn();
    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    assert_int_equal(b.said.length, 0);
}

/* Bad ones. */

/* A has the certificate of another host of the same CA. */
static void
test_other_host(void **state)
{
    a.as = "c";
    check_apart(&b);
    assert_true(has_said(&b, "the certificate of \"c\" is not that of host "
                         "\"a\""));
    assert_true(channel_counters(b.channel)->refused > 0);
}

/* The same, where B is the one that is called: A sends it nothing. */
static void
test_other_callee(void **state)
{
    b.as = "c";
    check_apart(&a);
    assert_true(has_said(&a, "the certificate of \"c\" is not that of host "
                         "\"b\""));
    assert_true(channel_counters(a.channel)->refused > 0);
}

/* Somebody takes over the place where B took frames. */
static void
test_frames_to_other(void **state)
{
    int number;

    channel_destroy(b.channel);
    b.frames_port = free_port();
    begin(&b);
    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    send_frame(1);
    WAIT_UNTIL(next_frame(&number));

    channel_destroy(b.channel);
    b.as = "c";
    begin(&b);
    check_apart(&a);
    assert_true(has_said(&a, "the certificate of \"somebody else\" is not "
                         "that of host \"b\""));

    /* What waited meanwhile is for the right one. */
    channel_destroy(b.channel);
    b.as = "b";
    begin(&b);
    WAIT_UNTIL(next_frame(&number));
}

static void
test_unknown_host(void **state)
{
    channel_set_hosts(b.channel, NULL, 0);
    check_apart(&b);
    assert_true(has_said(&b, "\"a\" says that it is a host that the store "
                         "does not know"));
}

static void
test_foreign_ca(void **state)
{
    a.ca = "theirs";
    check_apart(&b);
    assert_true(has_said(&b, "of another CA"));
    assert_true(has_said(&a, "does not believe the other's certificate"));
    assert_true(channel_counters(b.channel)->refused > 0);
}

static void
test_expired(void **state)
{
    a.as = "a-expired";         /* Its name is right, see main(). */
    check_apart(&b);
    assert_true(has_said(&b, "has expired"));
    assert_true(channel_counters(b.channel)->refused > 0);
}

static void
test_expired_callee(void **state)
{
    b.as = "b-expired";
    check_apart(&a);
    assert_true(has_said(&a, "does not believe the other's certificate"));
}

/* No TLS at all. */
static void
test_plain(void **state)
{
    char target[64];
    struct stream *stream;

    snprintf(target, sizeof target, "tcp:127.0.0.1:%d", b.port);
    assert_int_equal(stream_open_block(stream_open(target, &stream, 0), -1,
                                       &stream), 0);
    assert_int_equal(stream_send(stream, "{\"method\"", 9), 9);
    WAIT_UNTIL(has_said(&b, "refused a connection from 127.0.0.1: no TLS"));
    assert_int_equal(channel_counters(b.channel)->refused, 1);
    stream_close(stream);

    /* And nothing is sent without it. */
    channel_set_target(a.channel, &b.host, target);
    turn();
    assert_true(has_said(&a, "without TLS: nothing is sent there"));
}

/* TLS, but no certificate: only a server of OpenSSL's own asks for none. */
static void
test_no_certificate(void **state)
{
    char *command = xasprintf(
        "openssl s_client -connect 127.0.0.1:%d "
        "</dev/null >/dev/null 2>&1", b.port);
    FILE *child = popen(command, "r");

    assert_non_null(child);
    WAIT_UNTIL(has_said(&b, "its certificate is missing"));
    assert_int_equal(channel_counters(b.channel)->refused, 1);
    pclose(child);
    free(command);
}

/* A certificate does not let its owner become another host by a second
 * hello. */
static void
test_second_hello(void **state)
{
    char target[64];
    struct stream *stream;
    struct jsonrpc *rpc;

    snprintf(target, sizeof target, "ssl:127.0.0.1:%d", b.port);
    become(&a);
    assert_int_equal(stream_open(target, &stream, 0), 0);
    int error;
    WAIT_UNTIL((become(&a), error = stream_connect(stream)) != EAGAIN);
    assert_int_equal(error, 0);
    rpc = jsonrpc_open(stream);

    const struct uuid *hosts[] = { &a.host, &b.host };
    for (int i = 0; i < 2; i++) {
        char *body = xasprintf(
            "{\"version\": 1, \"oldest\": 1, \"features\": [], "
            "\"host\": \""UUID_FMT"\", \"boot\": \""UUID_FMT"\", "
            "\"name\": \"x\", \"frames_port\": 1}", UUID_ARGS(hosts[i]),
            UUID_ARGS(&move));
        jsonrpc_send(rpc, jsonrpc_create_notify(
                         "hello", json_array_create_1(json_from_string(
                                                          body))));
        jsonrpc_run(rpc);
        free(body);
        if (!i) {
            WAIT_UNTIL(channel_epoch(b.channel, &a.host));
        }
    }
    WAIT_UNTIL(!channel_epoch(b.channel, &a.host));
    assert_true(has_said(&b, "is not that of host \"b\""));
    jsonrpc_close(rpc);
}

/* Refused again and again, counted each time, said once. */
static void
test_said_once(void **state)
{
    a.as = "c";
    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_counters(b.channel)->refused >= 3);

    const char *first = strchr(b.said.string, '\n');
    assert_non_null(first);
    assert_int_equal(first[1], '\0');
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

/* Makes a CA and certificates in it; those of "NAME-expired" name NAME. */
static void
make_pki(const char *name)
{
    static const char *const names[] = { "a", "b", "c" };
    char *dir = xasprintf("%s/%s", folder, name);
    time_t now = time_wall();

    assert_int_equal(pki_init(dir, now - 100 * DAY, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pki_issue(dir, names[i], now - 10 * DAY, 9, NULL),
                         0);
        for (int j = 0; j < 2; j++) {
            const char *suffix = j ? "key" : "crt";
            char *from = xasprintf("%s/%s.%s", dir, names[i], suffix);
            char *to = xasprintf("%s/%s-expired.%s", dir, names[i], suffix);

            assert_int_equal(rename(from, to), 0);
            free(from);
            free(to);
        }
        assert_int_equal(pki_issue(dir, names[i], now, 9, NULL), 0);
    }
    free(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_renamed),
        TEST(test_rotated),
        TEST(test_other_host),
        TEST(test_other_callee),
        TEST(test_frames_to_other),
        TEST(test_unknown_host),
        TEST(test_foreign_ca),
        TEST(test_expired),
        TEST(test_expired_callee),
        TEST(test_plain),
        TEST(test_no_certificate),
        TEST(test_second_hello),
        TEST(test_said_once),
    };

    signal(SIGPIPE, SIG_IGN);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (!mkdtemp(folder)) {
        return 1;
    }
    make_pki("ours");
    make_pki("theirs");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    char *command = xasprintf("rm -r %s", folder);
    int status = system(command);
    free(command);
    return failed || status;
}
