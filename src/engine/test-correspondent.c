#include <config.h>

/* The host of a correspondent, C, while the VM moves from S to D, which the
 * test plays: what its switch believes, when it flips, and above all when it
 * says that its old path has ended. */

#include "engine/correspondent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "util.h"
#include "uuid.h"

#include "core/flow-table.h"
#include "engine/test-world.h"
#include "mobility/pipeline.h"
#include "peer/message.h"

#define C (&world.hosts[HOST_C])

static struct addr_pair at_s, at_d;     /* The VM's mobile addresses. */

static struct generation
generation(int host, uint64_t counter)
{
    return (struct generation) { 1, counter, world.hosts[host].uuid };
}

static int
setup(void **state)
{
    struct world_binding *b;

    world_begin(NULL, 0, 1u << HOST_C);
    at_s = at_d = (struct addr_pair) { 0 };
    addr_pair_add(&at_s, "198.18.1.100", NULL);
    addr_pair_add(&at_d, "198.18.2.100", NULL);

    /* As the store says, the VM is at S. */
    b = &world.bindings[world.n_bindings++];
    b->binding = (struct binding) { world_interface(-1),
                                    generation(HOST_S, 1), at_s, true };
    world.store_seqno++;
    world_run(50);
    assert_int_equal(C->flows.out.kind, DATAPATH_AWAY);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_s));
    return 0;
}

static int
teardown(void **state)
{
    world_end();
    return 0;
}

/* What the source says. */

static struct message *
make(enum message_type type, const struct generation *g,
     const struct uuid *interface, const struct addr_pair *mobile,
     const struct addr_pair *old)
{
    struct message *m = message_create(type, &world_migration);
    struct json *list, *o = json_object_create();

    message_put_generation(m->body, g);
    list = message_put_list(m->body, "interfaces");
    message_put_uuid(o, "interface", interface);
    message_put_addrs(o, "mobile", mobile);
    if (old) {
        message_put_addrs(o, "old", old);
    }
    json_array_add(list, o);
    return m;
}

static void
say(enum message_type type, const struct uuid *interface)
{
    struct generation g = generation(HOST_D, 2);

    world_say(HOST_S, HOST_C, make(type, &g, interface, &at_d, NULL));
}

/* To 'counter' on 'host'; with a fence of our endpoint's if 'fenced'. */
static void
say_flip(int host, uint64_t counter, bool fenced)
{
    struct generation g = generation(host, counter);
    struct uuid vm = world_interface(-1);
    struct uuid from = world_interface(SENDER_REMOTE);
    bool back = host == HOST_S;
    struct message *m = make(MESSAGE_FLIP, &g, &vm, back ? &at_s : &at_d,
                             back ? &at_d : &at_s);
    struct json *list = message_put_list(m->body, "fences");

    if (fenced) {
        struct json *o = json_object_create();

        message_put_uuid(o, "from", &from);
        message_put_uuid(o, "to", &vm);
        json_array_add(list, o);
    }
    world_say(HOST_S, HOST_C, m);
}

static bool
is_accepted(void)
{
    return world_heard(HOST_C, HOST_S, MESSAGE_ACCEPTED) != NULL;
}

/* How many addresses of the VM are believed? */
static int
n_believed(void)
{
    const struct flow_entry *flow = NULL;
    struct uuid vm = world_interface(-1);
    int n = 0;

    while ((flow = flow_table_next(datapath_flows(C->datapath), flow))) {
        const struct interface *from;

        if (pipeline_cookie_part(flow->cookie) == PART_FROM) {
            from = datapath_cookie_interface(C->datapath, flow->cookie);
            n += from && uuid_equals(&from->uuid, &vm);
        }
    }
    return n;
}

/* Until the flip is acknowledged. */
static void
wait_for_ack(void)
{
    uint64_t acked = C->acked;

    for (int i = 0; C->acked == acked; i++) {
        assert_true(i < 10);
        world_turn(false);
    }
}

/* The switch used the new mapping for a packet. */
static void
witness(int sender)
{
    world_hold(HOST_C, world_make_frame(sender, 0), PIPELINE_MARK_WITNESS);
}

/* Accepting. */

static void
test_accept(void **state)
{
    struct uuid vm = world_interface(-1);

    assert_int_equal(n_believed(), 1);
    C->switch_away = true;
    say(MESSAGE_ACCEPT, &vm);
    world_run(50);
    assert_false(is_accepted());        /* Not before the switch. */
    assert_int_equal(n_believed(), 2);
    C->switch_away = false;
    world_run(2);
    assert_true(is_accepted());
    assert_false(is_accepted());

    /* Where it is has not changed. */
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_s));

    say(MESSAGE_ACCEPT, &vm);   /* Repeated. */
    world_run(5);
    assert_true(is_accepted());
    assert_int_equal(n_believed(), 2);
    say(MESSAGE_FORGET, &vm);
    world_run(5);
    assert_int_equal(n_believed(), 1);
    say(MESSAGE_FORGET, &vm);
    world_run(5);
    assert_int_equal(n_believed(), 1);
}

static void
test_accept_unknown(void **state)
{
    static const struct uuid stranger = { { 7, 7, 7, 7 } };

    say(MESSAGE_ACCEPT, &stranger);
    world_run(5);
    assert_true(is_accepted());
    say(MESSAGE_FORGET, &stranger);
    world_run(5);
    assert_int_equal(n_believed(), 1);
}

/* Flipping. */

static void
test_flip(void **state)
{
    say_flip(HOST_D, 2, true);
    world_run(20);
    assert_int_equal(C->flows.out.kind, DATAPATH_AWAY);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
    assert_int_equal(n_believed(), 2);  /* Also without an ACCEPT. */

    /* The store, which is behind, does not turn it back. */
    world.store_seqno++;
    world_run(50);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));

    /* An old one comes too late; a rollback has a newer generation. */
    say_flip(HOST_S, 1, false);
    world_run(20);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
    say_flip(HOST_S, 3, false);
    world_run(20);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_s));
    assert_false(C->flows.out.witness);
    say_flip(HOST_D, 2, true);
    world_run(20);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_s));
}

static void
check_fences(long long first_us)
{
    struct uuid from = world_interface(SENDER_REMOTE);

    assert_int_equal(world.n_fences, FENCE_TIMES);
    for (int i = 0; i < FENCE_TIMES; i++) {
        const struct world_fence *f = &world.fences[i];

        assert_int_equal(f->at_us,
                         first_us + i * FENCE_INTERVAL_MS * 1000LL);
        assert_int_equal(f->port, WORLD_WAN_PORT);
        assert_true(addr_pair_contains(&at_s, &f->target));
        assert_int_equal(f->fence.sequence, i);
        assert_true(uuid_equals(&f->fence.migration, &world_migration));
        assert_true(uuid_equals(&f->fence.from, &from));
        assert_int_equal(f->fence.sender, world.fences[0].fence.sender);
    }
}

/* Who sends nothing has nothing under way, soon after the switch knows. */
static void
test_fence_when_quiet(void **state)
{
    C->switch_away = true;
    say_flip(HOST_D, 2, true);
    world_run(100);
    assert_int_equal(world.n_fences, 0);
    C->switch_away = false;
    wait_for_ack();
    long long acked_us = world.now_us;
    world_run(FENCE_QUIET_MS - 1);
    assert_int_equal(world.n_fences, 0);
    world_run(100);
    check_fences(acked_us + FENCE_QUIET_MS * 1000LL);
}

static void
test_fence_at_witness(void **state)
{
    say_flip(HOST_D, 2, true);
    wait_for_ack();
    witness(SENDER_REMOTE);
    world_turn(false);
    assert_int_equal(world.n_fences, 1);
    long long first_us = world.now_us;
    witness(SENDER_REMOTE);     /* More of them change nothing. */
    world_run(100);
    check_fences(first_us);
}

/* A switch may use a flow before it acknowledges it; the fence waits for
 * that all the same, and then for nothing more. */
static void
test_witness_before_ack(void **state)
{
    C->switch_away = true;
    say_flip(HOST_D, 2, true);
    world_run(5);
    witness(SENDER_REMOTE);
    world_run(20);
    assert_int_equal(world.n_fences, 0);
    C->switch_away = false;
    wait_for_ack();
    assert_int_equal(world.n_fences, 1);
    world_run(100);
    check_fences(world.fences[0].at_us);
}

/* Somebody else's packet proves nothing about ours. */
static void
test_witness_of_another(void **state)
{
    say_flip(HOST_D, 2, true);
    wait_for_ack();
    witness(SENDER_LOCAL);
    world_turn(false);
    assert_int_equal(world.n_fences, 0);
    world_run(FENCE_QUIET_MS);
    assert_int_equal(world.n_fences, 1);
}

/* With real traffic: whatever was sent on the old path was sent before the
 * fence. */
static void
test_fence_follows_traffic(void **state)
{
    world.talking = true;
    world_run(20);
    say_flip(HOST_D, 2, true);
    while (!world.n_fences) {
        assert_true(world.n_said[SENDER_REMOTE] < 100);
        world_turn(false);
    }
    assert_int_equal(C->flows.out.kind, DATAPATH_AWAY);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
    world.talking = false;
}

static void
test_witness_is_dismissed(void **state)
{
    struct uuid vm = world_interface(-1);

    say_flip(HOST_D, 2, true);
    wait_for_ack();
    world_run(WITNESS_MS - 5);
    assert_true(datapath_get_out(C->datapath, &vm)->witness);
    world_run(10);
    assert_false(datapath_get_out(C->datapath, &vm)->witness);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
    world_run(100);
    assert_int_equal(world.n_fences, FENCE_TIMES);
}

static void
test_flip_without_fences(void **state)
{
    struct uuid vm = world_interface(-1);

    say_flip(HOST_D, 2, false);
    world_run(10);
    assert_false(datapath_get_out(C->datapath, &vm)->witness);
    world_run(100);
    assert_int_equal(world.n_fences, 0);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
}

/* A fence is ordered of somebody who is not ours, or to what nobody moves. */
static void
test_strange_fences(void **state)
{
    struct generation g = generation(HOST_D, 2);
    struct uuid vm = world_interface(-1);
    struct uuid local = world_interface(SENDER_LOCAL);
    struct uuid remote = world_interface(SENDER_REMOTE);
    const struct { struct uuid from, to; } rows[] = {
        { local, vm }, { remote, local }, { vm, vm },
        { world_network, vm }, { remote, world_network },
    };
    struct message *m = make(MESSAGE_FLIP, &g, &vm, &at_d, &at_s);
    struct json *list = message_put_list(m->body, "fences");

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json *o = json_object_create();

        message_put_uuid(o, "from", &rows[i].from);
        message_put_uuid(o, "to", &rows[i].to);
        json_array_add(list, o);
    }
    world_say(HOST_S, HOST_C, m);
    world_run(WITNESS_MS + 50);
    assert_int_equal(world.n_fences, 0);
    assert_false(datapath_get_out(C->datapath, &vm)->witness);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_d));
}

/* The VM moves to this very host. */
static void
test_it_comes_here(void **state)
{
    struct uuid vm = world_interface(-1);

    say_flip(HOST_C, 2, true);
    wait_for_ack();
    const struct datapath_out *out = datapath_get_out(C->datapath, &vm);
    assert_int_equal(out->kind, DATAPATH_HERE);
    assert_false(out->witness);         /* A way out has none. */
    world_run(100);

    /* The old path was the one to S. */
    assert_int_equal(world.n_fences, FENCE_TIMES);
    assert_int_equal(world.fences[0].port, WORLD_WAN_PORT);
    assert_true(addr_pair_contains(&at_s, &world.fences[0].target));
}

/* Who does not have the VM says where it is. */
static void
test_stranger(void **state)
{
    struct uuid vm = world_interface(-1);

    world.stranger = world.hosts[HOST_S].uuid;
    say(MESSAGE_ACCEPT, &vm);
    world_run(10);
    assert_int_equal(n_believed(), 1);
    assert_int_equal(world.n_refused, 1);
    say_flip(HOST_D, 2, true);
    world_run(100);
    assert_int_equal(n_believed(), 1);
    assert_true(addr_pair_equals(&C->flows.out.mobile, &at_s));
    assert_int_equal(world.n_fences, 0);
    assert_int_equal(world.n_refused, 3);

    world.stranger = UUID_ZERO;
    say(MESSAGE_ACCEPT, &vm);
    world_run(10);
    assert_int_equal(n_believed(), 2);
    world.stranger = world.hosts[HOST_S].uuid;
    say(MESSAGE_FORGET, &vm);
    world_run(10);
    assert_int_equal(n_believed(), 2);
    assert_int_equal(world.n_refused, 4);
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_accept),
        TEST(test_accept_unknown),
        TEST(test_flip),
        TEST(test_fence_when_quiet),
        TEST(test_fence_at_witness),
        TEST(test_witness_before_ack),
        TEST(test_witness_of_another),
        TEST(test_fence_follows_traffic),
        TEST(test_witness_is_dismissed),
        TEST(test_flip_without_fences),
        TEST(test_strange_fences),
        TEST(test_it_comes_here),
        TEST(test_stranger),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
