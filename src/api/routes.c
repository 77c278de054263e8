#include <config.h>

#include "api/routes.h"

#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

#include "api/actions.h"
#include "api/document.h"
#include "api/objects.h"
#include "api/request.h"
#include "store/store.h"

static void list_objects(struct request *);
static void get_object(struct request *);
static void get_events(struct request *);
static void get_openapi(struct request *);
static void get_status(struct request *);

#define BASE "/api/v1"

/* Rows that every kind of object has. */
#define OBJECT_ROUTES(PLURAL, WHAT) \
    { "GET", BASE "/" PLURAL, list_objects, ROUTE_READER, 200, \
      "List all " WHAT ".", NULL, PLURAL }, \
    { "GET", BASE "/" PLURAL "/{name}", get_object, ROUTE_READER, 200, \
      "Show one of the " WHAT ", by name or UUID.", NULL, PLURAL }

const struct route routes[] = {
    OBJECT_ROUTES("sites", "sites"),
    OBJECT_ROUTES("hosts", "hosts"),
    OBJECT_ROUTES("networks", "networks"),
    OBJECT_ROUTES("vms", "VMs"),
    OBJECT_ROUTES("endpoints", "endpoints"),
    OBJECT_ROUTES("bindings", "bindings"),
    OBJECT_ROUTES("services", "services"),
    OBJECT_ROUTES("migrations", "migrations, the oldest first"),
    OBJECT_ROUTES("policies", "policies"),
    OBJECT_ROUTES("links", "links"),
    { "GET", BASE "/events", get_events, ROUTE_READER, 200,
      "List the events, the oldest first; with Accept: text/event-stream, "
      "follow all changes.", NULL, "events" },
    { "GET", BASE "/events/{name}", get_object, ROUTE_READER, 200,
      "Show one event, by UUID.", NULL, "events" },

    { "PUT", BASE "/config", actions_apply, ROUTE_OPERATOR, 200,
      "Apply a document: all of it or nothing.", document_fields, NULL },
    { "POST", BASE "/vms", actions_create_vm, ROUTE_OPERATOR, 201,
      "Create a VM.", document_vm_fields, "vms" },
    { "POST", BASE "/vms/{name}/start", actions_start_vm, ROUTE_OPERATOR,
      200, "Let a VM run.", NULL, "vms" },
    { "POST", BASE "/vms/{name}/stop", actions_stop_vm, ROUTE_OPERATOR,
      200, "Let a VM stop.", NULL, "vms" },
    { "DELETE", BASE "/vms/{name}", actions_delete_vm, ROUTE_OPERATOR, 204,
      "Delete a stopped VM; with ?force=true, any.", NULL, NULL },
    { "POST", BASE "/vms/{name}/migrations", actions_migrate_vm,
      ROUTE_OPERATOR, 202, "Move a running VM to another host.",
      actions_migrate_fields, "migrations" },
    { "POST", BASE "/migrations/{name}/cancel", actions_cancel_migration,
      ROUTE_OPERATOR, 202, "Ask a migration to end where it began.", NULL,
      "migrations" },
    { "POST", BASE "/migrations/{name}/resolve", actions_resolve_migration,
      ROUTE_OPERATOR, 202, "Say on which host the VM of a stuck migration "
      "runs.", actions_resolve_fields, "migrations" },

    { "GET", BASE "/openapi.json", get_openapi, ROUTE_READER, 200,
      "Describe this interface.", NULL, NULL },
    { "GET", BASE "/status", get_status, ROUTE_READER, 200,
      "Say how the manager is.", NULL, NULL },
};
const size_t n_routes = ARRAY_SIZE(routes);

/* Does 'path' match 'pattern'?  '*name' is what "{name}" matched, or null. */
static bool
path_matches(const char *pattern, const char *path, char **name)
{
    const char *brace = strchr(pattern, '{');

    *name = NULL;
    if (!brace) {
        return !strcmp(pattern, path);
    }
    if (strncmp(pattern, path, brace - pattern)) {
        return false;
    }
    path += brace - pattern;

    size_t n = strcspn(path, "/");
    if (!n || strcmp(path + n, brace + strlen("{name}"))) {
        return false;
    }
    *name = xmemdup0(path, n);
    return true;
}

/* Says that the path is known, but the method is not. */
static void
refuse_method(struct request *request, bool get, bool put, bool post,
              bool del)
{
    static const char *const allow[] = {
        "", "GET", "PUT", "GET, PUT", "POST", "GET, POST", "PUT, POST",
        "GET, PUT, POST", "DELETE", "GET, DELETE", "PUT, DELETE",
        "GET, PUT, DELETE", "POST, DELETE", "GET, POST, DELETE",
        "PUT, POST, DELETE", "GET, PUT, POST, DELETE",
    };

    request->allow = allow[get | put << 1 | post << 2 | del << 3];
    request_problem(request, 405, "%.20s is not possible here, but %s is",
                    request->method, request->allow);
}

void
routes_dispatch(struct request *request)
{
    bool get = false, put = false, post = false, del = false, any = false;

    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = &routes[i];
        char *name;

        if (!path_matches(route->path, request->path, &name)) {
            continue;
        }
        if (!strcmp(route->method, request->method)) {
            request->route = route;
            request->name = name;
            break;
        }
        free(name);
        any = true;
        get |= !strcmp(route->method, "GET");
        put |= !strcmp(route->method, "PUT");
        post |= !strcmp(route->method, "POST");
        del |= !strcmp(route->method, "DELETE");
    }

    if (request->route) {
        if (request->route->fields && !request->body) {
            request_problem(request, 400, "the request needs a body, a JSON "
                            "object");
        } else if (!store_is_ready(request->store)
                   && request->route->func != get_status
                   && request->route->func != get_openapi) {
            request_problem(request, 503, "the manager has not read the "
                            "store yet; is it running?");
        } else {
            request->route->func(request);
        }
    } else if (any) {
        refuse_method(request, get, put, post, del);
    } else {
        request_problem(request, 404, "there is nothing at \"%.200s\"; see "
                        "%s/openapi.json", request->path, BASE);
    }
}

static void
list_objects(struct request *request)
{
    const struct object_kind *kind = objects_find_kind(request->route->kind);

    request_reply(request, 200, objects_list(request->store, kind,
                                             request->limit));
}

static void
get_object(struct request *request)
{
    const struct object_kind *kind = objects_find_kind(request->route->kind);
    struct json *json = objects_get(request->store, kind, request->name);

    if (json) {
        request_reply(request, 200, json);
    } else {
        request_problem(request, 404, "there is no %s \"%.80s\"",
                        kind->singular, request->name);
    }
}

static void
get_events(struct request *request)
{
    if (request->wants_stream) {
        request->stream = true;
    } else {
        list_objects(request);
    }
}

static void
get_openapi(struct request *request)
{
    request_reply(request, 200, openapi_create());
}

static void
get_status(struct request *request)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "version", WATARI_VERSION);
    json_object_put_string(json, "store",
                           store_is_connected(request->store) ? "connected"
                           : "not connected");
    json_object_put(json, "epoch",
                    json_integer_create(store_epoch(request->store)));
    request_reply(request, 200, json);
}
