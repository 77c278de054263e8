#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "lab/client.h"

#define MAX_COLUMNS 12

/* What can be listed and shown, with the columns of its table. */
static const struct object {
    const char *noun, *path;
    const char *columns[MAX_COLUMNS];
} objects[] = {
    { "site", "/sites",
      { "name", "prefix", "prefix6", "pool", "pool6", "hosts" } },
    { "host", "/hosts",
      { "name", "site", "state", "address", "address6", "vms",
        "memory_used_mib", "memory_mib" } },
    { "network", "/networks",
      { "name", "id", "mode", "encap", "prefix", "prefix6", "gateway",
        "gateway6", "mtu" } },
    { "vm", "/vms",
      { "name", "host", "site", "state", "network", "address", "address6",
        "mobile", "mobile6", "memory_mib" } },
    { "endpoint", "/endpoints",
      { "name", "kind", "host", "network", "address", "address6", "mac",
        "mobile", "mobile6" } },
    { "service", "/services", { "name", "state" } },
    { "migration", "/migrations",
      { "uuid", "vm", "from", "to", "state", "step", "blackout_ms",
        "total_ms", "error" } },
    { "policy", "/policies", { "name", "state" } },
    { "event", "/events", { "time", "kind", "object", "host", "text" } },
};

static const struct object *
find_object(const char *noun)
{
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        if (!strcmp(objects[i].noun, noun)) {
            return &objects[i];
        }
    }
    OVS_NOT_REACHED();
}

/* GETs 'path' and hands the reply over. */
static int
get(const struct invocation *in, const char *path, struct json **reply,
    struct err *err)
{
    struct client *client;

    *reply = NULL;
    int error = invocation_connect(in, &client, err);
    if (!error) {
        error = client_request(client, "GET", path, NULL, reply, err);
        client_destroy(client);
    }
    if (!error && !*reply) {
        error = err_set(err, EIO, "the manager sent an empty answer");
    }
    return error;
}

static int
list(const struct invocation *in, const char *noun, struct err *err)
{
    const struct object *object = find_object(noun);
    struct json *reply;

    if (get(in, object->path, &reply, err)) {
        return COMMAND_FAILED;
    }
    output_list(in, reply, object->columns);
    json_destroy(reply);
    return COMMAND_OK;
}

static int
run_list(const struct invocation *in, struct err *err)
{
    return list(in, in->command->noun, err);
}

/* "watari list" */
static int
run_list_vms(const struct invocation *in, struct err *err)
{
    return list(in, "vm", err);
}

static int
run_show(const struct invocation *in, struct err *err)
{
    const struct object *object = find_object(in->command->noun);
    char *path = xasprintf("%s/%s", object->path, in->args[0]);
    struct json *reply;

    int error = get(in, path, &reply, err);
    free(path);
    if (error) {
        return COMMAND_FAILED;
    }
    output_object(in, reply);
    json_destroy(reply);
    return COMMAND_OK;
}

static bool
print_event(const char *name, const struct json *data, void *in_)
{
    const struct invocation *in = in_;

    if (!name || strcmp(name, "event")) {
        return true;            /* How objects are now, not what happened. */
    }
    if (data && in->format == FORMAT_JSON) {
        char *text = json_to_string(data, JSSF_SORT);
        printf("%s\n", text);
        free(text);
    } else if (data) {
        char *time = output_cell("time", json_get(data, "time"));
        const char *kind = json_get_string(data, "kind");
        const char *object = json_get_string(data, "object");
        const char *text = json_get_string(data, "text");

        printf("%s  %-10s %-12s %s\n", time, kind ? kind : "-",
               object ? object : "-", text ? text : "");
        free(time);
    }
    fflush(stdout);
    return true;
}

static int
run_list_events(const struct invocation *in, struct err *err)
{
    struct client *client;

    if (!invocation_option(in, "follow")) {
        return run_list(in, err);
    }
    int error = invocation_connect(in, &client, err);
    if (!error) {
        error = client_stream(client, "/events", print_event,
                              CONST_CAST(struct invocation *, in), err);
        client_destroy(client);
    }
    return error ? COMMAND_FAILED : COMMAND_OK;
}

/* Asks for 'action' on the migration that the command line names; takes
 * 'body', which may be null. */
static int
act(const struct invocation *in, const char *action, struct json *body,
    struct err *err)
{
    char *path = xasprintf("/migrations/%s/%s", in->args[0], action);
    struct client *client;

    int error = invocation_connect(in, &client, err);
    if (!error) {
        error = client_request(client, "POST", path, body, NULL, err);
        client_destroy(client);
    }
    json_destroy(body);
    free(path);
    return error ? COMMAND_FAILED : COMMAND_OK;
}

static int
run_cancel(const struct invocation *in, struct err *err)
{
    return act(in, "cancel", NULL, err);
}

static int
run_resolve(const struct invocation *in, struct err *err)
{
    const char *runs_on = invocation_option(in, "runs-on");
    struct json *body;

    if (!runs_on) {
        err_set(err, EINVAL, "--runs-on is missing: say on which host the VM "
                "runs");
        return COMMAND_USAGE;
    }
    body = json_object_create();
    json_object_put_string(body, "runs_on", runs_on);
    return act(in, "resolve", body, err);
}

static const struct option_row resolve_options[] = {
    { "runs-on", "HOST", "where the VM runs; be sure that it does not run "
      "on the other one" },
    { NULL },
};

static const struct option_row event_options[] = {
    { "follow", NULL, "show new events as they come" },
    { NULL },
};

#define LIST_AND_SHOW(NOUN, PLURAL) \
    { NOUN, "list", NULL, 0, 0, NULL, "list " PLURAL, NULL, run_list }, \
    { NOUN, "show", "NAME", 1, 1, NULL, "show all about one of the " PLURAL, \
      NULL, run_show }

static const struct command rows[] = {
    { "list", NULL, NULL, 0, 0, NULL, "list VMs", NULL, run_list_vms },
    LIST_AND_SHOW("vm", "VMs"),
    LIST_AND_SHOW("migration", "migrations"),
    { "migration", "cancel", "ID", 1, 1, NULL,
      "bring a moving VM back, if it has not left yet", NULL, run_cancel },
    { "migration", "resolve", "ID", 1, 1, resolve_options,
      "say where the VM of a stuck migration runs",
      "  watari migration resolve 5c3f... --runs-on t1", run_resolve },
    LIST_AND_SHOW("site", "sites"),
    LIST_AND_SHOW("host", "hosts"),
    LIST_AND_SHOW("network", "networks"),
    LIST_AND_SHOW("endpoint", "endpoints"),
    LIST_AND_SHOW("service", "services"),
    LIST_AND_SHOW("policy", "policies"),
    { "event", "list", NULL, 0, 0, event_options, "list events", NULL,
      run_list_events },
    { "event", "show", "ID", 1, 1, NULL, "show all about one of the events",
      NULL, run_show },
};
const struct command_table object_commands = { rows, ARRAY_SIZE(rows) };
