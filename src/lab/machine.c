#include <config.h>

#include "lab/machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "base/netns.h"
#include "lab/state.h"

#define SYSCTLS_FILE STATE_ROOT "/sysctls.json"
#define PORTS_TO_TRY 100

/* Raised to at least 'value'. */
static const struct {
    const char *key;
    long long value;
    const char *why;
} sysctls[] = {
    { "net/core/rmem_default", 16 << 20,
      "a switch that has to wait for a processor drops nothing" },
    { "net/core/netdev_max_backlog", 16384,
      "the same for bursts between namespaces" },
};

/* Labs come and go at the same time. */
static int
lock_root(int *fd, struct err *err)
{
    *fd = open(STATE_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0 || flock(*fd, LOCK_EX)) {
        int error = errno;
        if (*fd >= 0) {
            close(*fd);
        }
        return err_set(err, error, "%s: %s", STATE_ROOT,
                       ovs_strerror(error));
    }
    return 0;
}

static long long
read_sysctl(const char *key)
{
    char *file = xasprintf("/proc/sys/%s", key);
    FILE *stream = fopen(file, "re");
    long long value = -1;

    if (stream) {
        if (fscanf(stream, "%lld", &value) != 1) {
            value = -1;
        }
        fclose(stream);
    }
    free(file);
    return value;
}

static int
write_sysctl(const char *key, long long value, struct err *err)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", value);
    return netns_write_sysctl(key, text, err);
}

static int
save_sysctls(struct err *err)
{
    struct json *json = json_object_create();
    int error = 0;

    for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
        json_object_put(json, sysctls[i].key,
                        json_integer_create(read_sysctl(sysctls[i].key)));
    }

    char *text = json_to_string(json, JSSF_SORT);
    FILE *stream = fopen(SYSCTLS_FILE ".new", "we");
    if (!stream || fputs(text, stream) < 0) {
        error = errno;
    }
    if (stream && fclose(stream)) {
        error = errno;
    }
    if (!error && rename(SYSCTLS_FILE ".new", SYSCTLS_FILE)) {
        error = errno;
    }
    free(text);
    json_destroy(json);
    return error ? err_set(err, error, "%s: %s", SYSCTLS_FILE,
                           ovs_strerror(error)) : 0;
}

int
machine_prepare(struct err *err)
{
    int fd;

    int error = lock_root(&fd, err);
    if (error) {
        return error;
    }
    if (access(SYSCTLS_FILE, F_OK)) {
        error = save_sysctls(err);
    }
    for (size_t i = 0; !error && i < ARRAY_SIZE(sysctls); i++) {
        if (read_sysctl(sysctls[i].key) < sysctls[i].value) {
            error = write_sysctl(sysctls[i].key, sysctls[i].value, err);
        }
    }
    close(fd);
    return error;
}

int
machine_restore(struct err *err)
{
    struct svec labs = SVEC_EMPTY_INITIALIZER;
    int error = 0, fd;

    if (lock_root(&fd, NULL)) {
        return 0;               /* The last lab has removed it. */
    }
    state_list(&labs);
    if (!labs.n && !access(SYSCTLS_FILE, F_OK)) {
        struct json *json = json_from_file(SYSCTLS_FILE);

        for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
            long long value = json_get_number(json, sysctls[i].key, -1);
            if (value >= 0) {
                int e = write_sysctl(sysctls[i].key, value, err);
                error = error ? error : e;
            }
        }
        json_destroy(json);
        unlink(SYSCTLS_FILE);
    }
    if (!labs.n) {
        rmdir(STATE_ROOT);
    }
    svec_destroy(&labs);
    close(fd);
    return error;
}

int
machine_find(const char *name, char **pathp, struct err *err)
{
    /* Relative to the running program; the first few are the build folder,
     * whose programs lie in build/src/FOLDER/. */
    static const char *const places[] = {
        "%s/%s", "%s/../../%s", "%s/../../../%s", "%s/../wire/%s",
        "%s/../agent/%s", "%s/../manager/%s", "%s/../probe/%s",
        "%s/../bench/%s", "%s/../sbin/%s", "%s/../libexec/watari/%s",
        "%s/../share/watari/%s",
    };
    char self[PATH_MAX];

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        return err_set(err, errno, "/proc/self/exe: %s", ovs_strerror(errno));
    }
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        char *path = xasprintf(places[i], self, name);
#pragma GCC diagnostic pop
        char *real = realpath(path, NULL);
        free(path);
        if (real) {
            *pathp = real;
            return 0;
        }
    }
    return err_set(err, ENOENT, "%s is not installed, and not built beside "
                   "%s", name, self);
}

int
machine_listen(unsigned int port, int *fdp, unsigned int *actual,
               struct err *err)
{
    for (unsigned int i = 0; i < PORTS_TO_TRY; i++) {
        struct sockaddr_in sin = {
            .sin_family = AF_INET,
            .sin_port = htons(port + i),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;

        if (fd < 0) {
            return err_set(err, errno, "socket: %s", ovs_strerror(errno));
        }
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (!bind(fd, (struct sockaddr *) &sin, sizeof sin)
            && !listen(fd, 64)) {
            *fdp = fd;
            *actual = port + i;
            return 0;
        }
        int error = errno;
        close(fd);
        if (error != EADDRINUSE) {
            return err_set(err, error, "127.0.0.1:%u: %s", port + i,
                           ovs_strerror(error));
        }
    }
    return err_set(err, EADDRINUSE, "ports %u to %u of 127.0.0.1 are all in "
                   "use", port, port + PORTS_TO_TRY - 1);
}
