#include <config.h>
#include "bench/prober.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/machine.h"
#include "openvswitch/util.h"
#include "svec.h"
#include "util.h"

#define END_PATIENCE_MS 20000   /* They write all of their records. */
#define UDP_INTERVAL_MS 1
#define IDLE_INTERVAL_MS 20

static const char *const kinds[] = { "udp", "tcp-download", "tcp-idle" };

struct probe_run {
    struct child child;
    char *path;                 /* Of the record. */
    char *log;
    struct record record;
    bool loaded;
};

struct prober {
    struct probe_run runs[PROBER_MAX];
    size_t n;
};

static void
make_args(const struct prober_spec *spec, const char *program,
          const char *path, struct svec *argv)
{
    svec_add(argv, program);
    svec_add(argv, kinds[spec->kind]);
    svec_add(argv, spec->address);
    switch (spec->kind) {
    case PROBER_UDP:
        svec_add(argv, "--interval-us");
        svec_add_nocopy(argv, xasprintf("%u", 1000 * (
            spec->interval_ms ? spec->interval_ms : UDP_INTERVAL_MS)));
        break;
    case PROBER_DOWNLOAD:
        if (spec->rate) {
            svec_add(argv, "--rate");
            svec_add_nocopy(argv, xasprintf("%u", spec->rate));
        }
        break;
    case PROBER_IDLE:
        svec_add(argv, "--interval-ms");
        svec_add_nocopy(argv, xasprintf("%u", spec->interval_ms
                                        ? spec->interval_ms
                                        : IDLE_INTERVAL_MS));
        break;
    }
    svec_add(argv, "--record");
    svec_add(argv, path);
    svec_terminate(argv);
}

static int
start_one(const struct prober_spec *spec, const char *program,
          const char *folder, struct probe_run *run, struct err *err)
{
    struct svec argv = SVEC_EMPTY_INITIALIZER;

    run->path = xasprintf("%s/%s.record", folder, spec->name);
    run->log = xasprintf("%s/%s.log", folder, spec->name);
    unlink(run->path);
    make_args(spec, program, run->path, &argv);

    struct child_spec child = {
        .argv = argv.names, .netns = spec->netns, .output = run->log,
        .nice = PROBER_NICE,
    };
    int error = child_start(&child, &run->child, err);
    svec_destroy(&argv);
    return error ? err_add(err, error, "probe %s", spec->name) : 0;
}

int
prober_start(const struct prober_spec *specs, size_t n, const char *folder,
             struct prober **proberp, struct err *err)
{
    char *program;
    int error = machine_find("watari-probe", &program, err);

    if (error) {
        return error;
    }
    ovs_assert(n <= PROBER_MAX);

    struct prober *p = xzalloc(sizeof *p);
    for (size_t i = 0; i < n && !error; i++) {
        error = start_one(&specs[i], program, folder, &p->runs[p->n++], err);
    }
    free(program);
    if (error) {
        prober_destroy(p);
        return error;
    }
    *proberp = p;
    return 0;
}

/* The last line of the probe's log: why it has ended. */
static int
explain(const struct probe_run *run, struct err *err)
{
    char line[200] = "it has ended";
    FILE *file = fopen(run->log, "r");

    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
    }
    if (file) {
        fclose(file);
    }
    return err_set(err, ECHILD, "%s", line);
}

int
prober_stop(struct prober *p, struct err *err)
{
    int error = 0;

    /* All at once, so that none of them asks without the others. */
    for (size_t i = 0; i < p->n; i++) {
        if (child_is_alive(&p->runs[i].child)) {
            kill(p->runs[i].child.pid, SIGTERM);
        }
    }
    for (size_t i = 0; i < p->n && !error; i++) {
        struct probe_run *run = &p->runs[i];

        error = child_end(&run->child, SIGTERM, END_PATIENCE_MS, err);
        if (!error && access(run->path, R_OK)) {
            error = explain(run, err);
        }
        error = error ? error : record_load(run->path, &run->record, err);
        run->loaded = !error;
        error = error ? err_add(err, error, "probe") : 0;
    }
    return error;
}

bool
prober_is_alive(struct prober *p, size_t i)
{
    return child_is_alive(&p->runs[i].child);
}

void
prober_destroy(struct prober *p)
{
    if (p) {
        for (size_t i = 0; i < p->n; i++) {
            struct probe_run *run = &p->runs[i];

            child_end(&run->child, SIGKILL, END_PATIENCE_MS, NULL);
            if (run->loaded) {
                record_finish(&run->record);
            }
            free(run->path);
            free(run->log);
        }
        free(p);
    }
}

const struct record *
prober_record(const struct prober *p, size_t i)
{
    ovs_assert(i < p->n && p->runs[i].loaded);
    return &p->runs[i].record;
}

int
prober_start_echo(const char *netns, const char *folder, struct child *child,
                  struct err *err)
{
    char *program;
    int error = machine_find("watari-probe", &program, err);

    if (!error) {
        char *argv[] = { program, "echo-server", NULL };
        char *output = xasprintf("%s/echo.log", folder);
        struct child_spec spec = {
            .argv = argv, .netns = netns, .output = output,
            .nice = PROBER_NICE,
        };

        error = child_start(&spec, child, err);
        free(output);
        free(program);
    }
    return error ? err_add(err, error, "echo in %s", netns) : 0;
}
