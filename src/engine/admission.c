#include <config.h>

#include "engine/admission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "peer/channel.h"
#include "peer/message.h"
#include "store/migrations.h"
#include "store/networks.h"
#include "store/store.h"
#include "store/vms.h"

/* A source reserves before it asks; how much later than the source we may
 * hear so from the store. */
#define PATIENCE_MS 5000
#define MAX_ASKED 256

/* A PREPARE that the store has said nothing about yet. */
struct asked {
    struct ovs_list node;
    struct uuid migration, source;
    struct json *body;
    unsigned int store_seqno;   /* When it was looked at. */
    long long until;            /* Monotonic ms. */
    bool taken;                 /* By admission_next(), to be decided. */
};

bool
admission_check(struct engine *e, const struct uuid *interface,
                const struct uuid *host, const char *what)
{
    if (interfaces_admit(e->c.store, interface, host)) {
        return true;
    }
    channel_refuse(e->c.channel, host, what);
    return false;
}

static struct asked *
find(const struct engine *e, const struct uuid *migration,
     const struct uuid *source)
{
    struct asked *asked;

    LIST_FOR_EACH (asked, node, &e->asked) {
        if (uuid_equals(&asked->migration, migration)
            && uuid_equals(&asked->source, source)) {
            return asked;
        }
    }
    return NULL;
}

static void
forget(struct asked *asked)
{
    if (asked) {
        ovs_list_remove(&asked->node);
        json_destroy(asked->body);
        free(asked);
    }
}

/* Is the machine the one that the store describes? */
static bool
is_same_machine(const struct vm *a, const struct vm *b)
{
    bool same = (a->memory_kib == b->memory_kib && a->vcpus == b->vcpus
                 && !strcmp(a->name, b->name) && !strcmp(a->image, b->image)
                 && !strcmp(a->machine, b->machine) && !strcmp(a->cpu, b->cpu)
                 && a->n_nics == b->n_nics);

    for (size_t i = 0; same && i < a->n_nics; i++) {
        const struct interface *x = &a->nics[i].interface;
        const struct interface *y = &b->nics[i].interface;

        same = (uuid_equals(&x->uuid, &y->uuid)
                && uuid_equals(&x->network, &y->network)
                && eth_addr_equals(x->mac, y->mac)
                && addr_pair_equals(&x->home, &y->home));
    }
    return same;
}

/* EAGAIN: the store does not say. */
static int
judge(const struct engine *e, const struct uuid *migration,
      const struct uuid *source, const struct vm *vm, struct err *err)
{
    struct vm_order order;
    struct migration row;

    if (migrations_get(e->c.store, migration, &row, NULL)
        || vms_get(e->c.store, &vm->uuid, &order, NULL)
        || !uuid_equals(&order.migration, migration)) {
        return err_set(err, EAGAIN, "the store does not say on %s that \"%s\" "
                       "is to come", e->c.name, vm->name);
    }
    if (!uuid_equals(&row.vm, &vm->uuid)
        || !uuid_equals(&row.source, source)
        || !uuid_equals(&row.destination, &e->c.host)
        || !uuid_equals(&order.host, source)) {
        return err_set(err, EPERM, "the store says that \"%s\" does not come "
                       "from there to %s", vm->name, e->c.name);
    }
    if (!is_same_machine(&order.vm, vm)) {
        return err_set(err, EPERM, "the store says that \"%s\" is another "
                       "machine", vm->name);
    }
    return 0;
}

static void
remember(struct engine *e, struct asked *asked, const struct message *m,
         const struct uuid *migration)
{
    if (!asked) {
        if (ovs_list_size(&e->asked) >= MAX_ASKED) {
            forget(CONTAINER_OF(ovs_list_front(&e->asked), struct asked,
                                node));
        }
        asked = xzalloc(sizeof *asked);
        asked->migration = *migration;
        asked->source = m->from;
        asked->until = e->now_ms + PATIENCE_MS;
        ovs_list_push_back(&e->asked, &asked->node);
    }
    json_destroy(asked->body);
    asked->body = json_clone(m->body);
    asked->store_seqno = store_seqno(e->c.store);
    asked->taken = false;
}

int
admission_ask(struct engine *e, const struct message *m, const struct vm *vm,
              struct err *err)
{
    struct uuid migration = message_get_uuid(m->body, "migration");
    struct asked *asked = find(e, &migration, &m->from);
    int error = judge(e, &migration, &m->from, vm, err);

    if (error == EAGAIN && (!asked || e->now_ms < asked->until)) {
        remember(e, asked, m, &migration);
        return EINPROGRESS;
    }
    forget(asked);
    if (error) {
        channel_refuse(e->c.channel, &m->from,
                       "the beginning of a migration that the store does not "
                       "tell of");
    }
    return error ? EPERM : 0;
}

struct message *
admission_next(struct engine *e)
{
    unsigned int seqno = store_seqno(e->c.store);
    struct asked *asked;

    LIST_FOR_EACH (asked, node, &e->asked) {
        if (!asked->taken && (asked->store_seqno != seqno
                              || e->now_ms >= asked->until)) {
            struct message *m = message_create(MESSAGE_PREPARE, NULL);

            json_destroy(m->body);
            m->body = json_clone(asked->body);
            m->from = asked->source;
            asked->taken = true;
            return m;
        }
    }
    return NULL;
}

bool
admission_check_source(struct engine *e, const struct uuid *migration,
                       const struct uuid *source, const char *what)
{
    struct migration row;

    if (!migrations_get(e->c.store, migration, &row, NULL)
        && uuid_equals(&row.source, source)) {
        return true;
    }
    channel_refuse(e->c.channel, source, what);
    return false;
}

void
admission_forget(struct engine *e, const struct uuid *migration,
                 const struct uuid *source)
{
    forget(find(e, migration, source));
}

void
admission_wait(const struct engine *e)
{
    const struct asked *asked;

    LIST_FOR_EACH (asked, node, &e->asked) {
        poll_timer_wait_until(asked->until);
    }
}

void
admission_destroy(struct engine *e)
{
    while (!ovs_list_is_empty(&e->asked)) {
        forget(CONTAINER_OF(ovs_list_front(&e->asked), struct asked, node));
    }
}
