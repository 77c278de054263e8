/* watari-probe: talks to an echo or a source and records what happened. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "probe/analysis.h"
#include "probe/clock.h"
#include "probe/echo.h"
#include "probe/net.h"
#include "probe/record.h"
#include "probe/source.h"
#include "probe/stream.h"
#include "probe/udp.h"

#define SECOND INT64_C(1000000000)
#define LINGER_NS (5 * SECOND)  /* For answers under way, of busy guests. */
#define CONNECT_MS 10000

struct options {
    const char *address;
    uint64_t port;              /* 0: the command's own. */
    uint64_t source_port;
    uint64_t interval_us;
    uint64_t interval_ms;
    uint64_t count;
    uint64_t seconds;
    uint64_t rate;
    const char *bind;
    const char *record;
};

/* One row for each option; numbers go to the given member. */
static const struct option_row {
    const char *name, *argument, *help;
    size_t number;              /* Offset in struct options, or NONE. */
    size_t text;
    uint64_t min, max;
} option_rows[] = {
#define NONE SIZE_MAX
#define NUMBER(MEMBER) offsetof(struct options, MEMBER), NONE
#define TEXT(MEMBER) NONE, offsetof(struct options, MEMBER), 0, 0
    { "port", "N", "port to serve or to ask", NUMBER(port), 1, 65535 },
    { "source", "N", "echo-server: also a source of data on this port",
      NUMBER(source_port), 1, 65535 },
    { "interval-us", "N", "time between requests (udp, default 1000)",
      NUMBER(interval_us), 10, 60000000 },
    { "interval-ms", "N", "time between messages (tcp-idle, default 200)",
      NUMBER(interval_ms), 1, 3600000 },
    { "count", "N", "end after so many requests (udp)",
      NUMBER(count), 1, RECORD_MAX_ROWS },
    { "seconds", "N", "end after this time",
      NUMBER(seconds), 1, 1000000 },
    { "rate", "N", "bytes a second (tcp-download, default: no limit)",
      NUMBER(rate), 1, UINT64_C(100000000000) },
    { "bind", "ADDRESS", "ask from this address (udp)", TEXT(bind) },
    { "record", "FILE", "write the record to this file", TEXT(record) },
    { "help", NULL, "print this help", NONE, NONE, 0, 0 },
    { "version", NULL, "print the version", NONE, NONE, 0, 0 },
};
enum { N_OPTIONS = sizeof option_rows / sizeof option_rows[0] };

static int run_echo_server(const struct options *, struct err *);
static int run_udp(const struct options *, struct err *);
static int run_download(const struct options *, struct err *);
static int run_idle(const struct options *, struct err *);

static const struct command {
    const char *name, *help;
    bool has_address;
    uint64_t port;
    int (*run)(const struct options *, struct err *);
} commands[] = {
    { "echo-server", "answer datagrams and streams", false, 7,
      run_echo_server },
    { "udp", "have datagrams echoed in even steps", true, 7, run_udp },
    { "tcp-download", "read from a source, sample every ms", true, 19,
      run_download },
    { "tcp-idle", "have a small message echoed now and then", true, 7,
      run_idle },
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static volatile sig_atomic_t stop;

static void
on_signal(int signal_number)
{
    stop = 1;
}

static void
usage(FILE *out)
{
    fprintf(out, "usage: watari-probe COMMAND [ADDRESS] [OPTION]...\n\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        fprintf(out, "  %-12s %-8s %s\n", commands[i].name,
                commands[i].has_address ? "ADDRESS" : "", commands[i].help);
    }
    fprintf(out, "\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[40];

        snprintf(left, sizeof left, "--%s %s", option_rows[i].name,
                 option_rows[i].argument ? option_rows[i].argument : "");
        fprintf(out, "  %-18s %s\n", left, option_rows[i].help);
    }
    fprintf(out, "\nProbes end on SIGTERM, write the record and print a "
            "summary.\n");
}

static int
set_option(const struct option_row *row, const char *text,
           struct options *o, struct err *err)
{
    if (row->text != NONE) {
        *(const char **) ((char *) o + row->text) = text;
        return 0;
    }

    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || n < row->min
        || n > row->max) {
        return err_set(err, EINVAL, "--%s: \"%s\" is not a number from "
                       "%"PRIu64" to %"PRIu64, row->name, text, row->min,
                       row->max);
    }
    *(uint64_t *) ((char *) o + row->number) = n;
    return 0;
}

static void __attribute__((noreturn))
refuse(const char *sentence)
{
    fprintf(stderr, "watari-probe: %s\nTry watari-probe --help.\n",
            sentence);
    exit(2);
}

/* Returns the command.  Exits with 2 if the program is used wrongly. */
static const struct command *
parse_options(int argc, char *argv[], struct options *o)
{
    struct option longs[N_OPTIONS + 1] = { 0 };
    const struct command *command = NULL;
    struct err err;
    int opt;

    for (int i = 0; i < N_OPTIONS; i++) {
        longs[i].name = option_rows[i].name;
        longs[i].has_arg = option_rows[i].argument != NULL;
        longs[i].val = 256 + i;
    }
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (opt == '?') {
            exit(2);
        }
        const struct option_row *row = &option_rows[opt - 256];
        if (!strcmp(row->name, "help")) {
            usage(stdout);
            exit(0);
        } else if (!row->argument) {
            printf("watari-probe %s\n", WATARI_VERSION);
            exit(0);
        } else if (set_option(row, optarg, o, &err)) {
            refuse(err.text);
        }
    }
    for (int i = 0; i < N_COMMANDS && optind < argc; i++) {
        if (!strcmp(argv[optind], commands[i].name)) {
            command = &commands[i];
        }
    }
    if (!command) {
        refuse(optind < argc ? "there is no such command"
               : "the command is missing");
    }
    if (argc - optind != 1 + command->has_address) {
        refuse(command->has_address ? "exactly one address is needed"
               : "too many arguments");
    }
    o->address = argv[argc - 1];
    o->port = o->port ? o->port : command->port;
    return command;
}

static int
run_echo_server(const struct options *o, struct err *err)
{
    struct echo *echo;
    int error = echo_create(o->port, &echo);

    if (error) {
        return err_set(err, error, "serving port %"PRIu64": %s", o->port,
                       strerror(error));
    }
    if (o->source_port) {
        int fd = source_open(o->source_port);

        if (fd < 0) {
            echo_destroy(echo);
            return err_set(err, -fd, "serving port %"PRIu64": %s",
                           o->source_port, strerror(-fd));
        }
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            source_run(fd, &stop);
            _exit(0);
        }
        close(fd);
    }
    puts("ready");
    fflush(stdout);
    echo_run(echo, &stop);
    echo_destroy(echo);
    return 0;
}

static int
parse_address(const char *text, uint64_t port, struct net_address *address,
              struct err *err)
{
    return net_parse(text, port, address)
           ? err_set(err, EINVAL, "\"%s\" is not a numeric address", text)
           : 0;
}

/* Writes the record, if that is wanted. */
static int
save(const struct options *o, const struct record *record, struct err *err)
{
    return o->record ? record_save(record, o->record, err) : 0;
}

/* Prints the summary of a record of requests and answers. */
static int
print_probes(const struct record *record, struct err *err)
{
    struct analysis_probes a;
    int error = analysis_probes(record, 0, INT64_MAX, &a, err);

    if (error) {
        return error;
    }
    printf("{\"sent\": %"PRIu64", \"answered\": %"PRIu64", \"lost\": %"PRIu64
           ", \"duplicated\": %"PRIu64", \"reordered\": %"PRIu64
           ", \"rtt_p50_us\": %.1f, \"rtt_p99_us\": %.1f, "
           "\"rtt_max_us\": %.1f, \"gap_ms\": %.3f, \"broken\": %s}\n",
           a.sent, a.answered, a.lost, a.duplicated, a.reordered,
           a.rtt_p50 / 1e3, a.rtt_p99 / 1e3, a.rtt_max / 1e3, a.gap / 1e6,
           record->broken_at ? "true" : "false");
    return 0;
}

static int64_t
end_time(const struct options *o)
{
    return o->seconds ? clock_now() + o->seconds * SECOND : INT64_MAX;
}

/* Sends requests, and then waits a while for the last answers. */
static int
ask(struct udp_probe *probe, int64_t until)
{
    struct pollfd p = { .fd = probe->fd, .events = POLLIN };
    bool asking = true;

    for (;;) {
        int64_t next = udp_step(probe), now = clock_now();

        if (probe->error) {
            return probe->error;
        }
        if (asking && (next == INT64_MAX || stop || now >= until)) {
            asking = false;
            probe->count = probe->record->n_sent;
            next = INT64_MAX;
            until = now + LINGER_NS;
        }
        if (!asking && (udp_is_done(probe) || now >= until)) {
            return 0;
        }

        struct timespec timeout = clock_until(next < until ? next : until);
        ppoll(&p, 1, &timeout, NULL);
    }
}

/* Writes and sums up a record of requests and answers.  'error' is what the
 * probe returned. */
static int
finish_probes(const struct options *o, struct record *record, int error,
              struct err *err)
{
    if (error) {
        err_set(err, error, "recording: %s", strerror(error));
    } else if (!(error = save(o, record, err))) {
        error = print_probes(record, err);
    }
    record_finish(record);
    return error;
}

static int
run_udp(const struct options *o, struct err *err)
{
    struct net_address to, from;
    struct record record;
    int error = parse_address(o->address, o->port, &to, err);

    if (!error && o->bind) {
        error = parse_address(o->bind, 0, &from, err);
    }
    if (error) {
        return error;
    }

    int fd = net_open_udp(&to, o->bind ? &from : NULL);
    if (fd < 0) {
        return err_set(err, -fd, "asking %s: %s", o->address,
                       strerror(-fd));
    }
    struct udp_probe probe = {
        .fd = fd,
        .interval = (o->interval_us ? o->interval_us : 1000) * 1000,
        .count = o->count ? o->count : RECORD_MAX_ROWS,
        .next = clock_now(),
        .record = &record,
    };
    record_init(&record, RECORD_UDP, o->address, o->port, probe.interval);
    prctl(PR_SET_TIMERSLACK, 1);
    setpriority(PRIO_PROCESS, 0, -10);
    error = ask(&probe, end_time(o));
    close(fd);
    return finish_probes(o, &record, error, err);
}

/* Returns a file descriptor, or a negative errno value with a sentence. */
static int
connect_stream(const struct options *o, struct err *err)
{
    struct net_address to;
    int error = parse_address(o->address, o->port, &to, err);

    if (error) {
        return -error;
    }
    int fd = net_connect_tcp(&to, CONNECT_MS);
    if (fd < 0) {
        err_set(err, -fd, "connecting to %s port %"PRIu64": %s", o->address,
                o->port, strerror(-fd));
    }
    return fd;
}

static int
run_download(const struct options *o, struct err *err)
{
    struct analysis_download a;
    struct record record;
    int fd = connect_stream(o, err);

    if (fd < 0) {
        return -fd;
    }
    record_init(&record, RECORD_DOWNLOAD, o->address, o->port, 1000000);
    int error = stream_download(fd, o->rate, end_time(o), &record, &stop);
    close(fd);
    if (error) {
        err_set(err, error, "downloading: %s", error == EPROTO
                ? "the data are damaged" : strerror(error));
    } else if (!(error = save(o, &record, err))) {
        analysis_download(&record, 0, INT64_MAX, &a);
        printf("{\"bytes\": %"PRIu64", \"retrans\": %"PRIu64
               ", \"out_of_order\": %"PRIu64", \"stall_ms\": %.3f, "
               "\"broken\": %s}\n", a.bytes, a.retrans, a.out_of_order,
               a.stall / 1e6, a.broken ? "true" : "false");
    }
    record_finish(&record);
    return error;
}

static int
run_idle(const struct options *o, struct err *err)
{
    struct record record;
    int64_t interval = (o->interval_ms ? o->interval_ms : 200) * 1000000;
    int fd = connect_stream(o, err);

    if (fd < 0) {
        return -fd;
    }
    record_init(&record, RECORD_IDLE, o->address, o->port, interval);
    int error = stream_idle(fd, interval, end_time(o), &record, &stop);
    close(fd);
    return finish_probes(o, &record, error, err);
}

int
main(int argc, char *argv[])
{
    struct options options = { 0 };
    const struct command *command = parse_options(argc, argv, &options);
    struct sigaction action = { .sa_handler = on_signal };
    struct err err = ERR_INIT;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (command->run(&options, &err)) {
        fprintf(stderr, "watari-probe: %s\n", err.text);
        return 1;
    }
    return 0;
}
