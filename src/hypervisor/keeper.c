/* watari-keeper TAP-FD LISTENER-FD SOCKET: see keeper.h.
 *
 * Whoever connects gets the descriptor, and counts as the agent as long as it
 * stays connected.  There is one at a time: the latest. */

#include <config.h>

#include "hypervisor/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 1000            /* At the socket's name. */

static long long
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void
hand_over(int to, int fd)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof fd)];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control.space,
    };

    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* It has gone again; the next one gets it. */
    }
}

/* Can an agent still find us? */
static bool
is_findable(const char *path, const struct stat *socket)
{
    struct stat now;

    return (!stat(path, &now) && now.st_ino == socket->st_ino
            && now.st_dev == socket->st_dev);
}

int
main(int argc, char *argv[])
{
    struct stat socket;

    if (argc != 4 || stat(argv[3], &socket)) {
        fprintf(stderr, "usage: watari-keeper TAP-FD LISTENER-FD SOCKET\n");
        return 2;
    }
    int tap = atoi(argv[1]);
    int listener = atoi(argv[2]);
    int agent = -1;
    long long alone = now_ms();

    for (;;) {
        struct pollfd fds[] = {
            { tap, 0 }, { listener, POLLIN }, { agent, POLLIN },
        };

        if (poll(fds, 3, LOOK_MS) < 0 && errno != EINTR) {
            return 1;
        }
        if (fds[0].revents & (POLLERR | POLLNVAL)) {
            return 0;           /* The tap is gone. */
        }
        if (fds[1].revents & POLLIN) {
            int fd = accept(listener, NULL, NULL);

            if (fd >= 0) {
                hand_over(fd, tap);
                if (agent >= 0) {
                    close(agent);
                }
                agent = fd;
            }
        } else if (agent >= 0 && fds[2].revents) {
            close(agent);       /* It says nothing: it has ended. */
            agent = -1;
            alone = now_ms();
        }
        if (!is_findable(argv[3], &socket)
            || (agent < 0 && now_ms() - alone > KEEPER_PATIENCE_MS)) {
            return 0;
        }
    }
}
