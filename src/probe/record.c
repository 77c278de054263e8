#include "probe/record.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1
#define MAX_LINE 160

static const char *const kind_names[] = {
    [RECORD_UDP] = "udp",
    [RECORD_DOWNLOAD] = "download",
    [RECORD_IDLE] = "idle",
};
enum { N_KINDS = sizeof kind_names / sizeof kind_names[0] };

void
record_init(struct record *record, enum record_kind kind,
            const char *address, uint16_t port, int64_t interval)
{
    *record = (struct record) {
        .kind = kind,
        .port = port,
        .interval = interval,
    };
    snprintf(record->address, sizeof record->address, "%s", address);
}

void
record_finish(struct record *record)
{
    free(record->sent);
    free(record->answers);
    free(record->samples);
    *record = (struct record) { .kind = record->kind };
}

/* Makes room for one more element of 'size' bytes in '*array'. */
static int
grow(void *array_, size_t size, size_t n, size_t *allocated)
{
    void **array = array_;

    if (n < *allocated) {
        return 0;
    }
    if (n >= RECORD_MAX_ROWS) {
        return EFBIG;
    }

    size_t more = *allocated ? 2 * *allocated : 4096;
    void *bigger = realloc(*array, more * size);
    if (!bigger) {
        return ENOMEM;
    }
    *array = bigger;
    *allocated = more;
    return 0;
}

int
record_add_sent(struct record *record, int64_t tx)
{
    int error = grow(&record->sent, sizeof *record->sent, record->n_sent,
                     &record->allocated_sent);

    if (!error) {
        record->sent[record->n_sent++] = tx;
    }
    return error;
}

int
record_add_answer(struct record *record, uint64_t seq, int64_t rx,
                  uint64_t count)
{
    int error = grow(&record->answers, sizeof *record->answers,
                     record->n_answers, &record->allocated_answers);

    if (!error) {
        record->answers[record->n_answers++] =
            (struct record_answer) { seq, rx, count };
    }
    return error;
}

int
record_add_sample(struct record *record, const struct record_sample *sample)
{
    int error = grow(&record->samples, sizeof *record->samples,
                     record->n_samples, &record->allocated_samples);

    if (!error) {
        record->samples[record->n_samples++] = *sample;
    }
    return error;
}

void
record_write(const struct record *record, FILE *out)
{
    fprintf(out, "watari-record %d %s\nclock %s\ntarget %s %"PRIu16"\n"
            "interval %"PRId64"\n", VERSION, kind_names[record->kind],
            record->guest_clock ? "guest" : "host", record->address,
            record->port, record->interval);
    for (size_t i = 0; i < record->n_sent; i++) {
        fprintf(out, "s %"PRId64"\n", record->sent[i]);
    }
    for (size_t i = 0; i < record->n_answers; i++) {
        const struct record_answer *a = &record->answers[i];

        fprintf(out, "a %"PRIu64" %"PRId64" %"PRIu64"\n", a->seq, a->rx,
                a->count);
    }
    for (size_t i = 0; i < record->n_samples; i++) {
        const struct record_sample *d = &record->samples[i];

        fprintf(out, "d %"PRId64" %"PRIu64" %"PRIu64" %"PRIu64"\n", d->t,
                d->bytes, d->retrans, d->out_of_order);
    }
    if (record->broken_at) {
        fprintf(out, "broken %"PRId64" %d\n", record->broken_at,
                record->broken_errno);
    }
    fprintf(out, "end\n");
}

int
record_save(const struct record *record, const char *path, struct err *err)
{
    char temporary[4096];

    if (snprintf(temporary, sizeof temporary, "%s.%d", path, (int) getpid())
        >= sizeof temporary) {
        return err_set(err, ENAMETOOLONG, "the name of the record is too "
                       "long");
    }

    FILE *out = fopen(temporary, "w");
    if (!out) {
        return err_set(err, errno, "%s: %s", temporary, strerror(errno));
    }
    record_write(record, out);

    int error = ferror(out) ? EIO : 0;
    if (fclose(out)) {
        error = errno;
    }
    if (!error && rename(temporary, path)) {
        error = errno;
    }
    if (error) {
        unlink(temporary);
        return err_set(err, error, "writing %s: %s", path, strerror(error));
    }
    return 0;
}

/* Parses exactly 'n' numbers, separated by one blank. */
static bool
parse_numbers(const char *text, uint64_t numbers[], int n)
{
    for (int i = 0; i < n; i++) {
        char *end;

        if (*text < '0' || *text > '9') {
            return false;
        }
        errno = 0;
        numbers[i] = strtoull(text, &end, 10);
        if (errno || numbers[i] > INT64_MAX
            || *end != (i == n - 1 ? '\0' : ' ')) {
            return false;
        }
        text = end + 1;
    }
    return true;
}

static int
parse_kind(const char *text, struct record *record)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (!strcmp(text, kind_names[i])) {
            record->kind = i;
            return 0;
        }
    }
    return EINVAL;
}

static int
parse_target(char *text, struct record *record)
{
    char *blank = strrchr(text, ' ');
    uint64_t port;

    if (!blank || blank - text >= sizeof record->address
        || !parse_numbers(blank + 1, &port, 1) || port > UINT16_MAX) {
        return EINVAL;
    }
    *blank = '\0';
    snprintf(record->address, sizeof record->address, "%s", text);
    record->port = port;
    return 0;
}

/* Parses a line after the first.  Returns 0 or a positive errno value. */
static int
parse_line(char *line, struct record *record)
{
    uint64_t n[4];
    char *rest = line + strcspn(line, " ");

    if (*rest) {
        *rest++ = '\0';
    }
    if (!strcmp(line, "s") && parse_numbers(rest, n, 1)) {
        return record_add_sent(record, n[0]);
    } else if (!strcmp(line, "a") && parse_numbers(rest, n, 3)
               && n[0] < record->n_sent) {
        return record_add_answer(record, n[0], n[1], n[2]);
    } else if (!strcmp(line, "d") && parse_numbers(rest, n, 4)) {
        struct record_sample sample = { n[0], n[1], n[2], n[3] };

        return record_add_sample(record, &sample);
    } else if (!strcmp(line, "broken") && parse_numbers(rest, n, 2)
               && n[1] <= INT_MAX) {
        record->broken_at = n[0];
        record->broken_errno = n[1];
    } else if (!strcmp(line, "interval") && parse_numbers(rest, n, 1)) {
        record->interval = n[0];
    } else if (!strcmp(line, "clock")
               && (!strcmp(rest, "guest") || !strcmp(rest, "host"))) {
        record->guest_clock = *rest == 'g';
    } else if (!strcmp(line, "target")) {
        return parse_target(rest, record);
    } else {
        return EINVAL;
    }
    return 0;
}

int
record_read(FILE *in, struct record *record, struct err *err)
{
    static const char first[] = "watari-record 1 ";
    struct record new = { 0 };
    char line[MAX_LINE];
    size_t number = 0;
    int error = 0;

    while (!error && fgets(line, sizeof line, in)) {
        number++;
        line[strcspn(line, "\n")] = '\0';
        if (number == 1) {
            error = strncmp(line, first, sizeof first - 1)
                    ? EINVAL : parse_kind(line + sizeof first - 1, &new);
        } else if (!strcmp(line, "end")) {
            *record = new;
            return 0;
        } else {
            error = parse_line(line, &new);
        }
    }
    record_finish(&new);
    if (error) {
        return err_set(err, error, "line %zu of the record: %s", number,
                       error == EINVAL ? "not understood"
                       : strerror(error));
    }
    return err_set(err, EINVAL, "the record has no end: its writer was "
                   "killed");
}

int
record_load(const char *path, struct record *record, struct err *err)
{
    FILE *in = fopen(path, "r");

    if (!in) {
        return err_set(err, errno, "%s: %s", path, strerror(errno));
    }

    int error = record_read(in, record, err);
    fclose(in);
    return error ? err_add(err, error, "%s", path) : 0;
}
