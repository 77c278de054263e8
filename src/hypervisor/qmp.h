#ifndef HYPERVISOR_QMP_H
#define HYPERVISOR_QMP_H 1

/* A session with a QEMU, in its machine protocol (docs/interop/qmp-spec.txt
 * in QEMU's sources).
 *
 * Commands may be sent at any time, several in a row; they leave once QEMU
 * has greeted.  Replies and events wait until somebody takes them.
 *
 *      CONNECTING --> GREETING --> NEGOTIATING --> READY
 *           |             |             |            |
 *           `-------------+-------------+------------+--> DEAD
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct json;
struct qmp;

/* What a QEMU that has gone mad can make us hold. */
#define QMP_MAX_MESSAGE (1 << 20)       /* Bytes. */
#define QMP_MAX_COMMANDS 256            /* Without an answer, or untaken. */
#define QMP_MAX_EVENTS 4096             /* Untaken. */

#define QMP_RETRY_MS 10                 /* Between attempts to connect. */

struct qmp_event {
    char *name;
    struct json *data;                  /* May be null. */
    long long timestamp_us;             /* Wall clock of QEMU's host. */
};

struct qmp *qmp_create(void);
void qmp_destroy(struct qmp *);

/* Connects to the unix socket 'path', trying again for 'timeout_ms' from the
 * first qmp_run(). */
void qmp_connect(struct qmp *, const char *path, int timeout_ms);

/* 'now' is monotonic, in ms. */
void qmp_run(struct qmp *, long long now);
void qmp_wait(struct qmp *);

/* 0 if the session is ready, EINPROGRESS if it may become so; anything else
 * is why it is dead. */
int qmp_status(const struct qmp *, struct err *);

/* Sends 'command' with 'arguments', which may be null and are taken over.
 * Returns the number by which to fetch its reply.  The bytes leave with
 * qmp_flush() or the next qmp_run(), so that several commands make one
 * write. */
uint64_t qmp_send(struct qmp *, const char *command, struct json *arguments);

/* The same, with a file descriptor, which is taken over, for a command that
 * is about one, as "getfd". */
uint64_t qmp_send_fd(struct qmp *, const char *command,
                     struct json *arguments, int fd);
void qmp_flush(struct qmp *);

/* Fetches the reply to 'id' and forgets it: 0 and '*result', which the caller
 * then owns ('result' may be null); EINPROGRESS if there is none yet;
 * EREMOTEIO if QEMU refused, with its own words in '*err'; anything else if
 * the session died. */
int qmp_reply(struct qmp *, uint64_t id, struct json **result, struct err *);

/* Has the session died with 'id' unread?  Then QEMU has not obeyed it, and
 * never will.  True only where that is certain. */
bool qmp_was_unread(const struct qmp *, uint64_t id);

/* Nobody will fetch the reply to 'id'. */
void qmp_forget(struct qmp *, uint64_t id);

/* Takes the oldest event; false if there is none.  The caller destroys it. */
bool qmp_next_event(struct qmp *, struct qmp_event *);
void qmp_event_destroy(struct qmp_event *);

/* For tests: what QEMU says, and what would be sent to it, which the caller
 * frees. */
void qmp_feed(struct qmp *, const char *, size_t n);
char *qmp_steal_output(struct qmp *);

#endif /* hypervisor/qmp.h */
