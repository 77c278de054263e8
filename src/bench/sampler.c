#include <config.h>
#include "bench/sampler.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json-get.h"
#include "lab/state.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "probe/clock.h"
#include "util.h"

#define QUESTION "info status\r"
#define ANSWER "VM status: "

struct copy {
    struct sockaddr_un monitor;
    int fd;                     /* -1: there is none. */
    bool asked;                 /* An answer is to come. */
    bool fresh;                 /* It came in this sample. */
    bool runs;                  /* So it said last. */
    size_t n;
    char text[2048];            /* Of the answer, so far. */
};

struct sampler {
    struct copy copies[ARENA_MAX_VMS][ARENA_N_HOSTS];
    size_t n_vms;
    int64_t last;               /* When the last sample began; 0: none did. */
    struct sampler_report report;
};

int
sampler_create(struct arena *arena, size_t n_vms, struct sampler **samplerp,
               struct err *err)
{
    struct sampler *s = xzalloc(sizeof *s);

    s->n_vms = n_vms;
    for (size_t i = 0; i < n_vms; i++) {
        struct json *vm;
        int error = arena_guest(arena, i, &vm, err);

        if (error) {
            free(s);
            return error;
        }
        for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
            struct sockaddr_un *sun = &s->copies[i][j].monitor;

            s->copies[i][j].fd = -1;
            sun->sun_family = AF_UNIX;
            snprintf(sun->sun_path, sizeof sun->sun_path,
                     STATE_ROOT"/%.20s/%s/vms/%.36s/io/monitor",
                     arena_lab(arena), arena_hosts[j],
                     json_get_string(vm, "uuid"));
        }
        json_destroy(vm);
    }
    *samplerp = s;
    return 0;
}

static void
hang_up(struct copy *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->asked = c->fresh = c->runs = false;
}

void
sampler_destroy(struct sampler *s)
{
    if (s) {
        for (size_t i = 0; i < s->n_vms; i++) {
            for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
                hang_up(&s->copies[i][j]);
            }
        }
        free(s);
    }
}

static void
call(struct copy *c)
{
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(c->fd, (struct sockaddr *) &c->monitor, sizeof c->monitor)) {
        hang_up(c);
    }
}

static void
question(struct copy *c)
{
    c->fresh = false;
    if (c->fd < 0) {
        call(c);
    }
    if (c->fd >= 0 && !c->asked) {
        c->n = 0;
        c->asked = true;
        if (send(c->fd, QUESTION, strlen(QUESTION), MSG_NOSIGNAL) < 0) {
            hang_up(c);
        }
    }
}

/* Reads what there is; an answer ends with its line. */
static void
listen_to(struct copy *c)
{
    ssize_t n = recv(c->fd, c->text + c->n, sizeof c->text - 1 - c->n, 0);

    if (n <= 0) {
        if (!n || errno != EAGAIN) {
            hang_up(c);
        }
        return;
    }
    c->n += n;
    c->text[c->n] = '\0';
    const char *answer = memmem(c->text, c->n, ANSWER, strlen(ANSWER));
    if (answer && strchr(answer, '\n')) {
        c->runs = !strncmp(answer + strlen(ANSWER), "running", 7);
        c->fresh = true;
        c->asked = false;
        c->n = 0;
    } else if (c->n == sizeof c->text - 1) {
        hang_up(c);
    }
}

static void
listen_to_all(struct sampler *s)
{
    int64_t until = clock_now() + SAMPLER_PATIENCE_MS * INT64_C(1000000);

    for (;;) {
        struct pollfd fds[ARENA_MAX_VMS * ARENA_N_HOSTS];
        struct copy *copies[ARENA_MAX_VMS * ARENA_N_HOSTS];
        size_t n = 0;

        for (size_t i = 0; i < s->n_vms; i++) {
            for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
                struct copy *c = &s->copies[i][j];

                if (c->fd >= 0 && c->asked) {
                    copies[n] = c;
                    fds[n++] = (struct pollfd) { c->fd, POLLIN, 0 };
                }
            }
        }
        struct timespec timeout = clock_until(until);
        if (!n || clock_now() >= until
            || ppoll(fds, n, &timeout, NULL) <= 0) {
            return;
        }
        for (size_t i = 0; i < n; i++) {
            if (fds[i].revents) {
                listen_to(copies[i]);
            }
        }
    }
}

static void
ask_all(struct sampler *s)
{
    for (size_t i = 0; i < s->n_vms; i++) {
        for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
            question(&s->copies[i][j]);
        }
    }
    listen_to_all(s);
}

/* The hosts that say that they run 'vm', as a set of bits. */
static unsigned int
who_runs(const struct sampler *s, size_t vm)
{
    unsigned int hosts = 0;

    for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
        const struct copy *c = &s->copies[vm][j];

        hosts |= (c->fresh && c->runs) << j;
    }
    return hosts;
}

static bool
are_several(unsigned int hosts)
{
    return hosts & (hosts - 1);
}

static void
note_double(struct sampler *s, size_t vm, unsigned int hosts)
{
    if (!s->report.doubles++) {
        snprintf(s->report.first, sizeof s->report.first,
                 "%s runs on%s%s%s", arena_vms[vm], hosts & 1 ? " t1" : "",
                 hosts & 2 ? " o1" : "", hosts & 4 ? " n1" : "");
    }
}

void
sampler_run(struct sampler *s)
{
    unsigned int first[ARENA_MAX_VMS];
    int64_t now = clock_now();
    bool doubt = false;

    if (s->last) {
        s->report.longest = MAX(s->report.longest, now - s->last);
    }
    s->last = now;
    s->report.samples++;
    ask_all(s);
    for (size_t i = 0; i < s->n_vms; i++) {
        first[i] = who_runs(s, i);
        doubt |= are_several(first[i]);
    }
    if (doubt) {
        ask_all(s);
        for (size_t i = 0; i < s->n_vms; i++) {
            unsigned int both = first[i] & who_runs(s, i);

            if (are_several(both)) {
                note_double(s, i, both);
            }
        }
    }
}

bool
sampler_runs(const struct sampler *s, size_t vm, size_t host)
{
    bool runs = false;

    for (size_t j = 0; j < ARENA_N_HOSTS; j++) {
        runs |= (j == host || host == ARENA_N_HOSTS)
                && s->copies[vm][j].runs;
    }
    return runs;
}

void
sampler_take(struct sampler *s, struct sampler_report *report)
{
    *report = s->report;
    s->report = (struct sampler_report) { 0 };
    s->last = 0;
}
