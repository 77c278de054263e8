#ifndef API_REQUEST_H
#define API_REQUEST_H 1

/* A request and its answer, apart from how they travel.
 *
 * A handler answers at once with request_reply() or request_problem(), or
 * says with request_wait() which write it waits for: once that is done,
 * 'done' answers; the answer to one that is not is its error. */

#include <stdbool.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/err.h"
#include "store/write.h"

struct api;
struct json;
struct problems;
struct request;
struct route;

typedef void request_done_func(struct request *);

#define REQUEST_MAX_BODY (1024 * 1024)
#define REQUEST_MAX_DEPTH 16
#define REQUEST_TIMEOUT_MS 20000        /* For the store to answer. */

struct request {
    struct api *api;
    struct store *store;
    const struct route *route;
    long long wall_now;         /* In ms. */

    char *method;
    char *path;
    char *name;                 /* Of the object, from the path, or null. */
    struct json *body;          /* An object, or null. */
    bool wants_stream;          /* "Accept: text/event-stream" */
    bool force;                 /* "?force=true" */
    long long limit;            /* "?limit=N", 0: none */

    /* The answer. */
    int status;                 /* 0: not yet. */
    struct json *reply;         /* Null: empty. */
    char *location;             /* Header, or null. */
    const char *allow;          /* Header, or null. */
    bool stream;                /* Answer with events. */

    /* While it waits. */
    struct ovs_list node;       /* In the API's 'waiting', if 'done'. */
    write_ticket ticket;
    request_done_func *done;
    long long deadline;         /* Monotonic, in ms. */
    struct uuid target;         /* For 'done'. */

    void *connection;           /* The server's. */
};

void request_init(struct request *, struct api *);
void request_finish(struct request *);

/* Takes 'json', which may be null. */
void request_reply(struct request *, int status, struct json *);

/* RFC 9457. */
void request_problem(struct request *, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* With the status that belongs to the errno value. */
void request_error(struct request *, const struct err *);

/* 422, with all problems. */
void request_problems(struct request *, const char *what,
                      const struct problems *);

void request_wait(struct request *, write_ticket, request_done_func *);

#endif /* api/request.h */
