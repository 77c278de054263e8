#ifndef API_API_H
#define API_API_H 1

/* The REST API, under /api/v1.
 *
 * Routes are one table (routes.c), from which requests are dispatched and
 * /api/v1/openapi.json is made.  Objects are shown as they are in the
 * replica of the store (objects.c); a request that changes something is
 * answered when the store has answered.  GET /api/v1/events with "Accept:
 * text/event-stream" follows all changes (stream.c).
 *
 * On the unix socket root and the manager's own user need no token; TCP
 * always does. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/tls.h"

struct store;
struct store_change;

struct api;

struct api_config {
    const char *unix_path;      /* Null: none. */
    const char *listen;         /* "ADDRESS:PORT"; null: none. */
    int listen_fd;              /* A socket that listens; -1: none. */
    const char *token;          /* For TCP. */
    const struct tls_files *tls;        /* Also for TCP. */
};

/* EADDRINUSE if somebody else listens there. */
int api_create(struct store *, const struct api_config *, struct api **,
               struct err *);
void api_destroy(struct api *);

/* From now on TCP needs this token. */
void api_set_token(struct api *, const char *token);

/* Connections over TCP that begin from now on use what is in the files. */
int api_renew_tls(struct api *, const struct tls_files *, struct err *);

/* 'now' is monotonic, 'wall_now' since 1970, both in ms. */
void api_run(struct api *, long long now, long long wall_now);
void api_wait(struct api *);

/* Tells those who follow what changed in the store. */
void api_note_change(struct api *, const struct store_change *);

#endif /* api/api.h */
