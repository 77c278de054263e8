#include <config.h>
#include "hypervisor/qemu-process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "util.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct qemu_process {
    pid_t pid;
    int pidfd;
    bool child;                 /* Ours to reap. */
    bool ended;
    char how[32];
};

int
credentials_parse(const char *user, struct credentials *credentials,
                  struct err *err)
{
    struct credentials c = { .n_groups = 0 };
    unsigned int uid, gid;
    int end = 0;
    if (sscanf(user, "%u:%u%n", &uid, &gid, &end) == 2 && !user[end]) {
        c.uid = uid;
        c.gid = gid;
    } else {
        errno = 0;
        const struct passwd *pw = getpwnam(user);
        if (!pw) {
            return err_set(err, ENOENT, "there is no user \"%s\" to run VMs "
                           "as; name another, or UID:GID", user);
        }
        c.uid = pw->pw_uid;
        c.gid = pw->pw_gid;
        int n = CREDENTIALS_MAX_GROUPS;
        if (getgrouplist(user, pw->pw_gid, c.groups, &n) < 0) {
            return err_set(err, E2BIG, "user \"%s\" is in more than %d "
                           "groups", user, CREDENTIALS_MAX_GROUPS);
        }
        c.n_groups = n;
    }
    if (!c.uid || !c.gid) {
        return err_set(err, EPERM, "VMs do not run as root");
    }
    *credentials = c;
    return 0;
}

/* When 'pid' started, in clock ticks since the host did; 0 if it is gone.
 * The name in the second field may hold anything, spaces and parentheses
 * included (proc(5)). */
static unsigned long long
start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(n, 0)] = '\0';

    const char *p = strrchr(text, ')');
    unsigned long long ticks = 0;
    if (p) {
        sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
               "%*d %*d %*d %*d %*d %llu", &ticks);
    }
    return ticks;
}

/* In the child, which is still root: from here on it can be found. */
static int
write_pid_file(const char *path)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%ld %llu\n", (long) getpid(),
                     start_time(getpid()));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0644);
    return fd < 0 || write(fd, text, n) != n ? errno : 0;
}

static int
drop_privileges(const struct credentials *c)
{
    if (geteuid() == c->uid) {
        return 0;               /* We are nobody special: a test. */
    }
    return (setgroups(c->n_groups, c->groups)
            || setresgid(c->gid, c->gid, c->gid)
            || setresuid(c->uid, c->uid, c->uid)
            || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? errno : 0);
}

/* Limits what a guest can do to the host's file systems by talking.  With
 * SIGXFSZ ignored, a write beyond the limit just fails. */
static int
limit_resources(uint64_t max_file_size)
{
    struct rlimit none = { 0, 0 };
    if (setrlimit(RLIMIT_CORE, &none)) {
        return errno;
    }
    if (max_file_size) {
        struct rlimit limit = { max_file_size, max_file_size };
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit)) {
            return errno;
        }
    }
    return 0;
}

static int
set_up_files(const struct qemu_process_config *c)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0
        || dup2(c->in >= 0 ? c->in : null, 0) < 0
        || dup2(c->out >= 0 ? c->out : null, 1) < 0
        || dup2(c->err >= 0 ? c->err : null, 2) < 0
        || close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)) {
        return errno;
    }
    for (size_t i = 0; i < c->n_fds; i++) {
        if (fcntl(c->fds[i], F_SETFD, 0)) {
            return errno;
        }
    }
    return 0;
}

/* Returns only if it fails. */
static int
child_main(const struct qemu_process_config *c, char *argv[])
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                         "/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *environment[] = { path, locale, NULL };

    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    setsid();
    setpriority(PRIO_PROCESS, 0, 0);    /* Not the agent's. */
    umask(077);

    int error = c->pid_file ? write_pid_file(c->pid_file) : 0;
    if (!error && c->folder && chdir(c->folder)) {
        error = errno;
    }
    error = error ? error : limit_resources(c->max_file_size);
    error = error ? error : set_up_files(c);
    error = error || !c->credentials ? error : drop_privileges(c->credentials);
    if (!error) {
        execvpe(argv[0], argv, environment);
        error = errno;
    }
    return error;
}

/* Learns from 'fd', which closes on exec, what became of the child. */
static int
wait_for_exec(int fd)
{
    int error = 0;
    ssize_t n;
    do {
        n = read(fd, &error, sizeof error);
    } while (n < 0 && errno == EINTR);
    return n == sizeof error ? error : 0;
}

int
qemu_process_spawn(const struct qemu_process_config *config, char *argv[],
                   struct qemu_process **processp, struct err *err)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC)) {
        return err_set(err, errno, "pipe: %s", ovs_strerror(errno));
    }
    pid_t pid = fork();
    if (!pid) {
        int error = child_main(config, argv);
        ignore(write(pipe_fds[1], &error, sizeof error));
        _exit(127);
    }
    int error = pid < 0 ? errno : 0;
    close(pipe_fds[1]);
    error = error ? error : wait_for_exec(pipe_fds[0]);
    close(pipe_fds[0]);

    int pidfd = -1;
    if (!error) {
        pidfd = pidfd_open(pid, 0);
        error = pidfd < 0 ? errno : 0;
    }
    if (error) {
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        if (config->pid_file) {
            unlink(config->pid_file);
        }
        return err_set(err, error, "starting %s: %s", argv[0],
                       ovs_strerror(error));
    }

    struct qemu_process *p = xzalloc(sizeof *p);
    p->pid = pid;
    p->pidfd = pidfd;
    p->child = true;
    *processp = p;
    return 0;
}

int
qemu_process_find(const char *pid_file, struct qemu_process **processp,
                  struct err *err)
{
    FILE *file = fopen(pid_file, "re");
    if (!file) {
        return err_set(err, errno, "%s: %s", pid_file, ovs_strerror(errno));
    }
    long pid = 0;
    unsigned long long ticks = 0;
    int n = fscanf(file, "%ld %llu", &pid, &ticks);
    fclose(file);

    /* First take hold of the process, then look whether it is the one. */
    int pidfd = n == 2 && pid > 1 ? pidfd_open(pid, 0) : -1;
    if (pidfd < 0 || !ticks || start_time(pid) != ticks) {
        if (pidfd >= 0) {
            close(pidfd);
        }
        return err_set(err, ESRCH, "process %ld has ended", pid);
    }
    struct qemu_process *p = xzalloc(sizeof *p);
    p->pid = pid;
    p->pidfd = pidfd;
    *processp = p;
    return 0;
}

void
qemu_process_close(struct qemu_process *p)
{
    if (p) {
        close(p->pidfd);
        free(p);
    }
}

pid_t
qemu_process_pid(const struct qemu_process *p)
{
    return p->pid;
}

void
qemu_process_kill(struct qemu_process *p, int sig)
{
    if (!p->ended) {
        pidfd_send_signal(p->pidfd, sig, NULL, 0);
    }
}

/* See sched(7), "The autogroup feature": between sessions, only the niceness
 * of the groups counts. */
static void
set_autogroup_nice(pid_t pid, int nice)
{
    char path[64], text[16];

    snprintf(path, sizeof path, "/proc/%d/autogroup", (int) pid);
    int n = snprintf(text, sizeof text, "%d", nice);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ignore(write(fd, text, n));
        close(fd);
    }
}

void
qemu_process_set_nice(struct qemu_process *p, int nice)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task", (int) p->pid);
    DIR *tasks = p->ended ? NULL : opendir(path);
    if (!tasks) {
        return;
    }
    for (const struct dirent *task; (task = readdir(tasks)); ) {
        if (task->d_name[0] != '.') {
            setpriority(PRIO_PROCESS, atoi(task->d_name), nice);
        }
    }
    closedir(tasks);
    set_autogroup_nice(p->pid, nice);
}

bool
qemu_process_has_ended(struct qemu_process *p, char *how, size_t size)
{
    struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
    if (!p->ended && poll(&pfd, 1, 0) > 0) {
        siginfo_t info = { .si_pid = 0 };
        p->ended = true;
        if (p->child && !waitid(P_PIDFD, p->pidfd, &info, WEXITED | WNOHANG)
            && info.si_pid) {
            snprintf(p->how, sizeof p->how, "%s %d",
                     info.si_code == CLD_EXITED ? "status" : "signal",
                     info.si_status);
        }
    }
    if (p->ended && how) {
        ovs_strlcpy(how, p->how, size);
    }
    return p->ended;
}

void
qemu_process_wait(struct qemu_process *p)
{
    if (p->ended) {
        poll_immediate_wake();
    } else {
        poll_fd_wait(p->pidfd, POLLIN);
    }
}
