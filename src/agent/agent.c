#include <config.h>

/* watari-agent: controller of this host's switch, keeper of its VMs.
 *
 * It talks to the store, to its switch (OpenFlow, and the switch's database),
 * to QEMU, and to other agents.  Who it is, the store says: what needs to know
 * that (the engine, the edge, the channel) begins when the store has a Host
 * row of its name. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon.h"
#include "fatal-signal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "svec.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "uuid.h"

#include "agent/faults.h"
#include "agent/options.h"
#include "agent/show.h"
#include "base/hangup.h"
#include "core/flow-table.h"
#include "edge/edge.h"
#include "engine/engine.h"
#include "engine/fault.h"
#include "hypervisor/hypervisor.h"
#include "mobility/datapath.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/events.h"
#include "store/hosts.h"
#include "store/store.h"

VLOG_DEFINE_THIS_MODULE(agent);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 60);

#define HOLD_TAP "watari-hold"
#define PRIORITY -10            /* As the switch's. */

static void agent_exit(struct unixctl_conn *, int argc, const char *argv[],
                       void *exiting);

static void OVS_NO_RETURN
die(const struct err *err)
{
    VLOG_ERR("%s", err->text);
    ovs_fatal(0, "%s", err->text);
}

/* The clocks are read here and nowhere below. */
static struct engine_time
read_clocks(void)
{
    struct timespec mono, wall;

    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct engine_time) {
        .mono_us = mono.tv_sec * 1000000LL + mono.tv_nsec / 1000,
        .wall_us = wall.tv_sec * 1000000LL + wall.tv_nsec / 1000,
    };
}

/* Beginning. */

static struct hypervisor *
open_hypervisor(const struct options *o)
{
    char *run_dir = xasprintf("%s/vms", o->run_dir);
    struct hypervisor_config config = {
        .run_dir = run_dir,
        .host = o->name,
        .user = o->qemu_user,
        .accelerator = options_accels[o->accel],
        .image_dir = o->image_dir,
        .address = o->address,
        .watchdog = o->watchdog,
        .tls = tls_is_on(&o->tls),
    };
    struct hypervisor *hypervisor;
    struct err err;

    if (mkdir(run_dir, 0711) && errno != EEXIST) {
        err_set(&err, errno, "cannot make %s: %s; is --run-dir right?",
                run_dir, ovs_strerror(errno));
        die(&err);
    }
    if (hypervisor_open("qemu", &config, &hypervisor, &err)) {
        die(&err);
    }
    free(run_dir);
    return hypervisor;
}

/* Puts ourselves into the store, as soon as that knows our site. */
static void
register_host(struct agent *a)
{
    enum write_result result = write_result(a->store, a->registered, NULL);

    if (!store_is_connected(a->store)
        || (a->registered
            && (result == WRITE_PENDING || result == WRITE_DONE
                || a->registered_seqno == store_seqno(a->store)))) {
        return;
    }
    a->registered_seqno = store_seqno(a->store);

    const struct options *o = a->options;
    struct host host = {
        .addresses = o->wan,
        .memory_mib = o->memory_mib,
    };
    struct smap facts = SMAP_CONST1(&facts, "agent", WATARI_VERSION);
    const char *port = strchr(o->channel, ':');

    ovs_strlcpy(host.name, o->name, sizeof host.name);
    ovs_strlcpy(host.site_name, o->site, sizeof host.site_name);
    snprintf(host.channel, sizeof host.channel,
             strchr(o->address, ':') ? "%s:[%s]:%d" : "%s:%s:%d",
             tls_is_on(&o->tls) ? "ssl" : "tcp", o->address,
             port ? atoi(port + 1) : CHANNEL_PORT);
    a->registered = hosts_put(a->store, &host, &facts);
}

static void
begin(struct agent *a)
{
    const struct options *o = a->options;
    char *journal = xasprintf("%s/migrations", o->run_dir);
    char *keeper = xasprintf("%s/keeper", o->run_dir);
    char *frames = xasprintf("%s", o->channel);
    struct err err;

    /* Frames on the port behind that of messages. */
    char *colon = strchr(frames, ':');
    char *rest = strchr(colon + 1, ':');
    char *listen_frames = xasprintf("%.*s:%d%s", (int) (colon - frames),
                                    frames, atoi(colon + 1) + 1,
                                    rest ? rest : "");

    a->host = *store_host(a->store);
    struct channel_config channel = {
        .host = a->host,
        .name = o->name,
        .listen = o->channel,
        .listen_frames = listen_frames,
    };
    if (channel_create(&channel, &a->channel, &err)) {
        die(&err);
    }

    struct edge_config edge = {
        .host = a->host,
        .wan_interface = o->wan_interface,
        .wan = o->wan,
        .router = o->router,
        .store = a->store,
        .datapath = a->datapath,
        .of_switch = a->of_switch,
        .bridge = a->bridge,
    };
    a->edge = edge_create(&edge);

    struct engine_config engine = {
        .host = a->host,
        .name = o->name,
        .journal_dir = journal,
        .hold_tap = HOLD_TAP,
        .keeper = o->keeper,
        .keeper_socket = keeper,
        .hypervisor = a->hypervisor,
        .channel = a->channel,
        .store = a->store,
        .datapath = a->datapath,
        .of_switch = a->of_switch,
        .bridge = a->bridge,
        .memory_mib = o->memory_mib,
        .fault = a->fault,
    };
    if (engine_create(&engine, &a->engine, &err)) {
        die(&err);
    }
    free(keeper);
    free(listen_frames);
    free(frames);
    VLOG_INFO("%s is host "UUID_FMT, o->name, UUID_ARGS(&a->host));
}

static void
agent_init(struct agent *a)
{
    a->store = store_create(a->options->store, a->options->name);
    a->datapath = datapath_create();
    a->of_switch = of_switch_create(a->options->switch_mgmt,
                                    datapath_flows(a->datapath));
    a->bridge = bridge_create(a->options->switch_db, a->options->bridge);
    a->hypervisor = open_hypervisor(a->options);
    a->fault = a->options->test_faults ? fault_create() : NULL;
}

static void
agent_finish(struct agent *a)
{
    engine_destroy(a->engine);
    fault_destroy(a->fault);
    edge_destroy(a->edge);
    channel_destroy(a->channel);
    hypervisor_close(a->hypervisor);
    bridge_destroy(a->bridge);
    of_switch_destroy(a->of_switch);
    datapath_destroy(a->datapath);
    store_destroy(a->store);
}

/* Running. */

static void
tell_notes(struct agent *a, long long wall_ms)
{
    struct engine_note *note;

    while ((note = engine_next_note(a->engine))) {
        VLOG_RL(&rl, note->bad ? VLL_WARN : VLL_INFO, "%s", note->text);
        events_add(a->store, note->kind, note->object, note->text, wall_ms);
        free(note);
    }
}

/* The channel speaks to those that the store knows. */
static void
tell_channel_hosts(struct agent *a)
{
    if (a->hosts_seqno == store_seqno(a->store)
        || !store_is_connected(a->store)) {
        return;
    }
    a->hosts_seqno = store_seqno(a->store);

    struct host *hosts;
    size_t n = hosts_list(a->store, &hosts);
    struct channel_host *known = xcalloc(n + 1, sizeof *known);
    for (size_t i = 0; i < n; i++) {
        known[i].uuid = hosts[i].uuid;
        ovs_strlcpy(known[i].name, hosts[i].name, sizeof known[i].name);
    }
    channel_set_hosts(a->channel, known, n);
    free(known);
    free(hosts);
}

static void
tell_refusals(struct agent *a, long long wall_ms)
{
    char *text;

    while ((text = channel_next_refusal(a->channel))) {
        VLOG_WARN("%s", text);
        events_add(a->store, "host", a->options->name, text, wall_ms);
        free(text);
    }
}

/* What the store does not permit. */
static void
tell_denials(struct agent *a, long long wall_ms)
{
    char *text;

    while ((text = write_next_denial(a->store))) {
        VLOG_WARN("%s", text);
        events_add(a->store, "access", a->options->name, text, wall_ms);
        free(text);
    }
}

static void
agent_run(struct agent *a)
{
    struct engine_time now = read_clocks();
    long long now_ms = now.mono_us / 1000, wall_ms = now.wall_us / 1000;

    hypervisor_run(a->hypervisor, now_ms);
    if (a->channel) {
        channel_run(a->channel, now.mono_us, now.wall_us);
        tell_refusals(a, wall_ms);
    }
    of_switch_run(a->of_switch, now_ms);
    if (a->engine) {
        engine_run(a->engine, now);
        a->seen_store = store_seqno(a->store);
        a->seen_bridge = bridge_seqno(a->bridge);
        of_switch_run(a->of_switch, now_ms);    /* Sends what is new. */
    }

    store_run(a->store, now_ms);
    tell_denials(a, wall_ms);
    bridge_run(a->bridge);
    register_host(a);
    if (!a->engine && store_is_connected(a->store)
        && store_host(a->store)) {
        begin(a);
    }
    if (a->channel) {
        tell_channel_hosts(a);
    }
    if (a->engine) {
        edge_run(a->edge, now_ms, wall_ms);
        tell_notes(a, wall_ms);
        if (!a->complete && edge_is_complete(a->edge)
            && engine_is_complete(a->engine)) {
            a->complete = true;
            of_switch_set_complete(a->of_switch);
        }
    }
}

static void
agent_wait(struct agent *a)
{
    hypervisor_wait(a->hypervisor);
    of_switch_wait(a->of_switch);
    bridge_wait(a->bridge);
    store_wait(a->store);
    if (a->engine) {
        /* The engine runs before the two that tell it what has changed. */
        if (a->seen_store != store_seqno(a->store)
            || a->seen_bridge != bridge_seqno(a->bridge)) {
            poll_immediate_wake();
        }
        channel_wait(a->channel, read_clocks().mono_us);
        edge_wait(a->edge);
        engine_wait(a->engine);
    }
}

static void
warn_of_expiry(const struct agent *a)
{
    struct err err;

    if (tls_check_time(&a->options->tls, time_wall(), &err)) {
        VLOG_WARN("%s", err.text);
    }
}

/* Reads the file again. */
static void
reload(struct agent *a)
{
    uint64_t memory_mib = a->options->memory_mib;
    struct svec said = SVEC_EMPTY_INITIALIZER;
    bool good = !settings_reload(a->settings, &said);
    const char *sentence;
    size_t i;

    SVEC_FOR_EACH (i, sentence, &said) {
        VLOG(good ? VLL_INFO : VLL_ERR, "%s", sentence);
    }
    svec_destroy(&said);
    vlog_reopen_log_file();
    warn_of_expiry(a);
    if (a->options->memory_mib != memory_mib) {
        a->registered = 0;      /* Its row says it. */
        if (a->engine) {
            engine_set_memory(a->engine, a->options->memory_mib);
        }
    }
}

static void
agent_exit(struct unixctl_conn *conn, int argc OVS_UNUSED,
           const char *argv[] OVS_UNUSED, void *exiting)
{
    *(bool *) exiting = true;
    unixctl_command_reply(conn, NULL);
}

int
main(int argc, char *argv[])
{
    struct unixctl_server *unixctl;
    struct agent agent = { .host = UUID_ZERO };
    bool exiting = false;

    set_program_name(argv[0]);
    agent.settings = settings_create(&options_class, argc, argv);
    agent.options = settings_values(agent.settings);
    fatal_ignore_sigpipe();
    hangup_init();
    /* Held packets wait for us.  Whoever may not raise its priority has been
     * given one by its service manager, or does without. */
    setpriority(PRIO_PROCESS, 0, PRIORITY);
    daemonize_start(true);
    if (unixctl_server_create(agent.options->unixctl, &unixctl)) {
        exit(EXIT_FAILURE);
    }
    unixctl_command_register("exit", "", 0, 0, agent_exit, &exiting);
    show_init(&agent);
    faults_init(&agent);
    agent_init(&agent);
    warn_of_expiry(&agent);
    daemonize_complete();

    while (!exiting) {
        if (hangup_poll()) {
            reload(&agent);
        }
        agent_run(&agent);
        unixctl_server_run(unixctl);
        agent_wait(&agent);
        unixctl_server_wait(unixctl);
        hangup_wait();
        if (exiting) {
            poll_immediate_wake();
        }
        poll_block();
    }
    agent_finish(&agent);
    settings_destroy(agent.settings);
    unixctl_server_destroy(unixctl);
    return 0;
}
