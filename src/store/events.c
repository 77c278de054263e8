#include <config.h>

#include "store/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

#include "store/session.h"

struct event {
    struct uuid insert;
    char kind[32];
    char object[80];
    char host[80];
    char text[400];
    long long time;
};

static int
build_event(struct store *store, struct ovsdb_idl_txn *txn,
            const void *data, struct err *err OVS_UNUSED)
{
    const struct event *event = data;

    if (SESSION_ROW(store, event, &event->insert)) {
        return 0;               /* Done before the connection broke. */
    }
    const struct dbrec_event *row
        = dbrec_event_insert_persist_uuid(txn, &event->insert);
    dbrec_event_set_time(row, MAX(event->time, 0));
    dbrec_event_set_kind(row, event->kind);
    dbrec_event_set_object(row, event->object);
    dbrec_event_set_host(row, event->host);
    dbrec_event_set_text(row, event->text);
    return 0;
}

void
session_add_event(const struct store *store, struct ovsdb_idl_txn *txn,
                  const char *kind, const char *object, long long time,
                  const char *format, ...)
{
    const struct dbrec_event *row = dbrec_event_insert(txn);
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dbrec_event_set_time(row, MAX(time, 0));
    dbrec_event_set_kind(row, kind);
    dbrec_event_set_object(row, object);
    dbrec_event_set_host(row, store->host_name ? store->host_name : "");
    dbrec_event_set_text(row, text);
}

/* A bucket of EVENTS_BURST tokens that fills with time. */
static bool
take_token(struct store *store, long long now)
{
    long long elapsed = store->event_time ? now - store->event_time : 0;

    if (!store->event_time) {
        store->event_tokens = EVENTS_BURST;
    }
    store->event_time = now;
    store->event_tokens += MAX(elapsed, 0) * EVENTS_PER_SECOND / 1000.0;
    store->event_tokens = MIN(store->event_tokens, EVENTS_BURST);
    if (store->event_tokens < 1) {
        return false;
    }
    store->event_tokens--;
    return true;
}

write_ticket
events_add(struct store *store, const char *kind, const char *object,
           const char *text, long long wall_now)
{
    static const struct write_class class = {
        .what = "adding an event",
        .build = build_event,
    };
    struct event event = { .time = wall_now };

    if (!take_token(store, wall_now)) {
        store->n_events_dropped++;
        return 0;
    }
    uuid_generate(&event.insert);
    ovs_strlcpy(event.kind, kind, sizeof event.kind);
    ovs_strlcpy(event.object, object, sizeof event.object);
    ovs_strlcpy(event.host, store->host_name ? store->host_name : "",
                sizeof event.host);
    if (store->n_events_dropped) {
        snprintf(event.text, sizeof event.text, "%.340s (%u events before "
                 "it were too many)", text, store->n_events_dropped);
        store->n_events_dropped = 0;
    } else {
        ovs_strlcpy(event.text, text, sizeof event.text);
    }
    return write_queue(store, &class, &event.insert, &event, sizeof event);
}
