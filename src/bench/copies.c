#include <config.h>
#include "bench/copies.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/json-get.h"
#include "bench/monitor.h"
#include "openvswitch/json.h"
#include "util.h"

static int
ask(pid_t pid, bool *runs, struct err *err)
{
    struct json *status = NULL;
    struct monitor *monitor;
    char path[64];

    /* QEMU names its sockets by the folder in which it runs. */
    snprintf(path, sizeof path, "/proc/%ld/cwd/watchdog.qmp", (long) pid);
    int error = monitor_open(path, &monitor, err);
    if (error) {
        return error;
    }
    error = monitor_call(monitor, "query-status", NULL, &status, err);
    if (!error) {
        *runs = json_get_bool(status, "running");
    }
    json_destroy(status);
    monitor_close(monitor);
    return error;
}

int
copies_ask(const struct arena *arena, size_t vm, struct copies *copies,
           struct err *err)
{
    struct copies found = { .n = 0 };

    for (size_t i = 0; i < ARENA_N_HOSTS; i++) {
        pid_t pid = arena_find_qemu(arena, vm, arena_hosts[i]);
        int error = pid ? ask(pid, &found.runs[i], err) : 0;

        if (error && !kill(pid, 0)) {
            return err_add(err, error, "QEMU on %s", arena_hosts[i]);
        }
        found.n += pid && !error;       /* Or it has ended meanwhile. */
        found.n_running += found.runs[i];
    }
    *copies = found;
    return 0;
}

size_t
copies_host(const struct copies *copies)
{
    size_t i = 0;

    while (i < ARENA_N_HOSTS - 1 && !copies->runs[i]) {
        i++;
    }
    return i;
}
