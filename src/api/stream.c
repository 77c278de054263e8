#include <config.h>

#include "api/stream.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

#include "api/api-private.h"
#include "api/objects.h"

struct stream {
    struct api *api;
    struct ovs_list node;       /* In the API's 'streams'. */
    struct ds buffer;
    size_t n_sent;              /* Of 'buffer'. */
    bool idle;                  /* The reader waits for data. */
    bool closed;
    void (*resume)(void *aux);
    void *aux;
};

static void
stream_wake(struct stream *stream)
{
    if (stream->idle) {
        stream->idle = false;
        stream->resume(stream->aux);
    }
}

static void
stream_put(struct stream *stream, const char *text)
{
    if (stream->buffer.length - stream->n_sent > STREAM_MAX_BUFFER) {
        stream->closed = true;
    } else {
        ds_put_cstr(&stream->buffer, text);
    }
    stream_wake(stream);
}

static char *
format_event(const char *name, const struct json *data)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "event: %s\ndata: ", name);
    json_to_ds(data, JSSF_SORT, &ds);   /* Has no line ends. */
    ds_put_cstr(&ds, "\n\n");
    return ds_steal_cstr(&ds);
}

struct stream *
stream_create(struct api *api, void (*resume)(void *aux), void *aux)
{
    if (api->n_streams >= STREAMS_MAX) {
        return NULL;
    }

    struct stream *stream = xzalloc(sizeof *stream);
    stream->api = api;
    ds_init(&stream->buffer);
    stream->resume = resume;
    stream->aux = aux;
    ovs_list_push_back(&api->streams, &stream->node);
    api->n_streams++;

    stream_put(stream, "event: hello\ndata: {}\n\n");
    struct json *migrations = objects_unfinished_migrations(api->store);
    for (size_t i = 0; i < json_array(migrations)->n; i++) {
        char *text = format_event("migration",
                                  json_array(migrations)->elems[i]);
        stream_put(stream, text);
        free(text);
    }
    json_destroy(migrations);
    return stream;
}

void
stream_destroy(struct stream *stream)
{
    if (stream) {
        ovs_list_remove(&stream->node);
        stream->api->n_streams--;
        ds_destroy(&stream->buffer);
        free(stream);
    }
}

ssize_t
stream_read(struct stream *stream, char *buf, size_t size)
{
    size_t n = MIN(size, stream->buffer.length - stream->n_sent);

    if (!n) {
        if (stream->closed) {
            return -1;
        }
        stream->idle = true;
        return 0;
    }
    memcpy(buf, stream->buffer.string + stream->n_sent, n);
    stream->n_sent += n;
    if (stream->n_sent == stream->buffer.length) {
        ds_clear(&stream->buffer);
        stream->n_sent = 0;
    }
    return n;
}

void
streams_send(struct api *api, const char *name, struct json *data)
{
    if (!ovs_list_is_empty(&api->streams)) {
        char *text = format_event(name, data);
        struct stream *stream;

        LIST_FOR_EACH (stream, node, &api->streams) {
            stream_put(stream, text);
        }
        free(text);
    }
    json_destroy(data);
}

void
streams_run(struct api *api)
{
    if (api->now >= api->next_keepalive) {
        struct stream *stream;

        LIST_FOR_EACH (stream, node, &api->streams) {
            stream_put(stream, ": still here\n\n");
        }
        api->next_keepalive = api->now + STREAM_KEEPALIVE_MS;
    }
}

void
streams_wait(struct api *api)
{
    if (!ovs_list_is_empty(&api->streams)) {
        poll_timer_wait_until(api->next_keepalive);
    }
}

void
streams_close(struct api *api)
{
    struct stream *stream;

    LIST_FOR_EACH (stream, node, &api->streams) {
        stream->closed = true;
        stream_wake(stream);
    }
}
