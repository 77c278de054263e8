/* Offers the functions of store/ to a test: reads one command a line, runs
 * it, and prints one line for it. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fatal-signal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

#include "base/tls.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/endpoints.h"
#include "store/events.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/networks.h"
#include "store/store.h"
#include "store/vms.h"

#define MAX_ARGS 12
#define TIMEOUT_MS 30000

struct driver {
    struct store *store;
    char *args[MAX_ARGS];
    size_t n_args;
};

static const char *
arg(const struct driver *driver, size_t i)
{
    return i < driver->n_args ? driver->args[i] : "";
}

static struct uuid
uuid_arg(const struct driver *driver, size_t i)
{
    struct uuid uuid = UUID_ZERO;

    if (!uuid_from_string(&uuid, arg(driver, i))) {
        uuid = UUID_ZERO;
    }
    return uuid;
}

static void
turn(struct driver *driver)
{
    store_run(driver->store, time_msec());
    store_wait(driver->store);
}

static void
run_until_answer(struct driver *driver, write_ticket ticket)
{
    static const char *const names[] = {
        [WRITE_PENDING] = "pending", [WRITE_DONE] = "done",
        [WRITE_REFUSED] = "refused", [WRITE_LOST] = "lost",
    };
    long long until = time_msec() + TIMEOUT_MS;
    enum write_result result;
    struct err err = ERR_INIT;

    for (;;) {
        turn(driver);
        result = write_result(driver->store, ticket, &err);
        if (result != WRITE_PENDING || time_msec() >= until) {
            break;
        }
        poll_timer_wait_until(until);
        poll_block();
    }
    poll_immediate_wake();
    poll_block();
    printf("%s%s%s\n", names[result], err.code ? " " : "",
           err.code ? err.text : "");
}

static void
do_ready(struct driver *driver)
{
    long long until = time_msec() + TIMEOUT_MS;

    do {
        turn(driver);
        poll_timer_wait(20);
        poll_block();
    } while (!store_is_ready(driver->store) && time_msec() < until);
    printf("%s\n", store_is_ready(driver->store) ? "ready" : "not ready");
}

/* Runs for so many ms, then prints what changed. */
static void
do_changes(struct driver *driver)
{
    static const char *const names[N_STORE_TABLES] = {
        "Global", "Site", "Pool", "Host", "Network", "Interface", "VM",
        "Endpoint", "Instance", "Binding", "Claim", "Migration", "Event",
    };
    long long until = time_msec() + atoi(arg(driver, 1));
    struct store_change change;

    do {
        turn(driver);
        poll_timer_wait_until(until);
        poll_block();
    } while (time_msec() < until);
    while (store_next_change(driver->store, &change)) {
        printf("%s%s:"UUID_FMT" ", change.gone ? "-" : "",
               names[change.table], UUID_ARGS(&change.uuid));
    }
    printf("\n");
}

static enum addr_family
family_arg(const struct driver *driver, size_t i)
{
    return !strcmp(arg(driver, i), "6") ? ADDR_V6 : ADDR_V4;
}

static void
do_claim(struct driver *driver)
{
    run_until_answer(driver, claims_add(driver->store, family_arg(driver, 1),
                                        atoi(arg(driver, 2)),
                                        time_wall_msec()));
}

static void
do_take(struct driver *driver)
{
    struct in6_addr address;
    struct err err = ERR_INIT;
    char text[ADDR_STRLEN];

    if (claims_take(driver->store, family_arg(driver, 1), time_wall_msec(),
                    &address, &err)) {
        printf("refused %s\n", err.text);
    } else {
        printf("%s\n", addr_format(&address, text));
    }
}

static void
do_rest(struct driver *driver)
{
    struct addr_pair pair = { 0 };

    addr_pair_add(&pair, arg(driver, 1), NULL);
    run_until_answer(driver, claims_rest(driver->store, &pair,
                                         time_wall_msec()));
}

static void
run_until_written(struct driver *driver)
{
    while (write_n_queued(driver->store)) {
        turn(driver);
        poll_timer_wait(10);
        poll_block();
    }
    printf("done\n");
}

static void
do_leftovers(struct driver *driver)
{
    claims_rest_unbound(driver->store, time_wall_msec());
    run_until_written(driver);
}

static void
do_trim(struct driver *driver)
{
    claims_trim(driver->store, time_wall_msec() + atoll(arg(driver, 1)));
    run_until_written(driver);
}

static void
do_count(struct driver *driver)
{
    printf("%zu %zu\n", claims_n_free(driver->store, family_arg(driver, 1)),
           claims_n_available(driver->store, family_arg(driver, 1)));
}

static void
do_reserve(struct driver *driver)
{
    struct uuid vm = uuid_arg(driver, 1), migration = uuid_arg(driver, 2);

    run_until_answer(driver, vms_reserve(driver->store, &vm, &migration,
                                         atoll(arg(driver, 3))));
}

static void
do_unreserve(struct driver *driver)
{
    struct uuid vm = uuid_arg(driver, 1), migration = uuid_arg(driver, 2);

    run_until_answer(driver, vms_unreserve(driver->store, &vm, &migration));
}

static void
do_moved(struct driver *driver)
{
    struct uuid vm = uuid_arg(driver, 1), migration = uuid_arg(driver, 2);
    struct uuid host = uuid_arg(driver, 3);

    run_until_answer(driver, vms_moved(driver->store, &vm, &migration,
                                       &host));
}

/* A generation of this host, whose epoch is the argument at 'i'. */
static struct generation
generation_arg(const struct driver *driver, size_t i)
{
    const struct uuid *host = store_host(driver->store);

    return (struct generation) {
        .epoch = atoi(arg(driver, i)),
        .counter = atoll(arg(driver, i + 1)),
        .host = host ? *host : UUID_ZERO,
    };
}

static struct binding
binding_arg(const struct driver *driver)
{
    struct binding binding = {
        .interface = uuid_arg(driver, 1),
        .generation = generation_arg(driver, 2),
        .active = !strcmp(arg(driver, 4), "active"),
    };

    for (size_t i = 5; i < driver->n_args; i++) {
        addr_pair_add(&binding.mobile, arg(driver, i), NULL);
    }
    return binding;
}

static void
do_bind(struct driver *driver)
{
    struct binding binding = binding_arg(driver);

    run_until_answer(driver, bindings_put(driver->store, &binding));
}

static void
do_unbind(struct driver *driver)
{
    struct binding binding = binding_arg(driver);

    run_until_answer(driver, bindings_delete(driver->store,
                                             &binding.interface,
                                             &binding.generation));
}

/* "newest INTERFACE active": the newest; else how many, and the first two. */
static void
do_newest(struct driver *driver)
{
    struct uuid interface = uuid_arg(driver, 1);
    struct binding found[2];
    char text[ADDR_STRLEN];

    if (!strcmp(arg(driver, 2), "list")) {
        size_t n = bindings_list(driver->store, &interface, found, 2);

        printf("%zu", n);
        for (size_t i = 0; i < MIN(n, 2); i++) {
            printf(" %"PRIu64, found[i].generation.counter);
        }
        printf("\n");
    } else if (bindings_find_newest(driver->store, &interface,
                                    !strcmp(arg(driver, 2), "active"),
                                    found)) {
        printf("%"PRIu64" %s %s\n", found[0].generation.counter,
               found[0].active ? "active" : "prepared",
               addr_format(&found[0].mobile.of[ADDR_V4], text));
    } else {
        printf("none\n");
    }
}

static void
do_instance(struct driver *driver)
{
    struct instance instance = {
        .vm = uuid_arg(driver, 1),
        .generation = generation_arg(driver, 2),
        .state = !strcmp(arg(driver, 4), "running") ? VM_RUNNING : VM_FAILED,
        .since = time_wall_msec(),
    };

    run_until_answer(driver, instances_put(driver->store, &instance));
}

static void
do_register(struct driver *driver)
{
    struct smap facts = SMAP_INITIALIZER(&facts);
    struct host host = { .memory_mib = 4096 };

    ovs_strlcpy(host.name, arg(driver, 1), sizeof host.name);
    ovs_strlcpy(host.site_name, arg(driver, 2), sizeof host.site_name);
    ovs_strlcpy(host.channel, arg(driver, 3), sizeof host.channel);
    addr_pair_add(&host.addresses, arg(driver, 4), NULL);
    smap_add(&facts, "qemu", "7.2");
    run_until_answer(driver, hosts_put(driver->store, &host, &facts));
    smap_destroy(&facts);
}

static void
do_progress(struct driver *driver)
{
    struct uuid uuid = uuid_arg(driver, 1);
    struct migration m;
    struct err err = ERR_INIT;

    if (migrations_get(driver->store, &uuid, &m, &err)) {
        printf("refused %s\n", err.text);
        return;
    }
    m.state = MOVE_RUNNING;
    ovs_strlcpy(m.step, arg(driver, 2), sizeof m.step);
    m.n_phases = m.n_figures = 1;
    m.phases[0] = (struct migration_figure) { "check", 1.5 };
    m.figures[0] = (struct migration_figure) { "total_ms", 2.5 };
    for (m.copied = 1; m.copied < 50; m.copied++) {
        migrations_put(driver->store, &m);      /* All but the last ... */
    }
    if (write_n_queued(driver->store) > 1) {    /* ... are replaced. */
        printf("%zu writes\n", write_n_queued(driver->store));
        return;
    }
    run_until_answer(driver, migrations_put(driver->store, &m));
}

static void
do_detect(struct driver *driver)
{
    struct interface interface = { .network = uuid_arg(driver, 1) };
    struct err err = ERR_INIT;

    uuid_generate(&interface.uuid);
    if (!eth_addr_from_string(arg(driver, 2), &interface.mac)
        || addr_pair_add(&interface.home, arg(driver, 3), &err)) {
        printf("refused %s\n", err.text);
        return;
    }
    run_until_answer(driver, endpoints_add_detected(driver->store,
                                                    &interface));
}

/* What the store did not permit. */
static void
do_denied(struct driver *driver)
{
    char *text = write_next_denial(driver->store);

    printf("%s\n", text ? text : "nothing");
    free(text);
}

/* address INTERFACE ADDRESS... */
static void
do_address(struct driver *driver)
{
    struct uuid interface = uuid_arg(driver, 1);
    struct addr_pair pair = { 0 };

    for (size_t i = 2; i < driver->n_args; i++) {
        addr_pair_add(&pair, arg(driver, i), NULL);
    }
    run_until_answer(driver, endpoints_add_addresses(driver->store,
                                                     &interface, &pair));
}

/* The counters of our own active bindings. */
static void
do_own(struct driver *driver)
{
    struct binding *list;
    size_t n = bindings_list_own(driver->store, &list);

    printf("%"PRIuSIZE":", n);
    for (size_t i = 0; i < n; i++) {
        printf(" %"PRIu64, list[i].generation.counter);
    }
    printf("\n");
    free(list);
}

static void
do_vm(struct driver *driver)
{
    struct uuid uuid = uuid_arg(driver, 1);
    struct err err = ERR_INIT;
    struct vm_order order;

    if (vms_get(driver->store, &uuid, &order, &err)) {
        printf("refused %s\n", err.text);
        return;
    }
    printf("%s nics=%zu power=%d counter=%"PRIu64" pci=%s mtu=%d len=%d\n",
           order.vm.name, order.vm.n_nics, order.power, order.counter,
           order.vm.nics[0].pci, order.vm.nics[0].mtu,
           order.vm.nics[0].prefix_len[ADDR_V4]);
}

static void
do_events(struct driver *driver)
{
    write_ticket last = 0;
    size_t n_dropped = 0;

    for (int i = 0; i < atoi(arg(driver, 1)); i++) {
        write_ticket ticket = events_add(driver->store, "test", "driver",
                                         "an event", time_wall_msec());
        n_dropped += !ticket;
        last = ticket ? ticket : last;
    }
    printf("%zu dropped ", n_dropped);
    run_until_answer(driver, last);
}

static void
do_watch(struct driver *driver)
{
    struct uuid network = uuid_arg(driver, 1);

    store_watch_network(driver->store, &network);
    do_ready(driver);
}

/* Watches a network, but waits only so long that a store that is there would
 * have answered. */
static void
do_ask(struct driver *driver)
{
    struct uuid network = uuid_arg(driver, 1);
    long long until = time_msec() + 200;

    store_watch_network(driver->store, &network);
    while (time_msec() < until) {
        turn(driver);
        poll_timer_wait_until(until);
        poll_block();
    }
    printf("%s\n", store_is_ready(driver->store) ? "ready" : "not ready");
}

/* "has INTERFACE": is it of an endpoint here? */
static void
do_has(struct driver *driver)
{
    struct uuid interface = uuid_arg(driver, 1);

    printf("%s\n", endpoints_has(driver->store, &interface) ? "yes" : "no");
}

static void
do_list(struct driver *driver)
{
    struct migration *migrations;
    struct uuid *vms;
    size_t n;

    n = vms_list_here(driver->store, &vms);
    for (size_t i = 0; i < n; i++) {
        printf("vm:"UUID_FMT" ", UUID_ARGS(&vms[i]));
    }
    n = migrations_list_here(driver->store, &migrations);
    for (size_t i = 0; i < n; i++) {
        printf("migration:"UUID_FMT" ", UUID_ARGS(&migrations[i].uuid));
    }
    printf("epoch:%"PRIu32"\n", store_epoch(driver->store));
    free(migrations);
    free(vms);
}

static const struct {
    const char *name;
    void (*func)(struct driver *);
} commands[] = {
    { "ready", do_ready },
    { "ask", do_ask },
    { "changes", do_changes },
    { "claim", do_claim },
    { "take", do_take },
    { "rest", do_rest },
    { "leftovers", do_leftovers },
    { "trim", do_trim },
    { "count", do_count },
    { "reserve", do_reserve },
    { "unreserve", do_unreserve },
    { "moved", do_moved },
    { "bind", do_bind },
    { "unbind", do_unbind },
    { "newest", do_newest },
    { "instance", do_instance },
    { "register", do_register },
    { "progress", do_progress },
    { "detect", do_detect },
    { "address", do_address },
    { "own", do_own },
    { "has", do_has },
    { "denied", do_denied },
    { "vm", do_vm },
    { "events", do_events },
    { "watch", do_watch },
    { "list", do_list },
};

static void
run_command(struct driver *driver)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(commands[i].name, arg(driver, 0))) {
            commands[i].func(driver);
            return;
        }
    }
    printf("unknown command\n");
}

int
main(int argc, char *argv[])
{
    char line[1024];

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
    if (argc < 2) {
        ovs_fatal(0, "usage: %s REMOTE [HOST [KEY CERTIFICATE CA]]", argv[0]);
    }
    if (argc > 5) {
        tls_load(&(struct tls_files) { argv[3], argv[4], argv[5] });
    }
    struct driver driver = {
        .store = store_create(argv[1], argc > 2 ? argv[2] : NULL),
    };

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        char *save = NULL;

        driver.n_args = 0;
        for (char *word = strtok_r(line, " \n", &save);
             word && driver.n_args < MAX_ARGS;
             word = strtok_r(NULL, " \n", &save)) {
            driver.args[driver.n_args++] = word;
        }
        run_command(&driver);
        fflush(stdout);
    }
    store_destroy(driver.store);
    return 0;
}
