#include <config.h>

#include "api/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "openvswitch/json.h"
#include "unicode.h"
#include "util.h"

#include "api/api-private.h"
#include "base/problems.h"

static const struct {
    int status;
    const char *title;
} titles[] = {
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 422, "Unprocessable Content" },
    { 500, "Internal Server Error" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
};

static const struct {
    int error;
    int status;
} statuses[] = {
    { EINVAL, 422 },
    { ENOENT, 404 },
    { EEXIST, 409 },
    { EBUSY, 409 },
    { ESTALE, 409 },
    { EPERM, 403 },
    { EAGAIN, 503 },
    { ENOBUFS, 503 },
    { ENOSPC, 503 },
    { ETIMEDOUT, 504 },
};

void
request_init(struct request *request, struct api *api)
{
    *request = (struct request) {
        .api = api,
        .store = api->store,
        .wall_now = api->wall_now,
    };
}

void
request_finish(struct request *request)
{
    if (request->done) {
        ovs_list_remove(&request->node);
    }
    free(request->method);
    free(request->path);
    free(request->name);
    free(request->location);
    json_destroy(request->body);
    json_destroy(request->reply);
}

void
request_reply(struct request *request, int status, struct json *json)
{
    ovs_assert(!request->status);
    request->status = status;
    request->reply = json;
}

/* Sentences quote what others sent, cut anywhere: keeps them UTF-8. */
static struct json *
sentence_create(const char *text)
{
    char *copy = xstrdup(text);
    char *error = utf8_validate(copy, NULL);

    for (char *p = copy; error && *p; p++) {
        if ((unsigned char) *p >= 0x80) {
            *p = '?';
        }
    }
    free(error);
    return json_string_create_nocopy(copy);
}

static struct json *
problem_create(int status, const char *detail)
{
    struct json *problem = json_object_create();
    const char *title = "Error";

    for (size_t i = 0; i < ARRAY_SIZE(titles); i++) {
        if (titles[i].status == status) {
            title = titles[i].title;
        }
    }
    json_object_put_string(problem, "type", "about:blank");
    json_object_put_string(problem, "title", title);
    json_object_put(problem, "status", json_integer_create(status));
    json_object_put(problem, "detail", sentence_create(detail));
    return problem;
}

void
request_problem(struct request *request, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *detail = xvasprintf(format, args);
    va_end(args);
    request_reply(request, status, problem_create(status, detail));
    free(detail);
}

void
request_error(struct request *request, const struct err *err)
{
    int status = 500;

    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        if (statuses[i].error == err->code) {
            status = statuses[i].status;
        }
    }
    request_problem(request, status, "%s", err->text);
}

void
request_problems(struct request *request, const char *what,
                 const struct problems *problems)
{
    char *detail = (problems->n == 1
                    ? xasprintf("%s: %s", what, problems->texts[0])
                    : xasprintf("%s: %s; and %"PRIuSIZE" more", what,
                                problems->texts[0], problems->n - 1));
    struct json *problem = problem_create(422, detail);
    struct json *errors = json_array_create_empty();

    for (size_t i = 0; i < MIN(problems->n, PROBLEMS_MAX); i++) {
        json_array_add(errors, sentence_create(problems->texts[i]));
    }
    json_object_put(problem, "errors", errors);
    request_reply(request, 422, problem);
    free(detail);
}

void
request_wait(struct request *request, write_ticket ticket,
             request_done_func *done)
{
    request->ticket = ticket;
    request->done = done;
    request->deadline = request->api->now + REQUEST_TIMEOUT_MS;
    ovs_list_push_back(&request->api->waiting, &request->node);
}
