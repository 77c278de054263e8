#include <config.h>

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/netns.h"

#define OUTPUT_MAX (4 * 1024 * 1024)

/* Reads the state and the start time of 'pid'; false if there is none. */
static bool
read_stat(pid_t pid, char *state, unsigned long long *start)
{
    char name[32], text[1024];

    snprintf(name, sizeof name, "/proc/%d/stat", (int) pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';

    /* The command's name, in parentheses, may hold anything. */
    const char *rest = strrchr(text, ')');
    return rest && sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                          "%*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                          state, start) == 2;
}

struct process_id
process_identify(pid_t pid)
{
    struct process_id id = { .pid = pid };
    char state;

    if (pid <= 0 || !read_stat(pid, &state, &id.start)) {
        id.pid = 0;
    }
    return id;
}

bool
process_is_alive(const struct process_id *id)
{
    unsigned long long start;
    char state;

    return (id->pid > 0 && read_stat(id->pid, &state, &start)
            && start == id->start && state != 'Z' && state != 'X');
}

/* Waits until the process behind 'pidfd' has ended; false after a while. */
static bool
wait_end(int pidfd, int timeout_ms)
{
    struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
    int n;

    do {
        n = poll(&pfd, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

int
process_end(const struct process_id *id, int patience_ms, struct err *err)
{
    if (!process_is_alive(id)) {
        if (id->pid > 0) {
            waitpid(id->pid, NULL, WNOHANG);
        }
        return 0;
    }

    int pidfd = syscall(SYS_pidfd_open, id->pid, 0);
    if (pidfd < 0) {
        return errno == ESRCH ? 0 : err_set(err, errno, "process %d: %s",
                                            (int) id->pid,
                                            ovs_strerror(errno));
    }

    int error = 0;
    if (process_is_alive(id)) {     /* So the descriptor is of this one. */
        syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        if (patience_ms <= 0 || !wait_end(pidfd, patience_ms)) {
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
            if (!wait_end(pidfd, 5000)) {
                error = err_set(err, ETIMEDOUT, "process %d does not end",
                                (int) id->pid);
            }
        }
        waitpid(id->pid, NULL, WNOHANG);
    }
    close(pidfd);
    return error;
}

/* In the child: takes over the standard descriptors, everything else closes
 * on execution. */
static int
redirect(int in, int out, int err_fd, int fd)
{
    /* Away from 0..3 first, so that none overwrites another. */
    int fds[4] = { in, out, err_fd, fd };
    for (int i = 0; i < 4; i++) {
        if (fds[i] >= 0) {
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
            if (fds[i] < 0) {
                return errno;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        if (fds[i] >= 0 && dup2(fds[i], i) < 0) {
            return errno;
        }
    }
    if (fd < 0) {
        close(3);
    }
    return 0;
}

/* In the child: becomes the program, or returns why it cannot. */
static int
become(const struct process_spec *spec, int in, int out, int err_fd)
{
    struct err err;
    sigset_t none;
    int error;

    if (spec->netns) {
        error = netns_enter(spec->netns, &err);
        if (error) {
            return error;
        }
    }
    error = redirect(in, out, err_fd, spec->fd > 0 ? spec->fd : -1);
    if (error) {
        return error;
    }
    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (spec->nice && nice(spec->nice) == -1) {
        /* Worse, but not wrong. */
    }
    for (size_t i = 0; spec->env && spec->env[i]; i++) {
        putenv(spec->env[i]);
    }
    execvp(spec->argv[0], spec->argv);
    return errno;
}

/* Reads what the child says before it executes; 0 if that worked. */
static int
read_result(int fd)
{
    int error = 0;
    ssize_t n;

    do {
        n = read(fd, &error, sizeof error);
    } while (n < 0 && errno == EINTR);
    return n == sizeof error ? error : 0;
}

/* The child's half of process_spawn(). */
static void __attribute__((noreturn))
daemon_child(const struct process_spec *spec, int go, int result)
{
    char byte;
    int error;

    setsid();
    if (read(go, &byte, 1) != 1) {
        _exit(125);             /* Whoever started us has died. */
    }

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out = spec->output ? open(spec->output, O_WRONLY | O_CREAT | O_APPEND
                                  | O_CLOEXEC, 0640) : null;
    error = out < 0 ? errno : become(spec, null, out, out);
    ignore(write(result, &error, sizeof error));
    _exit(127);
}

int
process_spawn(const struct process_spec *spec,
              void (*record)(const struct process_id *, void *aux),
              void *aux, struct process_id *idp, struct err *err)
{
    int go[2], result[2];

    if (pipe2(go, O_CLOEXEC)) {
        return err_set(err, errno, "pipe: %s", ovs_strerror(errno));
    }
    if (pipe2(result, O_CLOEXEC)) {
        int error = errno;
        close(go[0]);
        close(go[1]);
        return err_set(err, error, "pipe: %s", ovs_strerror(error));
    }

    pid_t pid = fork();
    int error = pid < 0 ? errno : 0;
    if (!pid) {
        close(go[1]);
        close(result[0]);
        daemon_child(spec, go[0], result[1]);
    }
    close(go[0]);
    close(result[1]);
    if (pid > 0) {
        struct process_id id = process_identify(pid);
        if (record) {
            record(&id, aux);
        }
        ignore(write(go[1], "", 1));
        error = read_result(result[0]);
        if (error) {
            waitpid(pid, NULL, 0);
        } else {
            *idp = id;
        }
    }
    close(go[1]);
    close(result[0]);
    return error ? err_set(err, error, "%s: %s", spec->argv[0],
                           ovs_strerror(error)) : 0;
}

/* Appends the contents of the memory file 'fd' to 'ds'. */
static void
slurp(int fd, struct ds *ds)
{
    off_t size = MIN(lseek(fd, 0, SEEK_END), OUTPUT_MAX);

    if (size > 0) {
        char *end = ds_put_uninit(ds, size);
        if (pread(fd, end, size, 0) != size) {
            ds_truncate(ds, ds->length - size);
        }
    }
}

/* Judges the exit 'status' of the tool 'spec', which said 'fd'. */
static int
judge(const struct process_spec *spec, int status, int fd, struct err *err)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        return 0;
    }

    struct ds said = DS_EMPTY_INITIALIZER;
    slurp(fd, &said);
    ds_chomp(&said, '\n');
    for (char *p = ds_cstr(&said); *p; p++) {
        if (*p == '\n') {
            *p = ' ';
        }
    }
    if (WIFSIGNALED(status)) {
        err_set(err, EIO, "%s: killed by signal %d: %.200s", spec->argv[0],
                WTERMSIG(status), ds_cstr(&said));
    } else {
        err_set(err, EIO, "%s: exit status %d: %.300s", spec->argv[0],
                WEXITSTATUS(status), ds_cstr(&said));
    }
    ds_destroy(&said);
    return EIO;
}

int
process_run(const struct process_spec *spec, const char *input,
            int timeout_ms, struct ds *output, struct err *err)
{
    int in = memfd_create("stdin", MFD_CLOEXEC);
    int out = memfd_create("stdout", MFD_CLOEXEC);
    int said = memfd_create("stderr", MFD_CLOEXEC);
    int result[2] = { -1, -1 };
    int error = 0;

    if (in < 0 || out < 0 || said < 0 || pipe2(result, O_CLOEXEC)
        || (input && pwrite(in, input, strlen(input), 0) < 0)) {
        error = err_set(err, errno, "%s: %s", spec->argv[0],
                        ovs_strerror(errno));
    }

    pid_t pid = error ? -1 : fork();
    if (!pid) {
        error = become(spec, in, out, said);
        ignore(write(result[1], &error, sizeof error));
        _exit(127);
    }
    if (pid > 0) {
        close(result[1]);
        result[1] = -1;
        error = read_result(result[0]);
        if (error) {
            err_set(err, error, "%s: %s", spec->argv[0], ovs_strerror(error));
        }

        int status, pidfd = syscall(SYS_pidfd_open, pid, 0);
        bool late = pidfd >= 0 && !wait_end(pidfd, timeout_ms);
        if (late) {
            kill(pid, SIGKILL);
        }
        waitpid(pid, &status, 0);
        if (pidfd >= 0) {
            close(pidfd);
        }
        if (late) {
            error = err_set(err, ETIMEDOUT, "%s: no result within %d ms",
                            spec->argv[0], timeout_ms);
        } else if (!error) {
            error = judge(spec, status, said, err);
        }
        if (!error && output) {
            slurp(out, output);
        }
    }

    int fds[] = { in, out, said, result[0], result[1] };
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    return error;
}
