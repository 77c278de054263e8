#include <config.h>

#include "engine/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util.h"
#include "uuid.h"

#define MAX_FRAME 65550

/* What the file begins with; another format has another one. */
static const char magic[8] = "wspool1";

/* In front of each frame.  Only this host reads it, so it is as the compiler
 * lays it out. */
struct header {
    uint32_t len;
    uint8_t kind, nic, taken, zero;
    uint32_t number;
    struct uuid from;
};

struct spool {
    char *name;
    bool tried;                 /* To make the file. */
    int fd;                     /* -1: there is none. */
    uint64_t end;               /* Of the last whole record. */
    uint8_t frame[MAX_FRAME];   /* That spool_next() has read. */
};

static char *
file_name(const char *dir, const struct uuid *migration)
{
    return xasprintf("%s/"UUID_FMT".spool", dir, UUID_ARGS(migration));
}

static bool
read_header(const struct spool *s, uint64_t pos, struct header *h)
{
    return (pread(s->fd, h, sizeof *h, pos) == sizeof *h
            && h->kind >= SPOOL_EXPECT && h->kind <= SPOOL_DIRECT
            && h->len <= MAX_FRAME && !h->zero);
}

/* Whoever wrote may have died in the middle of a record. */
static void
find_end(struct spool *s)
{
    struct stat st;
    struct header h;

    s->end = sizeof magic;
    while (!fstat(s->fd, &st) && read_header(s, s->end, &h)
           && s->end + sizeof h + h.len <= st.st_size) {
        s->end += sizeof h + h.len;
    }
}

/* A file of ours begins with 'magic', whatever was in it. */
static bool
begin(struct spool *s)
{
    char found[sizeof magic];

    if (pread(s->fd, found, sizeof found, 0) == sizeof found
        && !memcmp(found, magic, sizeof magic)) {
        find_end(s);
        return true;
    }
    s->end = sizeof magic;
    return (!ftruncate(s->fd, 0)
            && pwrite(s->fd, magic, sizeof magic, 0) == sizeof magic);
}

static void
open_file(struct spool *s, int flags)
{
    s->fd = open(s->name, O_RDWR | O_CLOEXEC | flags, 0600);
    if (s->fd >= 0 && !begin(s)) {
        close(s->fd);
        s->fd = -1;
    }
}

struct spool *
spool_open(const char *dir, const struct uuid *migration)
{
    struct spool *s = xzalloc(sizeof *s);

    s->name = file_name(dir, migration);
    open_file(s, 0);
    return s;
}

void
spool_close(struct spool *s)
{
    if (s) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        free(s->name);
        free(s);
    }
}

void
spool_remove(const char *dir, const struct uuid *migration)
{
    char *name = file_name(dir, migration);

    unlink(name);
    free(name);
}

uint64_t
spool_put(struct spool *s, const struct spool_record *r)
{
    struct header h = {
        .len = r->len, .kind = r->kind, .nic = r->nic, .number = r->number,
        .from = r->from,
    };
    struct iovec iov[] = {
        { &h, sizeof h }, { CONST_CAST(void *, r->data), r->len },
    };
    size_t n = sizeof h + r->len;

    if (s->fd < 0 && !s->tried) {
        s->tried = true;        /* There is something to keep. */
        open_file(s, O_CREAT);
    }
    if (s->fd < 0 || r->len > MAX_FRAME || s->end + n > SPOOL_MAX_BYTES
        || pwritev(s->fd, iov, 2, s->end) != n) {
        return 0;
    }
    uint64_t at = s->end;
    s->end += n;
    return at;
}

void
spool_take(struct spool *s, uint64_t at)
{
    if (at) {
        ignore(pwrite(s->fd, "\1", 1, at + offsetof(struct header, taken)));
    }
}

bool
spool_next(struct spool *s, uint64_t *pos, struct spool_record *r,
           uint64_t *at)
{
    struct header h;

    if (s->fd < 0) {
        return false;
    }
    *pos = MAX(*pos, sizeof magic);
    while (*pos < s->end && read_header(s, *pos, &h)) {
        *at = *pos;
        *pos += sizeof h + h.len;
        *r = (struct spool_record) {
            .kind = h.kind, .nic = h.nic, .from = h.from,
            .number = h.number, .data = s->frame, .len = h.len,
        };
        if (h.taken) {
            r->len = 0;
        } else if (pread(s->fd, s->frame, h.len, *at + sizeof h) != h.len) {
            return false;
        }
        return true;
    }
    return false;
}
