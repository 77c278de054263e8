/* watari-wire: a link with delay, jitter, loss and rate between two
 * interfaces, for kernels without netem.  One thread, one loop. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "wire/control.h"
#include "wire/lane.h"

#define SECOND INT64_C(1000000000)
#define MAX_SPIN_US 60
#define REALTIME_PRIORITY 10

/* Under load frames are due every few microseconds, and waking up for each
 * costs more than forwarding it.  So the loop rests this long, and then sends
 * what has become due. */
#define REST_NS 50000

struct options {
    const char *interfaces[2];
    struct shape shapes[2];     /* There, back. */
    const char *control;
    unsigned int ring_mb;
    unsigned int spin_us;
    uint64_t seed;
};

/* One row for each option; the usage and getopt_long() read it. */
struct option_row {
    const char *name;
    const char *argument;
    const char *help;
};

enum { OPT_THERE = 256, OPT_BACK, OPT_CONTROL, OPT_RING, OPT_SPIN, OPT_SEED,
       OPT_HELP, OPT_VERSION, OPT_END };

static const struct option_row option_rows[] = {
    { "there", "SPEC", "what happens to frames from IF0 to IF1" },
    { "back", "SPEC", "the same from IF1 to IF0 (default: as --there)" },
    { "control", "PATH", "take orders from this unix datagram socket" },
    { "ring", "MB", "buffer for each direction (default 16)" },
    { "spin", "US", "busy wait before a frame is due (0..60, default 0)" },
    { "seed", "N", "makes losses and jitter repeatable" },
    { "help", NULL, "print this help" },
    { "version", NULL, "print the version" },
};
enum { N_OPTIONS = sizeof option_rows / sizeof option_rows[0] };
_Static_assert(N_OPTIONS == OPT_END - OPT_THERE, "a row for each option");

static void
usage(FILE *out)
{
    fprintf(out, "usage: watari-wire [OPTION]... IF0 IF1\n"
            "Forwards frames between two interfaces like a long link.\n\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option_row *row = &option_rows[i];
        char left[32];

        snprintf(left, sizeof left, "--%s %s", row->name,
                 row->argument ? row->argument : "");
        fprintf(out, "  %-16s %s\n", left, row->help);
    }
    fprintf(out, "\nSPEC is delay=5ms,jitter=1ms,loss=0.1%%,rate=1gbit,"
            "queue=1000000 or part of it.\n"
            "Orders are: there SPEC, back SPEC, cut, heal, stats.\n"
            "SIGUSR1 prints the counters, SIGTERM ends.\n");
}

static int
parse_number(const char *text, unsigned long min, unsigned long max,
             const char *name, uint64_t *value, struct err *err)
{
    char *end;

    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || n < min || n > max) {
        return err_set(err, EINVAL, "--%s: \"%s\" is not a number from "
                       "%lu to %lu", name, text, min, max);
    }
    *value = n;
    return 0;
}

static int
parse_option(int opt, const char *text, struct options *o, struct err *err)
{
    const char *name = option_rows[opt - OPT_THERE].name;
    uint64_t number = 0;
    int error = 0;

    switch (opt) {
    case OPT_THERE:
    case OPT_BACK:
        error = shape_parse(text, &o->shapes[opt == OPT_BACK], err);
        if (error) {
            err_add(err, error, "--%s", name);
        }
        break;
    case OPT_CONTROL:
        o->control = text;
        break;
    case OPT_RING:
        error = parse_number(text, 1, LANE_MAX_RING_MB, name, &number, err);
        o->ring_mb = number;
        break;
    case OPT_SPIN:
        error = parse_number(text, 0, MAX_SPIN_US, name, &number, err);
        o->spin_us = number;
        break;
    case OPT_SEED:
        error = parse_number(text, 0, UINT32_MAX, name, &o->seed, err);
        break;
    }
    return error;
}

/* Exits with 2 if it is used wrongly. */
static void
parse_options(int argc, char *argv[], struct options *o)
{
    struct option longs[N_OPTIONS + 1] = { 0 };
    struct err err;
    bool back = false;
    int opt;

    for (int i = 0; i < N_OPTIONS; i++) {
        longs[i].name = option_rows[i].name;
        longs[i].has_arg = option_rows[i].argument != NULL;
        longs[i].val = OPT_THERE + i;
    }
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (opt == OPT_HELP) {
            usage(stdout);
            exit(0);
        } else if (opt == OPT_VERSION) {
            printf("watari-wire %s\n", WATARI_VERSION);
            exit(0);
        } else if (opt == '?') {
            fprintf(stderr, "Try watari-wire --help.\n");
            exit(2);
        } else if (parse_option(opt, optarg, o, &err)) {
            fprintf(stderr, "watari-wire: %s\n", err.text);
            exit(2);
        }
        back |= opt == OPT_BACK;
    }
    if (argc - optind != 2) {
        usage(stderr);
        exit(2);
    }
    o->interfaces[0] = argv[optind];
    o->interfaces[1] = argv[optind + 1];
    if (!back) {
        o->shapes[1] = o->shapes[0];
    }
}

static int64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static struct lane_time
read_time(void)
{
    int64_t before = clock_ns(CLOCK_MONOTONIC);
    int64_t wall = clock_ns(CLOCK_REALTIME);

    /* The offset errs by half the time that this takes, well below 1 us;
     * lane.c bounds it if we were interrupted here. */
    return (struct lane_time) { before, wall - before };
}

/* Asks for what makes wake-ups punctual.  All of it may be refused. */
static void
be_punctual(void)
{
    struct sched_param param = { .sched_priority = REALTIME_PRIORITY };

    prctl(PR_SET_TIMERSLACK, 1);
    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
    mlockall(MCL_CURRENT);
}

static int
open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Returns false once it is time to leave. */
static bool
obey_signals(int fd, struct lane *lanes[2])
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof info) == sizeof info) {
        char text[2048];

        if (info.ssi_signo != SIGUSR1) {
            return false;
        }
        control_format_counters(lanes, text, sizeof text);
        fputs(text, stderr);
    }
    return true;
}

/* Sleeps until a lane has something to send, or a descriptor to read.  The
 * lanes were run at 'last'. */
static void
wait(struct lane *lanes[2], struct pollfd fds[4], int64_t last, int64_t spin)
{
    int64_t due = INT64_MAX;

    for (int i = 0; i < 2; i++) {
        int64_t lane = lane_due(lanes[i]);

        fds[i].fd = lane == INT64_MAX ? lane_fd(lanes[i]) : -1;
        due = lane < due ? lane : due;
    }

    if (due < last + REST_NS) {
        due = last + REST_NS;
    }

    int64_t left = due - spin - clock_ns(CLOCK_MONOTONIC);
    struct timespec timeout = { 0 };
    if (due != INT64_MAX && left > 0) {
        timeout.tv_sec = left / SECOND;
        timeout.tv_nsec = left % SECOND;
    }
    if (ppoll(fds, 4, due == INT64_MAX ? NULL : &timeout, NULL) == 0) {
        while (clock_ns(CLOCK_MONOTONIC) < due) {
            continue;
        }
    }
}

/* An interface that vanished ends the wire, once the other one has got what
 * was under way.  Returns false then. */
static bool
check_interfaces(struct lane *lanes[2], const struct pollfd fds[4])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) {
            lane_check(lanes[i]);
        }
        if (lane_is_gone(lanes[i])) {
            lane_drop(lanes[!i]);
            return lane_due(lanes[i]) != INT64_MAX;
        }
    }
    return true;
}

static void
run(const struct options *o, struct lane *lanes[2], struct control *control,
    int signals)
{
    struct pollfd fds[4] = {
        { .events = POLLIN },
        { .events = POLLIN },
        { .fd = control ? control_fd(control) : -1, .events = POLLIN },
        { .fd = signals, .events = POLLIN },
    };

    do {
        struct lane_time now = read_time();

        lane_run(lanes[0], now);
        lane_run(lanes[1], now);
        wait(lanes, fds, now.now, o->spin_us * INT64_C(1000));
        if (fds[2].revents) {
            control_run(control, lanes);
        }
    } while ((!fds[3].revents || obey_signals(signals, lanes))
             && check_interfaces(lanes, fds));
}

static int
start(const struct options *o, struct lane *lanes[2],
      struct control **control, struct err *err)
{
    int error = 0;

    for (int i = 0; i < 2 && !error; i++) {
        error = lane_open(o->interfaces[i], o->interfaces[!i], &o->shapes[i],
                          2 * o->seed + i, o->ring_mb, &lanes[i], err);
    }
    if (!error && o->control) {
        error = control_open(o->control, control, err);
    }
    return error;
}

int
main(int argc, char *argv[])
{
    struct options options = {
        .shapes = { SHAPE_INIT, SHAPE_INIT },
        .ring_mb = 16,
        .seed = clock_ns(CLOCK_REALTIME),
    };
    struct lane *lanes[2] = { NULL, NULL };
    struct control *control = NULL;
    struct err err = ERR_INIT;

    parse_options(argc, argv, &options);

    int signals = open_signals();
    int error = start(&options, lanes, &control, &err);
    if (error) {
        fprintf(stderr, "watari-wire: %s\n", err.text);
    } else {
        be_punctual();
        puts("ready");
        fflush(stdout);
        run(&options, lanes, control, signals);
    }

    control_close(control);
    lane_close(lanes[0]);
    lane_close(lanes[1]);
    return error ? 1 : 0;
}
