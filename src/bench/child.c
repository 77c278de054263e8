#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/netns.h"

#define TICK_MS 2

/* Keeps open what the child is to inherit, and nothing else. */
static int
set_up_files(const struct child_spec *spec)
{
    int null = open("/dev/null", O_RDWR);
    int out = spec->output ? open(spec->output, O_WRONLY | O_CREAT | O_APPEND,
                                  0644) : null;

    if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0
        || dup2(out, 2) < 0 || close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)) {
        return errno;
    }
    for (size_t i = 0; i < spec->n_fds; i++) {
        if (fcntl(spec->fds[i], F_SETFD, 0)) {
            return errno;
        }
    }
    return 0;
}

/* Runs in the child; returns only if it fails, with '*err' set. */
static int
become(const struct child_spec *spec, pid_t parent, struct err *err)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* A ^C on the terminal is for the benchmark, which ends us itself. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }

    int error = spec->netns ? netns_enter(spec->netns, err) : 0;
    if (error) {
        return error;
    }
    if (spec->folder && chdir(spec->folder)) {
        return err_set(err, errno, "%s: %s", spec->folder, strerror(errno));
    }
    errno = 0;
    if (spec->nice && nice(spec->nice) == -1 && errno) {
        return err_set(err, errno, "nice: %s", strerror(errno));
    }
    error = set_up_files(spec);
    if (error) {
        return err_set(err, error, "its files: %s", strerror(error));
    }
    execvp(spec->argv[0], spec->argv);
    return err_set(err, errno, "%s", strerror(errno));
}

int
child_start(const struct child_spec *spec, struct child *child,
            struct err *err)
{
    struct err failure = ERR_INIT;
    pid_t parent = getpid();
    int pipe_fds[2];

    if (pipe2(pipe_fds, O_CLOEXEC)) {
        return err_set(err, errno, "%s: %s", spec->argv[0], strerror(errno));
    }

    pid_t pid = fork();
    if (!pid) {
        become(spec, parent, &failure);
        _exit(write(pipe_fds[1], &failure, sizeof failure) < 0);
    }
    close(pipe_fds[1]);
    if (pid < 0) {
        close(pipe_fds[0]);
        return err_set(err, errno, "%s: %s", spec->argv[0], strerror(errno));
    }

    ssize_t n;
    do {
        n = read(pipe_fds[0], &failure, sizeof failure);
    } while (n < 0 && errno == EINTR);
    close(pipe_fds[0]);
    if (n == sizeof failure) {
        waitpid(pid, NULL, 0);
        return err_set(err, failure.code, "%s: %s", spec->argv[0],
                       failure.text);
    }
    child->pid = pid;
    return 0;
}

bool
child_is_alive(struct child *child)
{
    if (child->pid && waitpid(child->pid, NULL, WNOHANG) == child->pid) {
        child->pid = 0;
    }
    return child->pid != 0;
}

int
child_end(struct child *child, int sig, int patience_ms, struct err *err)
{
    if (!child_is_alive(child)) {
        return 0;
    }
    kill(child->pid, sig);
    for (int ms = 0; ms < patience_ms && child_is_alive(child);
         ms += TICK_MS) {
        struct timespec t = { 0, TICK_MS * 1000000L };
        nanosleep(&t, NULL);
    }
    if (!child->pid) {
        return 0;
    }

    pid_t pid = child->pid;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        continue;
    }
    child->pid = 0;
    return err_set(err, ETIMEDOUT, "process %ld did not end in %d ms",
                   (long) pid, patience_ms);
}
