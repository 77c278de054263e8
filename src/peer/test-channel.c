#include <config.h>

/* Channels on loopback, in one process. */

#include "peer/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "jsonrpc.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

#include "peer/test-channel.h"

#define B_IS_AHEAD_US 5000000   /* B's wall clock. */

/* Both sides of most tests. */
struct side {
    struct uuid host;
    int port;                   /* Frames: the next but one. */
    long long ahead_us;
    struct channel *channel;    /* Null: not there. */
};

static struct side a = { .host = { { 0xa, 0, 0, 1 } } };
static struct side b = { .host = { { 0xb, 0, 0, 1 } },
                         .ahead_us = B_IS_AHEAD_US };
static const struct uuid move = { { 1, 2, 3, 4 } };

static void
begin(struct side *side)
{
    char listen[64], frames[64];
    struct channel_config config = {
        .host = side->host,
        .name = side == &a ? "a" : "b",
        .listen = listen,
        .listen_frames = frames,
    };

    /* Not the port that follows, so that only the hello can say where. */
    snprintf(listen, sizeof listen, "ptcp:%d:127.0.0.1", side->port);
    snprintf(frames, sizeof frames, "ptcp:0:127.0.0.1");
    assert_int_equal(channel_create(&config, &side->channel, NULL), 0);
}

static void
end(struct side *side)
{
    channel_destroy(side->channel);
    side->channel = NULL;
}

static void
introduce(struct side *who, const struct side *to)
{
    char target[64];

    snprintf(target, sizeof target, "tcp:127.0.0.1:%d", to->port);
    channel_set_target(who->channel, &to->host, target);
}

static int
setup(void **state)
{
    a.port = free_port();
    b.port = free_port();
    begin(&a);
    begin(&b);
    introduce(&a, &b);
    turn();                     /* Now they know the time. */
    return 0;
}

static int
teardown(void **state)
{
    end(&a);
    end(&b);
    return 0;
}

static void
turn(void)
{
    struct side *sides[] = { &a, &b };

    for (int i = 0; i < 2; i++) {
        if (sides[i]->channel) {
            channel_run(sides[i]->channel, time_usec(),
                        time_wall_usec() + sides[i]->ahead_us);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (sides[i]->channel) {
            channel_wait(sides[i]->channel, time_usec());
        }
    }
    poll_timer_wait(20);
    poll_block();
}

static void
connect_both(void)
{
    channel_connect(a.channel, &b.host);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host)
               && channel_epoch(b.channel, &a.host));
}

/* A message that carries a number. */
static int
send_number(struct side *from, const struct side *to, int number)
{
    struct message *m = message_create(MESSAGE_RUNNING, &move);

    json_object_put(m->body, "resumed_us", json_integer_create(number));
    return channel_send(from->channel, &to->host, m);
}

/* Takes the next message; false if there is none. */
static bool
next_number(struct side *at, const struct side *from, int *number)
{
    struct message *m = channel_next(at->channel);

    if (m) {
        assert_int_equal(m->type, MESSAGE_RUNNING);
        assert_true(uuid_equals(&m->from, &from->host));
        *number = message_get_integer(m->body, "resumed_us");
        message_destroy(m);
    }
    return m != NULL;
}

static void
check_numbers(struct side *at, const struct side *from, int first, int n)
{
    int number;

    for (int i = first; i < first + n; i++) {
        WAIT_UNTIL(next_number(at, from, &number));
        assert_int_equal(number, i);
    }
    rest(10);
    assert_false(next_number(at, from, &number));
}

static void
test_messages_both_ways(void **state)
{
    /* Not before both know each other. */
    assert_int_equal(channel_epoch(a.channel, &b.host), 0);
    assert_int_equal(send_number(&a, &b, 0), ENOTCONN);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));

    for (int i = 0; i < 500; i++) {
        assert_int_equal(send_number(&a, &b, i), 0);
    }
    check_numbers(&b, &a, 0, 500);

    /* B needs no target: A has called. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_number(&b, &a, i), 0);
    }
    check_numbers(&a, &b, 0, 3);
    assert_int_equal(channel_counters(a.channel)->refused, 0);
    assert_int_equal(channel_counters(b.channel)->refused, 0);
}

static void
test_both_call(void **state)
{
    introduce(&b, &a);
    channel_connect(b.channel, &a.host);
    connect_both();
    rest(100);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_number(&a, &b, i), 0);
        assert_int_equal(send_number(&b, &a, i), 0);
    }
    check_numbers(&b, &a, 0, 10);
    check_numbers(&a, &b, 0, 10);
}

static void
test_epoch_grows(void **state)
{
    connect_both();
    unsigned int first = channel_epoch(a.channel, &b.host);
    turn();
    assert_int_equal(channel_epoch(a.channel, &b.host), first);

    end(&b);
    WAIT_UNTIL(!channel_epoch(a.channel, &b.host));
    assert_int_equal(send_number(&a, &b, 1), ENOTCONN);

    begin(&b);
    WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    assert_true(channel_epoch(a.channel, &b.host) > first);
    assert_int_equal(send_number(&a, &b, 7), 0);
    check_numbers(&b, &a, 7, 1);
}

static void
test_delay(void **state)
{
    struct channel_delay delay;

    channel_get_delay(a.channel, &b.host, &delay);
    assert_int_equal(delay.rtt_us, -1);
    connect_both();
    WAIT_UNTIL((channel_get_delay(a.channel, &b.host, &delay),
                delay.rtt_us >= 0));
    rest(50);
    channel_get_delay(a.channel, &b.host, &delay);
    assert_in_range(delay.rtt_us, 0, WAIT_MS * 1000);
    assert_in_range(delay.offset_error_us, 0, delay.rtt_us / 2);

    /* Each side stamps once a turn, so some ms of ours come on top. */
    long long wrong = delay.offset_us - B_IS_AHEAD_US;
    assert_in_range(wrong + 100000, 0, 200000);
}

/* Frames. */

static void
send_frame(struct side *from, const struct side *to, int number, size_t len)
{
    uint8_t *data = xzalloc(len);

    memcpy(data, &number, sizeof number);
    memset(data + sizeof number, number, len - sizeof number);
    struct relay relay = {
        .kind = RELAY_CAPTURED, .about = move, .nic = number & 7,
        .number = number,
    };
    channel_send_frame(from->channel, &to->host, &relay, data, len);
    free(data);
}

static bool
next_frame(struct side *at, const struct side *from, int *number)
{
    struct relayed *r = channel_next_frame(at->channel);

    if (r) {
        memcpy(number, r->data, sizeof *number);
        assert_true(uuid_equals(&r->from, &from->host));
        assert_true(uuid_equals(&r->relay.about, &move));
        assert_int_equal(r->relay.kind, RELAY_CAPTURED);
        assert_int_equal(r->relay.nic, *number & 7);
        assert_int_equal(r->relay.number, *number);
        assert_int_equal(r->data[r->len - 1], *number & 0xff);
        free(r);
    }
    return r != NULL;
}

static void
check_frames(struct side *at, const struct side *from, int first, int n)
{
    int number;

    for (int i = first; i < first + n; i++) {
        WAIT_UNTIL(next_frame(at, from, &number));
        assert_int_equal(number, i);
    }
    assert_false(next_frame(at, from, &number));
}

static void
test_frames_in_order(void **state)
{
    connect_both();
    for (int i = 0; i < 5000; i++) {
        send_frame(&a, &b, i, 60 + i % 1400);
        if (i % 100 == 0) {
            channel_warm(a.channel, &b.host, time_usec());
            turn();
        }
    }
    check_frames(&b, &a, 0, 5000);
    assert_int_equal(channel_counters(a.channel)->frames_dropped, 0);
}

/* What was sent before anybody listened comes later, as far as it fits. */
static void
test_backlog(void **state)
{
    enum { LEN = 60000, MANY = 1300 };
    int number, n = 0;

    end(&b);
    for (int i = 0; i < MANY; i++) {
        send_frame(&a, &b, i, LEN);
    }
    uint64_t dropped = channel_counters(a.channel)->frames_dropped;
    assert_in_range((MANY - dropped) * LEN, CHANNEL_MAX_FRAME_BYTES - 2 * LEN,
                    CHANNEL_MAX_FRAME_BYTES);

    begin(&b);
    connect_both();
    for (; n < MANY - dropped; n++) {
        WAIT_UNTIL(next_frame(&b, &a, &number));
        assert_int_equal(number, n);
    }

    /* And then there is room again. */
    send_frame(&a, &b, n, LEN);
    check_frames(&b, &a, n, 1);
    assert_int_equal(channel_counters(a.channel)->frames_dropped, dropped);
}

/* Takes the frames that have come; they are newer than '*last'. */
static int
take_frames(int *last)
{
    int number;

    while (next_frame(&b, &a, &number)) {
        assert_true(number > *last);
        *last = number;
    }
    return *last;
}

/* What was under way when B went is lost.  But B never sees a frame twice or
 * out of order, and once frames come again all of them do. */
static void
test_restart_with_frames(void **state)
{
    int last = -1, n = 0;

    connect_both();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 400; i++) {
            send_frame(&a, &b, n++, 30000);
        }
        for (int i = 0; i < 3; i++) {
            turn();
            take_frames(&last);
        }
        end(&b);
        rest(30);
        begin(&b);
        WAIT_UNTIL(channel_epoch(a.channel, &b.host));
    }

    int first = n;
    WAIT_UNTIL((send_frame(&a, &b, n++, 60), take_frames(&last) >= first));
    WAIT_UNTIL(take_frames(&last) == n - 1);
    send_frame(&a, &b, n, 60);
    check_frames(&b, &a, n, 1);
}

static void
test_to_self(void **state)
{
    struct channel_delay delay;
    int number;

    assert_int_equal(channel_epoch(a.channel, &a.host), 1);
    channel_connect(a.channel, &a.host);
    channel_warm(a.channel, &a.host, time_usec());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_number(&a, &a, i), 0);
        send_frame(&a, &a, i, 100);
    }

    /* At once. */
    for (int i = 0; i < 3; i++) {
        assert_true(next_number(&a, &a, &number));
        assert_int_equal(number, i);
        assert_true(next_frame(&a, &a, &number));
        assert_int_equal(number, i);
    }
    assert_false(next_number(&a, &a, &number));
    channel_get_delay(a.channel, &a.host, &delay);
    assert_int_equal(delay.rtt_us, 0);
}

/* A caller that is no channel. */

static struct jsonrpc *
call(const struct side *to)
{
    char target[64];
    struct stream *stream;

    snprintf(target, sizeof target, "tcp:127.0.0.1:%d", to->port);
    assert_int_equal(stream_open_block(stream_open(target, &stream, 0), -1,
                                       &stream), 0);
    return jsonrpc_open(stream);
}

static void
say(struct jsonrpc *rpc, const char *method, const char *body)
{
    jsonrpc_send(rpc, jsonrpc_create_notify(
                     method, json_array_create_1(json_from_string(body))));
    jsonrpc_run(rpc);
}

static void
say_hello(struct jsonrpc *rpc, int version, int oldest)
{
    char *body = xasprintf(
        "{\"version\": %d, \"oldest\": %d, \"features\": [\"x\"], "
        "\"host\": \"000000cc-0000-4000-8000-000000000001\", "
        "\"boot\": \"000000cc-0000-4000-8000-000000000002\", "
        "\"name\": \"c\", \"frames_port\": 1, \"new\": {}}",
        version, oldest);

    say(rpc, "hello", body);
    free(body);
}

static const char abort_body[]
    = "{\"migration\": \"000000aa-0000-4000-8000-000000000001\"}";

/* What is left of a connection that B closed. */
static bool
is_closed(struct jsonrpc *rpc)
{
    struct jsonrpc_msg *m;

    while (!jsonrpc_recv(rpc, &m)) {
        jsonrpc_msg_destroy(m);
    }
    jsonrpc_run(rpc);
    return jsonrpc_get_status(rpc);
}

/* It has said why it refused somebody: once for all of that kind. */
static void
check_said(const struct side *side, const char *words)
{
    static bool said;
    char *text;

    while ((text = channel_next_refusal(side->channel))) {
        said |= strstr(text, words) != NULL;
        free(text);
    }
    assert_true(said);
}

static void
check_version(int version, int oldest, bool good)
{
    static const struct uuid c = { { 0xcc, 0x4000, 0x80000000, 1 } };
    struct jsonrpc *rpc = call(&b);
    uint64_t refused = channel_counters(b.channel)->refused;

    say_hello(rpc, version, oldest);
    if (good) {
        WAIT_UNTIL(channel_epoch(b.channel, &c));
        assert_false(is_closed(rpc));
    } else {
        WAIT_UNTIL(is_closed(rpc));
        assert_int_equal(channel_epoch(b.channel, &c), 0);
        assert_true(channel_counters(b.channel)->refused > refused);
        check_said(&b, "another version of the channel");
    }
    jsonrpc_close(rpc);
    WAIT_UNTIL(!channel_epoch(b.channel, &c));
}

static void
test_versions(void **state)
{
    check_version(CHANNEL_VERSION, CHANNEL_OLDEST, true);
    check_version(CHANNEL_VERSION + 5, CHANNEL_VERSION, true);
    check_version(CHANNEL_VERSION + 5, CHANNEL_VERSION + 1, false);
    check_version(CHANNEL_OLDEST - 1, 0, false);
}

static void
test_strangers(void **state)
{
    struct jsonrpc *rpc = call(&b);
    const struct channel_counters *n = channel_counters(b.channel);
    struct message *m;

    /* Nothing before a hello. */
    say(rpc, "abort", abort_body);
    say(rpc, "ping", "{\"sent_us\": 1}");
    WAIT_UNTIL(n->refused == 2);
    assert_null(channel_next(b.channel));

    /* What is not understood is passed over. */
    say_hello(rpc, CHANNEL_VERSION, CHANNEL_OLDEST);
    say(rpc, "sing", "{}");
    say(rpc, "abort", "{}");
    say(rpc, "abort", "[]");
    jsonrpc_send(rpc, jsonrpc_create_notify("abort",
                                            json_array_create_empty()));
    say(rpc, "abort", abort_body);
    WAIT_UNTIL((m = channel_next(b.channel)));
    assert_int_equal(m->type, MESSAGE_ABORT);
    assert_int_equal(m->from.parts[0], 0xcc);
    message_destroy(m);
    assert_null(channel_next(b.channel));
    assert_int_equal(n->refused, 6);
    assert_false(is_closed(rpc));
    jsonrpc_close(rpc);
}

/* Somebody else has the address of B. */
static void
test_impostor(void **state)
{
    static const struct uuid c = { { 0xc, 0, 0, 1 } };
    char target[64];

    snprintf(target, sizeof target, "tcp:127.0.0.1:%d", b.port);
    channel_set_target(a.channel, &c, target);
    channel_connect(a.channel, &c);
    WAIT_UNTIL(channel_counters(a.channel)->refused);
    assert_int_equal(channel_epoch(a.channel, &c), 0);
}

static void
test_address_in_use(void **state)
{
    char listen[64];
    struct channel_config config = {
        .host = a.host, .name = "x", .listen = listen,
        .listen_frames = "ptcp:0:127.0.0.1",
    };
    struct channel *c = NULL;
    struct err err = ERR_INIT;

    snprintf(listen, sizeof listen, "ptcp:%d:127.0.0.1", a.port);
    assert_int_equal(channel_create(&config, &c, &err), EADDRINUSE);
    assert_null(c);
    assert_non_null(strstr(err.text, listen));
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_messages_both_ways),
        TEST(test_both_call),
        TEST(test_epoch_grows),
        TEST(test_delay),
        TEST(test_frames_in_order),
        TEST(test_backlog),
        TEST(test_restart_with_frames),
        TEST(test_to_self),
        TEST(test_versions),
        TEST(test_strangers),
        TEST(test_impostor),
        TEST(test_address_in_use),
    };

    signal(SIGPIPE, SIG_IGN);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
