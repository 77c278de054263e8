#include <config.h>
#include "bench/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/interrupt.h"
#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

#define TICK_MS 50

struct monitor {
    struct qmp *qmp;
    char *path;
};

/* One turn of a loop that ends at 'deadline'. */
static int
turn(struct monitor *m, long long deadline, struct err *err)
{
    int error = interrupt_check(err);

    if (!error && time_msec() >= deadline) {
        error = err_set(err, ETIMEDOUT, "%s: no answer in %d s", m->path,
                        MONITOR_TIMEOUT_MS / 1000);
    }
    if (!error) {
        qmp_wait(m->qmp);
        poll_timer_wait(TICK_MS);
        poll_block();
        qmp_run(m->qmp, time_msec());
        error = qmp_status(m->qmp, err);
        error = error == EINPROGRESS ? 0 : error;
    }
    return error;
}

int
monitor_open(const char *path, struct monitor **monitorp, struct err *err)
{
    struct monitor *m = xzalloc(sizeof *m);
    long long deadline = time_msec() + MONITOR_TIMEOUT_MS;
    int error = 0;

    m->path = xstrdup(path);
    m->qmp = qmp_create();
    qmp_connect(m->qmp, path, MONITOR_TIMEOUT_MS);
    qmp_run(m->qmp, time_msec());
    while (!error && qmp_status(m->qmp, NULL) == EINPROGRESS) {
        error = turn(m, deadline, err);
    }
    if (!error) {
        error = qmp_status(m->qmp, err);
    }
    if (error) {
        monitor_close(m);
        return error;
    }
    *monitorp = m;
    return 0;
}

void
monitor_close(struct monitor *m)
{
    if (m) {
        qmp_destroy(m->qmp);
        free(m->path);
        free(m);
    }
}

int
monitor_call(struct monitor *m, const char *command, struct json *arguments,
             struct json **result, struct err *err)
{
    long long deadline = time_msec() + MONITOR_TIMEOUT_MS;
    uint64_t id = qmp_send(m->qmp, command, arguments);
    int error = 0, status;

    qmp_flush(m->qmp);
    while ((status = qmp_reply(m->qmp, id, result, err)) == EINPROGRESS
           && !error) {
        error = turn(m, deadline, err);
    }
    error = error ? error : status;
    return error ? err_add(err, error, "%s", command) : 0;
}

int
monitor_wait_event(struct monitor *m, const char *name,
                   long long *timestamp_us, struct err *err)
{
    long long deadline = time_msec() + MONITOR_TIMEOUT_MS;
    bool found = false;
    int error = 0;

    while (!found && !error) {
        struct qmp_event event;

        while (!found && qmp_next_event(m->qmp, &event)) {
            found = !strcmp(event.name, name);
            *timestamp_us = found ? event.timestamp_us : *timestamp_us;
            qmp_event_destroy(&event);
        }
        error = found ? 0 : turn(m, deadline, err);
    }
    return error ? err_add(err, error, "waiting for %s", name) : 0;
}
