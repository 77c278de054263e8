#include <config.h>

#include "peer/arrivals.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "stream.h"
#include "util.h"

struct arrival {
    struct ovs_list node;
    struct stream *stream;
    long long until_us;
};

struct arrivals {
    struct pstream *listen;
    bool tls;
    struct ovs_list waiting, ready;     /* 'struct arrival', oldest first. */
    size_t n_waiting;
};

int
arrivals_create(const char *target, struct arrivals **ap, struct err *err)
{
    struct pstream *listen;
    int error = pstream_open(target, &listen, 0);

    if (error) {
        return err_set(err, error, "cannot listen on %s: %s", target,
                       ovs_strerror(error));
    }

    struct arrivals *a = xzalloc(sizeof *a);
    a->listen = listen;
    a->tls = !strncmp(target, "pssl:", 5);
    ovs_list_init(&a->waiting);
    ovs_list_init(&a->ready);
    *ap = a;
    return 0;
}

static void
arrival_destroy(struct arrival *arrival)
{
    ovs_list_remove(&arrival->node);
    stream_close(arrival->stream);
    free(arrival);
}

void
arrivals_destroy(struct arrivals *a)
{
    if (a) {
        struct arrival *arrival;

        LIST_FOR_EACH_SAFE (arrival, node, &a->waiting) {
            arrival_destroy(arrival);
        }
        LIST_FOR_EACH_SAFE (arrival, node, &a->ready) {
            arrival_destroy(arrival);
        }
        pstream_close(a->listen);
        free(a);
    }
}

int
arrivals_port(const struct arrivals *a)
{
    return ntohs(pstream_get_bound_port(a->listen));
}

/* Refuses the one that is 'waiting'. */
static void
refuse(struct arrivals *a, struct arrival *arrival, long long mono_us,
       struct refusals *refusals, uint64_t *n_refused, const char *why)
{
    char *address = arrivals_address(stream_get_name(arrival->stream));

    refusals_add(refusals, mono_us, "refused a connection from %s: %s",
                 address, why);
    free(address);
    ++*n_refused;
    a->n_waiting--;
    arrival_destroy(arrival);
}

void
arrivals_run(struct arrivals *a, long long mono_us,
             struct refusals *refusals, uint64_t *n_refused)
{
    struct arrival *arrival;
    struct stream *stream;

    while (!pstream_accept(a->listen, &stream)) {
        arrival = xmalloc(sizeof *arrival);
        arrival->stream = stream;
        arrival->until_us = mono_us + ARRIVALS_PATIENCE_US;
        ovs_list_push_back(&a->waiting, &arrival->node);
        if (++a->n_waiting > ARRIVALS_MAX) {
            refuse(a, CONTAINER_OF(ovs_list_front(&a->waiting),
                                   struct arrival, node),
                   mono_us, refusals, n_refused,
                   "too many that say nothing");
        }
    }

    LIST_FOR_EACH_SAFE (arrival, node, &a->waiting) {
        stream_run(arrival->stream);

        int error = stream_connect(arrival->stream);
        if (error == EAGAIN) {
            if (mono_us >= arrival->until_us) {
                refuse(a, arrival, mono_us, refusals, n_refused,
                       "it says nothing");
            }
        } else if (error) {
            /* Why exactly, libopenvswitch has logged. */
            refuse(a, arrival, mono_us, refusals, n_refused,
                   "no TLS, or its certificate is missing, has expired or "
                   "is of another CA, or it does not believe ours");
        } else if (a->tls && !stream_get_peer_id(arrival->stream)) {
            refuse(a, arrival, mono_us, refusals, n_refused,
                   "its certificate has no common name");
        } else {
            ovs_list_remove(&arrival->node);
            a->n_waiting--;
            ovs_list_push_back(&a->ready, &arrival->node);
        }
    }
}

void
arrivals_wait(struct arrivals *a, long long mono_us)
{
    struct arrival *arrival;

    pstream_wait(a->listen);
    LIST_FOR_EACH (arrival, node, &a->waiting) {
        stream_run_wait(arrival->stream);
        stream_connect_wait(arrival->stream);
    }
    if (!ovs_list_is_empty(&a->waiting)) {
        arrival = CONTAINER_OF(ovs_list_front(&a->waiting), struct arrival,
                               node);
        poll_timer_wait(MAX(0, (arrival->until_us - mono_us) / 1000 + 1));
    }
    if (!ovs_list_is_empty(&a->ready)) {
        poll_immediate_wake();
    }
}

struct stream *
arrivals_next(struct arrivals *a)
{
    if (ovs_list_is_empty(&a->ready)) {
        return NULL;
    }

    struct arrival *arrival = CONTAINER_OF(ovs_list_pop_front(&a->ready),
                                           struct arrival, node);
    struct stream *stream = arrival->stream;
    free(arrival);
    return stream;
}

char *
arrivals_address(const char *connection)
{
    const char *first = strchr(connection, ':');
    const char *last = strrchr(connection, ':');

    return (first && last > first ? xmemdup0(first + 1, last - first - 1)
            : xstrdup(connection));
}
