#include <config.h>

#include "lab/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/process.h"
#include "lab/certificates.h"
#include "lab/machine.h"
#include "lab/network.h"
#include "lab/plan.h"

#define VSWITCH_SCHEMA "/usr/share/openvswitch/vswitch.ovsschema"
#define TOOL_TIMEOUT_MS 30000
#define SOCKET_TIMEOUT_MS 15000
#define SOCKET_POLL_MS 10
#define LOG_TAIL 600            /* Bytes. */

/* A cluster's servers share few processors; soon enough for a lab. */
#define ELECTION_TIMER_MS 2000

/* A switch that has to wait for a processor loses packets. */
#define SWITCH_NICE -10

/* What labs run that is not ours. */
static const struct {
    const char *program, *package;
    bool is_network;
} tools[] = {
    { "ip", "iproute2", true },
    { "ovsdb-client", "openvswitch-common", true },
    { "ovsdb-tool", "openvswitch-common", true },
    { "ovsdb-server", "openvswitch-switch", true },
    { "ovs-vswitchd", "openvswitch-switch", true },
    { "ovs-vsctl", "openvswitch-switch", true },
    { "qemu-system-x86_64", "qemu-system-x86", false },
};

static bool
is_in_path(const char *program)
{
    const char *path = getenv("PATH");
    char *copy = xstrdup(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    char *save = NULL;
    bool found = false;

    for (char *dir = strtok_r(copy, ":", &save); dir && !found;
         dir = strtok_r(NULL, ":", &save)) {
        char *file = xasprintf("%s/%s", dir, program);

        found = !access(file, X_OK);
        free(file);
    }
    free(copy);
    return found;
}

int
parts_check(const struct labfile *file, bool only_network, struct err *err)
{
    static const char *const ours[] = {
        "watari-manager", "watari-agent", "mini/vmlinuz"
    };
    char *path;

    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        if ((tools[i].is_network || !only_network)
            && !is_in_path(tools[i].program)) {
            return err_set(err, ENOENT, "%s is not installed; try apt-get "
                           "install %s", tools[i].program, tools[i].package);
        }
    }
    if (file->links.n) {
        int error = machine_find("watari-wire", &path, err);
        if (error) {
            return error;
        }
        free(path);
    }
    for (size_t i = 0; !only_network && i < ARRAY_SIZE(ours); i++) {
        int error = machine_find(ours[i], &path, err);
        if (error) {
            return error;
        }
        free(path);
    }
    return 0;
}

static void __attribute__((format(printf, 2, 3)))
add_arg(struct svec *argv, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    svec_add_nocopy(argv, xvasprintf(format, args));
    va_end(args);
}

/* A part of 'node', in its namespace, which is to run 'program'. */
static struct state_process *
add_part(struct state *state, const char *node, const char *part,
         const char *program)
{
    struct state_process *process = state_add_process(state, node, part);
    char netns[PLAN_NETNS_LEN];

    process->netns = xstrdup(plan_netns(state->lab, node, netns));
    process->output = xasprintf("%s/%s/%s.log", state->dir, node, part);
    svec_add(&process->argv, program);
    return process;
}

/* The options that all programs made with libopenvswitch have. */
static void
add_daemon_args(struct state *state, struct state_process *process)
{
    add_arg(&process->argv, "--pidfile=%s/%s/%s.pid", state->dir,
            process->node, process->part);
    add_arg(&process->argv, "--unixctl=%s/%s/%s.ctl", state->dir,
            process->node, process->part);
    add_arg(&process->argv, "--verbose=console:off");
    add_arg(&process->argv, "--verbose=syslog:off");
    add_arg(&process->argv, "--log-file=%s", process->output);
}

static bool
socket_answers(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ovs_strzcpy(sun.sun_path, path, sizeof sun.sun_path);
    bool ok = fd >= 0 && !connect(fd, (struct sockaddr *) &sun, sizeof sun);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* Waits until 'process' accepts connections on unix socket 'file'. */
static int
wait_socket(struct state *state, const struct state_process *process,
            const char *file, struct err *err)
{
    char *path = state_path(state, process->node, file);
    int error = ETIMEDOUT;

    for (int ms = 0; ms < SOCKET_TIMEOUT_MS; ms += SOCKET_POLL_MS) {
        if (socket_answers(path)) {
            error = 0;
            break;
        }
        if (!process_is_alive(&process->id)) {
            error = ECHILD;
            break;
        }
        usleep(SOCKET_POLL_MS * 1000);
    }
    free(path);
    return error ? err_set(err, error, "%s on %s %s", process->part,
                           process->node, error == ECHILD ? "has ended"
                           : "does not answer") : 0;
}

/* Waits until the first line of 'process' is "ready". */
static int
wait_ready(const struct state_process *process, struct err *err)
{
    int error = ETIMEDOUT;

    for (int ms = 0; ms < SOCKET_TIMEOUT_MS; ms += SOCKET_POLL_MS) {
        char *log = parts_read_log(process);
        bool ready = !strncmp(log, "ready", 5);

        free(log);
        if (ready) {
            error = 0;
            break;
        }
        if (!process_is_alive(&process->id)) {
            error = ECHILD;
            break;
        }
        usleep(SOCKET_POLL_MS * 1000);
    }
    return error ? err_set(err, error, "%s on %s %s", process->part,
                           process->node, error == ECHILD ? "has ended"
                           : "does not get ready") : 0;
}

/* Runs a tool; 'argv' is destroyed. */
static int
run_tool(struct svec *argv, const char *netns, struct err *err)
{
    svec_terminate(argv);

    struct process_spec spec = { .argv = argv->names, .netns = netns };
    int error = process_run(&spec, NULL, TOOL_TIMEOUT_MS, NULL, err);
    svec_destroy(argv);
    return error;
}

static int
start_wire(struct state *state, const struct labfile_link *link,
           struct err *err)
{
    char node[LAB_NAME_LEN + 8];
    char *program;

    int error = machine_find("watari-wire", &program, err);
    if (error) {
        return error;
    }
    snprintf(node, sizeof node, "%s-wire", link->item.name);

    struct state_process *process = add_part(state, node, "wire", program);
    free(program);
    struct ds spec = DS_EMPTY_INITIALIZER;
    ds_put_format(&spec, "delay=%"PRIu64"us,jitter=%"PRIu64"us,"
                  "loss=%"PRIu64".%04d%%", link->delay_us, link->jitter_us,
                  link->loss_ppm / 10000, (int) (link->loss_ppm % 10000));
    if (link->rate) {
        ds_put_format(&spec, ",rate=%.3fkbit", link->rate / 1e3);
    }
    add_arg(&process->argv, "--there");
    add_arg(&process->argv, "%s", ds_cstr(&spec));
    add_arg(&process->argv, "--back");
    add_arg(&process->argv, "%s", ds_cstr(&spec));
    add_arg(&process->argv, "--control");
    add_arg(&process->argv, "%s/%s/control", state->dir, node);
    add_arg(&process->argv, "site");
    add_arg(&process->argv, "core");
    process->nice = SWITCH_NICE;
    ds_destroy(&spec);
    error = state_start(state, process, -1, err);
    return error ? error : wait_ready(process, err);
}

/* With netem, the frames go through a bridge between the two interfaces,
 * each of which delays what it sends. */
static int
start_netem(struct state *state, const struct labfile_link *link,
            struct err *err)
{
    char node[LAB_NAME_LEN + 8], netns[PLAN_NETNS_LEN];
    const char *devices[] = { "site", "core" };
    int error = 0;

    snprintf(node, sizeof node, "%s-wire", link->item.name);
    plan_netns(state->lab, node, netns);

    char *bridge[] = { "ip", "link", "add", "name", "wire", "type", "bridge",
                       "forward_delay", "0", "mcast_snooping", "0", NULL };
    char *up[] = { "ip", "link", "set", "wire", "up", NULL };
    struct process_spec spec = { .argv = bridge, .netns = netns };
    error = process_run(&spec, NULL, TOOL_TIMEOUT_MS, NULL, err);
    spec.argv = up;
    error = error ? error : process_run(&spec, NULL, TOOL_TIMEOUT_MS, NULL,
                                        err);
    for (size_t i = 0; !error && i < ARRAY_SIZE(devices); i++) {
        struct svec argv = SVEC_EMPTY_INITIALIZER;

        svec_parse_words(&argv, "ip link set dev");
        add_arg(&argv, "%s", devices[i]);
        add_arg(&argv, "master");
        add_arg(&argv, "wire");
        error = run_tool(&argv, netns, err);
        if (error) {
            break;
        }
        svec_init(&argv);
        svec_parse_words(&argv, "tc qdisc add dev");
        add_arg(&argv, "%s", devices[i]);
        svec_parse_words(&argv, "root netem limit 100000 delay");
        add_arg(&argv, "%"PRIu64"us", link->delay_us);
        add_arg(&argv, "%"PRIu64"us", link->jitter_us);
        add_arg(&argv, "loss");
        add_arg(&argv, "%g%%", link->loss_ppm / 1e4);
        if (link->rate) {
            add_arg(&argv, "rate");
            add_arg(&argv, "%"PRIu64"bit", link->rate);
        }
        error = run_tool(&argv, netns, err);
    }
    return error;
}

int
parts_start_links(const struct labfile *file, struct state *state,
                  struct err *err)
{
    const struct labfile_link *link;
    char netns[PLAN_NETNS_LEN];
    int error = 0;

    if (!file->links.n) {
        return 0;
    }
    bool netem = network_has_netem(plan_netns(state->lab, "core", netns));
    YAML_MAP_FOR_EACH (link, &file->links) {
        error = error ? error : netem ? start_netem(state, link, err)
                : start_wire(state, link, err);
    }
    return error;
}

static int
start_switch_db(struct state *state, const char *host,
                struct state_process **processp, struct err *err)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;

    add_arg(&argv, "ovsdb-tool");
    add_arg(&argv, "create");
    add_arg(&argv, "%s/%s/conf.db", state->dir, host);
    add_arg(&argv, "%s", VSWITCH_SCHEMA);
    int error = run_tool(&argv, NULL, err);
    if (error) {
        return error;
    }

    struct state_process *process = add_part(state, host, "switch-db",
                                             "ovsdb-server");
    add_arg(&process->argv, "%s/%s/conf.db", state->dir, host);
    add_arg(&process->argv, "--remote=punix:%s/%s/db.sock", state->dir, host);
    add_daemon_args(state, process);
    add_arg(&process->env, "OVS_RUNDIR=%s/%s", state->dir, host);
    *processp = process;
    return state_start(state, process, -1, err);
}

static int
start_switch(struct state *state, const char *host, struct err *err)
{
    struct state_process *process = add_part(state, host, "switch",
                                             "ovs-vswitchd");

    add_arg(&process->argv, "unix:%s/%s/db.sock", state->dir, host);
    add_arg(&process->argv, "--disable-system");
    add_daemon_args(state, process);
    add_arg(&process->env, "OVS_RUNDIR=%s/%s", state->dir, host);
    add_arg(&process->env, "OVS_LOGDIR=%s/%s", state->dir, host);
    process->nice = SWITCH_NICE;
    return state_start(state, process, -1, err);
}

/* Begins a command to the switch of 'host'. */
static void
begin_vsctl(const struct state *state, const char *host, struct svec *argv)
{
    svec_init(argv);
    add_arg(argv, "ovs-vsctl");
    add_arg(argv, "--timeout=20");
    add_arg(argv, "--db=unix:%s/%s/db.sock", state->dir, host);
}

/* One handler and one revalidator: a lab's switches share few processors. */
static int
init_switch(const struct state *state, const char *host, struct err *err)
{
    struct svec argv;

    begin_vsctl(state, host, &argv);
    svec_parse_words(&argv, "--no-wait init -- set Open_vSwitch . "
                     "other_config:n-handler-threads=1 "
                     "other_config:n-revalidator-threads=1 "
                     "other_config:vlan-limit=0 "
                     "-- add-br br0 "
                     "-- set bridge br0 datapath_type=netdev "
                     "fail_mode=secure "
                     "protocols=OpenFlow13,OpenFlow14,OpenFlow15 "
                     "-- add-port br0 wan");
    return run_tool(&argv, NULL, err);
}

static int
wait_switch(const struct state *state, const char *host, struct err *err)
{
    struct svec argv;

    begin_vsctl(state, host, &argv);
    add_arg(&argv, "wait-until");
    add_arg(&argv, "interface");
    add_arg(&argv, "wan");
    add_arg(&argv, "ofport>0");
    int error = run_tool(&argv, NULL, err);
    return error ? err_add(err, error, "switch on %s", host) : 0;
}

int
parts_start_switches(const struct labfile *file, struct state *state,
                     struct err *err)
{
    const struct labfile_site *site;
    struct svec hosts = SVEC_EMPTY_INITIALIZER;
    int error = 0;

    YAML_MAP_FOR_EACH (site, &file->sites) {
        for (size_t i = 0; i < site->hosts.n; i++) {
            svec_add(&hosts, site->hosts.items[i]);
        }
    }
    for (size_t i = 0; !error && i < hosts.n; i++) {
        const char *host = hosts.names[i];
        struct state_process *db;

        error = start_switch_db(state, host, &db, err);
        error = error ? error : wait_socket(state, db, "db.sock", err);
        error = error ? error : init_switch(state, host, err);
        error = error ? error : start_switch(state, host, err);
    }
    for (size_t i = 0; !error && i < hosts.n; i++) {
        error = wait_switch(state, hosts.names[i], err);
    }
    svec_destroy(&hosts);
    return error;
}

/* The address at which the store's other servers reach the i-th one. */
static char *
raft_address(const struct labfile *file, const struct state *state, size_t i)
{
    char addr[ADDR_STRLEN];

    return (plan_n_stores(file) > 1
            ? xasprintf("%s:%s:%d", state->tls ? "ssl" : "tcp",
                        plan_store_address(file, i, addr), PLAN_RAFT_PORT)
            : xasprintf("unix:%s/store/raft.sock", state->dir));
}

/* Makes the i-th server's database: the first one's has the schema. */
static int
create_store_db(const struct labfile *file, const struct state *state,
                size_t i, struct err *err)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    char *own = raft_address(file, state, i);
    char *first = raft_address(file, state, 0);
    char node[PLAN_STORE_LEN], *schema = NULL;
    int error = 0;

    plan_store(i, node);
    if (!i) {
        error = machine_find("schema/watari.ovsschema", &schema, NULL);
        error = error ? machine_find("watari.ovsschema", &schema, err) : 0;
    }
    if (!error) {
        add_arg(&argv, "ovsdb-tool");
        if (!i && plan_n_stores(file) > 1) {
            add_arg(&argv, "--election-timer=%d", ELECTION_TIMER_MS);
        }
        add_arg(&argv, i ? "join-cluster" : "create-cluster");
        add_arg(&argv, "%s/%s/store.db", state->dir, node);
        add_arg(&argv, "%s", i ? "Watari" : schema);
        add_arg(&argv, "%s", own);
        if (i) {
            add_arg(&argv, "%s", first);
        }
        error = run_tool(&argv, NULL, err);
    }
    free(schema);
    free(first);
    free(own);
    return error;
}

static int
start_store(const struct labfile *file, struct state *state, size_t i,
            struct err *err)
{
    char addr[ADDR_STRLEN], node[PLAN_STORE_LEN];

    int error = create_store_db(file, state, i, err);
    if (error) {
        return error;
    }

    struct state_process *process = add_part(state, plan_store(i, node),
                                             "store", "ovsdb-server");
    add_arg(&process->argv, "%s/%s/store.db", state->dir, node);
    add_arg(&process->argv, "--remote=punix:%s/%s/db.sock", state->dir,
            node);
    if (state->tls) {
        /* For agents, each to its own rows: see store/access.h. */
        add_arg(&process->argv, "--remote=db:Watari,Global,connections");
    } else {
        add_arg(&process->argv, "--remote=ptcp:%d:%s", PLAN_STORE_PORT,
                plan_store_address(file, i, addr));
    }
    certificates_add_args(state, "store", &process->argv);
    add_daemon_args(state, process);
    add_arg(&process->env, "OVS_RUNDIR=%s/%s", state->dir, node);
    error = state_start(state, process, -1, err);
    return error ? error : wait_socket(state, process, "db.sock", err);
}

/* Waits until the server has joined the cluster. */
static int
wait_joined(struct state *state, size_t i, struct err *err)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;
    char node[PLAN_STORE_LEN];

    add_arg(&argv, "ovsdb-client");
    add_arg(&argv, "--timeout=%d", TOOL_TIMEOUT_MS / 1000);
    add_arg(&argv, "wait");
    add_arg(&argv, "unix:%s/%s/db.sock", state->dir, plan_store(i, node));
    add_arg(&argv, "Watari");
    add_arg(&argv, "connected");
    int error = run_tool(&argv, NULL, err);
    return error ? err_add(err, error, "%s does not join", node) : 0;
}

int
parts_start_store(const struct labfile *file, struct state *state,
                  struct err *err)
{
    size_t n = plan_n_stores(file);
    int error = 0;

    for (size_t i = 0; i < n && !error; i++) {
        error = start_store(file, state, i, err);
    }
    for (size_t i = 0; n > 1 && i < n && !error; i++) {
        error = wait_joined(state, i, err);
    }
    return error;
}

/* All servers of the store. */
static char *
store_remote(const struct labfile *file, const struct state *state)
{
    struct ds remote = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < plan_n_stores(file); i++) {
        char addr[ADDR_STRLEN];

        ds_put_format(&remote, "%s%s:%s:%d", i ? "," : "",
                      state->tls ? "ssl" : "tcp",
                      plan_store_address(file, i, addr), PLAN_STORE_PORT);
    }
    return ds_steal_cstr(&remote);
}

/* Adds "--option value". */
static void
add_option(struct svec *argv, const char *option, const char *value)
{
    svec_add(argv, option);
    svec_add(argv, value);
}

/* A manager may write everything, so it has doors that have no certificate.
 * In other labs its way to the store crosses the emulated links. */
static void
add_manager_store(const struct labfile *file, const struct state *state,
                  struct svec *argv)
{
    struct ds remote = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; state->tls && i < plan_n_stores(file); i++) {
        char node[PLAN_STORE_LEN];

        ds_put_format(&remote, "%sunix:%s/%s/db.sock", i ? "," : "",
                      state->dir, plan_store(i, node));
    }
    char *text = state->tls ? ds_steal_cstr(&remote)
        : store_remote(file, state);
    add_option(argv, "--store", text);
    if (state->tls) {
        add_arg(argv, "--agents=pssl:%d", PLAN_STORE_PORT);
    }
    free(text);
}

int
parts_start_manager(const struct labfile *file, struct state *state,
                    int listener, struct err *err)
{
    char *program;

    int error = machine_find("watari-manager", &program, err);
    if (error) {
        return error;
    }

    struct state_process *process = add_part(state, "manager", "manager",
                                             program);
    add_manager_store(file, state, &process->argv);
    certificates_add_args(state, "manager", &process->argv);
    add_arg(&process->argv, "--unix");
    add_arg(&process->argv, "%s/manager/manager.sock", state->dir);
    add_option(&process->argv, "--listen-fd", "3");
    add_arg(&process->argv, "--token-file");
    add_arg(&process->argv, "%s/token", state->dir);
    add_daemon_args(state, process);
    process->listens = true;
    free(program);
    error = state_start(state, process, listener, err);
    return error ? error : wait_socket(state, process, "manager.sock", err);
}

/* The user that QEMU runs as. */
static const char *
qemu_user(void)
{
    return getpwnam("watari-qemu") ? "watari-qemu" : "nobody";
}

static void
add_address_args(struct svec *argv, const struct labfile_site *site,
                 unsigned int n)
{
    char text[ADDR_STRLEN];

    add_option(argv, "--wan-interface", "wan");
    ADDR_FOR_EACH_FAMILY (family) {
        struct in6_addr own = labfile_wan_address(site, family, n);
        struct in6_addr router = labfile_wan_address(site, family, 0);

        if (!addr_is_none(&own)) {
            add_option(argv, "--wan-address", addr_format(&own, text));
            add_option(argv, "--router", addr_format(&router, text));
        }
    }
}

/* What all agents of a lab have in common. */
struct agent_kind {
    char *program, *images;
    bool test_faults;
};

static int
start_agent(const struct labfile *file, struct state *state,
            const struct labfile_site *site, unsigned int n,
            const struct agent_kind *kind, struct err *err)
{
    const char *host = site->hosts.items[n - 1];
    struct state_process *process = add_part(state, host, "agent",
                                             kind->program);
    struct svec *argv = &process->argv;
    char addr[ADDR_STRLEN];
    char *remote = store_remote(file, state);

    plan_mgmt(plan_site_number(file, site->item.name), n + 1, addr);
    add_option(argv, "--name", host);
    add_option(argv, "--store", remote);
    add_arg(argv, "--run-dir");
    add_arg(argv, "%s/%s", state->dir, host);
    add_option(argv, "--bridge", "br0");
    add_arg(argv, "--switch-db");
    add_arg(argv, "unix:%s/%s/db.sock", state->dir, host);
    add_option(argv, "--address", addr);
    add_arg(argv, "--channel");
    add_arg(argv, "%s:%d:%s", state->tls ? "pssl" : "ptcp",
            PLAN_CHANNEL_PORT, addr);
    certificates_add_args(state, host, argv);
    add_option(argv, "--site", site->item.name);
    add_address_args(argv, site, n);
    add_option(argv, "--image-dir", kind->images);
    add_option(argv, "--qemu-user", qemu_user());
    add_option(argv, "--accel", "auto");
    if (kind->test_faults) {
        add_arg(argv, "--test-faults");
    }
    add_daemon_args(state, process);
    free(remote);
    return state_start(state, process, -1, err);
}

int
parts_start_agents(const struct labfile *file, struct state *state,
                   bool test_faults, struct err *err)
{
    struct agent_kind kind = { .test_faults = test_faults };
    const struct labfile_site *site;

    int error = machine_find("watari-agent", &kind.program, err);
    if (error) {
        return error;
    }
    error = machine_find("mini/vmlinuz", &kind.images, err);
    if (error) {
        free(kind.program);
        return error;
    }
    *strrchr(kind.images, '/') = '\0';
    YAML_MAP_FOR_EACH (site, &file->sites) {
        for (unsigned int n = 1; !error && n <= site->hosts.n; n++) {
            error = start_agent(file, state, site, n, &kind, err);
        }
    }
    free(kind.images);
    free(kind.program);
    return error;
}

int
parts_add_port(const struct state *state,
               const struct labfile_endpoint *endpoint,
               const char *interface, struct err *err)
{
    char port[PLAN_IFNAME_LEN];
    struct svec argv;

    begin_vsctl(state, endpoint->host, &argv);
    plan_ifname("e-", endpoint->item.name, port);
    svec_parse_words(&argv, "--may-exist add-port br0");
    add_arg(&argv, "%s", port);
    svec_parse_words(&argv, "-- set interface");
    add_arg(&argv, "%s", port);
    if (interface) {
        add_arg(&argv, "external_ids:iface-id=%s", interface);
    } else {
        add_arg(&argv, "external_ids:watari-network=%s", endpoint->network);
    }
    int error = run_tool(&argv, NULL, err);
    return error ? err_add(err, error, "port of %s", endpoint->item.name) : 0;
}

int
parts_restart(struct state *state, struct state_process *process,
              struct err *err)
{
    int listener = -1;

    int error = process_end(&process->id, 5000, err);
    if (!error && process->listens && state->listen) {
        unsigned int port = atoi(strrchr(state->listen, ':') + 1), actual;

        error = machine_listen(port, &listener, &actual, err);
        if (!error && actual != port) {
            error = err_set(err, EADDRINUSE, "%s is in use by somebody else",
                            state->listen);
        }
    }
    error = error ? error : state_start(state, process, listener, err);
    if (listener >= 0) {
        close(listener);
    }
    return error;
}

const struct state_process *
parts_find_dead(const struct state *state)
{
    for (size_t i = 0; i < state->n_processes; i++) {
        const struct state_process *process = state->processes[i];

        if (process->id.pid && !process_is_alive(&process->id)) {
            return process;
        }
    }
    return NULL;
}

char *
parts_read_log(const struct state_process *process)
{
    char *text = xzalloc(LOG_TAIL + 1);
    int fd = open(process->output, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        off_t size = lseek(fd, 0, SEEK_END);
        off_t from = MAX(size - LOG_TAIL, 0);
        ssize_t n = pread(fd, text, LOG_TAIL, from);
        text[MAX(n, 0)] = '\0';
        close(fd);

        char *line = from ? strchr(text, '\n') : NULL;
        if (line) {
            memmove(text, line + 1, strlen(line));
        }
    }
    return text;
}
