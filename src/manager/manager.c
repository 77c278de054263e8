/* watari-manager: REST API, events, and order in the store.
 *
 * Every manager answers requests, since all truth is in the store; the one
 * that has the lock does what only one should do.  VMs do not need it: if
 * all managers are gone, they keep talking, and migrations end. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "fatal-signal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "svec.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

#include "api/api.h"
#include "base/hangup.h"
#include "manager/housekeeping.h"
#include "manager/options.h"
#include "store/store.h"

VLOG_DEFINE_THIS_MODULE(manager);

#define LOCK_NAME "watari_manager"

struct manager {
    struct settings *settings;
    const struct options *options;      /* Their values. */
    struct store *store;
    struct store_lock *lock;
    struct api *api;
    struct unixctl_server *unixctl;
    struct housekeeping housekeeping;
    bool active;
    bool connected;
    bool exiting;
};

static void
unixctl_exit(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *manager_)
{
    struct manager *manager = manager_;

    manager->exiting = true;
    unixctl_command_reply(conn, NULL);
}

static void
unixctl_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
               const char *argv[] OVS_UNUSED, void *manager_)
{
    const struct manager *manager = manager_;
    char *text = xasprintf("store: %s\nrole: %s\nwrites queued: %"PRIuSIZE,
                           store_is_connected(manager->store) ? "connected"
                           : "not connected",
                           manager->active ? "active" : "standby",
                           write_n_queued(manager->store));

    unixctl_command_reply(conn, text);
    free(text);
}

/* Reads the token of whoever comes over TCP. */
static int
read_token(const struct options *o, char token[OPTIONS_TOKEN_MAX],
           struct err *err)
{
    token[0] = '\0';
    return o->token_file ? options_read_token(o->token_file, token, err) : 0;
}

/* Reads the file again, and the token in any case. */
static void
reload(struct manager *manager)
{
    struct svec said = SVEC_EMPTY_INITIALIZER;
    char token[OPTIONS_TOKEN_MAX];
    const char *sentence;
    struct err err;
    size_t i;

    bool good = !settings_reload(manager->settings, &said);
    SVEC_FOR_EACH (i, sentence, &said) {
        VLOG(good ? VLL_INFO : VLL_ERR, "%s", sentence);
    }
    svec_destroy(&said);
    vlog_reopen_log_file();
    if (good && api_renew_tls(manager->api, &manager->options->tls, &err)) {
        VLOG_ERR("%s; the certificate that was goes on", err.text);
    }
    if (good && read_token(manager->options, token, &err)) {
        VLOG_ERR("%s; the token that was goes on", err.text);
    } else if (good) {
        api_set_token(manager->api, token);
    }
}

/* Says once when something about us changes. */
static void
log_changes(struct manager *manager)
{
    bool connected = store_is_connected(manager->store);
    bool active = store_lock_is_held(manager->lock);

    if (connected != manager->connected) {
        manager->connected = connected;
        VLOG_INFO("the store is %s", connected ? "connected"
                  : "not connected");
    }
    if (active != manager->active) {
        manager->active = active;
        VLOG_INFO("this manager is %s now", active ? "active" : "standby");
    }
}

/* A manager that came in by a door for agents may not write much. */
static void
log_denials(struct manager *manager)
{
    char *text;

    while ((text = write_next_denial(manager->store))) {
        VLOG_ERR("%s", text);
        free(text);
    }
}

static void
run(struct manager *manager)
{
    struct store_change change;
    long long now = time_msec();

    store_run(manager->store, now);
    store_lock_run(manager->lock);
    log_changes(manager);
    log_denials(manager);
    while (store_next_change(manager->store, &change)) {
        api_note_change(manager->api, &change);
    }
    api_run(manager->api, now, time_wall_msec());
    if (manager->active) {
        housekeeping_run(&manager->housekeeping, manager->store, now,
                         time_wall_msec());
    }
    unixctl_server_run(manager->unixctl);
}

static void
wait(struct manager *manager)
{
    store_wait(manager->store);
    store_lock_wait(manager->lock);
    api_wait(manager->api);
    if (manager->active) {
        housekeeping_wait(&manager->housekeeping, manager->store);
    }
    unixctl_server_wait(manager->unixctl);
}

static void
manager_init(struct manager *manager)
{
    const struct options *o = manager->options;
    char token[OPTIONS_TOKEN_MAX];
    struct api_config config = {
        .unix_path = o->unix_path,
        .listen = o->listen,
        .listen_fd = o->listen_fd ? o->listen_fd : -1,
        .token = token,
        .tls = &o->tls,
    };
    struct err err;

    if (read_token(o, token, &err)) {
        ovs_fatal(0, "%s", err.text);
    }

    /* Complaints about the addresses are for who starts us. */
    daemonize_start(false);
    manager->housekeeping.agents = o->agents;
    manager->store = store_create(o->store, NULL);
    if (api_create(manager->store, &config, &manager->api, &err)) {
        ovs_fatal(0, "%s", err.text);
    }
    manager->lock = store_lock_create(o->store, LOCK_NAME);
    if (unixctl_server_create(o->unixctl, &manager->unixctl)) {
        exit(EXIT_FAILURE);
    }
    unixctl_command_register("exit", "", 0, 0, unixctl_exit, manager);
    unixctl_command_register("manager/status", "", 0, 0, unixctl_status,
                             manager);
    daemonize_complete();
    VLOG_INFO("listening on %s %s", o->unix_path ? o->unix_path : "",
              o->listen ? o->listen
              : o->listen_fd ? "and an inherited socket" : "");
}

int
main(int argc, char *argv[])
{
    struct manager manager = { .exiting = false };

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    manager.settings = settings_create(&options_class, argc, argv);
    manager.options = settings_values(manager.settings);
    hangup_init();
    manager_init(&manager);
    while (!manager.exiting) {
        if (hangup_poll()) {
            reload(&manager);
        }
        run(&manager);
        wait(&manager);
        hangup_wait();
        poll_block();
    }
    api_destroy(manager.api);
    store_lock_destroy(manager.lock);
    store_destroy(manager.store);
    unixctl_server_destroy(manager.unixctl);
    settings_destroy(manager.settings);
    return 0;
}
