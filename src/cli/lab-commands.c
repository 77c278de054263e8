#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "cli/commands.h"
#include "cli/output.h"
#include "lab/lab.h"
#include "lab/state.h"

/* Says how to reach the lab. */
static void
print_address(const char *lab)
{
    struct state *state;

    if (!state_load(lab, false, &state, NULL)) {
        printf("lab %s is up", lab);
        if (state->listen) {
            printf("; %s://%s, token in %s/token", state->tls ? "https"
                   : "http", state->listen, state->dir);
        }
        putchar('\n');
        state_destroy(state);
    }
}

static int
run_up(const struct invocation *in, struct err *err)
{
    struct invocation *mutable = CONST_CAST(struct invocation *, in);
    struct lab_up options = {
        .file = in->args[0],
        .keep = invocation_option(in, "keep"),
        .only_network = invocation_option(in, "only-network"),
        .test_faults = invocation_option(in, "test-faults"),
        .tls = invocation_option(in, "tls"),
        .progress = &mutable->progress,
    };
    struct problems problems = PROBLEMS_INIT;

    int error = lab_up(&options, &problems, err);
    progress_finish(&mutable->progress);
    if (problems.n) {
        char *text = problems_format(&problems);
        fprintf(stderr, "%s\n", text);
        free(text);
        err->text[0] = '\0';
    } else if (!error) {
        print_address(options.name);
    }
    problems_finish(&problems);
    return error ? COMMAND_FAILED : COMMAND_OK;
}

static int
run_down(const struct invocation *in, struct err *err)
{
    const char *lab = in->n_args ? in->args[0] : invocation_lab(in);

    return lab_down(lab, CONST_CAST(struct progress *, &in->progress), err)
           ? COMMAND_FAILED : COMMAND_OK;
}

static int
run_status(const struct invocation *in, struct err *err OVS_UNUSED)
{
    static const char *const columns[] = {
        "lab", "node", "part", "pid", "state", "tls", NULL
    };
    struct json *status = lab_status();

    output_list(in, status, columns);
    json_destroy(status);
    return COMMAND_OK;
}

static int
run_exec(const struct invocation *in, struct err *err)
{
    lab_exec(invocation_lab(in), in->args[0], in->args + 1, err);
    return COMMAND_FAILED;
}

static int
run_restart(const struct invocation *in, struct err *err)
{
    return lab_restart(invocation_lab(in), in->args[0], in->args[1], err)
           ? COMMAND_FAILED : COMMAND_OK;
}

static int
run_console(const struct invocation *in, struct err *err)
{
    return lab_console(invocation_lab(in), in->args[0], err)
           ? COMMAND_FAILED : COMMAND_OK;
}

static const struct option_row up_options[] = {
    { "keep", NULL, "a failed \"up\" leaves its parts to look at" },
    { "tls", NULL, "with certificates, as between real hosts" },
    { "only-network", NULL, NULL },       /* For tests. */
    { "test-faults", NULL, NULL },        /* See docs/benchmarks.md. */
    { NULL },
};

static const struct command rows[] = {
    { "lab", "up", "FILE", 1, 1, up_options,
      "bring up several sites on this machine",
      "  watari lab up examples/two-sites.yaml", run_up },
    { "lab", "down", "[NAME]", 0, 1, NULL,
      "take a lab down; nothing is left of it", NULL, run_down },
    { "lab", "status", NULL, 0, 0, NULL,
      "show the programs of all labs", NULL, run_status },
    { "lab", "exec", "NODE -- COMMAND...", 2, COMMAND_MAX_ARGS * 64, NULL,
      "run a command in a node's namespace",
      "  watari lab exec alice -- ping 10.255.0.11", run_exec },
    { "lab", "restart", "NODE PART", 2, 2, NULL,
      "end a part and start it again",
      "  watari lab restart t1 agent", run_restart },
    { "lab", "console", "VM", 1, 1, NULL,
      "talk to a VM's serial console", NULL, run_console },
};
const struct command_table lab_commands = { rows, ARRAY_SIZE(rows) };
