/* watari-wire-bench: how punctual is a link?
 *
 * Sends UDP datagrams from one network namespace to an address in another and
 * measures the one-way delay of each.  Both ends are this process, so both
 * times are of one CLOCK_MONOTONIC.  The figures include what the sockets and
 * the wake-up of the receiver cost: compare with a link of no delay. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 9999
#define PAYLOAD_BYTES 64
#define MAX_COUNT 10000000
#define LINGER_S 2
#define REALTIME_PRIORITY 20

struct options {
    const char *from, *to, *address;
    uint64_t count;
    int64_t interval_ns;
};

struct datagram {
    uint64_t seq;
    int64_t sent;
    uint8_t pad[PAYLOAD_BYTES - 16];
};

struct receiver {
    int fd;
    uint64_t count;             /* How many are sent. */
    int64_t *delays;            /* In the order of arrival. */
    uint64_t received, reordered;
};

static int64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void __attribute__((noreturn))
die(const char *what)
{
    fprintf(stderr, "watari-wire-bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Returns a UDP socket in the namespace of that name or path. */
static int
open_in(const char *ns, int family)
{
    char path[256];
    int one = 1, buffer = 32 << 20;

    snprintf(path, sizeof path, "%s%s", strchr(ns, '/') ? ""
             : "/run/netns/", ns);
    int ns_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (ns_fd < 0 || setns(ns_fd, CLONE_NEWNET)) {
        die(path);
    }
    close(ns_fd);

    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)
        || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer,
                      sizeof buffer)) {
        die("socket");
    }
    return fd;
}

static void *
receive(void *receiver_)
{
    struct receiver *r = receiver_;
    struct sched_param param = { .sched_priority = REALTIME_PRIORITY };
    struct datagram datagram;
    uint64_t next = 0;

    pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    while (r->received < r->count) {
        ssize_t n = recv(r->fd, &datagram, sizeof datagram, 0);

        if (n != sizeof datagram) {
            break;              /* The time is up. */
        }
        r->delays[r->received++] = now_ns() - datagram.sent;
        if (datagram.seq < next) {
            r->reordered++;
        } else {
            next = datagram.seq + 1;
        }
    }
    return NULL;
}

static void
send_all(const struct options *o, int fd)
{
    struct datagram datagram = { 0 };
    int64_t at = now_ns() + 10000000;

    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t i = 0; i < o->count; i++) {
        struct timespec t = { at / 1000000000, at % 1000000000 };

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        datagram.seq = i;
        datagram.sent = now_ns();
        if (send(fd, &datagram, sizeof datagram, 0) < 0) {
            die("send");
        }
        at += o->interval_ns;
    }
}

static int
compare(const void *a_, const void *b_)
{
    const int64_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Nearest rank. */
static double
percentile_us(const struct receiver *r, double part)
{
    if (!r->received) {
        return 0;
    }
    return r->delays[(uint64_t) (part * (r->received - 1) + 0.5)] / 1e3;
}

static void
print(struct receiver *r, bool json)
{
    qsort(r->delays, r->received, sizeof *r->delays, compare);
    printf(json
           ? "{\"n\": %"PRIu64", \"received\": %"PRIu64", "
             "\"reordered\": %"PRIu64", \"p50_us\": %.1f, \"p99_us\": %.1f, "
             "\"p999_us\": %.1f, \"max_us\": %.1f}\n"
           : "n %"PRIu64"  received %"PRIu64"  reordered %"PRIu64"  "
             "us: p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
           r->count, r->received, r->reordered, percentile_us(r, .5),
           percentile_us(r, .99), percentile_us(r, .999),
           percentile_us(r, 1));
}

static void __attribute__((noreturn))
usage(void)
{
    fprintf(stderr, "usage: watari-wire-bench --from NS --to NS --address A "
            "--count N --interval-us U [-o json]\n");
    exit(2);
}

static bool
parse_options(int argc, char *argv[], struct options *o)
{
    static const struct option longs[] = {
        { "from", 1, NULL, 'f' }, { "to", 1, NULL, 't' },
        { "address", 1, NULL, 'a' }, { "count", 1, NULL, 'c' },
        { "interval-us", 1, NULL, 'i' }, { NULL, 0, NULL, 0 },
    };
    bool json = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:", longs, NULL)) != -1) {
        switch (opt) {
        case 'f': o->from = optarg; break;
        case 't': o->to = optarg; break;
        case 'a': o->address = optarg; break;
        case 'c': o->count = strtoull(optarg, NULL, 10); break;
        case 'i': o->interval_ns = atoll(optarg) * 1000; break;
        case 'o': json = !strcmp(optarg, "json"); break;
        default: usage();
        }
    }
    if (!o->from || !o->to || !o->address || optind < argc || !o->count
        || o->count > MAX_COUNT || o->interval_ns <= 0) {
        usage();
    }
    return json;
}

int
main(int argc, char *argv[])
{
    struct options o = { .count = 1000, .interval_ns = 1000000 };
    bool json = parse_options(argc, argv, &o);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = { 0 };
    socklen_t len;

    if (inet_pton(AF_INET, o.address, &to.v4.sin_addr) == 1) {
        to.any.sa_family = AF_INET;
        to.v4.sin_port = htons(PORT);
        len = sizeof to.v4;
    } else if (inet_pton(AF_INET6, o.address, &to.v6.sin6_addr) == 1) {
        to.any.sa_family = AF_INET6;
        to.v6.sin6_port = htons(PORT);
        len = sizeof to.v6;
    } else {
        usage();
    }

    struct receiver r = {
        .count = o.count,
        .delays = calloc(o.count, sizeof *r.delays),
        .fd = open_in(o.to, to.any.sa_family),
    };
    struct timeval linger = { .tv_sec = LINGER_S };
    if (!r.delays
        || setsockopt(r.fd, SOL_SOCKET, SO_RCVTIMEO, &linger, sizeof linger)
        || bind(r.fd, &to.any, len)) {
        die(o.address);
    }
    int fd = open_in(o.from, to.any.sa_family);
    if (connect(fd, &to.any, len)) {
        die(o.address);
    }

    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, &r)) {
        die("thread");
    }
    send_all(&o, fd);
    pthread_join(thread, NULL);
    print(&r, json);
    return 0;
}
