/* watari-watchdog: cancels a migration whose driver is gone.
 *
 * A QEMU that has stopped its guest for the switchover waits there for
 * "migrate-continue", for ever.  So whoever drives a migration first starts
 * this program, with a socket as its standard input and output, and the path
 * of a second QMP socket of that QEMU.  It answers "ready" once it has its
 * session.  Then
 *
 *      copying         nothing happens to the guest: it only watches, also
 *                      when the other end of the socket closes, because a
 *                      new driver may come
 *      pre-switchover  it cancels when the socket closes, or has closed
 *                      before and 2 s have passed, or simply 2 s have passed
 *      "aside"         the driver is about to continue, however long that
 *                      takes; but QEMU forgets a command that it has not
 *                      read when its sender dies: so the socket still counts
 *      any other       the migration is over: it ends
 *
 * A guest whose migration it has cancelled for a driver that is gone runs
 * again, and would hear nothing as long as its packets are captured: so then
 * it ends that, too.  What has been captured waits in files for the next
 * driver.
 *
 * If it cancels in the very moment in which the driver continues, no harm is
 * done: the source then reports anything but "completed", so the destination
 * never gets its grant. */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/vm.h"
#include "fatal-signal.h"
#include "hypervisor/qemu-watchdog.h"
#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

#define CONNECT_TIMEOUT_MS 10000
#define RESUME_TIMEOUT_MS 10000 /* From the cancel to a guest that runs. */

enum phase {
    PHASE_NONE,                 /* Not migrating: not yet, or over. */
    PHASE_COPY,
    PHASE_PRE_SWITCHOVER,
};

#define DONE UINT64_MAX         /* In the place of a command's number. */

struct guard {
    struct qmp *qmp;
    int driver;                 /* Our standard input and output, under a
                                 * number that the poll loop accepts: not
                                 * 0. */
    enum phase phase;
    bool was_active;            /* Has it seen the migration? */
    long long since;            /* When the guest stopped. */
    bool orphan;                /* The driver's end is closed. */
    bool abandoned;             /* It closed while the guest stood still. */
    bool aside;
    uint64_t query;             /* Command in flight; 0: none. */
    uint64_t cancel;
    long long cancelled;        /* When that was sent. */
    bool resumed;               /* Since then. */
    uint64_t closes[VM_MAX_NICS];       /* The end of each NIC's capture. */
};

static enum phase
phase_from_status(const char *status)
{
    if (!strcmp(status, "pre-switchover")) {
        return PHASE_PRE_SWITCHOVER;
    }
    return (!strcmp(status, "setup") || !strcmp(status, "active")
            ? PHASE_COPY : PHASE_NONE);
}

static void
set_phase(struct guard *g, const struct json *data, long long now)
{
    const struct json *status
        = data && data->type == JSON_OBJECT
          ? shash_find_data(json_object(data), "status") : NULL;
    enum phase phase = (status && status->type == JSON_STRING
                        ? phase_from_status(json_string(status))
                        : PHASE_NONE);
    if (phase == PHASE_PRE_SWITCHOVER && g->phase != phase) {
        g->since = now;
    }
    g->phase = phase;
    g->was_active |= phase != PHASE_NONE;
}

/* Reads what the driver says, which is at most one line. */
static void
listen_to_driver(struct guard *g)
{
    char line[64];
    ssize_t n = read(g->driver, line, sizeof line - 1);
    if (n > 0) {
        line[n] = '\0';
        g->aside |= !strcmp(line, WATCHDOG_ASIDE"\n");
    } else if (!n || (errno != EAGAIN && errno != EINTR)) {
        g->orphan = true;
        if (g->query) {
            qmp_forget(g->qmp, g->query);
        }
        g->query = qmp_send(g->qmp, "query-migrate", NULL);
    }
}

/* The reply first: an event behind it is news, and one in front of it says
 * nothing that the reply would contradict. */
static void
listen_to_qemu(struct guard *g, long long now)
{
    struct json *result = NULL;
    bool answered = (g->query && qmp_reply(g->qmp, g->query, &result, NULL)
                                 != EINPROGRESS);
    if (answered) {
        set_phase(g, result, now);
        json_destroy(result);
        g->query = 0;
    }

    struct qmp_event event;
    while (qmp_next_event(g->qmp, &event)) {
        if (!strcmp(event.name, "MIGRATION")) {
            set_phase(g, event.data, now);
        } else if (!strcmp(event.name, "RESUME")) {
            g->resumed = g->cancel != 0;
        }
        qmp_event_destroy(&event);
    }
    g->abandoned |= (answered && g->orphan
                     && g->phase == PHASE_PRE_SWITCHOVER);
}

static bool
must_cancel(const struct guard *g, long long now)
{
    return (g->phase == PHASE_PRE_SWITCHOVER
            && (g->abandoned
                || (!g->aside && now - g->since >= WATCHDOG_PATIENCE_MS)));
}

/* A VM has not as many NICs, and perhaps nothing is captured: QEMU says so,
 * and no harm is done. */
static void
close_captures(struct guard *g)
{
    for (size_t i = 0; i < ARRAY_SIZE(g->closes); i++) {
        struct json *json = json_object_create();

        json_object_put_format(json, "path", "/objects/redirector%"PRIuSIZE,
                               i);
        json_object_put_string(json, "property", "status");
        json_object_put_string(json, "value", "off");
        g->closes[i] = qmp_send(g->qmp, "qom-set", json);
    }
}

/* After a cancel. */
static bool
is_tidied(struct guard *g, long long now)
{
    if (g->cancel != DONE
        && qmp_reply(g->qmp, g->cancel, NULL, NULL) == EINPROGRESS) {
        return false;
    }
    g->cancel = DONE;
    if (!g->orphan || now >= g->cancelled + RESUME_TIMEOUT_MS) {
        return true;
    } else if (!g->resumed) {
        return false;
    } else if (!g->closes[0]) {
        close_captures(g);
    }
    for (size_t i = 0; i < ARRAY_SIZE(g->closes); i++) {
        if (g->closes[i] != DONE
            && qmp_reply(g->qmp, g->closes[i], NULL, NULL) == EINPROGRESS) {
            return false;
        }
        g->closes[i] = DONE;
    }
    return true;
}

static bool
is_over(struct guard *g, long long now)
{
    if (g->cancel) {
        return is_tidied(g, now);
    }
    return (g->phase == PHASE_NONE && !g->query
            && (g->was_active || g->orphan));
}

static void
guard_wait(struct guard *g)
{
    qmp_wait(g->qmp);
    if (!g->orphan) {
        poll_fd_wait(g->driver, POLLIN);
    }
    if (g->phase == PHASE_PRE_SWITCHOVER && !g->cancel && !g->aside) {
        poll_timer_wait_until(g->since + WATCHDOG_PATIENCE_MS);
    }
    if (g->cancel) {
        poll_timer_wait_until(g->cancelled + RESUME_TIMEOUT_MS);
    }
    poll_block();
}

int
main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "usage: watari-watchdog QMP-SOCKET\n");
        return 2;
    }
    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    struct guard g = { .qmp = qmp_create(), .driver = dup(STDIN_FILENO) };
    qmp_connect(g.qmp, argv[1], CONNECT_TIMEOUT_MS);
    xset_nonblocking(g.driver);

    bool ready = false;
    for (;;) {
        long long now = time_msec();
        qmp_run(g.qmp, now);
        int error = qmp_status(g.qmp, NULL);
        if (error && error != EINPROGRESS) {
            break;              /* QEMU is gone, and its guest with it. */
        }
        if (!error && !ready) {
            ready = true;
            g.query = qmp_send(g.qmp, "query-migrate", NULL);
            ignore(write(g.driver, WATCHDOG_READY"\n",
                         strlen(WATCHDOG_READY"\n")));
        }
        if (!g.orphan) {
            listen_to_driver(&g);
        }
        listen_to_qemu(&g, now);
        if (is_over(&g, now)) {
            break;
        }
        if (!g.cancel && must_cancel(&g, now)) {
            g.cancel = qmp_send(g.qmp, "migrate_cancel", NULL);
            g.cancelled = now;
        }
        qmp_flush(g.qmp);
        guard_wait(&g);
    }
    qmp_destroy(g.qmp);
    return 0;
}
