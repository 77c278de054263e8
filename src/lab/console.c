#include <config.h>

#include "lab/lab.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "lab/client.h"
#include "lab/state.h"

#define ESCAPE ('[' - '@' + 2)  /* ^] */

/* Finds out where the VM runs, from the manager. */
static int
find_socket(const struct state *state, const char *vm, char **path,
            struct err *err)
{
    char *target = xasprintf("unix:%s/manager/manager.sock", state->dir);
    char *resource = xasprintf("/vms/%s", vm);
    struct client *client;
    struct json *reply = NULL;

    int error = client_create(target, NULL, NULL, &client, err);
    if (!error) {
        error = client_request(client, "GET", resource, NULL, &reply, err);
        client_destroy(client);
    }
    if (!error) {
        const char *host = json_get_string(reply, "host");
        const char *uuid = json_get_string(reply, "uuid");

        if (host && uuid) {
            *path = xasprintf("%s/%s/vms/%s/io/console", state->dir, host,
                              uuid);
        } else {
            error = err_set(err, ENOENT, "VM \"%s\" is not on any host", vm);
        }
    }
    json_destroy(reply);
    free(resource);
    free(target);
    return error;
}

/* Copies what is there from 'in' to 'out'; false at the end, and when the
 * person wants to leave. */
static bool
copy(int in, int out, bool escape)
{
    char buf[4096];
    ssize_t n = read(in, buf, sizeof buf);
    const char *stop = n > 0 && escape ? memchr(buf, ESCAPE, n) : NULL;

    n = stop ? stop - buf : n;
    for (ssize_t done = 0; done < n; ) {
        ssize_t written = write(out, buf + done, n - done);
        if (written <= 0) {
            return false;
        }
        done += written;
    }
    return n > 0 && !stop;
}

static void
talk(int fd)
{
    struct pollfd pfds[2] = {
        { .fd = STDIN_FILENO, .events = POLLIN },
        { .fd = fd, .events = POLLIN },
    };

    for (;;) {
        if (poll(pfds, 2, -1) < 0) {
            if (errno != EINTR) {
                return;
            }
        } else if ((pfds[0].revents && !copy(STDIN_FILENO, fd, true))
                   || (pfds[1].revents && !copy(fd, STDOUT_FILENO, false))) {
            return;
        }
    }
}

int
lab_console(const char *lab, const char *vm, struct err *err)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct state *state = NULL;
    char *only = NULL, *path = NULL;
    int fd = -1;

    int error = lab ? 0 : state_find_only(&only, err);
    error = error ? error : state_load(lab ? lab : only, false, &state, err);
    error = error ? error : find_socket(state, vm, &path, err);
    if (!error) {
        ovs_strzcpy(sun.sun_path, path, sizeof sun.sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &sun, sizeof sun)) {
            error = err_set(err, errno, "console of \"%s\", %s: %s", vm, path,
                            ovs_strerror(errno));
        }
    }
    if (!error) {
        struct termios saved, raw;
        bool terminal = !tcgetattr(STDIN_FILENO, &saved);

        fprintf(stderr, "console of %s; ^] leaves\n", vm);
        if (terminal) {
            raw = saved;
            cfmakeraw(&raw);
            tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        talk(fd);
        if (terminal) {
            tcsetattr(STDIN_FILENO, TCSANOW, &saved);
            fputc('\n', stderr);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    free(only);
    state_destroy(state);
    return error;
}
