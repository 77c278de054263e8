#include <config.h>

/* The destination of a move, with a source and a correspondent that the test
 * plays: every message in every state. */

#include "engine/incoming.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "util.h"
#include "uuid.h"

#include "core/pace.h"
#include "engine/test-world.h"
#include "mobility/pipeline.h"
#include "peer/message.h"

#define D (&world.hosts[HOST_D])

static int
setup(void **state)
{
    world_begin(NULL, 0, 1u << HOST_D);
    world_run(50);
    world_request();
    world.migration.state = MOVE_RUNNING;
    world.order.migration = world_migration;
    return 0;
}

static int
teardown(void **state)
{
    world_end();
    return 0;
}

/* What the source says. */

static struct generation
generation(uint64_t counter)
{
    return (struct generation) { 1, counter, D->uuid };
}

static void
say_prepare(const struct vm *vm)
{
    struct message *m = message_create(MESSAGE_PREPARE, &world_migration);
    struct generation g = generation(2);

    json_object_put(m->body, "vm", message_from_vm(vm));
    message_put_generation(m->body, &g);
    world_say(HOST_S, HOST_D, m);
}

static void
say_grant(int from, uint64_t counter)
{
    struct message *m = message_create(MESSAGE_GRANT, &world_migration);
    struct generation g = generation(counter);

    message_put_generation(m->body, &g);
    world_say(from, HOST_D, m);
}

static void
say_abort(int from)
{
    world_say(from, HOST_D, message_create(MESSAGE_ABORT, &world_migration));
}

static void
say_expect(int sender, int delay_ms)
{
    struct message *m = message_create(MESSAGE_EXPECT, &world_migration);
    struct json *list = message_put_list(m->body, "fences");
    struct json *o = json_object_create();
    struct uuid from = world_interface(sender), to = world_interface(-1);

    message_put_uuid(o, "from", &from);
    message_put_uuid(o, "to", &to);
    json_object_put(o, "delay_ms", json_integer_create(delay_ms));
    json_array_add(list, o);
    world_say(HOST_S, HOST_D, m);
}

static bool
heard(enum message_type type)
{
    return world_heard(HOST_D, HOST_S, type) != NULL;
}

/* Neither answer nor anything else. */
static void
check_silence(void)
{
    for (enum message_type type = 0; type < N_MESSAGES; type++) {
        if (heard(type)) {
            fail_msg("it said \"%s\"", message_name(type));
        }
    }
}

static const char *
text_of(const struct json *body)
{
    assert_non_null(body);
    return message_get_string(body, "text");
}

static void
check_contains(const char *text, const char *word)
{
    if (!strstr(text, word)) {
        fail_msg("\"%s\" says nothing about \"%s\"", text, word);
    }
}

/* Its guest and all that belongs to it are gone. */
static void
check_nothing_left(void)
{
    world_run(20);
    assert_int_equal(D->qemu.state, VM_ABSENT);
    assert_false(D->qemu.taps);
    assert_false(D->ports[1]);
    for (int i = 0; i < 256; i++) {
        assert_int_equal(D->used[i], D->rested[i]);
    }
    for (size_t i = 0; i < world.n_bindings; i++) {
        const struct world_binding *b = &world.bindings[i];
        const struct uuid *host = &b->binding.generation.host;

        assert_true(b->gone || !uuid_equals(host, &D->uuid));
    }
}

/* Ways into the states. */

static void
go_listening(void)
{
    say_prepare(&world.vm);
    world_run(30);
    assert_true(heard(MESSAGE_PREPARED));
    assert_int_equal(D->qemu.state, VM_LISTENING);
}

static void
load(void)
{
    D->qemu.loaded = true;
}

static void
go_moved(void)
{
    go_listening();
    load();
    say_grant(HOST_S, 2);
    world_run(100);
    assert_true(heard(MESSAGE_RUNNING));
    assert_true(heard(MESSAGE_SETTLED));
    assert_int_equal(D->qemu.state, VM_RUNNING);
}

/* Frames. */

/* The frame number 'at' that the source has captured. */
static void
relay_at(unsigned int at, struct dp_packet *packet)
{
    const struct relay r = {
        .kind = RELAY_CAPTURED, .about = world_migration, .number = at,
    };

    world_relay(HOST_S, HOST_D, &r, packet);
    world.n_relayed = at + 1;
}

static void
relay(int sender, int number)
{
    relay_at(world.n_relayed, world_make_frame(sender, number));
}

static void
relay_fence(int sender)
{
    struct frame_fence fence = { .migration = world_migration,
                                 .from = world_interface(sender) };

    relay_at(world.n_relayed, world_make_fence(sender, &fence));
}

static void
direct(int sender, int number)
{
    world_hold(HOST_D, world_make_frame(sender, number), PIPELINE_MARK_HELD);
}

static void
check_diary(const char *want)
{
    world_run(3);
    assert_string_equal(world.diary, want);
}

/* The guest got the first 'n' frames of the remote sender. */
static void
check_first_frames(int n)
{
    char want[256] = "";

    for (int i = 0; i < n; i++) {
        size_t len = strlen(want);

        snprintf(want + len, sizeof want - len, "%s%d.%d", i ? " " : "",
                 SENDER_REMOTE, i);
    }
    check_diary(want);
}

/* How many frames the source was given back. */
static int
n_returned(void)
{
    struct relayed *r;
    int n = 0;

    world_run(5);
    LIST_FOR_EACH (r, node, &world.hosts[HOST_S].received_frames) {
        assert_int_equal(r->relay.kind, RELAY_RETURNED);
        assert_true(uuid_equals(&r->relay.about, &world_migration));
        n++;
    }
    return n;
}

/* Preparing. */

static void
test_prepare(void **state)
{
    struct uuid vm = world_interface(-1);

    const struct json *m;

    say_prepare(&world.vm);
    for (int i = 0; !(m = world_heard(HOST_D, HOST_S, MESSAGE_PREPARED));
         i++) {
        assert_true(i < 30);
        world_turn(false);
    }
    /* The switch holds its packets by then. */
    assert_true(D->flows.is_here);
    assert_int_equal(D->flows.here.delivery, DATAPATH_HOLD);
    world_run(20);
    assert_string_equal(message_get_string(m, "uri"),
                        "tcp:192.0.2.2:49152");
    const struct json_array *list = message_get_list(m, "interfaces");
    assert_int_equal(list->n, 1);
    struct uuid u = message_get_uuid(list->elems[0], "interface");
    struct addr_pair mobile = message_get_addrs(list->elems[0], "mobile");
    assert_true(uuid_equals(&u, &vm));
    assert_true(addr_pair_equals(&mobile, &D->flows.here.mobile));

    /* The store knows where it may come from, but not that it has. */
    struct binding binding;
    assert_true(bindings_find_newest((struct store *) D, &vm, false,
                                     &binding));
    assert_true(uuid_equals(&binding.generation.host, &D->uuid));
    assert_false(binding.active);
    assert_int_equal(D->qemu.state, VM_LISTENING);
    check_silence();
}

static void
test_prepare_again(void **state)
{
    say_prepare(&world.vm);
    say_prepare(&world.vm);
    world_run(30);
    assert_true(heard(MESSAGE_PREPARED));
    check_silence();

    /* The answer was lost with its connection. */
    say_prepare(&world.vm);
    world_run(10);
    assert_true(heard(MESSAGE_PREPARED));
    check_silence();
    assert_int_equal(D->qemu.state, VM_LISTENING);
}

static void
test_declined_no_memory(void **state)
{
    struct vm vm = world.vm;

    vm.memory_kib = 1025 * 1024;
    say_prepare(&vm);
    world_run(10);
    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_DECLINED);
    check_contains(text_of(m), "1024 MiB");
    assert_int_equal(message_get_integer(m, "code"), ENOMEM);
    check_nothing_left();
    check_silence();
}

static void
test_declined_bad_record(void **state)
{
    struct message *m = message_create(MESSAGE_PREPARE, &world_migration);
    struct generation g = generation(2);
    struct vm vm = world.vm;

    vm.vcpus = 0;
    json_object_put(m->body, "vm", message_from_vm(&vm));
    message_put_generation(m->body, &g);
    world_say(HOST_S, HOST_D, m);
    world_run(10);
    check_contains(text_of(world_heard(HOST_D, HOST_S, MESSAGE_DECLINED)),
                   "vcpus");
    check_nothing_left();
    check_silence();
}

static void
test_declined_already_here(void **state)
{
    world.order.host = D->uuid;
    world.order.migration = UUID_ZERO;
    world.n_done++;             /* The store has changed. */
    world_run(50);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    say_prepare(&world.vm);
    world_run(10);
    check_contains(text_of(world_heard(HOST_D, HOST_S, MESSAGE_DECLINED)),
                   "already");
    assert_int_equal(D->qemu.state, VM_RUNNING);
    check_silence();
}

static void
test_declined_cannot_listen(void **state)
{
    world.broken[HOST_D][CALL_LISTEN] = CALL_FAILS;
    say_prepare(&world.vm);
    world_run(30);
    check_contains(text_of(world_heard(HOST_D, HOST_S, MESSAGE_DECLINED)),
                   "LISTEN broke");
    check_nothing_left();
    check_silence();
}

static void
test_listening_qemu_dies(void **state)
{
    go_listening();
    world_kill_qemu(D, "out of memory");
    world_run(10);
    check_contains(text_of(world_heard(HOST_D, HOST_S, MESSAGE_DECLINED)),
                   "out of memory");
    check_nothing_left();
    check_silence();
}

/* The grant. */

static void
test_grant(void **state)
{
    go_listening();
    say_grant(HOST_S, 2);
    world_run(20);
    assert_int_equal(D->qemu.state, VM_LISTENING);      /* Not loaded. */
    check_silence();
    load();
    world_run(3);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    world_run(50);

    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_RUNNING);
    assert_non_null(m);
    assert_true(message_get_integer(m, "resumed_us") > 1700000000000000);
    assert_true(heard(MESSAGE_SETTLED));
    check_silence();
    assert_int_equal(D->flows.here.delivery, DATAPATH_DIRECT);
    assert_int_equal(D->flows.out.kind, DATAPATH_HERE);

    /* And when the store says so, it is a guest like any other. */
    world.order.host = D->uuid;
    world.order.migration = UUID_ZERO;
    world.n_done++;
    world_run(50);
    say_abort(HOST_S);
    world_run(50);
    assert_true(heard(MESSAGE_ABORTED));        /* Long forgotten. */
    assert_int_equal(D->qemu.state, VM_RUNNING);
}

static void
test_grant_unexpected(void **state)
{
    say_grant(HOST_S, 2);
    world_run(3);
    assert_true(heard(MESSAGE_REFUSED));
    check_silence();
    check_nothing_left();
}

static void
test_grant_wrong(void **state)
{
    go_listening();
    load();
    say_grant(HOST_S, 1);       /* An older generation. */
    world_run(10);
    assert_true(heard(MESSAGE_REFUSED));
    assert_int_equal(D->qemu.state, VM_LISTENING);
    say_grant(HOST_S, 3);
    world_run(10);
    assert_true(heard(MESSAGE_REFUSED));
    assert_int_equal(D->qemu.state, VM_LISTENING);
    say_grant(HOST_C, 2);       /* From somebody else. */
    world_run(10);
    assert_non_null(world_heard(HOST_D, HOST_C, MESSAGE_REFUSED));
    assert_int_equal(D->qemu.state, VM_LISTENING);
    assert_int_equal(world.n_refused, 1);
    check_silence();
}

static void
test_grant_while_preparing(void **state)
{
    say_prepare(&world.vm);
    world_turn(false);
    say_grant(HOST_S, 2);
    world_turn(false);
    assert_true(heard(MESSAGE_REFUSED));
    world_run(50);
    load();
    world_run(50);
    assert_int_not_equal(D->qemu.state, VM_RUNNING);
}

static void
test_grant_again(void **state)
{
    go_moved();
    check_silence();
    say_grant(HOST_S, 2);
    world_run(20);
    assert_true(heard(MESSAGE_RUNNING));
    assert_true(heard(MESSAGE_SETTLED));
    check_silence();
}

static void
test_grant_while_aborting(void **state)
{
    go_listening();
    load();
    say_abort(HOST_S);
    world_turn(false);
    say_grant(HOST_S, 2);
    world_run(20);
    assert_true(heard(MESSAGE_REFUSED));
    assert_true(heard(MESSAGE_ABORTED));
    check_nothing_left();
}

/* What fails after the grant. */
static void
test_load_fails(void **state)
{
    go_listening();
    D->qemu.load_failed = true;
    direct(SENDER_REMOTE, 1);
    direct(SENDER_LOCAL, 2);
    relay(SENDER_REMOTE, 0);    /* The source has kept this one. */
    say_grant(HOST_S, 2);
    world_run(5);
    check_contains(text_of(world_heard(HOST_D, HOST_S, MESSAGE_REFUSED)),
                   "did not load");
    assert_int_equal(n_returned(), 0);  /* Nobody has asked for them. */
    say_abort(HOST_S);
    world_run(20);
    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_ABORTED);
    assert_non_null(m);
    assert_int_equal(message_get_integer(m, "returned"), 2);
    assert_int_equal(n_returned(), 2);
    check_nothing_left();
    check_silence();
    assert_string_equal(world.diary, "");
}

/* Giving up. */

static void
test_abort_unknown(void **state)
{
    say_abort(HOST_S);
    world_run(3);
    assert_true(heard(MESSAGE_ABORTED));
    check_silence();
}

static void
test_abort_preparing(void **state)
{
    say_prepare(&world.vm);
    world_run(2);
    say_abort(HOST_S);
    world_run(20);
    assert_true(heard(MESSAGE_ABORTED));
    check_nothing_left();
    check_silence();
}

static void
test_abort_listening(void **state)
{
    go_listening();
    for (int i = 0; i < 4; i++) {
        direct(SENDER_REMOTE, i);
    }
    world_run(1);
    say_abort(HOST_S);
    say_abort(HOST_S);
    world_turn(false);
    direct(SENDER_REMOTE, 4);   /* Came while it is dismantled. */
    world_run(20);
    assert_true(heard(MESSAGE_ABORTED));
    check_silence();
    check_nothing_left();

    /* Late ones take the way of a tombstone. */
    struct relayed *r;
    int n = 0;
    LIST_FOR_EACH (r, node, &world.hosts[HOST_S].received_frames) {
        n += r->relay.kind == RELAY_RETURNED || r->relay.kind == RELAY_LATE;
    }
    assert_int_equal(n, 5);
}

static void
test_abort_of_somebody_else(void **state)
{
    go_listening();
    say_abort(HOST_C);
    world_run(20);
    assert_int_equal(D->qemu.state, VM_LISTENING);
    assert_int_equal(world.n_refused, 1);
    assert_false(heard(MESSAGE_ABORTED));
}

static void
test_abort_after_grant(void **state)
{
    go_listening();
    say_grant(HOST_S, 2);
    world_run(1);
    say_abort(HOST_S);          /* Too late, loading. */
    world_run(5);
    load();
    world_run(60);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    assert_true(heard(MESSAGE_RUNNING));
    say_abort(HOST_S);          /* And when it has moved. */
    world_run(20);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    assert_false(heard(MESSAGE_ABORTED));
}

static void
pass(int seconds)
{
    for (int i = 0; i < seconds * 50; i++) {
        world_turn(true);
    }
}

static void
test_source_is_silent(void **state)
{
    go_listening();
    pass(120);                  /* A long copy. */
    assert_int_equal(D->qemu.state, VM_LISTENING);
    world.links[HOST_S][HOST_D].down_until_us = LLONG_MAX;
    pass(50);
    assert_int_equal(D->qemu.state, VM_LISTENING);
    pass(15);
    check_nothing_left();
}

static void
test_source_gave_up(void **state)
{
    go_listening();
    pass(2);
    assert_int_equal(D->qemu.state, VM_LISTENING);
    world.migration.state = MOVE_STUCK;         /* A person decides. */
    pass(2);
    assert_int_equal(D->qemu.state, VM_LISTENING);
    world.migration.state = MOVE_ROLLED_BACK;
    pass(1);
    check_nothing_left();
}

/* A person has said that it runs at the source, while we were cut off. */
static void
test_taken_back(void **state)
{
    go_listening();
    load();
    say_grant(HOST_S, 2);
    world_run(5);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    world.migration.state = MOVE_ROLLED_BACK;
    world.store_seqno++;
    check_nothing_left();
}

/* Packets. */

static void
test_order(void **state)
{
    go_listening();
    say_expect(SENDER_REMOTE, 1000);
    say_expect(SENDER_LOCAL, 1000);
    world_run(1);
    direct(SENDER_REMOTE, 3);
    relay(SENDER_REMOTE, 0);
    relay(SENDER_LOCAL, 0);
    load();
    check_diary("");            /* Nothing before the grant. */
    say_grant(HOST_S, 2);
    world_run(5);
    check_diary("1.0 0.0");
    relay(SENDER_REMOTE, 1);
    direct(SENDER_LOCAL, 2);
    check_diary("1.0 0.0 1.1");
    relay(SENDER_REMOTE, 2);
    relay_fence(SENDER_REMOTE);
    check_diary("1.0 0.0 1.1 1.2 1.3");
    relay(SENDER_LOCAL, 1);
    assert_false(heard(MESSAGE_SETTLED));
    relay_fence(SENDER_LOCAL);
    check_diary("1.0 0.0 1.1 1.2 1.3 0.1 0.2");
    relay_fence(SENDER_LOCAL);  /* Repeated ones change nothing. */
    world_run(30);

    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_SETTLED);
    assert_non_null(m);
    assert_int_equal(message_get_integer(m, "fences"), 2);
    assert_int_equal(message_get_integer(m, "missed"), 0);
    assert_int_equal(message_get_integer(m, "relayed"), 5);
    assert_int_equal(world.n_fences_to_guest, 0);
}

/* A guest that takes long to wake up gets a few frames, and the rest later;
 * a fence that waits for that among the rest does not come late. */
static void
test_sleepy_guest(void **state)
{
    world.sleepy = true;
    go_listening();
    say_expect(SENDER_REMOTE, 0);
    for (int i = 0; i < PACE_FIRST_FRAMES + 2; i++) {
        relay(SENDER_REMOTE, i);
    }
    relay_fence(SENDER_REMOTE);
    direct(SENDER_REMOTE, PACE_FIRST_FRAMES + 2);
    world_run(1);
    load();
    say_grant(HOST_S, 2);
    world_run(PACE_WAKE_MS - 5);        /* Longer than any patience here. */
    check_first_frames(PACE_FIRST_FRAMES);
    world_run(20);
    check_first_frames(PACE_FIRST_FRAMES + 3);
    world_run(30);

    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_SETTLED);
    assert_non_null(m);
    assert_int_equal(message_get_integer(m, "missed"), 0);
}

static void
test_fence_is_missed(void **state)
{
    go_listening();
    say_expect(SENDER_REMOTE, 20);
    say_expect(SENDER_REMOTE, 20);      /* Harmless. */
    load();
    say_grant(HOST_S, 2);
    world_run(5);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    direct(SENDER_REMOTE, 1);
    world_run(40);
    check_diary("");
    world_run(40);
    check_diary("1.1");
    const struct json *m = world_heard(HOST_D, HOST_S, MESSAGE_SETTLED);
    assert_non_null(m);
    assert_int_equal(message_get_integer(m, "missed"), 1);
}

static void
test_strange_frames(void **state)
{
    static const struct uuid other = { { 9, 9, 9, 9 } };
    const struct relay captured = { RELAY_CAPTURED, world_migration };
    const struct relay elsewhere = { RELAY_CAPTURED, other };
    const struct relay no_nic = { RELAY_CAPTURED, world_migration, .nic = 7 };
    const struct relay returned = { RELAY_RETURNED, world_migration };
    const struct relay late = { RELAY_LATE, world_interface(-1) };

    go_listening();
    world_relay(HOST_C, HOST_D, &captured,
                world_make_frame(SENDER_REMOTE, 1));
    world_relay(HOST_S, HOST_D, &elsewhere,
                world_make_frame(SENDER_REMOTE, 2));
    world_relay(HOST_S, HOST_D, &no_nic, world_make_frame(SENDER_REMOTE, 3));
    world_relay(HOST_S, HOST_D, &returned,
                world_make_frame(SENDER_REMOTE, 4));
    relay(SENDER_REMOTE, 5);
    load();
    say_grant(HOST_S, 2);
    world_run(20);
    check_diary("1.5");
    assert_int_equal(world.n_refused, 1);       /* Of the first. */

    /* What came to the old place. */
    world_relay(HOST_S, HOST_D, &late, world_make_frame(SENDER_REMOTE, 6));
    check_diary("1.5 1.6");

    /* From one that never was its place. */
    world.stranger = world.hosts[HOST_C].uuid;
    world_relay(HOST_C, HOST_D, &late, world_make_frame(SENDER_REMOTE, 7));
    check_diary("1.5 1.6");
    assert_int_equal(world.n_refused, 2);
}

/* Whose word counts. */

/* Nothing was begun for it, and it was refused. */
static void
check_not_admitted(void)
{
    assert_true(heard(MESSAGE_DECLINED));
    assert_int_equal(world.n_refused, 1);
    check_nothing_left();
}

static void
test_nobody_asked_for_it(void **state)
{
    world.requested = false;
    say_prepare(&world.vm);
    world_run(4900);            /* The store may say so late. */
    check_silence();
    assert_int_equal(world.n_refused, 0);
    assert_int_equal(D->qemu.state, VM_ABSENT);
    world_run(200);
    check_not_admitted();
    say_grant(HOST_S, 2);
    world_run(20);
    assert_true(heard(MESSAGE_REFUSED));
    assert_int_equal(world.n_refused, 2);
    check_nothing_left();
}

static void
test_the_store_says_so_late(void **state)
{
    world.order.migration = UUID_ZERO;          /* Not reserved yet. */
    say_prepare(&world.vm);
    world_run(1000);
    check_silence();
    world.order.migration = world_migration;
    world.n_done++;
    world_run(30);
    assert_true(heard(MESSAGE_PREPARED));
    assert_int_equal(world.n_refused, 0);
}

static void
test_source_gave_up_before_the_store_said_so(void **state)
{
    world.order.migration = UUID_ZERO;
    say_prepare(&world.vm);
    world_run(100);
    say_abort(HOST_S);
    world_run(20);
    assert_true(heard(MESSAGE_ABORTED));
    world.order.migration = world_migration;
    world.n_done++;
    world_run(6000);
    check_silence();
    check_nothing_left();
}

static void
test_it_comes_from_elsewhere(void **state)
{
    world.migration.source = world.hosts[HOST_C].uuid;
    say_prepare(&world.vm);
    world_run(20);
    check_not_admitted();
}

static void
test_it_goes_elsewhere(void **state)
{
    world.migration.destination = world.hosts[HOST_C].uuid;
    say_prepare(&world.vm);
    world_run(20);
    check_not_admitted();
}

static void
test_its_host_is_another(void **state)
{
    world.order.host = world.hosts[HOST_C].uuid;
    say_prepare(&world.vm);
    world_run(20);
    check_not_admitted();
}

static void
test_it_is_another_machine(void **state)
{
    struct vm vm = world.vm;

    ovs_strlcpy(vm.image, "/etc/shadow", sizeof vm.image);
    say_prepare(&vm);
    world_run(20);
    check_not_admitted();
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_prepare),
        TEST(test_prepare_again),
        TEST(test_declined_no_memory),
        TEST(test_declined_bad_record),
        TEST(test_declined_already_here),
        TEST(test_declined_cannot_listen),
        TEST(test_listening_qemu_dies),
        TEST(test_grant),
        TEST(test_grant_unexpected),
        TEST(test_grant_wrong),
        TEST(test_grant_while_preparing),
        TEST(test_grant_again),
        TEST(test_grant_while_aborting),
        TEST(test_load_fails),
        TEST(test_abort_unknown),
        TEST(test_abort_preparing),
        TEST(test_abort_listening),
        TEST(test_abort_of_somebody_else),
        TEST(test_abort_after_grant),
        TEST(test_source_is_silent),
        TEST(test_source_gave_up),
        TEST(test_taken_back),
        TEST(test_order),
        TEST(test_sleepy_guest),
        TEST(test_fence_is_missed),
        TEST(test_strange_frames),
        TEST(test_nobody_asked_for_it),
        TEST(test_the_store_says_so_late),
        TEST(test_source_gave_up_before_the_store_said_so),
        TEST(test_it_comes_from_elsewhere),
        TEST(test_it_goes_elsewhere),
        TEST(test_its_host_is_another),
        TEST(test_it_is_another_machine),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
