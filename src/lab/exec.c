#include <config.h>

#include "lab/lab.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/netns.h"
#include "base/process.h"
#include "lab/certificates.h"
#include "lab/parts.h"
#include "lab/plan.h"
#include "lab/state.h"

/* Loads 'lab', or the only one. */
static int
load(const char *lab, bool lock, struct state **statep, struct err *err)
{
    char *only = NULL;

    if (!lab) {
        int error = state_find_only(&only, err);
        if (error) {
            return error;
        }
    }
    int error = state_load(lab ? lab : only, lock, statep, err);
    free(only);
    return error;
}

/* "core, t1, tokyo-router, ..." */
static char *
node_names(const struct state *state)
{
    size_t skip = strlen("watari--") + strlen(state->lab);
    struct svec names = SVEC_EMPTY_INITIALIZER;

    for (size_t i = 0; i < state->netns.n; i++) {
        svec_add(&names, state->netns.names[i] + skip);
    }
    char *joined = svec_join(&names, ", ", "");
    svec_destroy(&names);
    return joined;
}

int
lab_exec(const char *lab, const char *node, char *const argv[],
         struct err *err)
{
    char netns[PLAN_NETNS_LEN];
    struct state *state;

    int error = load(lab, false, &state, err);
    if (error) {
        return error;
    }
    if (!state_has_node(state, node)) {
        char *names = node_names(state);
        error = err_set(err, ENOENT, "lab \"%s\" has no node \"%s\"; it has "
                        "%.250s", state->lab, node, names);
        free(names);
    } else if (geteuid()) {
        error = err_set(err, EPERM, "labs need root; try sudo");
    } else {
        error = netns_enter_fully(plan_netns(state->lab, node, netns), err);
    }
    state_destroy(state);
    if (!error) {
        execvp(argv[0], argv);
        error = err_set(err, errno, "%s: %s", argv[0], ovs_strerror(errno));
    }
    return error;
}

int
lab_restart(const char *lab, const char *node, const char *part,
            struct err *err)
{
    struct state *state;

    int error = load(lab, true, &state, err);
    if (error) {
        return error;
    }

    struct state_process *process = state_find_process(state, node, part);
    if (!process) {
        struct svec parts = SVEC_EMPTY_INITIALIZER;

        for (size_t i = 0; i < state->n_processes; i++) {
            if (!strcmp(state->processes[i]->node, node)) {
                svec_add(&parts, state->processes[i]->part);
            }
        }
        char *names = svec_join(&parts, ", ", "");
        error = err_set(err, ENOENT, "\"%s\" has no part \"%s\"%s%s", node,
                        part, parts.n ? "; it has " : "", names);
        free(names);
        svec_destroy(&parts);
    } else {
        error = parts_restart(state, process, err);
    }
    state_destroy(state);
    return error;
}

static void
add_status(struct json *array, const struct state *state)
{
    for (size_t i = 0; i < state->n_processes; i++) {
        const struct state_process *process = state->processes[i];
        struct json *json = json_object_create();
        bool alive = process_is_alive(&process->id);

        json_object_put_string(json, "lab", state->lab);
        json_object_put_string(json, "node", process->node);
        json_object_put_string(json, "part", process->part);
        json_object_put(json, "pid", json_integer_create(process->id.pid));
        json_object_put_string(json, "state", alive ? "running" : "ended");
        json_object_put(json, "tls", json_boolean_create(
                            certificates_are_used(process)));
        json_object_put_string(json, "log", process->output);
        json_array_add(array, json);
    }
}

struct json *
lab_status(void)
{
    struct json *array = json_array_create_empty();
    struct svec labs = SVEC_EMPTY_INITIALIZER;

    state_list(&labs);
    for (size_t i = 0; i < labs.n; i++) {
        struct state *state;

        if (!state_load(labs.names[i], false, &state, NULL)) {
            add_status(array, state);
            state_destroy(state);
        }
    }
    svec_destroy(&labs);
    return array;
}
