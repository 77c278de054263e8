#ifndef LAB_CLIENT_H
#define LAB_CLIENT_H 1

/* A client of the manager's REST API. */

#include <stdbool.h>

#include "base/err.h"

struct client;
struct json;

/* 'target' is "unix:PATH" or "http[s]://HOST:PORT"; 'token' and the file 'ca'
 * are for the latter, and may be null.  With a CA, a HOST that is an address
 * has to prove that it is CLIENT_MANAGER; otherwise that it is HOST. */
#define CLIENT_MANAGER "manager"
int client_create(const char *target, const char *token, const char *ca,
                  struct client **, struct err *);
void client_destroy(struct client *);

/* Sends a request to "/api/v1" + 'path', with 'body' unless it is null, and
 * waits for the answer, which is in '*reply' (null if it has no body) for the
 * caller to destroy.  'reply' may be null.  What a problem document says
 * (RFC 9457) becomes the error: ENOENT for 404, EEXIST for 409, EINVAL for
 * other 4xx, EACCES for 401 and 403, EAGAIN for 503; ECONNREFUSED if there
 * is no manager. */
int client_request(struct client *, const char *method, const char *path,
                   const struct json *body, struct json **reply,
                   struct err *);

/* Reads the event stream (server-sent events) of "/api/v1" + 'path' until
 * 'event' returns false, or the stream ends, which is ECONNRESET.  'event'
 * gets each event's name ("message" by default) and data, null if that is
 * not JSON; both null about once a second, when nothing came. */
int client_stream(struct client *, const char *path,
                  bool (*event)(const char *name, const struct json *data,
                                void *aux),
                  void *aux, struct err *);

#endif /* lab/client.h */
