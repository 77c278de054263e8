#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "cli/commands.h"
#include "lab/client.h"
#include "lab/labfile.h"
#include "lab/machine.h"
#include "lab/system.h"

static int
run_apply(const struct invocation *in, struct err *err)
{
    struct problems problems = PROBLEMS_INIT;
    struct labfile file;

    int error = labfile_read(in->args[0], false, &file, &problems, err);
    if (problems.n) {
        char *text = problems_format(&problems);
        fprintf(stderr, "%s\n", text);
        free(text);
        err->text[0] = '\0';
    } else if (!error) {
        struct json *config = system_config(&file);
        struct client *client;

        error = invocation_connect(in, &client, err);
        if (!error) {
            error = client_request(client, "PUT", "/config", config, NULL,
                                   err);
            client_destroy(client);
        }
        json_destroy(config);
    }
    labfile_free(&file);
    problems_finish(&problems);
    return error ? COMMAND_FAILED : COMMAND_OK;
}

/* The benchmarks are a program of their own, which has its own options. */
static int
run_bench(const struct invocation *in, struct err *err)
{
    char *program;

    if (machine_find("watari-bench", &program, err)) {
        return COMMAND_FAILED;
    }

    char **argv = xcalloc(in->n_args + 2, sizeof *argv);
    argv[0] = program;
    memcpy(argv + 1, in->args, in->n_args * sizeof *argv);
    execv(program, argv);
    err_set(err, errno, "%s: %s", program, ovs_strerror(errno));
    return COMMAND_FAILED;
}

static const struct command rows[] = {
    { "apply", NULL, "FILE", 1, 1, NULL,
      "make sites, hosts, networks, VMs and endpoints as a file says",
      "  watari apply system.yaml", run_apply },
    { "bench", NULL, "[NAME [OPTION]...]", 0, COMMAND_MAX_ARGS, NULL,
      "measure what is promised", "  watari bench handover -o json", run_bench,
      .raw = true },
};
const struct command_table other_commands = { rows, ARRAY_SIZE(rows) };
