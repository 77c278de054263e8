#include <config.h>
#include "hypervisor/qemu-watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/qemu-process.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "util.h"

struct watchdog {
    struct ovs_list node;       /* In the list of those we let go. */
    struct qemu_process *process;
    int fd;                     /* Its standard input and output; -1: let go
                                 * of. */
    bool ready;
};

int
watchdog_start(const char *program, const char *path,
               struct watchdog **watchdogp, struct err *err)
{
    /* A socket rather than a pipe: writing to one that has died must not
     * raise SIGPIPE. */
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        return err_set(err, errno, "socketpair: %s", ovs_strerror(errno));
    }
    char *argv[] = { xstrdup(program), xstrdup(path), NULL };
    struct qemu_process_config config = {
        .in = fds[1], .out = fds[1], .err = -1,
    };
    struct qemu_process *process;
    int error = qemu_process_spawn(&config, argv, &process, err);
    free(argv[0]);
    free(argv[1]);
    close(fds[1]);
    if (error) {
        close(fds[0]);
        return error;
    }
    struct watchdog *w = xzalloc(sizeof *w);
    w->process = process;
    w->fd = fds[0];
    *watchdogp = w;
    return 0;
}

int
watchdog_status(struct watchdog *w, struct err *err)
{
    if (!w->ready) {
        char line[sizeof WATCHDOG_READY];
        ssize_t n = recv(w->fd, line, sizeof line, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return EINPROGRESS;
        } else if (n != sizeof line
                   || memcmp(line, WATCHDOG_READY"\n", sizeof line)) {
            return err_set(err, ECHILD, "the watchdog ended before it "
                           "watched");
        }
        w->ready = true;
    }
    return 0;
}

void
watchdog_wait(struct watchdog *w)
{
    if (!w->ready) {
        poll_fd_wait(w->fd, POLLIN);
    }
}

void
watchdog_stand_aside(struct watchdog *w)
{
    /* If it has died there is nobody to tell. */
    ignore(send(w->fd, WATCHDOG_ASIDE"\n", strlen(WATCHDOG_ASIDE"\n"),
                MSG_DONTWAIT | MSG_NOSIGNAL));
}

void
watchdog_release(struct watchdog *w, struct ovs_list *old)
{
    if (w) {
        close(w->fd);
        w->fd = -1;
        ovs_list_push_back(old, &w->node);
    }
}

static void
watchdog_free(struct watchdog *w)
{
    ovs_list_remove(&w->node);
    qemu_process_close(w->process);
    free(w);
}

void
watchdogs_reap(struct ovs_list *old)
{
    struct watchdog *w;
    LIST_FOR_EACH_SAFE (w, node, old) {
        if (qemu_process_has_ended(w->process, NULL, 0)) {
            watchdog_free(w);
        }
    }
}

void
watchdogs_forget(struct ovs_list *old)
{
    struct watchdog *w;
    LIST_FOR_EACH_SAFE (w, node, old) {
        watchdog_free(w);
    }
}
