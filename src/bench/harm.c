#include <config.h>
#include "bench/harm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "bench/arena.h"
#include "bench/interrupt.h"
#include "jsonrpc.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/state.h"
#include "openvswitch/util.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

#define TOOL_TIMEOUT_MS 5000
#define FAULT "watari/fault"
#define DEATH_TIMEOUT_MS 5000
#define DEATH_POLL_MS 2
#define ELECTION_MS 10000
#define ELECTION_POLL_MS 10

/* Before the rule that looks into the kernel's main table. */
#define RULE_PRIORITY "100"

/* Sends an order to a part's control socket. */
static int
order_part(const struct arena *arena, const char *node, const char *part,
           const char *command, int argc, char *argv[], char **reply,
           struct err *err)
{
    char *path = xasprintf(STATE_ROOT"/%s/%s/%s.ctl", arena_lab(arena), node,
                           part);
    char *result = NULL, *refusal = NULL;
    struct jsonrpc *rpc;

    int error = unixctl_client_create(path, &rpc);
    if (!error) {
        error = unixctl_client_transact(rpc, command, argc, argv, &result,
                                        &refusal);
        jsonrpc_close(rpc);
    }
    if (error) {
        err_set(err, error, "%s: %s", path, ovs_retval_to_string(error));
        error = error > 0 ? error : ECONNRESET;
    } else if (refusal) {
        error = err_set(err, EINVAL, "%s", refusal);
    }
    if (!error && reply) {
        *reply = result;
        result = NULL;
    }
    free(result);
    free(refusal);
    free(path);
    return error ? err_add(err, error, "%s of %s", part, node) : 0;
}

static int
order(const struct arena *arena, const char *host, const char *command,
      int argc, char *argv[], char **reply, struct err *err)
{
    return order_part(arena, host, "agent", command, argc, argv, reply, err);
}

static int
set_fault(const struct arena *arena, const char *host, const char *point,
          char *action, struct err *err)
{
    char *argv[] = { "set", CONST_CAST(char *, point), action };

    return order(arena, host, FAULT, ARRAY_SIZE(argv), argv, NULL, err);
}

int
harm_hold(const struct arena *arena, const char *host, const char *point,
          struct err *err)
{
    return set_fault(arena, host, point, "hold", err);
}

int
harm_is_held(const struct arena *arena, const char *host, const char *point,
             bool *held, struct err *err)
{
    char *argv[] = { "show" };
    char *text;

    int error = order(arena, host, FAULT, ARRAY_SIZE(argv), argv, &text, err);
    if (!error) {
        char *line = xasprintf("%s held: ", point);

        *held = strstr(text, line);
        free(line);
        free(text);
    }
    return error;
}

int
harm_release(const struct arena *arena, const char *host, struct err *err)
{
    char *argv[] = { "release" };

    return order(arena, host, FAULT, ARRAY_SIZE(argv), argv, NULL, err);
}

int
harm_is_cancelled(const struct arena *arena, const char *host,
                  bool *cancelled, struct err *err)
{
    char *text;

    int error = order(arena, host, "watari/status", 0, NULL, &text, err);
    if (!error) {
        *cancelled = strstr(text, "to be cancelled");
        free(text);
    }
    return error;
}

int
harm_unhold(const struct arena *arena, const char *host, const char *point,
            struct err *err)
{
    return set_fault(arena, host, point, "off", err);
}

int
harm_is_moving(const struct arena *arena, const char *host, bool *moving,
               struct err *err)
{
    char *text;

    int error = order(arena, host, "watari/status", 0, NULL, &text, err);
    if (!error) {
        *moving = strstr(text, "\nmigration ");
        free(text);
    }
    return error;
}

static int
wait_death(const struct process_id *id, struct err *err)
{
    for (int ms = 0; process_is_alive(id); ms += DEATH_POLL_MS) {
        int error = ms < DEATH_TIMEOUT_MS
                    ? interrupt_sleep(DEATH_POLL_MS, err)
                    : err_set(err, ETIMEDOUT, "it survives SIGKILL");
        if (error) {
            return error;
        }
    }
    return 0;
}

int
harm_kill(const struct arena *arena, const char *node, const char *part,
          struct err *err)
{
    struct state *state;

    int error = state_load(arena_lab(arena), false, &state, err);
    if (error) {
        return error;
    }
    const struct state_process *process = state_find_process(state, node,
                                                             part);
    if (!process || !process->id.pid || kill(process->id.pid, SIGKILL)) {
        error = err_set(err, ESRCH, "it does not run");
    } else {
        error = wait_death(&process->id, err);
    }
    state_destroy(state);
    return error ? err_add(err, error, "killing %s of %s", part, node) : 0;
}

int
harm_start(const struct arena *arena, const char *node, const char *part,
           struct err *err)
{
    return lab_restart(arena_lab(arena), node, part, err);
}

static bool
is_leader(const struct arena *arena, const char *store)
{
    char *argv[] = { "Watari" };
    char *text;

    if (order_part(arena, store, "store", "cluster/status",
                   ARRAY_SIZE(argv), argv, &text, NULL)) {
        return false;
    }
    bool leads = strstr(text, "\nRole: leader\n");
    free(text);
    return leads;
}

int
harm_kill_leader(const struct arena *arena, struct err *err)
{
    int error = 0;

    for (int ms = 0; !error && ms < ELECTION_MS; ms += ELECTION_POLL_MS) {
        for (size_t i = 0; i < LAB_MAX_STORES; i++) {
            char store[PLAN_STORE_LEN];

            if (is_leader(arena, plan_store(i, store))) {
                return harm_kill(arena, store, "store", err);
            }
        }
        error = interrupt_sleep(ELECTION_POLL_MS, err);
    }
    return error ? error : err_set(err, ETIMEDOUT, "the store's cluster has "
                                   "no leader");
}

int
harm_start_stores(const struct arena *arena, struct err *err)
{
    struct svec dead = SVEC_EMPTY_INITIALIZER;
    struct state *state;
    const char *store;
    size_t i;

    int error = state_load(arena_lab(arena), false, &state, err);
    if (error) {
        return error;
    }
    for (i = 0; i < state->n_processes; i++) {
        const struct state_process *process = state->processes[i];

        if (!strcmp(process->part, "store")
            && !process_is_alive(&process->id)) {
            svec_add(&dead, process->node);
        }
    }
    state_destroy(state);
    SVEC_FOR_EACH (i, store, &dead) {
        error = error ? error : harm_start(arena, store, "store", err);
    }
    svec_destroy(&dead);
    return error;
}

/* Adds, or removes, a rule of a router's: what 'selector' says is dropped. */
static int
set_rule(const char *netns, const char *selector, bool cut, struct err *err)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;

    svec_parse_words(&argv, cut ? "ip rule add priority "RULE_PRIORITY
                     : "ip rule delete priority "RULE_PRIORITY);
    svec_parse_words(&argv, selector);
    svec_add(&argv, "blackhole");
    svec_terminate(&argv);

    struct process_spec spec = { .argv = argv.names, .netns = netns };
    int error = process_run(&spec, NULL, TOOL_TIMEOUT_MS, NULL, err);
    svec_destroy(&argv);
    return error;
}

int
harm_cut_channel(const struct arena *arena, size_t a, size_t b, bool cut,
                 struct err *err)
{
    static const char *const directions[] = { "from", "to" };
    static const char *const ports[] = { "sport", "dport" };
    char netns[PLAN_NETNS_LEN];
    int error = 0;

    /* All of it passes the router of either site. */
    arena_router_netns(arena, a, netns);
    for (size_t i = 0; i < 4 && !error; i++) {
        char *selector = xasprintf("%s %s ipproto tcp %s %d-%d",
                                   directions[i / 2],
                                   arena_stream_address(arena, b),
                                   ports[i % 2], PLAN_CHANNEL_PORT,
                                   PLAN_CHANNEL_PORT + 1);

        error = set_rule(netns, selector, cut, err);
        free(selector);
    }
    return error;
}

int
harm_cut_link(const struct arena *arena, size_t host, bool cut,
              struct err *err)
{
    char netns[PLAN_NETNS_LEN];

    return set_rule(arena_router_netns(arena, host, netns), "", cut, err);
}
