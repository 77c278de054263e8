#ifndef API_ROUTES_H
#define API_ROUTES_H 1

/* The routes: what a method and a path do.
 *
 * To add one, add a row to the table in routes.c.  It is then dispatched,
 * described in /api/v1/openapi.json, and checked by its test. */

#include <stddef.h>

#include "api/fields.h"

struct json;
struct object_kind;
struct request;

typedef void route_func(struct request *);

/* Who may use it.  There is one token today, which may do all. */
enum route_role {
    ROUTE_READER,
    ROUTE_OPERATOR,
};

struct route {
    const char *method;
    const char *path;           /* "{name}" matches one segment. */
    route_func *func;
    enum route_role role;
    int status;                 /* Of the answer, if all is well. */
    const char *help;
    const struct field *fields; /* Of the request's body; null: none. */
    const char *kind;           /* Of the objects: plural, or null. */
};

extern const struct route routes[];
extern const size_t n_routes;

void routes_dispatch(struct request *);

/* The OpenAPI 3.1 document, see openapi.c. */
struct json *openapi_create(void);

#endif /* api/routes.h */
