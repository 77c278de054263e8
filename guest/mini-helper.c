/* mini-helper: what the guest image "mini" serves beside busybox and iperf3.
 *
 *      UDP, TCP 7      echo
 *      TCP 19          source of data for downloads
 *      TCP 7007        control, a line a command:
 *
 *      load BYTES_PER_S MEGABYTES      write to memory, page by page, round
 *                                      and round; 0 0 stops and frees
 *      probe ADDR PORT INTERVAL_US COUNT   ask an echo elsewhere
 *      probe-report [full]             what came of it, as a line of JSON;
 *                                      "full": and then the record, in the
 *                                      format of src/probe/record.h, by the
 *                                      guest's clock
 *      health                          "ok", or the first line in which the
 *                                      kernel complains
 *
 * Each command is answered with one line, "ok", a result, or "error: " and a
 * sentence.  The program returns once all of it is served, by three
 * processes in the background, so that a shell script can go on.
 *
 * "mini-helper plain DEV" only switches the offloads of a NIC off. */
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/analysis.h"
#include "probe/clock.h"
#include "probe/echo.h"
#include "probe/net.h"
#include "probe/record.h"
#include "probe/source.h"
#include "probe/udp.h"

#define ECHO_PORT 7
#define SOURCE_PORT 19
#define CONTROL_PORT 7007
#define ECHO_PRIORITY (-15)

#define MAX_CLIENTS 16
#define MAX_LINE 256
#define MAX_PROBES 10000000
#define MAX_LOAD_MB 65536
#define PAGE 4096
#define LOAD_TICK_NS 5000000

/* The memory that is written to, by a thread of its own. */
struct load {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint8_t *memory;
    size_t size;                /* Bytes; 0: nothing to do. */
    uint64_t rate;              /* Bytes a second. */
};

struct client {
    int fd;
    size_t n;
    char line[MAX_LINE];
};

struct control {
    int listener;
    struct client clients[MAX_CLIENTS];
    size_t n_clients;
    struct load load;
    struct udp_probe probe;     /* 'fd' is -1 if there is none. */
    struct record record;
};

static volatile sig_atomic_t never;

/* Load. */

/* Writes what is due since 'last', at page 'page'; returns the next page. */
static size_t
dirty(struct load *load, size_t page, uint64_t pages)
{
    size_t n_pages = load->size / PAGE;

    for (uint64_t i = 0; i < pages && i < n_pages; i++) {
        page = page + 1 < n_pages ? page + 1 : 0;
        (*(volatile uint64_t *) (load->memory + page * PAGE))++;
    }
    return page;
}

static void *
run_load(void *load_)
{
    struct load *load = load_;
    size_t page = 0;
    double owed = 0;
    int64_t last = clock_now();

    for (;;) {
        pthread_mutex_lock(&load->mutex);
        while (!load->size) {
            pthread_cond_wait(&load->changed, &load->mutex);
            last = clock_now();
            owed = 0;
        }
        int64_t now = clock_now();
        owed += (now - last) / 1e9 * load->rate / PAGE;
        last = now;
        page = dirty(load, page < load->size / PAGE ? page : 0, owed);
        owed -= (uint64_t) owed;
        pthread_mutex_unlock(&load->mutex);

        struct timespec tick = { 0, LOAD_TICK_NS };
        nanosleep(&tick, NULL);
    }
    return NULL;
}

/* Returns 0 or a positive errno value. */
static int
set_load(struct load *load, uint64_t rate, uint64_t megabytes)
{
    size_t size = rate ? megabytes << 20 : 0;
    uint8_t *memory = NULL;

    if (size) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return errno;
        }
    }
    pthread_mutex_lock(&load->mutex);
    if (load->memory) {
        munmap(load->memory, load->size);
    }
    load->memory = memory;
    load->size = size;
    load->rate = rate;
    pthread_cond_signal(&load->changed);
    pthread_mutex_unlock(&load->mutex);
    return 0;
}

/* Commands.  Each writes one line, or more, to 'out', or returns a positive
 * errno value. */

static int
command_load(struct control *control, const char *arguments, FILE *out)
{
    uint64_t rate, megabytes;

    if (sscanf(arguments, "%"SCNu64" %"SCNu64, &rate, &megabytes) != 2
        || megabytes > MAX_LOAD_MB) {
        return EINVAL;
    }
    fprintf(out, "ok\n");
    return set_load(&control->load, rate, megabytes);
}

static void
stop_probe(struct control *control)
{
    if (control->probe.fd >= 0) {
        close(control->probe.fd);
        record_finish(&control->record);
        control->probe.fd = -1;
    }
}

static int
command_probe(struct control *control, const char *arguments, FILE *out)
{
    char address[RECORD_MAX_ADDRESS];
    uint64_t port, interval, count;
    struct net_address to;

    if (sscanf(arguments, "%63s %"SCNu64" %"SCNu64" %"SCNu64, address, &port,
               &interval, &count) != 4
        || port > UINT16_MAX || !interval || interval > 60000000
        || count > MAX_PROBES || net_parse(address, port, &to)) {
        return EINVAL;
    }

    int fd = net_open_udp(&to, NULL);
    if (fd < 0) {
        return -fd;
    }
    stop_probe(control);
    record_init(&control->record, RECORD_UDP, address, port,
                interval * 1000);
    control->record.guest_clock = true;
    control->probe = (struct udp_probe) {
        .fd = fd,
        .interval = interval * 1000,
        .count = count,
        .next = clock_now(),
        .record = &control->record,
    };
    fprintf(out, "ok\n");
    return 0;
}

static int
command_probe_report(struct control *control, const char *arguments,
                     FILE *out)
{
    struct analysis_probes a;

    if (control->probe.fd < 0) {
        return ENOENT;
    }
    int error = analysis_probes(&control->record, 0, INT64_MAX, &a, NULL);
    if (error) {
        return error;
    }
    fprintf(out, "{\"sent\": %"PRIu64", \"received\": %"PRIu64", "
            "\"lost\": %"PRIu64", \"duplicated\": %"PRIu64", "
            "\"reordered\": %"PRIu64", \"done\": %s}\n", a.sent, a.answered,
            a.lost, a.duplicated, a.reordered,
            udp_is_done(&control->probe) ? "true" : "false");
    if (!strcmp(arguments, "full")) {
        record_write(&control->record, out);
    }
    return 0;
}

static int
command_health(struct control *control, const char *arguments, FILE *out)
{
    /* "not a head" is a virtio ring that migration has damaged. */
    static const char *const complaints[] = {
        "BUG", "Oops", "panic", "not a head", "soft lockup", "Call Trace",
    };
    static char text[1 << 18];
    char *state = NULL;
    int n = klogctl(3, text, sizeof text - 1);  /* Read all. */

    if (n < 0) {
        return errno;
    }
    text[n] = '\0';
    for (char *line = strtok_r(text, "\n", &state); line;
         line = strtok_r(NULL, "\n", &state)) {
        for (size_t i = 0; i < sizeof complaints / sizeof *complaints; i++) {
            /* The kernel's own command line says how it is to panic. */
            if (strstr(line, complaints[i]) && !strstr(line, "ommand line")) {
                fprintf(out, "%s\n", line);
                return 0;
            }
        }
    }
    fprintf(out, "ok\n");
    return 0;
}

static const struct command {
    const char *name;
    int (*run)(struct control *, const char *arguments, FILE *out);
} commands[] = {
    { "load", command_load },
    { "probe", command_probe },
    { "probe-report", command_probe_report },
    { "health", command_health },
};

static int
obey(struct control *control, char *line, FILE *out)
{
    char *arguments = line + strcspn(line, " \r");

    if (*arguments) {
        *arguments++ = '\0';
        arguments[strcspn(arguments, "\r")] = '\0';
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!strcmp(line, commands[i].name)) {
            return commands[i].run(control, arguments, out);
        }
    }
    return ENOSYS;
}

/* Writes all of 'text', waiting if the client is slow. */
static void
write_all(int fd, const char *text, size_t n)
{
    while (n) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && (errno != EAGAIN || poll(&p, 1, 2000) != 1)) {
            return;
        }
        text += sent > 0 ? sent : 0;
        n -= sent > 0 ? sent : 0;
    }
}

static void
answer(struct control *control, int fd, char *line)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return;
    }
    int error = obey(control, line, out);
    if (error) {
        rewind(out);
        fprintf(out, "error: %s\n", error == ENOSYS ? "no such command"
                : error == ENOENT ? "there is no probe"
                : strerror(error));
    }
    fclose(out);
    if (error) {
        text[strcspn(text, "\n") + 1] = '\0';
        size = strlen(text);
    }
    write_all(fd, text, size);
    free(text);
}

/* Returns false at the client's end. */
static bool
serve_client(struct control *control, struct client *client)
{
    ssize_t n = recv(client->fd, client->line + client->n,
                     sizeof client->line - 1 - client->n, MSG_DONTWAIT);
    char *end;

    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    client->n += n;
    client->line[client->n] = '\0';
    while ((end = strchr(client->line, '\n'))) {
        *end = '\0';
        answer(control, client->fd, client->line);
        client->n -= end + 1 - client->line;
        memmove(client->line, end + 1, client->n + 1);
    }
    return client->n < sizeof client->line - 1;
}

static void
accept_client(struct control *control)
{
    int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0 && control->n_clients < MAX_CLIENTS) {
        control->clients[control->n_clients++] =
            (struct client) { .fd = fd };
    } else if (fd >= 0) {
        close(fd);
    }
}

static void
run_control(struct control *control)
{
    for (;;) {
        struct pollfd fds[MAX_CLIENTS + 2] = {
            { .fd = control->listener, .events = POLLIN },
            { .fd = control->probe.fd, .events = POLLIN },
        };
        size_t n = control->n_clients;
        int64_t next = INT64_MAX;

        for (size_t i = 0; i < n; i++) {
            fds[i + 2].fd = control->clients[i].fd;
            fds[i + 2].events = POLLIN;
        }
        if (control->probe.fd >= 0) {
            next = udp_step(&control->probe);
        }
        struct timespec timeout = clock_until(next);
        if (ppoll(fds, n + 2, next == INT64_MAX ? NULL : &timeout, NULL)
            <= 0) {
            continue;
        }
        for (size_t i = n; i-- > 0;) {
            if (fds[i + 2].revents
                && !serve_client(control, &control->clients[i])) {
                close(control->clients[i].fd);
                control->clients[i] = control->clients[--control->n_clients];
            }
        }
        if (fds[0].revents) {
            accept_client(control);
        }
    }
}

/* The three services, each opened before anything goes to the background. */

static void
fail(const char *what, int error)
{
    fprintf(stderr, "mini-helper: %s: %s\n", what, strerror(error));
    exit(1);
}

/* Returns true in a new process that outlives this one. */
static bool
begin(const char *name)
{
    pid_t pid = fork();

    if (pid < 0) {
        fail("fork", errno);
    }
    if (pid == 0) {
        setsid();
        prctl(PR_SET_NAME, name);
        return true;
    }
    return false;
}

static void
serve_control(int listener)
{
    static struct control control = {
        .load = {
            .mutex = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
        },
        .probe = { .fd = -1 },
    };
    pthread_t thread;

    control.listener = listener;
    prctl(PR_SET_TIMERSLACK, 1);
    if (pthread_create(&thread, NULL, run_load, &control.load)) {
        fail("thread", errno);
    }
    run_control(&control);
}

/* Makes frames leave as they are to arrive.  A NIC without offloads refuses,
 * which is fine. */
static void
switch_offloads_off(const char *dev)
{
    static const uint32_t features[] = {
        ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM,
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        struct ethtool_value value = { .cmd = features[i] };
        struct ifreq request = { .ifr_data = (void *) &value };

        snprintf(request.ifr_name, IFNAMSIZ, "%s", dev);
        ioctl(fd, SIOCETHTOOL, &request);
    }
    close(fd);
}

int
main(int argc, char *argv[])
{
    struct echo *echo;

    if (argc == 3 && !strcmp(argv[1], "plain")) {
        switch_offloads_off(argv[2]);
        return 0;
    }

    int error = echo_create(ECHO_PORT, &echo);
    int source = source_open(SOURCE_PORT);
    int control = net_serve_tcp(CONTROL_PORT);

    if (error || source < 0 || control < 0) {
        fail("serving", error ? error : source < 0 ? -source : -control);
    }
    signal(SIGPIPE, SIG_IGN);
    if (begin("mini-echo")) {
        setpriority(PRIO_PROCESS, 0, ECHO_PRIORITY);
        echo_run(echo, &never);
    } else if (begin("mini-source")) {
        source_run(source, &never);
    } else if (begin("mini-control")) {
        serve_control(control);
    }
    return 0;
}
