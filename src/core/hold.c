#include <config.h>

#include "core/hold.h"

#include <limits.h>

#include "dp-packet.h"
#include "openvswitch/list.h"
#include "util.h"
#include "uuid.h"

/* A frame, or, without a packet, the fence of 'from'. */
struct held {
    struct ovs_list node;
    struct hold_frame frame;
    bool relayed;
    struct uuid from;
};

struct queue {
    struct ovs_list node;
    struct uuid from;
    size_t nic;
    int patience;
    bool fenced;                /* Its fence is in the stream, or was. */
    bool missed;                /* We put it there: it did not come. */
    bool open;
    struct ovs_list frames;
};

struct hold {
    struct ovs_list queues;
    struct ovs_list stream;     /* What need not wait, as it came; fences. */
    struct ovs_list ready;      /* Of queues that were opened. */
    size_t n_frames, n_closed;
    bool open;
    long long opened;
    struct hold_counters counters;
};

struct hold *
hold_create(void)
{
    struct hold *hold = xzalloc(sizeof *hold);

    ovs_list_init(&hold->queues);
    ovs_list_init(&hold->stream);
    ovs_list_init(&hold->ready);
    return hold;
}

static void
destroy_frames(struct ovs_list *frames)
{
    struct held *h;

    LIST_FOR_EACH_POP (h, node, frames) {
        dp_packet_delete(h->frame.packet);
        free(h);
    }
}

void
hold_destroy(struct hold *hold)
{
    if (hold) {
        struct queue *q;

        LIST_FOR_EACH_POP (q, node, &hold->queues) {
            destroy_frames(&q->frames);
            free(q);
        }
        destroy_frames(&hold->stream);
        destroy_frames(&hold->ready);
        free(hold);
    }
}

static struct queue *
find_queue(struct hold *hold, const struct uuid *from, size_t nic)
{
    struct queue *q;

    LIST_FOR_EACH (q, node, &hold->queues) {
        if (q->nic == nic && uuid_equals(&q->from, from)) {
            return q;
        }
    }
    return NULL;
}

static void
open_queue(struct hold *hold, struct queue *q)
{
    if (!q->open) {
        q->open = true;
        hold->n_closed--;
        ovs_list_push_back_all(&hold->ready, &q->frames);
    }
}

void
hold_expect(struct hold *hold, const struct uuid *from, size_t nic,
            int patience)
{
    if (!find_queue(hold, from, nic)) {
        struct queue *q = xzalloc(sizeof *q);

        q->from = *from;
        q->nic = nic;
        q->patience = patience;
        ovs_list_init(&q->frames);
        ovs_list_push_back(&hold->queues, &q->node);
        hold->n_closed++;
    }
}

static void
put(struct hold *hold, struct ovs_list *list, const struct uuid *from,
    const struct hold_frame *frame)
{
    if (frame->packet && hold->n_frames >= HOLD_MAX_FRAMES) {
        hold->counters.dropped++;
        dp_packet_delete(frame->packet);
        return;
    }

    struct held *h = xzalloc(sizeof *h);
    h->frame = *frame;
    h->relayed = !from;
    if (from) {
        h->from = *from;
    }
    ovs_list_push_back(list, &h->node);
    hold->n_frames += frame->packet != NULL;
}

void
hold_put_relayed(struct hold *hold, const struct hold_frame *frame)
{
    hold->counters.relayed++;
    put(hold, &hold->stream, NULL, frame);
}

void
hold_put_direct(struct hold *hold, const struct uuid *from,
                const struct hold_frame *frame)
{
    struct queue *q = find_queue(hold, from, frame->nic);

    hold->counters.direct++;
    if (!hold->open || (q && !q->open)) {
        hold->counters.held++;
    }
    put(hold, q && !q->open ? &q->frames : &hold->stream, from, frame);
}

void
hold_put_fence(struct hold *hold, const struct uuid *from, size_t nic)
{
    struct queue *q = find_queue(hold, from, nic);

    if (q) {
        q->fenced = true;
    }
    put(hold, &hold->stream, from, &(struct hold_frame) { .nic = nic });
}

void
hold_open(struct hold *hold, long long now)
{
    if (!hold->open) {
        hold->open = true;
        hold->opened = now;
    }
}

/* Takes the first of 'list'; false if it was a fence. */
static bool
take(struct hold *hold, struct ovs_list *list, struct hold_frame *frame,
     bool *relayed)
{
    struct held *h = CONTAINER_OF(ovs_list_pop_front(list), struct held,
                                  node);
    bool is_fence = !h->frame.packet;

    if (!is_fence) {
        *frame = h->frame;
        *relayed = h->relayed;
        hold->n_frames--;
    } else {
        struct queue *q = find_queue(hold, &h->from, h->frame.nic);

        if (q && !q->open) {
            if (q->missed) {
                hold->counters.missed++;
            } else {
                hold->counters.fences++;
            }
            open_queue(hold, q);
        }
    }
    free(h);
    return !is_fence;
}

/* What does not come any more takes its place behind what is there: the guest
 * may be slower than the fence's time. */
static void
give_up_overdue(struct hold *hold, long long now)
{
    struct queue *q;

    LIST_FOR_EACH (q, node, &hold->queues) {
        if (!q->fenced && now >= hold->opened + q->patience) {
            q->missed = true;
            hold_put_fence(hold, &q->from, q->nic);
        }
    }
}

static bool
take_next(struct hold *hold, struct hold_frame *frame, bool *relayed)
{
    /* What is ready is older than what has come into the stream since, of its
     * own sender. */
    for (;;) {
        struct ovs_list *list = (!ovs_list_is_empty(&hold->ready)
                                 ? &hold->ready : &hold->stream);
        if (ovs_list_is_empty(list)) {
            return false;
        } else if (take(hold, list, frame, relayed)) {
            return true;
        }
    }
}

bool
hold_next(struct hold *hold, long long now, struct hold_frame *frame)
{
    bool relayed;

    if (!hold->open) {
        return false;
    }
    if (hold->n_closed) {
        give_up_overdue(hold, now);
    }
    return take_next(hold, frame, &relayed);
}

bool
hold_take_back(struct hold *hold, struct hold_frame *frame)
{
    struct queue *q;
    bool relayed;

    LIST_FOR_EACH (q, node, &hold->queues) {
        open_queue(hold, q);
    }
    while (take_next(hold, frame, &relayed)) {
        if (!relayed) {
            return true;
        }
        dp_packet_delete(frame->packet);
    }
    return false;
}

bool
hold_has_more(const struct hold *hold)
{
    return hold->open && (!ovs_list_is_empty(&hold->ready)
                          || !ovs_list_is_empty(&hold->stream));
}

long long
hold_deadline(const struct hold *hold)
{
    long long deadline = LLONG_MAX;
    const struct queue *q;

    if (hold->open && hold->n_closed) {
        LIST_FOR_EACH (q, node, &hold->queues) {
            if (!q->fenced) {
                deadline = MIN(deadline, hold->opened + q->patience);
            }
        }
    }
    return deadline;
}

bool
hold_is_settled(const struct hold *hold)
{
    return (hold->open && !hold->n_closed
            && ovs_list_is_empty(&hold->stream)
            && ovs_list_is_empty(&hold->ready));
}

const struct hold_counters *
hold_counters(const struct hold *hold)
{
    return &hold->counters;
}
