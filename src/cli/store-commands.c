#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "base/process.h"
#include "cli/commands.h"

#define TOOL_TIMEOUT_MS 300000

/* Runs "ovsdb-tool VERB A B C"; nulls at the end are left out. */
static int
run_tool(const char *verb, const char *a, const char *b, const char *c,
         struct ds *output, struct err *err)
{
    char *argv[] = {
        "ovsdb-tool", CONST_CAST(char *, verb), CONST_CAST(char *, a),
        CONST_CAST(char *, b), CONST_CAST(char *, c), NULL
    };
    struct process_spec spec = { .argv = argv };

    return process_run(&spec, NULL, TOOL_TIMEOUT_MS, output, err);
}

static int
read_epoch(const char *db, int64_t *epoch, struct err *err)
{
    struct ds output = DS_EMPTY_INITIALIZER;
    double value = 0;

    int error = run_tool("query", db, "[\"Watari\", {\"op\": \"select\", "
                         "\"table\": \"Global\", \"where\": [], "
                         "\"columns\": [\"epoch\"]}]", NULL, &output, err);
    if (!error) {
        struct json *json = json_from_string(ds_cstr(&output));
        const struct json *rows
            = json_length(json) ? json_get(json_at(json, 0), "rows") : NULL;

        if (rows && json_length(rows)) {
            value = json_get_number(json_at(rows, 0), "epoch", 0);
        }
        json_destroy(json);
    }
    ds_destroy(&output);
    if (!error && value < 1) {
        error = err_set(err, EINVAL, "%s: it has no epoch, hence is no backup "
                        "of a store", db);
    }
    *epoch = error ? *epoch : value;
    return error;
}

/* What a store that is restored must not say: where things are, and what was
 * about to happen.  The hosts know better. */
static char *
format_transaction(int64_t epoch, int64_t now_ms)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_format(&s, "[\"Watari\","
        "{\"op\":\"update\",\"table\":\"Global\",\"where\":[],"
        "\"row\":{\"epoch\":%"PRId64"}},"
        "{\"op\":\"delete\",\"table\":\"Binding\",\"where\":[]},"
        "{\"op\":\"delete\",\"table\":\"Instance\",\"where\":[]},"
        "{\"op\":\"delete\",\"table\":\"Claim\",\"where\":[]},"
        "{\"op\":\"update\",\"table\":\"Interface\",\"where\":[],"
        "\"row\":{\"hosts\":[\"set\",[]]}},"
        "{\"op\":\"update\",\"table\":\"VM\",\"where\":[],"
        "\"row\":{\"host\":[\"set\",[]],\"migration\":[\"set\",[]],"
        "\"power\":\"running\",\"writer\":\"\"}}",
        epoch);
    for (int i = 0; i < 3; i++) {
        static const char *const states[] = { "requested", "running",
                                              "stuck" };

        ds_put_format(&s, ",{\"op\":\"update\",\"table\":\"Migration\","
            "\"where\":[[\"state\",\"==\",\"%s\"]],"
            "\"row\":{\"state\":\"failed\",\"finished\":%"PRId64","
            "\"error\":\"the store was restored from a backup\"}}",
            states[i], now_ms);
    }
    ds_put_cstr(&s, "]");
    return ds_steal_cstr(&s);
}

static int
restore(const char *backup, const char *db, const char *address,
        int64_t *epoch, struct err *err)
{
    char *copy = xasprintf("%s.restoring", db);
    time_t now = time(NULL);

    unlink(copy);
    int error = run_tool("compact", backup, copy, NULL, NULL, err);
    error = error ? error : read_epoch(copy, epoch, err);
    if (!error) {
        *epoch = MAX(*epoch + 1, now);

        char *transaction = format_transaction(*epoch, now * INT64_C(1000));
        error = run_tool("transact", copy, transaction, NULL, NULL, err);
        free(transaction);
    }
    error = error ? error : run_tool("create-cluster", db, copy, address,
                                     NULL, err);
    unlink(copy);
    free(copy);
    return error;
}

static int
run_restore(const struct invocation *in, struct err *err)
{
    const char *db = in->args[1];
    int64_t epoch;

    if (!access(db, F_OK)) {
        err_set(err, EEXIST, "%s exists; move it away, it may be the only "
                "copy of something", db);
        return COMMAND_FAILED;
    }
    if (restore(in->args[0], db, in->args[2], &epoch, err)) {
        err_add(err, err->code, "restoring %s", db);
        return COMMAND_FAILED;
    }
    printf("%s begins epoch %"PRId64"; hosts tell it what they run\n", db,
           epoch);
    return COMMAND_OK;
}

static const struct command rows[] = {
    { "store", "restore", "BACKUP DB ADDRESS", 3, 3, NULL,
      "make a store's database from a backup; hosts keep what they run",
      "  ovsdb-client backup unix:/run/watari/store/db.sock Watari >b\n"
      "  watari store restore b /var/lib/watari/store/store.db "
      "ssl:192.0.2.9:6644", run_restore },
};
const struct command_table store_commands = { rows, ARRAY_SIZE(rows) };
