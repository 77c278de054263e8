#ifndef API_STREAM_H
#define API_STREAM_H 1

/* Server-sent events: everybody who follows gets every change.
 *
 *      event: migration
 *      data: {"uuid": ..., "vm": "web1", "step": "move", ...}
 *
 * The event's name is the object's kind, in the singular; the data is the
 * object as GET shows it, or its "uuid" and "gone": true.  Rows of the Event
 * table come with the name "event".  A stream begins with an event "hello"
 * and all migrations that have not ended, so that nobody misses a step
 * between a request and its stream. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct api;
struct json;
struct stream;

#define STREAMS_MAX 64
#define STREAM_MAX_BUFFER (512 * 1024)  /* Who reads too slowly is cut off. */
#define STREAM_KEEPALIVE_MS 15000

/* Null if there are too many.  'resume' is called when data has come after
 * stream_read() returned 0. */
struct stream *stream_create(struct api *, void (*resume)(void *aux),
                             void *aux);
void stream_destroy(struct stream *);

/* Reads up to 'size' bytes; 0: none now, -1: the end. */
ssize_t stream_read(struct stream *, char *buf, size_t size);

/* Sends 'data' to all; takes it. */
void streams_send(struct api *, const char *name, struct json *data);

/* Keeps connections alive, and finds those that are not. */
void streams_run(struct api *);
void streams_wait(struct api *);

/* Ends all, before the servers end. */
void streams_close(struct api *);

#endif /* api/stream.h */
