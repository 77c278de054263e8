#include <config.h>

#include "cli/migrate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "base/units.h"
#include "cli/output.h"
#include "lab/client.h"

#define RETRY_MS 500
#define MAX_RETRIES 120

/* The steps of the agent's table, as people know them. */
static const struct {
    const char *step, *phase, *text;
} phases[] = {
    { "check", "check", "checking the destination" },
    { "reserve", "prepare", "preparing the destination" },
    { "listen", "prepare", "preparing the destination" },
    { "move", "move", "copying memory" },
    { "announce", "resume", "resuming and updating switches" },
    { "release", "release", "removing the source" },
};

static const char *const final_states[] = {
    "completed", "rolled-back", "failed", "stuck"
};

struct follow {
    struct client *client;
    char *path;                 /* Of the migration. */
    struct progress *progress;
    struct json *migration;     /* As it was last. */
    struct err err;
    bool ended;
};

static bool
is_final(const struct json *migration)
{
    const char *state = json_get_string(migration, "state");

    for (size_t i = 0; state && i < ARRAY_SIZE(final_states); i++) {
        if (!strcmp(state, final_states[i])) {
            return true;
        }
    }
    return false;
}

static void
show(struct follow *f)
{
    const char *step = json_get_string(f->migration, "step");
    const char *vm = json_get_string(f->migration, "vm");
    double total = json_get_number(f->migration, "total", 0);
    double copied = json_get_number(f->migration, "copied", 0);

    for (size_t i = 0; step && i < ARRAY_SIZE(phases); i++) {
        if (!strcmp(phases[i].step, step)) {
            progress_step(f->progress, "%s: %s: %s", vm ? vm : "?",
                          phases[i].phase, phases[i].text);
            if (!strcmp(step, "move") && total > 0) {
                progress_bar(f->progress, copied / total);
            }
        }
    }
}

/* Takes over 'now', which may be null, as what the migration is like. */
static void
take(struct follow *f, struct json *now)
{
    if (now) {
        json_destroy(f->migration);
        f->migration = now;
        show(f);
        f->ended = is_final(now);
    }
}

/* Asks how the migration is.  A manager that has just been replaced by
 * another one is asked again. */
static void
look(struct follow *f)
{
    struct json *now = NULL;
    struct err err;

    int error = client_request(f->client, "GET", f->path, NULL, &now, &err);
    if (!error) {
        take(f, now);
    } else if (error == ENOENT || error == EACCES) {
        f->err = err;
        f->ended = true;
    }
}

/* The stream has all changes, and all migrations that have not ended at its
 * beginning; one that ended before that is asked for. */
static bool
on_event(const char *name, const struct json *data, void *f_)
{
    const char *ours = json_get_string(((struct follow *) f_)->migration,
                                       "uuid");
    const char *uuid = json_get_string(data, "uuid");
    struct follow *f = f_;

    if (name && !strcmp(name, "migration")) {
        if (uuid && ours && !strcmp(uuid, ours)
            && !json_get_bool(data, "gone")) {
            take(f, json_deep_clone(data));
        }
    } else if (!name || !strcmp(name, "hello")) {
        look(f);
    }
    return !f->ended;
}

/* Follows the migration to its end. */
static void
follow(struct follow *f, struct client *stream)
{
    look(f);
    for (int i = 0; !f->ended && i < MAX_RETRIES; i++) {
        struct err err;

        if (client_stream(stream, "/events", on_event, f, &err)
            && !f->ended) {
            usleep(RETRY_MS * 1000);
            look(f);
        }
    }
    if (!f->ended) {
        err_set(&f->err, ETIMEDOUT, "lost sight of the migration; \"watari "
                "migration list\" shows it");
    }
}

/* Copies member 'from' of 'migration', or null, to 'to' of 'result'. */
static void
copy_member(struct json *result, const char *to,
            const struct json *migration, const char *from)
{
    const struct json *member = json_get(migration, from);

    json_object_put(result, to, member ? json_deep_clone(member)
                    : json_null_create());
}

/* The document that "-o json" prints. */
static struct json *
make_result(const struct json *migration)
{
    static const char *const same[] = {
        "vm", "from", "to", "error", "total_ms", "blackout_ms",
        "blackout_error_ms", "bytes", "relayed_packets", "uuid"
    };
    struct json *result = json_object_create();
    const struct json *list = json_get(migration, "phases");

    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        copy_member(result, same[i], migration, same[i]);
    }
    copy_member(result, "result", migration, "state");
    json_object_put(result, "phases", list ? json_deep_clone(list)
                    : json_array_create_empty());
    return result;
}

static void
print_summary(const struct json *migration)
{
    const char *vm = json_get_string(migration, "vm");
    const char *from = json_get_string(migration, "from");
    const char *to = json_get_string(migration, "to");
    char total[UNITS_STRLEN], blackout[UNITS_STRLEN];

    printf("%s: %s -> %s in %s, stopped for %s\n", vm, from, to,
           units_format_ms(json_get_number(migration, "total_ms", 0), total),
           units_format_ms(json_get_number(migration, "blackout_ms", 0),
                           blackout));
}

/* Prints the result and says whether it is a good one. */
static int
report(const struct invocation *in, const struct json *migration,
       struct err *err)
{
    const char *state = json_get_string(migration, "state");
    bool completed = state && !strcmp(state, "completed");

    if (in->format != FORMAT_TABLE) {
        struct json *result = make_result(migration);
        output_object(in, result);
        json_destroy(result);
    } else if (completed) {
        print_summary(migration);
    }
    if (!completed && in->format == FORMAT_TABLE) {
        const char *vm = json_get_string(migration, "vm");
        const char *error = json_get_string(migration, "error");

        err_set(err, EIO, "migration of %s: %s%s%s", vm ? vm : "?",
                state ? state : "unknown", error && *error ? ": " : "",
                error ? error : "");
    }
    return completed ? COMMAND_OK : COMMAND_FAILED;
}

/* The request's body, or null with '*err' set. */
static struct json *
make_request(const struct invocation *in, struct err *err)
{
    const char *bandwidth = invocation_option(in, "bandwidth");
    const char *downtime = invocation_option(in, "downtime");
    const char *to = invocation_option(in, "to");
    char *end = NULL;
    uint64_t rate = 0;
    long int ms = downtime ? strtol(downtime, &end, 10) : 0;

    if (!to) {
        err_set(err, EINVAL, "--to HOST|SITE is missing");
        return NULL;
    }
    if (downtime && (*end || ms < 1 || ms > 60000)) {
        err_set(err, EINVAL, "--downtime %s: expected 1 to 60000 ms",
                downtime);
        return NULL;
    }
    if (bandwidth && units_parse_rate(bandwidth, &rate, err)) {
        return NULL;
    }

    struct json *body = json_object_create();
    struct json *options = json_object_create();
    json_object_put_string(body, "to", to);
    if (rate) {                 /* QEMU counts in bytes. */
        json_object_put(options, "bandwidth", json_integer_create(rate / 8));
    }
    if (ms) {
        json_object_put(options, "downtime_ms", json_integer_create(ms));
    }
    json_object_put(body, "options", options);
    return body;
}

int
migrate_run(const struct invocation *in, struct err *err)
{
    struct follow f = { .progress = CONST_CAST(struct progress *,
                                               &in->progress) };
    struct client *stream = NULL;
    int status = COMMAND_FAILED;

    struct json *body = make_request(in, err);
    if (!body) {
        return COMMAND_USAGE;
    }

    char *path = xasprintf("/vms/%s/migrations", in->args[0]);
    int error = invocation_connect(in, &f.client, err);
    error = error ? error : invocation_connect(in, &stream, err);
    error = error ? error : client_request(f.client, "POST", path, body,
                                           &f.migration, err);
    const char *uuid = json_get_string(f.migration, "uuid");
    if (!error && !uuid) {
        error = err_set(err, EIO, "the manager did not say which migration "
                        "it began");
    }
    if (!error && invocation_option(in, "detach")) {
        if (in->format == FORMAT_TABLE) {
            printf("%s\n", uuid);
        } else {
            output_object(in, f.migration);
        }
        status = COMMAND_OK;
    } else if (!error) {
        f.path = xasprintf("/migrations/%s", uuid);
        if (in->format != FORMAT_TABLE) {
            f.progress->stream = NULL;
            f.progress->terminal = false;
        }
        follow(&f, stream);
        progress_finish(f.progress);
        if (f.err.code) {
            *err = f.err;
        } else {
            status = report(in, f.migration, err);
        }
    }

    json_destroy(f.migration);
    json_destroy(body);
    client_destroy(f.client);
    client_destroy(stream);
    free(f.path);
    free(path);
    return status;
}
