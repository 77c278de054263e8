#include "bench/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/netns.h"
#include "probe/analysis.h"
#include "probe/record.h"

#define CONTROL_PORT 7007
#define ECHO_PORT 7
#define INTERVAL_US 1000
#define TIMEOUT_S 20
#define UNDER_WAY_NS INT64_C(500000000)
#define MAX_LINE 256

/* More than any benchmark needs, and less than the guest refuses. */
#define MAX_PROBES 10000000

/* A connected stream, made inside the namespace. */
static int
open_control(const struct guest_place *place, FILE **stream, struct err *err)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(CONTROL_PORT),
    };
    struct timeval timeout = { .tv_sec = TIMEOUT_S };
    int saved;

    if (inet_pton(AF_INET, place->address, &sin.sin_addr) != 1) {
        return err_set(err, EINVAL, "\"%s\" is no address", place->address);
    }
    int error = netns_push(place->netns, &saved, err);
    if (error) {
        return error;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    netns_pop(saved);
    if (fd < 0) {
        return err_set(err, errno, "socket: %s", strerror(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *) &sin, sizeof sin)
        || !(*stream = fdopen(fd, "r+"))) {
        error = errno;
        close(fd);
        return err_set(err, error, "the guest at %s: %s", place->address,
                       strerror(error));
    }
    return 0;
}

/* Sends a line and reads the line that answers it. */
static int
ask(FILE *stream, const char *order, char answer[MAX_LINE], struct err *err)
{
    errno = 0;
    if (fprintf(stream, "%s\n", order) < 0 || fflush(stream)
        || !fgets(answer, MAX_LINE, stream)) {
        int error = errno == EAGAIN || !errno ? ETIMEDOUT : errno;
        return err_set(err, error, "the guest does not answer \"%s\": %s",
                       order, strerror(error));
    }
    answer[strcspn(answer, "\r\n")] = '\0';
    return strncmp(answer, "error: ", 7) ? 0
           : err_set(err, EREMOTEIO, "the guest refuses \"%s\": %s", order,
                     answer + 7);
}

static int
obey(const struct guest_place *place, const char *order, struct err *err)
{
    char answer[MAX_LINE];
    FILE *stream;

    int error = open_control(place, &stream, err);
    if (!error) {
        error = ask(stream, order, answer, err);
        fclose(stream);
    }
    return error;
}

int
guest_load(const struct guest_place *place, uint64_t bytes_per_second,
           unsigned int megabytes, struct err *err)
{
    char order[MAX_LINE];

    snprintf(order, sizeof order, "load %"PRIu64" %u", bytes_per_second,
             megabytes);
    return obey(place, order, err);
}

static int
start_probe(const struct guest_place *place, const char *echo,
            unsigned int count, struct err *err)
{
    char order[MAX_LINE];

    snprintf(order, sizeof order, "probe %s %d %d %u", echo, ECHO_PORT,
             INTERVAL_US, count);
    return obey(place, order, err);
}

int
guest_probe(const struct guest_place *place, const char *echo,
            struct err *err)
{
    return start_probe(place, echo, MAX_PROBES, err);
}

static int
fetch_record(const struct guest_place *place, struct record *record,
             struct err *err)
{
    char answer[MAX_LINE];
    FILE *stream;

    int error = open_control(place, &stream, err);
    if (!error) {
        error = ask(stream, "probe-report full", answer, err);
        error = error ? error : record_read(stream, record, err);
        fclose(stream);
    }
    return error;
}

int
guest_probe_end(const struct guest_place *place, const char *echo,
                struct guest_report *report, struct err *err)
{
    struct analysis_probes a;
    struct record record;

    int error = fetch_record(place, &record, err);
    if (error) {
        return error;
    }
    int64_t last = record.n_sent ? record.sent[record.n_sent - 1] : 0;
    error = analysis_probes(&record, 0, last - UNDER_WAY_NS, &a, err);
    record_finish(&record);
    if (!error) {
        *report = (struct guest_report) {
            a.sent, a.lost, a.duplicated, a.reordered
        };
        error = start_probe(place, echo, 0, err);
    }
    return error;
}
