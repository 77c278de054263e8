#include <config.h>

/* What is left of a guest where it was, over deaths of the agent there, and
 * whatever its journal says by then. */

#include "engine/tombstone.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "util.h"
#include "uuid.h"

#include "engine/journal.h"
#include "engine/test-world.h"
#include "mobility/pipeline.h"
#include "peer/message.h"

#define ALL ((1u << N_HOSTS) - 1)
#define S (&world.hosts[HOST_S])
#define D (&world.hosts[HOST_D])

/* The journal. */

static char dir[] = "/tmp/watari-test-XXXXXX";

static char *
file(void)
{
    static char name[sizeof dir + 20];

    snprintf(name, sizeof name, "%s/tombstones", dir);
    return name;
}

static int
make_dir(void **state OVS_UNUSED)
{
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
remove_dir(void **state OVS_UNUSED)
{
    unlink(file());
    return rmdir(dir);
}

static struct journal_tombstone
make(unsigned int number)
{
    struct journal_tombstone t = {
        .interface = { { number, 1, 2, 3 } },
        .network = { { number, 4, 5, 6 } },
        .host = { { number, 7, 8, 9 } },
        .returned = number & 1,
        .until = 1000000 + number,
    };
    char buf[40];

    snprintf(buf, sizeof buf, "198.18.%u.%u", number >> 8, number & 0xff);
    addr_pair_add(&t.mobile, buf, NULL);
    snprintf(buf, sizeof buf, "2001:db8::%x", number + 1);
    addr_pair_add(&t.mobile, buf, NULL);
    return t;
}

static void
save(unsigned int n)
{
    struct journal_tombstone *list = xcalloc(n + 1, sizeof *list);

    for (unsigned int i = 0; i < n; i++) {
        list[i] = make(i);
    }
    assert_int_equal(journal_save_tombstones(dir, list, n, NULL), 0);
    free(list);
}

/* Are those with numbers from 'first' on, 'n' of them, what the file says? */
static void
check_file(int error, unsigned int first, size_t n)
{
    struct journal_tombstone *list;
    struct err err = ERR_INIT;
    size_t n_read;

    assert_int_equal(journal_load_tombstones(dir, &list, &n_read, &err),
                     error);
    assert_int_equal(!error, !err.code);
    assert_int_equal(n_read, n);
    for (size_t i = 0; i < n; i++) {
        struct journal_tombstone want = make(first + i);

        assert_true(uuid_equals(&list[i].interface, &want.interface));
        assert_true(uuid_equals(&list[i].network, &want.network));
        assert_true(uuid_equals(&list[i].host, &want.host));
        assert_true(addr_pair_equals(&list[i].mobile, &want.mobile));
        assert_int_equal(list[i].returned, want.returned);
        assert_int_equal(list[i].until, want.until);
    }
    free(list);
}

static void
write_file(const char *text, size_t n)
{
    FILE *f = fopen(file(), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static size_t
read_file(char *text, size_t max)
{
    FILE *f = fopen(file(), "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, max, f);
    assert_int_equal(fclose(f), 0);
    return n;
}

static void
test_saved(void **state OVS_UNUSED)
{
    check_file(0, 0, 0);
    save(3);
    check_file(0, 0, 3);
    save(0);
    check_file(0, 0, 0);
    save(JOURNAL_MAX_TOMBSTONES + 5);
    check_file(0, 0, JOURNAL_MAX_TOMBSTONES);

    struct journal_tombstone t = make(1);
    assert_int_equal(journal_save_tombstones("/nowhere", &t, 1, NULL),
                     ENOENT);
}

/* A file that ends too early, with what is left of it. */
static void
test_cut_off(void **state OVS_UNUSED)
{
    char text[4096];
    size_t n;

    save(2);
    n = read_file(text, sizeof text);
    assert_in_range(n, 200, sizeof text - 1);
    for (size_t len = 0; len < n; len++) {
        write_file(text, len);
        check_file(EBADMSG, 0, 0);
    }
}

/* One letter is wrong: what is good is used, and nothing crashes. */
static void
test_wrong_letters(void **state OVS_UNUSED)
{
    char text[4096];
    size_t n;

    save(2);
    n = read_file(text, sizeof text);
    for (size_t i = 0; i < n; i++) {
        struct journal_tombstone *list;
        char was = text[i];
        size_t n_read;

        text[i] = was == 'x' ? '"' : 'x';
        write_file(text, n);
        journal_load_tombstones(dir, &list, &n_read, NULL);
        assert_in_range(n_read, 0, 2);
        free(list);
        text[i] = was;
    }
    text[strstr(text, "host") - text] = 'x';    /* Of the first one. */
    write_file(text, n);
    check_file(EBADMSG, 1, 1);
}

static void
test_wrong_kinds(void **state OVS_UNUSED)
{
    static const char *const texts[] = {
        "", "{}", "[1]", "[[]]", "[{}]", "null", "[null]", "[{\"host\": 7}]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        write_file(texts[i], strlen(texts[i]));
        check_file(EBADMSG, 0, 0);
    }

    char *large = xmalloc(2 * 1024 * 1024);
    memset(large, ' ', 2 * 1024 * 1024);
    memcpy(large, "[]", 2);
    write_file(large, 2 * 1024 * 1024);
    check_file(EBADMSG, 0, 0);
    free(large);
}

/* The agent. */

static int
teardown(void **state OVS_UNUSED)
{
    world_end();
    return 0;
}

/* The VM has moved to D. */
static int
setup(void **state OVS_UNUSED)
{
    world_begin(NULL, 0, ALL);
    world_run(100);
    world_request();
    world_run(1500);
    assert_int_equal(world.migration.state, MOVE_COMPLETED);
    assert_int_equal(D->qemu.state, VM_RUNNING);
    return 0;
}

static const struct datapath_here *
here(void)
{
    struct uuid vm = world_interface(-1);

    return S->datapath ? datapath_get_here(S->datapath, &vm) : NULL;
}

/* A late packet comes to the old place. */
static void
check_late(int number, bool arrives)
{
    char want[20];

    world.diary[0] = '\0';
    world_hold(HOST_S, world_make_frame(SENDER_REMOTE, number),
               PIPELINE_MARK_HELD);
    world_run(50);
    snprintf(want, sizeof want, "%d.%d", SENDER_REMOTE, number);
    assert_string_equal(world.diary, arrives ? want : "");
}

static void
restart(int ms)
{
    world_kill_agent(HOST_S);
    world_run(ms);
    world_start_agent(HOST_S);
}

static void
test_restart(void **state OVS_UNUSED)
{
    check_late(1, true);
    for (int i = 0; i < 3; i++) {
        restart(10000);
        while (!S->complete) {
            world_run(1);
        }
        assert_non_null(here());        /* No flow has disappeared. */
        assert_int_equal(here()->port, OFPP_NONE);
        check_late(2 + i, true);
    }
    world_run(TOMBSTONE_MS - 30000);
    assert_null(here());
    check_late(9, false);
}

/* It does not get older by a death that lasts. */
static void
test_long_death(void **state OVS_UNUSED)
{
    restart(TOMBSTONE_MS);
    world_run(100);
    assert_null(here());
}

/* The test plays the agent of D, which sends the VM back. */
static void
send_back(void)
{
    struct uuid migration = { { 0x77, 0x4000, 0x80000000, 1 } };
    struct generation generation = { 1, world.order.counter + 1, S->uuid };
    struct message *m = message_create(MESSAGE_PREPARE, &migration);

    world_kill_agent(HOST_D);
    world.hosts[HOST_D].ghost = true;
    world_kill_qemu(D, "it has been sent");
    world.migration = (struct migration) {
        .uuid = migration, .vm = world.vm.uuid, .source = D->uuid,
        .destination = S->uuid, .state = MOVE_RUNNING,
    };
    world.order.migration = migration;
    json_object_put(m->body, "vm", message_from_vm(&world.vm));
    message_put_generation(m->body, &generation);
    world_say(HOST_D, HOST_S, m);
    world_run(100);
    assert_int_equal(S->qemu.state, VM_LISTENING);

    S->qemu.loaded = true;
    world.order.host = S->uuid;
    m = message_create(MESSAGE_GRANT, &migration);
    message_put_generation(m->body, &generation);
    world_say(HOST_D, HOST_S, m);
    world_run(500);
}

/* It comes back while the agent that it had left is young: old addresses lead
 * to it again, and also when the agent has died once more. */
static void
test_back(void **state OVS_UNUSED)
{
    struct addr_pair old = here()->mobile;

    restart(1000);
    world_run(100);
    send_back();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(S->qemu.state, VM_RUNNING);
        assert_int_equal(here()->port, WORLD_VM_PORT);
        assert_int_equal(here()->delivery, DATAPATH_DIRECT);
        assert_int_equal(here()->n_late, 1);
        assert_true(addr_pair_equals(&here()->late[0], &old));
        restart(1000);
        world_run(200);
    }
    world_run(TOMBSTONE_MS);
    assert_int_equal(here()->n_late, 0);
}

static void
test_damaged(void **state OVS_UNUSED)
{
    char *name = xasprintf("%s/tombstones", S->journal);

    world_kill_agent(HOST_S);
    assert_int_equal(truncate(name, 30), 0);
    world_start_agent(HOST_S);
    world_run(100);
    assert_true(S->complete);
    assert_null(here());
    free(name);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saved, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_cut_off, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_wrong_letters, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(test_wrong_kinds, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
