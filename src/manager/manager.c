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
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

#include "api/api.h"
#include "manager/housekeeping.h"
#include "manager/options.h"
#include "store/store.h"

VLOG_DEFINE_THIS_MODULE(manager);

#define LOCK_NAME "watari_manager"
#define TOKEN_MAX 256

struct manager {
    struct store *store;
    struct store_lock *lock;
    struct api *api;
    struct unixctl_server *unixctl;
    struct housekeeping housekeeping;
    bool active;
    bool connected;
    bool exiting;
};

/* Reads the first line of 'name' into 'token'. */
static void
read_token(const char *name, char token[TOKEN_MAX])
{
    FILE *file = fopen(name, "r");

    if (!file || !fgets(token, TOKEN_MAX, file)) {
        ovs_fatal(file ? 0 : errno, "cannot read a token from %s", name);
    }
    fclose(file);
    token[strcspn(token, "\r\n")] = '\0';
    if (strlen(token) < 16) {
        ovs_fatal(0, "%s: a token has at least 16 characters", name);
    }
}

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

static void
run(struct manager *manager)
{
    struct store_change change;
    long long now = time_msec();

    store_run(manager->store, now);
    store_lock_run(manager->lock);
    log_changes(manager);
    while (store_next_change(manager->store, &change)) {
        api_note_change(manager->api, &change);
    }
    api_run(manager->api, now, time_wall_msec());
    if (manager->active) {
        housekeeping_run(&manager->housekeeping, manager->store, now);
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

int
main(int argc, char *argv[])
{
    struct manager manager = { .exiting = false };
    char token[TOKEN_MAX] = "";
    struct options options;
    struct err err;

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    options_parse(&options, argc, argv);
    if (options.token_file) {
        read_token(options.token_file, token);
    }

    /* Complaints about the addresses are for who starts us. */
    daemonize_start(false);
    manager.store = store_create(options.store, NULL);
    struct api_config config = {
        .unix_path = options.unix_path,
        .listen = options.listen,
        .listen_fd = options.listen_fd ? atoi(options.listen_fd) : -1,
        .token = token,
    };
    if (api_create(manager.store, &config, &manager.api, &err)) {
        ovs_fatal(0, "%s", err.text);
    }
    manager.lock = store_lock_create(options.store, LOCK_NAME);
    if (unixctl_server_create(options.unixctl, &manager.unixctl)) {
        exit(EXIT_FAILURE);
    }
    unixctl_command_register("exit", "", 0, 0, unixctl_exit, &manager);
    unixctl_command_register("manager/status", "", 0, 0, unixctl_status,
                             &manager);
    daemonize_complete();
    VLOG_INFO("listening on %s %s", options.unix_path ? options.unix_path
              : "", options.listen ? options.listen
              : options.listen_fd ? "and an inherited socket" : "");

    while (!manager.exiting) {
        run(&manager);
        wait(&manager);
        poll_block();
    }
    api_destroy(manager.api);
    store_lock_destroy(manager.lock);
    store_destroy(manager.store);
    unixctl_server_destroy(manager.unixctl);
    return 0;
}
