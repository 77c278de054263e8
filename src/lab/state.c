#include <config.h>

#include "lab/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "lab/plan.h"

#define FILE_NAME "state.json"
#define LOCK_NAME "lock"

static struct state *
state_new(const char *lab)
{
    struct state *state = xzalloc(sizeof *state);

    state->lab = xstrdup(lab);
    state->dir = xasprintf("%s/%s", STATE_ROOT, lab);
    state->lock = -1;
    svec_init(&state->netns);
    return state;
}

/* Holds the lab's lock until the state is destroyed, or we die. */
static int
take_lock(struct state *state, bool wait, struct err *err)
{
    char *file = xasprintf("%s/%s", state->dir, LOCK_NAME);
    int error = 0;

    state->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(file);
    if (state->lock < 0
        || flock(state->lock, LOCK_EX | (wait ? 0 : LOCK_NB))) {
        error = errno;
        err_set(err, error, "lab \"%s\": %s", state->lab,
                error == EWOULDBLOCK ? "somebody else is changing it"
                : ovs_strerror(error));
    }
    return error;
}

int
state_create(const char *lab, struct state **statep, struct err *err)
{
    struct state *state = state_new(lab);
    int error;

    /* The last lab down may remove STATE_ROOT in between. */
    do {
        mkdir(STATE_ROOT, 0755);
        error = mkdir(state->dir, 0755) ? errno : 0;
    } while (error == ENOENT && !access("/run", W_OK));
    if (error == EEXIST) {
        err_set(err, EEXIST, "lab \"%s\" is up already, or something is left "
                "of it; \"watari lab down %s\" removes it", lab, lab);
    } else if (error) {
        err_set(err, error, "%s: %s", state->dir, ovs_strerror(error));
    } else {
        error = take_lock(state, false, err);
        error = error ? error : state_save(state, err);
    }
    if (error) {
        state_destroy(state);
        return error;
    }
    *statep = state;
    return 0;
}

void
state_destroy(struct state *state)
{
    if (!state) {
        return;
    }
    for (size_t i = 0; i < state->n_processes; i++) {
        struct state_process *process = state->processes[i];

        free(process->node);
        free(process->part);
        free(process->netns);
        free(process->output);
        svec_destroy(&process->argv);
        svec_destroy(&process->env);
        free(process);
    }
    free(state->processes);
    svec_destroy(&state->netns);
    if (state->lock >= 0) {
        close(state->lock);
    }
    free(state->lab);
    free(state->dir);
    free(state->listen);
    free(state->file);
    free(state);
}

static struct json *
svec_to_json(const struct svec *svec)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < svec->n; i++) {
        json_array_add(array, json_string_create(svec->names[i]));
    }
    return array;
}

static void
svec_from_json(struct svec *svec, const struct json *json)
{
    for (size_t i = 0; i < json_length(json); i++) {
        if (json_at(json, i)->type == JSON_STRING) {
            svec_add(svec, json_string(json_at(json, i)));
        }
    }
    svec_terminate(svec);
}

static void
put_string(struct json *object, const char *name, const char *value)
{
    if (value) {
        json_object_put_string(object, name, value);
    }
}

static struct json *
process_to_json(const struct state_process *process)
{
    struct json *json = json_object_create();

    put_string(json, "node", process->node);
    put_string(json, "part", process->part);
    put_string(json, "netns", process->netns);
    put_string(json, "output", process->output);
    json_object_put(json, "argv", svec_to_json(&process->argv));
    json_object_put(json, "env", svec_to_json(&process->env));
    json_object_put(json, "nice", json_integer_create(process->nice));
    json_object_put(json, "listens", json_boolean_create(process->listens));
    json_object_put(json, "pid", json_integer_create(process->id.pid));
    json_object_put(json, "start", json_integer_create(process->id.start));
    return json;
}

int
state_save(const struct state *state, struct err *err)
{
    struct json *json = json_object_create();
    struct json *processes = json_array_create_empty();

    put_string(json, "lab", state->lab);
    put_string(json, "listen", state->listen);
    put_string(json, "file", state->file);
    json_object_put(json, "up", json_boolean_create(state->up));
    json_object_put(json, "tls", json_boolean_create(state->tls));
    json_object_put(json, "netns", svec_to_json(&state->netns));
    for (size_t i = 0; i < state->n_processes; i++) {
        json_array_add(processes, process_to_json(state->processes[i]));
    }
    json_object_put(json, "processes", processes);

    char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);
    char *file = xasprintf("%s/%s", state->dir, FILE_NAME);
    char *new = xasprintf("%s.new", file);
    int error = 0;

    FILE *stream = fopen(new, "we");
    if (!stream) {
        error = errno;
    } else {
        error = fputs(text, stream) < 0 ? EIO : 0;
        error = fclose(stream) ? errno : error;
    }
    if (!error && rename(new, file)) {
        error = errno;
    }
    if (error) {
        err_set(err, error, "%s: %s", file, ovs_strerror(error));
    }
    free(new);
    free(file);
    free(text);
    json_destroy(json);
    return error;
}

static char *
dup_member(const struct json *json, const char *name)
{
    return nullable_xstrdup(json_get_string(json, name));
}

static void
process_from_json(struct state *state, const struct json *json)
{
    const char *node = json_get_string(json, "node");
    const char *part = json_get_string(json, "part");

    if (node && part) {
        struct state_process *process = state_add_process(state, node, part);

        process->netns = dup_member(json, "netns");
        process->output = dup_member(json, "output");
        process->nice = json_get_number(json, "nice", 0);
        process->listens = json_get_bool(json, "listens");
        process->id.pid = json_get_number(json, "pid", 0);
        process->id.start = json_get_number(json, "start", 0);
        svec_from_json(&process->argv, json_get(json, "argv"));
        svec_from_json(&process->env, json_get(json, "env"));
    }
}

/* Reads the file into 'state'. */
static int
read_file(struct state *state, struct err *err)
{
    char *file = xasprintf("%s/%s", state->dir, FILE_NAME);
    struct json *json = json_from_file(file);
    int error = 0;

    if (json->type != JSON_OBJECT) {
        error = err_set(err, EINVAL, "%s: %s", file,
                        json->type == JSON_STRING ? json_string(json)
                        : "not an object");
    } else {
        const struct json *processes = json_get(json, "processes");

        state->up = json_get_bool(json, "up");
        state->tls = json_get_bool(json, "tls");
        state->listen = dup_member(json, "listen");
        state->file = dup_member(json, "file");
        svec_from_json(&state->netns, json_get(json, "netns"));
        for (size_t i = 0; i < json_length(processes); i++) {
            process_from_json(state, json_at(processes, i));
        }
    }
    json_destroy(json);
    free(file);
    return error;
}

int
state_load(const char *lab, bool lock, struct state **statep,
           struct err *err)
{
    struct state *state = state_new(lab);
    struct stat s;
    int error = 0;

    if (strchr(lab, '/') || lab[0] == '.' || stat(state->dir, &s)
        || !S_ISDIR(s.st_mode)) {
        error = err_set(err, ENOENT, "no lab \"%s\" is up", lab);
    } else if (lock) {
        error = take_lock(state, false, err);
    }

    /* Interrupted before the file was there, a lab has no parts. */
    char *file = xasprintf("%s/%s", state->dir, FILE_NAME);
    if (!error && !access(file, F_OK)) {
        error = read_file(state, err);
    }
    free(file);
    if (error) {
        state_destroy(state);
        return error;
    }
    *statep = state;
    return 0;
}

static int
remove_one(const char *path, const struct stat *s OVS_UNUSED,
           int flag OVS_UNUSED, struct FTW *ftw OVS_UNUSED)
{
    return remove(path) && errno != ENOENT ? -1 : 0;
}

int
state_remove(struct state *state, struct err *err)
{
    if (nftw(state->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT)
        && errno != ENOENT) {
        return err_set(err, errno, "removing %s: %s", state->dir,
                       ovs_strerror(errno));
    }
    rmdir(STATE_ROOT);          /* Works when no other lab is there. */
    return 0;
}

bool
state_is_reserved(const char *name)
{
    return (!strcmp(name, "agent") || !strcmp(name, "manager")
            || !strcmp(name, "store"));
}

void
state_list(struct svec *labs)
{
    DIR *dir = opendir(STATE_ROOT);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        struct stat s;

        if (entry->d_name[0] != '.' && !state_is_reserved(entry->d_name)
            && !fstatat(dirfd(dir), entry->d_name, &s, 0)
            && S_ISDIR(s.st_mode)) {
            svec_add(labs, entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    svec_sort(labs);
}

int
state_find_only(char **lab, struct err *err)
{
    struct svec labs = SVEC_EMPTY_INITIALIZER;
    int error = 0;

    state_list(&labs);
    if (labs.n == 1) {
        *lab = xstrdup(labs.names[0]);
    } else if (!labs.n) {
        error = err_set(err, ENOENT, "no lab is up; \"watari lab up FILE\" "
                        "brings one up");
    } else {
        char *names = svec_join(&labs, ", ", "");
        error = err_set(err, EEXIST, "several labs are up (%.200s); name one "
                        "with --lab NAME", names);
        free(names);
    }
    svec_destroy(&labs);
    return error;
}

int
state_add_netns(struct state *state, const char *netns, struct err *err)
{
    svec_add(&state->netns, netns);
    return state_save(state, err);
}

struct state_process *
state_add_process(struct state *state, const char *node, const char *part)
{
    struct state_process *process = xzalloc(sizeof *process);

    process->node = xstrdup(node);
    process->part = xstrdup(part);
    svec_init(&process->argv);
    svec_init(&process->env);
    if (state->n_processes >= state->allocated_processes) {
        state->processes = x2nrealloc(state->processes,
                                      &state->allocated_processes,
                                      sizeof *state->processes);
    }
    state->processes[state->n_processes++] = process;
    return process;
}

struct state_process *
state_find_process(const struct state *state, const char *node,
                   const char *part)
{
    for (size_t i = 0; i < state->n_processes; i++) {
        struct state_process *process = state->processes[i];

        if (!strcmp(process->node, node) && !strcmp(process->part, part)) {
            return process;
        }
    }
    return NULL;
}

struct record_aux {
    struct state *state;
    struct state_process *process;
    struct err err;
};

static void
record(const struct process_id *id, void *aux_)
{
    struct record_aux *aux = aux_;

    aux->process->id = *id;
    state_save(aux->state, &aux->err);
}

int
state_start(struct state *state, struct state_process *process, int listener,
            struct err *err)
{
    struct record_aux aux = { .state = state, .process = process };

    svec_terminate(&process->argv);
    svec_terminate(&process->env);

    struct process_spec spec = {
        .argv = process->argv.names,
        .env = process->env.names,
        .netns = process->netns,
        .output = process->output,
        .fd = process->listens ? listener : -1,
        .nice = process->nice,
    };
    struct process_id id;
    int error = process_spawn(&spec, record, &aux, &id, err);
    if (!error && aux.err.code) {
        *err = aux.err;
        error = aux.err.code;
    }
    return error ? err_add(err, error, "%s on %s", process->part,
                           process->node) : 0;
}

bool
state_has_node(const struct state *state, const char *node)
{
    char netns[PLAN_NETNS_LEN];

    plan_netns(state->lab, node, netns);
    for (size_t i = 0; i < state->netns.n; i++) {
        if (!strcmp(state->netns.names[i], netns)) {
            return true;
        }
    }
    return false;
}

char *
state_path(const struct state *state, const char *node, const char *file)
{
    return xasprintf("%s/%s%s%s", state->dir, node, file ? "/" : "",
                     file ? file : "");
}

int
state_make_dir(const struct state *state, const char *node, struct err *err)
{
    char *dir = state_path(state, node, NULL);
    int error = 0;

    if (mkdir(dir, 0755) && errno != EEXIST) {
        error = err_set(err, errno, "%s: %s", dir, ovs_strerror(errno));
    }
    free(dir);
    return error;
}
