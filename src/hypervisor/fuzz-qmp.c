#include <config.h>

/* Fuzzing of what a QEMU may say: whatever the bytes, a session answers with
 * replies, events or its death, and its limits hold.  The first byte says in
 * pieces of which size the rest comes. */

#include "base/fuzz.h"
#include "hypervisor/qmp.h"
#include "openvswitch/json.h"
#include "util.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }
    size_t piece = data[0] ? data[0] : size;
    data++;
    size--;

    struct qmp *q = qmp_create();
    uint64_t ids[4];
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        ids[i] = qmp_send(q, "query-status", NULL);
    }
    qmp_forget(q, ids[3]);
    for (size_t at = 0; at < size; at += piece) {
        qmp_feed(q, (const char *) data + at, MIN(piece, size - at));
    }

    struct qmp_event event;
    size_t n_events = 0;
    while (qmp_next_event(q, &event)) {
        ovs_assert(event.timestamp_us >= 0);
        qmp_event_destroy(&event);
        n_events++;
    }
    ovs_assert(n_events <= QMP_MAX_EVENTS);
    for (size_t i = 0; i < 3; i++) {
        struct json *result;
        if (!qmp_reply(q, ids[i], &result, NULL)) {
            json_destroy(result);
        }
    }
    qmp_destroy(q);
    return 0;
}
