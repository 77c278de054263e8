#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/migrate.h"
#include "cli/output.h"
#include "lab/client.h"

#define POLL_MS 200
#define START_TIMEOUT_MS 60000

static int
request(const struct invocation *in, const char *method, const char *path,
        struct json *body, struct json **reply, struct err *err)
{
    struct client *client;

    int error = invocation_connect(in, &client, err);
    if (!error) {
        error = client_request(client, method, path, body, reply, err);
        client_destroy(client);
    }
    json_destroy(body);
    return error;
}

static void
put_option(const struct invocation *in, struct json *body, const char *name)
{
    const char *value = invocation_option(in, name);

    if (value) {
        json_object_put_string(body, name, value);
    }
}

/* Waits until the VM's state is 'state'.  One that has failed will not run,
 * but may well be stopped. */
static int
wait_state(const struct invocation *in, const char *name, const char *state,
           struct err *err)
{
    struct client *client;
    char *path = xasprintf("/vms/%s", name);

    int error = invocation_connect(in, &client, err);
    for (int ms = 0; !error; ms += POLL_MS) {
        struct json *vm = NULL;

        error = client_request(client, "GET", path, NULL, &vm, err);
        const char *now = json_get_string(vm, "state");
        bool done = now && !strcmp(now, state);
        bool failed = now && !strcmp(now, "failed");
        if (!error && failed && !strcmp(state, "running")) {
            const char *reason = json_get_string(vm, "reason");
            error = err_set(err, EIO, "VM %s: %s", name,
                            reason ? reason : "failed");
        } else if (!error && !done && ms >= START_TIMEOUT_MS) {
            error = err_set(err, ETIMEDOUT, "VM %s is not %s after %d s",
                            name, state, START_TIMEOUT_MS / 1000);
        }
        json_destroy(vm);
        if (done) {
            break;
        }
        usleep(POLL_MS * 1000);
    }
    client_destroy(client);
    free(path);
    return error;
}

static int
run_create(const struct invocation *in, struct err *err)
{
    static const char *const texts[] = {
        "host", "network", "address", "address6", "image"
    };
    static const char *const required[] = { "host", "network" };
    const char *memory = invocation_option(in, "memory");
    const char *vcpus = invocation_option(in, "vcpus");
    struct json *body = json_object_create();
    uint64_t bytes = 256 << 20;

    for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
        if (!invocation_option(in, required[i])) {
            json_destroy(body);
            err_set(err, EINVAL, "--%s is missing", required[i]);
            return COMMAND_USAGE;
        }
    }
    if (memory && units_parse_size(memory, &bytes, err)) {
        json_destroy(body);
        return COMMAND_USAGE;
    }
    json_object_put_string(body, "name", in->args[0]);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        put_option(in, body, texts[i]);
    }
    json_object_put_format(body, "memory", "%"PRIu64"K", bytes / 1024);
    json_object_put(body, "vcpus", json_integer_create(vcpus ? atoi(vcpus)
                                                       : 1));

    int error = request(in, "POST", "/vms", body, NULL, err);
    error = error ? error : wait_state(in, in->args[0], "running", err);
    return error ? COMMAND_FAILED : COMMAND_OK;
}

static int
set_power(const struct invocation *in, const char *action, const char *state,
          struct err *err)
{
    for (size_t i = 0; i < in->n_args; i++) {
        char *path = xasprintf("/vms/%s/%s", in->args[i], action);
        int error = request(in, "POST", path, NULL, NULL, err);

        free(path);
        error = error ? error : wait_state(in, in->args[i], state, err);
        if (error) {
            return COMMAND_FAILED;
        }
    }
    return COMMAND_OK;
}

static int
run_start(const struct invocation *in, struct err *err)
{
    return set_power(in, "start", "running", err);
}

static int
run_stop(const struct invocation *in, struct err *err)
{
    return set_power(in, "stop", "stopped", err);
}

static int
run_delete(const struct invocation *in, struct err *err)
{
    for (size_t i = 0; i < in->n_args; i++) {
        char *path = xasprintf("/vms/%s%s", in->args[i],
                               invocation_option(in, "force")
                               ? "?force=true" : "");
        int error = request(in, "DELETE", path, NULL, NULL, err);

        free(path);
        if (error) {
            return COMMAND_FAILED;
        }
    }
    return COMMAND_OK;
}

static const struct option_row create_options[] = {
    { "host", "HOST", "where it starts" },
    { "network", "NETWORK", "the network of its interface" },
    { "address", "ADDRESS", "IPv4 home address" },
    { "address6", "ADDRESS", "IPv6 home address" },
    { "memory", "SIZE", "such as 256M, the default" },
    { "vcpus", "N", "virtual processors, default 1" },
    { "image", "IMAGE", "mini, the default, or a path" },
    { NULL },
};

static const struct option_row delete_options[] = {
    { "force", NULL, "also a VM that runs" },
    { NULL },
};

static const struct option_row migrate_options[] = {
    { "to", "HOST|SITE", "where it goes" },
    { "bandwidth", "RATE", "limit for the copy, such as 500mbit" },
    { "downtime", "MS", "how long it may stand still" },
    { "detach", NULL, "do not wait for the end" },
    { "wait", NULL, "wait for the end, the default" },
    { NULL },
};

static const struct command rows[] = {
    { "vm", "migrate", "NAME", 1, 1, migrate_options,
      "move a running VM to another host",
      "  watari vm migrate web1 --to o1\n"
      "  watari vm migrate web1 --to osaka -o json", migrate_run },
    { "vm", "create", "NAME", 1, 1, create_options, "create and start a VM",
      "  watari vm create web2 --host t1 --network blue "
      "--address 10.255.0.12", run_create },
    { "vm", "start", "NAME...", 1, COMMAND_MAX_ARGS, NULL, "start VMs", NULL,
      run_start },
    { "vm", "stop", "NAME...", 1, COMMAND_MAX_ARGS, NULL, "stop VMs", NULL,
      run_stop },
    { "vm", "delete", "NAME...", 1, COMMAND_MAX_ARGS, delete_options,
      "forget stopped VMs", NULL, run_delete },
};
const struct command_table vm_commands = { rows, ARRAY_SIZE(rows) };
