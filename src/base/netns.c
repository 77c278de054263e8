#include <config.h>

#include "base/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/util.h"
#include "util.h"

#define SELF "/proc/thread-self/ns/net"

static void
file_name(const char *name, char buf[128])
{
    snprintf(buf, 128, NETNS_DIR "/%s", name);
}

/* Makes NETNS_DIR a shared mount, as "ip netns" does, so that namespaces
 * that are deleted here are deleted in all mount namespaces. */
static int
prepare_dir(struct err *err)
{
    if (mkdir(NETNS_DIR, 0755) && errno != EEXIST) {
        return err_set(err, errno, NETNS_DIR ": %s", ovs_strerror(errno));
    }
    if (!mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL)) {
        return 0;
    }
    if (errno != EINVAL
        || mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL)
        || mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL)) {
        return err_set(err, errno, "mounting " NETNS_DIR ": %s",
                       ovs_strerror(errno));
    }
    return 0;
}

int
netns_create(const char *name, struct err *err)
{
    char file[128];

    file_name(name, file);
    int error = prepare_dir(err);
    if (error) {
        return error;
    }

    int fd = open(file, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, errno, "namespace %s: %s", name,
                       ovs_strerror(errno));
    }
    close(fd);

    int saved = open(SELF, O_RDONLY | O_CLOEXEC);
    if (saved < 0 || unshare(CLONE_NEWNET)) {
        error = errno;
    } else {
        error = mount(SELF, file, "none", MS_BIND, NULL) ? errno : 0;
        netns_pop(saved);
        saved = -1;
    }
    if (saved >= 0) {
        close(saved);
    }
    if (error) {
        unlink(file);
        return err_set(err, error, "namespace %s: %s", name,
                       ovs_strerror(error));
    }
    return 0;
}

int
netns_delete(const char *name, struct err *err)
{
    char file[128];

    file_name(name, file);
    umount2(file, MNT_DETACH);
    if (unlink(file) && errno != ENOENT) {
        return err_set(err, errno, "namespace %s: %s", name,
                       ovs_strerror(errno));
    }
    return 0;
}

bool
netns_exists(const char *name)
{
    char file[128];

    file_name(name, file);
    return !access(file, F_OK);
}

int
netns_enter(const char *name, struct err *err)
{
    char file[128];

    file_name(name, file);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, errno, "namespace %s: %s", name,
                       ovs_strerror(errno));
    }

    int error = setns(fd, CLONE_NEWNET) ? errno : 0;
    close(fd);
    return error ? err_set(err, error, "entering namespace %s: %s", name,
                           ovs_strerror(error)) : 0;
}

int
netns_enter_fully(const char *name, struct err *err)
{
    int error = netns_enter(name, err);
    if (error) {
        return error;
    }
    if (unshare(CLONE_NEWNS)
        || mount("", "/", "none", MS_SLAVE | MS_REC, NULL)) {
        return err_set(err, errno, "mount namespace: %s",
                       ovs_strerror(errno));
    }

    /* Where /sys cannot be mounted, it shows the interfaces from outside;
     * most programs do not look there. */
    umount2("/sys", MNT_DETACH);
    ignore(mount(name, "/sys", "sysfs", 0, NULL));
    return 0;
}

int
netns_push(const char *name, int *saved, struct err *err)
{
    int fd = open(SELF, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, errno, SELF ": %s", ovs_strerror(errno));
    }

    int error = netns_enter(name, err);
    if (error) {
        close(fd);
        return error;
    }
    *saved = fd;
    return 0;
}

void
netns_pop(int saved)
{
    /* To go on in the wrong namespace would change the wrong machine. */
    ovs_assert(!setns(saved, CLONE_NEWNET));
    close(saved);
}

int
netns_write_sysctl(const char *key, const char *value, struct err *err)
{
    char file[256];

    snprintf(file, sizeof file, "/proc/sys/%s", key);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
    }

    int error = write(fd, value, strlen(value)) < 0 ? errno : 0;
    close(fd);
    return error ? err_set(err, error, "%s: %s", file, ovs_strerror(error))
                 : 0;
}

size_t
netns_processes(const char *name, pid_t **pidsp)
{
    size_t n = 0, allocated = 0;
    struct stat ours, theirs;
    pid_t *pids = NULL;
    char file[300];

    *pidsp = NULL;
    file_name(name, file);
    if (stat(file, &ours)) {
        return 0;
    }

    DIR *dir = opendir("/proc");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        int pid = atoi(entry->d_name);
        if (pid <= 0) {
            continue;
        }
        snprintf(file, sizeof file, "/proc/%d/ns/net", pid);
        if (!stat(file, &theirs) && theirs.st_ino == ours.st_ino
            && theirs.st_dev == ours.st_dev) {
            if (n >= allocated) {
                pids = x2nrealloc(pids, &allocated, sizeof *pids);
            }
            pids[n++] = pid;
        }
    }
    if (dir) {
        closedir(dir);
    }
    *pidsp = pids;
    return n;
}
