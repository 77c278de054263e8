#include "wire/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct control {
    int fd;
    char path[sizeof ((struct sockaddr_un *) 0)->sun_path];
};

/* One row for each verb. */
struct order {
    const char *verb;
    int (*obey)(struct lane *lanes[2], const char *argument, char *reply,
                size_t size, struct err *);
};

/* Splits 'lanes' by "there", "back" or, for both, "".  Returns a mask of
 * their indexes, or 0 if 'which' is none of these. */
static unsigned int
parse_lanes(const char *which)
{
    return !strcmp(which, "") ? 3 : !strcmp(which, "there") ? 1
           : !strcmp(which, "back") ? 2 : 0;
}

static int
reshape(struct lane *lane, const char *spec, struct err *err)
{
    struct shape shape;
    int error = shape_parse(spec, &shape, err);

    if (!error) {
        lane_reshape(lane, &shape);
    }
    return error;
}

static int
obey_there(struct lane *lanes[2], const char *argument, char *reply,
           size_t size, struct err *err)
{
    return reshape(lanes[0], argument, err);
}

static int
obey_back(struct lane *lanes[2], const char *argument, char *reply,
          size_t size, struct err *err)
{
    return reshape(lanes[1], argument, err);
}

static int
set_cut(struct lane *lanes[2], const char *which, bool cut, struct err *err)
{
    unsigned int mask = parse_lanes(which);

    if (!mask) {
        return err_set(err, EINVAL, "\"%s\" is not \"there\" or \"back\"",
                       which);
    }
    for (int i = 0; i < 2; i++) {
        if (mask & (1u << i)) {
            lane_cut(lanes[i], cut);
        }
    }
    return 0;
}

static int
obey_cut(struct lane *lanes[2], const char *argument, char *reply,
         size_t size, struct err *err)
{
    return set_cut(lanes, argument, true, err);
}

static int
obey_heal(struct lane *lanes[2], const char *argument, char *reply,
          size_t size, struct err *err)
{
    return set_cut(lanes, argument, false, err);
}

static int
obey_stats(struct lane *lanes[2], const char *argument, char *reply,
           size_t size, struct err *err)
{
    control_format_counters(lanes, reply, size);
    return 0;
}

static const struct order orders[] = {
    { "there", obey_there },
    { "back", obey_back },
    { "cut", obey_cut },
    { "heal", obey_heal },
    { "stats", obey_stats },
};

int
control_open(const char *path, struct control **controlp, struct err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct stat status;

    if (strlen(path) >= sizeof addr.sun_path) {
        return err_set(err, ENAMETOOLONG, "%s: too long for a socket", path);
    }
    strcpy(addr.sun_path, path);

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set(err, errno, "control socket: %s", strerror(errno));
    }
    if (!lstat(path, &status) && S_ISSOCK(status.st_mode)) {
        unlink(path);
    }
    if (bind(fd, (struct sockaddr *) &addr, sizeof addr)) {
        int error = errno;

        close(fd);
        return err_set(err, error, "%s: %s", path, strerror(error));
    }

    struct control *control = malloc(sizeof *control);
    if (!control) {
        unlink(path);
        close(fd);
        return err_set(err, ENOMEM, "no memory");
    }
    control->fd = fd;
    memcpy(control->path, addr.sun_path, sizeof control->path);
    *controlp = control;
    return 0;
}

void
control_close(struct control *control)
{
    if (control) {
        unlink(control->path);
        close(control->fd);
        free(control);
    }
}

int
control_fd(const struct control *control)
{
    return control->fd;
}

static int
obey(struct lane *lanes[2], char *line, char *reply, size_t size,
     struct err *err)
{
    char *argument = line + strcspn(line, " ");

    if (*argument) {
        *argument++ = '\0';
        argument += strspn(argument, " ");
    }
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (!strcmp(line, orders[i].verb)) {
            snprintf(reply, size, "ok\n");
            return orders[i].obey(lanes, argument, reply, size, err);
        }
    }
    return err_set(err, EINVAL, "\"%s\" is not one of there, back, cut, "
                   "heal, stats", line);
}

void
control_run(struct control *control, struct lane *lanes[2])
{
    char datagram[CONTROL_MAX_DATAGRAM + 1], reply[2048];
    struct sockaddr_un from;
    socklen_t from_len = sizeof from;
    ssize_t n;

    while ((n = recvfrom(control->fd, datagram, sizeof datagram - 1, 0,
                         (struct sockaddr *) &from, &from_len)) >= 0) {
        char *state = NULL;

        datagram[n] = '\0';
        for (char *line = strtok_r(datagram, "\n", &state); line;
             line = strtok_r(NULL, "\n", &state)) {
            struct err err = ERR_INIT;

            if (obey(lanes, line, reply, sizeof reply, &err)) {
                snprintf(reply, sizeof reply, "%s\n", err.text);
            }
            /* Who cannot take the answer has to do without. */
            if (from_len > sizeof from.sun_family) {
                sendto(control->fd, reply, strlen(reply), MSG_DONTWAIT,
                       (struct sockaddr *) &from, from_len);
            }
        }
        from_len = sizeof from;
    }
}

/* Adds to the text of 'n' bytes in 'buf'. */
static size_t __attribute__((format(printf, 4, 5)))
append(char *buf, size_t size, size_t n, const char *format, ...)
{
    va_list args;

    if (n < size) {
        va_start(args, format);
        n += vsnprintf(buf + n, size - n, format, args);
        va_end(args);
    }
    return n;
}

void
control_format_counters(struct lane *lanes[2], char *buf, size_t size)
{
    size_t n = 0;

    for (int i = 0; i < 2; i++) {
        struct lane_counters counters;

        lane_get_counters(lanes[i], &counters);
        n = append(buf, size, n, "%s:", lane_name(lanes[i]));
#define LANE_COUNTER(NAME, TITLE)                                       \
        n = append(buf, size, n, " %s=%"PRIu64, #NAME, counters.NAME);
        LANE_COUNTERS
#undef LANE_COUNTER
        n = append(buf, size, n, "\n");
    }
}
