#include <config.h>

#include "api/api.h"

#include <errno.h>
#include <stdlib.h>

#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

#include "api/api-private.h"
#include "api/http.h"
#include "api/objects.h"
#include "api/request.h"
#include "api/stream.h"
#include "store/store.h"

int
api_create(struct store *store, const struct api_config *config,
           struct api **out, struct err *err)
{
    struct api *api = xzalloc(sizeof *api);
    int error = 0;

    api->store = store;
    api->token = nullable_xstrdup(config->token);
    ovs_list_init(&api->waiting);
    ovs_list_init(&api->streams);
    if (config->unix_path) {
        error = http_open_unix(api, config->unix_path,
                               &api->servers[api->n_servers], err);
        api->n_servers += !error;
    }
    if (!error && config->listen) {
        error = http_open_tcp(api, config->listen, config->tls,
                              &api->servers[api->n_servers], err);
        api->n_servers += !error;
    }
    if (!error && config->listen_fd >= 0) {
        error = http_open_fd(api, config->listen_fd, config->tls,
                             &api->servers[api->n_servers], err);
        api->n_servers += !error;
    }
    if (error) {
        api_destroy(api);
        return error;
    }
    *out = api;
    return 0;
}

static void
answer(struct request *request, const struct err *err)
{
    ovs_list_remove(&request->node);
    request_done_func *done = request->done;
    request->done = NULL;
    if (err) {
        request_error(request, err);
    } else {
        done(request);
    }
    http_resume(request);
}

void
api_destroy(struct api *api)
{
    if (api) {
        struct request *request;

        /* Suspended connections must not be left to the HTTP library. */
        LIST_FOR_EACH_SAFE (request, node, &api->waiting) {
            struct err err;

            err_set(&err, EAGAIN, "the manager ends; it is not known whether "
                    "this was done");
            answer(request, &err);
        }
        streams_close(api);
        for (size_t i = 0; i < api->n_servers; i++) {
            http_run(api->servers[i]);
            http_close(api->servers[i]);
        }
        free(api->token);
        free(api);
    }
}

void
api_set_token(struct api *api, const char *token)
{
    free(api->token);
    api->token = xstrdup(token);
}

int
api_renew_tls(struct api *api, const struct tls_files *tls, struct err *err)
{
    int error = 0;

    for (size_t i = 0; i < api->n_servers && !error; i++) {
        error = http_renew_tls(api->servers[i], tls, err);
    }
    return error;
}

void
api_run(struct api *api, long long now, long long wall_now)
{
    struct request *request;

    api->now = now;
    api->wall_now = wall_now;
    LIST_FOR_EACH_SAFE (request, node, &api->waiting) {
        struct err err = ERR_INIT;
        enum write_result result = write_result(api->store, request->ticket,
                                                &err);

        if (result != WRITE_PENDING) {
            answer(request, result == WRITE_DONE ? NULL : &err);
        } else if (now >= request->deadline) {
            err_set(&err, ETIMEDOUT, "the store does not answer; this may "
                    "still be done once it does");
            answer(request, &err);
        }
    }
    streams_run(api);
    for (size_t i = 0; i < api->n_servers; i++) {
        http_run(api->servers[i]);
    }
}

void
api_wait(struct api *api)
{
    struct request *request;

    /* A write may have been answered while this turn's requests were read. */
    LIST_FOR_EACH (request, node, &api->waiting) {
        if (write_result(api->store, request->ticket, NULL)
            != WRITE_PENDING) {
            poll_immediate_wake();
        }
        poll_timer_wait_until(request->deadline);
    }
    streams_wait(api);
    for (size_t i = 0; i < api->n_servers; i++) {
        http_wait(api->servers[i]);
    }
}

void
api_note_change(struct api *api, const struct store_change *change)
{
    if (api->n_streams) {
        objects_send_change(api, change);
    }
}
