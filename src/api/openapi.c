#include <config.h>

#include "api/routes.h"

#include <ctype.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"

#include "api/objects.h"

static struct json *
put_object(struct json *parent, const char *name)
{
    struct json *json = json_object_create();

    json_object_put(parent, name, json);
    return json;
}

/* "getVmsByName", unique. */
static char *
operation_id(const struct route *route)
{
    char *id = xmalloc(strlen(route->method) + strlen(route->path) + 3);
    size_t n = 0;
    bool upper = false;

    for (const char *p = route->method; *p; p++) {
        id[n++] = tolower((unsigned char) *p);
    }
    for (const char *p = route->path + strlen("/api/v1"); *p; p++) {
        if (!isalnum((unsigned char) *p)) {
            if (*p == '{') {
                id[n++] = 'B';
                id[n++] = 'y';
            }
            upper = true;
        } else {
            id[n++] = upper ? toupper((unsigned char) *p) : *p;
            upper = false;
        }
    }
    id[n] = '\0';
    return id;
}

static struct json *
parameters(const struct route *route)
{
    struct json *list = json_array_create_empty();

    if (strchr(route->path, '{')) {
        struct json *name = json_object_create();

        json_object_put_string(name, "name", "name");
        json_object_put_string(name, "in", "path");
        json_object_put(name, "required", json_boolean_create(true));
        json_object_put_string(put_object(name, "schema"), "type", "string");
        json_array_add(list, name);
    }
    return list;
}

static void
put_responses(struct json *operation, const struct route *route)
{
    struct json *responses = put_object(operation, "responses");
    char status[16];

    snprintf(status, sizeof status, "%d", route->status);
    struct json *good = put_object(responses, status);
    json_object_put_string(good, "description", route->help);
    if (route->status != 204) {
        struct json *media = put_object(put_object(good, "content"),
                                        "application/json");
        struct json *schema = put_object(media, "schema");
        bool list = (!strcmp(route->method, "GET") && route->kind
                     && !strchr(route->path, '{'));

        json_object_put_string(schema, "type", list ? "array" : "object");
        if (list) {
            json_object_put_string(put_object(schema, "items"), "type",
                                   "object");
        }
    }

    struct json *bad = put_object(responses, "default");
    json_object_put_string(bad, "description", "What is wrong (RFC 9457).");
    json_object_put_string(
        put_object(put_object(put_object(bad, "content"),
                              "application/problem+json"), "schema"),
        "$ref", "#/components/schemas/Problem");
}

static struct json *
operation_create(const struct route *route)
{
    struct json *operation = json_object_create();
    char *id = operation_id(route);

    json_object_put_string(operation, "operationId", id);
    free(id);
    json_object_put_string(operation, "summary", route->help);
    if (route->kind) {
        json_object_put(operation, "tags", json_array_create_1(
                            json_string_create(route->kind)));
    }
    json_object_put(operation, "parameters", parameters(route));
    if (route->fields) {
        struct json *body = put_object(operation, "requestBody");

        json_object_put(body, "required", json_boolean_create(true));
        json_object_put(put_object(put_object(body, "content"),
                                   "application/json"),
                        "schema", fields_to_schema(route->fields));
    }
    put_responses(operation, route);
    return operation;
}

static void
put_components(struct json *document)
{
    static const struct field problem_fields[] = {
        { "type", FIELD_STRING, true, "about:blank" },
        { "title", FIELD_STRING, true, "of the status" },
        { "status", FIELD_INTEGER, true, "of the answer" },
        { "detail", FIELD_STRING, true, "what is wrong, for a person" },
        { "errors", FIELD_STRINGS, false, "all that is wrong" },
        { NULL },
    };
    struct json *components = put_object(document, "components");
    struct json *token = put_object(put_object(components,
                                               "securitySchemes"), "token");

    json_object_put_string(token, "type", "http");
    json_object_put_string(token, "scheme", "bearer");
    json_object_put(put_object(components, "schemas"), "Problem",
                    fields_to_schema(problem_fields));

    struct json *need = json_object_create();
    json_object_put(need, "token", json_array_create_empty());
    json_object_put(document, "security", json_array_create_1(need));
}

struct json *
openapi_create(void)
{
    struct json *document = json_object_create();
    struct json *info = put_object(document, "info");
    struct json *tags = json_array_create_empty();
    struct json *paths = put_object(document, "paths");

    json_object_put_string(document, "openapi", "3.1.0");
    json_object_put_string(info, "title", "Watari");
    json_object_put_string(info, "version", WATARI_VERSION);
    for (size_t i = 0; i < n_object_kinds; i++) {
        struct json *tag = json_object_create();

        json_object_put_string(tag, "name", object_kinds[i].plural);
        json_object_put_string(tag, "description", object_kinds[i].help);
        json_array_add(tags, tag);
    }
    json_object_put(document, "tags", tags);
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = &routes[i];
        struct json *path = shash_find_data(json_object(paths), route->path);
        char method[16];

        if (!path) {
            path = put_object(paths, route->path);
        }
        ovs_strlcpy(method, route->method, sizeof method);
        for (char *p = method; *p; p++) {
            *p = tolower((unsigned char) *p);
        }
        json_object_put(path, method, operation_create(route));
    }
    put_components(document);
    return document;
}
