#include <config.h>

#include "engine/guests.h"

#include <errno.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guest.h"
#include "hypervisor/hypervisor.h"
#include "openflow/bridge.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/store.h"
#include "store/vms.h"

/* How long a guest may take to switch itself off. */
#define SHUTDOWN_GRACE_MS 5000

/* When to try again what a guest that runs lacks. */
#define RETRY_MS 1000

/* Takes the next generation for a VM that starts. */
static int
advance(struct engine *e, struct guest *g, const struct vm_order *order)
{
    struct err err = ERR_INIT;

    if (g->generation.counter) {
        return 0;
    }
    if (!g->advance) {
        g->advance = vms_advance(e->c.store, &g->vm.uuid, order->counter);
        g->advance_counter = order->counter + 1;
        return EINPROGRESS;
    }
    switch (write_result(e->c.store, g->advance, &err)) {
    case WRITE_PENDING:
        return EINPROGRESS;
    case WRITE_DONE:
        g->generation = (struct generation) {
            .epoch = store_epoch(e->c.store),
            .counter = g->advance_counter,
            .host = e->c.host,
        };
        return 0;
    case WRITE_REFUSED:
    case WRITE_LOST:
        g->advance = 0;         /* With what the store says by then. */
        return EINPROGRESS;
    }
    OVS_NOT_REACHED();
}

/* It runs, and only we do not get its ports in order. */
static void
try_again_later(struct engine *e, struct guest *g, const struct err *err)
{
    if (!g->retry_at) {
        engine_note(e, "vm", g->vm.name, true,
                    "cannot connect \"%s\" on %s, trying again: %s",
                    g->vm.name, e->c.name, err->text);
    }
    g->retry_at = e->now_ms + RETRY_MS;
}

/* Is the store another one than that which gave 'g' its generation?  One that
 * was restored from a backup does not know where guests are (see
 * docs/schema.md), so what runs is right, and not the store. */
static bool
is_of_older_store(const struct engine *e, const struct guest *g,
                  const struct vm_order *order)
{
    bool nowhere = order && uuid_is_zero(&order->host);

    return (!g->stopping && !g->ended && g->told == VM_RUNNING
            && (nowhere || (g->generation.counter
                            && g->generation.epoch
                            < store_epoch(e->c.store))));
}

/* Tells a restored store that 'g' runs here, with a newer generation than any
 * that the backup could know. */
static void
renew(struct engine *e, struct guest *g, const struct vm_order *order)
{
    if (!order) {
        if (!g->lost) {
            g->lost = true;
            engine_note(e, "vm", g->vm.name, true, "\"%s\" runs on %s, but "
                        "the store, which was restored, does not know it: it "
                        "is left alone", g->vm.name, e->c.name);
        }
        return;
    }
    if (!g->present) {
        /* Found by a new agent, which does not know its addresses, either. */
        struct err err = ERR_INIT;
        int error = guest_present(e, g, DATAPATH_DIRECT, &err);

        if (error && error != EINPROGRESS) {
            try_again_later(e, g, &err);
        }
        if (error) {
            return;
        }
    }
    if (g->generation.epoch == store_epoch(e->c.store)) {
        return;                 /* A manager is to see it. */
    }
    g->generation = (struct generation) {
        .epoch = store_epoch(e->c.store),
        .counter = MAX(order->counter, g->generation.counter) + 1,
        .host = e->c.host,
    };
    for (size_t i = 0; i < g->vm.n_nics; i++) {
        claims_keep(e->c.store, &g->nics[i].mobile, e->now.wall_us / 1000);
    }
    guest_tell(e, g, VM_RUNNING, "");
    guest_bind(e, g, true);
    engine_note(e, "vm", g->vm.name, false, "\"%s\" runs on %s, the restored "
                "store is told", g->vm.name, e->c.name);
}

static void
fail(struct engine *e, struct guest *g, const struct err *err)
{
    g->ended = true;
    engine_note(e, "vm", g->vm.name, true, "cannot start \"%s\" on %s: %s",
                g->vm.name, e->c.name, err->text);
    if (g->generation.counter) {
        guest_tell(e, g, VM_FAILED, err->text);
    }
}

static void
start(struct engine *e, struct guest *g, const struct vm_order *order)
{
    struct err err = ERR_INIT;
    unsigned int seqno = bridge_seqno(e->c.bridge);

    if ((g->told == VM_RUNNING && g->present && g->bridge_seqno == seqno)
        || e->now_ms < g->retry_at) {
        return;
    }

    int error = advance(e, g, order);

    if (!error) {
        if (g->told == VM_ABSENT) {
            guest_tell(e, g, VM_STARTING, "");
        }
        error = guest_present(e, g, DATAPATH_DIRECT, &err);
        if (error && error != EINPROGRESS && g->told == VM_RUNNING) {
            try_again_later(e, g, &err);
            return;
        }
    }
    if (!error && !g->bound) {
        guest_bind(e, g, true);
    }
    if (!error) {
        error = hypervisor_boot(e->c.hypervisor, &g->vm, &err);
    }
    if (!error) {
        g->bridge_seqno = seqno;
        g->retry_at = 0;
    }
    if (!error && g->told != VM_RUNNING) {
        guest_tell(e, g, VM_RUNNING, "");
        engine_note(e, "vm", g->vm.name, false, "\"%s\" runs on %s",
                    g->vm.name, e->c.name);
    } else if (error && error != EINPROGRESS) {
        fail(e, g, &err);
    }
}

static void
stop(struct engine *e, struct guest *g)
{
    struct err err = ERR_INIT;
    int error = hypervisor_stop(e->c.hypervisor, &g->vm.uuid,
                                SHUTDOWN_GRACE_MS, &err);

    g->stopping = true;
    if (!error) {
        error = guest_dismantle(e, g, &err);
    }
    if (!error) {
        engine_note(e, "vm", g->vm.name, false, "\"%s\" is stopped",
                    g->vm.name);
        guest_remove(e, g, false);
    } else if (error != EINPROGRESS) {
        engine_note(e, "vm", g->vm.name, true, "cannot stop \"%s\" on %s: %s",
                    g->vm.name, e->c.name, err.text);
    }
}

/* Does the store say that it runs elsewhere, as of a newer generation? */
static bool
is_superseded(struct engine *e, const struct guest *g)
{
    struct binding b;

    return (g->vm.n_nics && g->generation.counter
            && bindings_find_newest(e->c.store,
                                    &g->vm.nics[0].interface.uuid, true, &b)
            && !uuid_equals(&b.generation.host, &e->c.host)
            && generation_compare(&b.generation, &g->generation) > 0);
}

static void
guest_run(struct engine *e, struct guest *g, const struct vm_order *order)
{
    if (g->role != GUEST_OWN) {
        return;                 /* A migration has it. */
    }
    if (is_of_older_store(e, g, order)) {
        renew(e, g, order);
    } else if (!order || !order->power || g->stopping || is_superseded(e, g)) {
        stop(e, g);
    } else if (!g->ended) {
        start(e, g, order);
    }
}

/* It listens, or did, and no journal knows it: nobody will ever grant. */
static void
end_unknown(struct engine *e, const struct hypervisor_info *info)
{
    struct vm_order order = { .vm = { .uuid = info->vm } };

    ovs_strlcpy(order.vm.name, info->name, sizeof order.vm.name);
    vms_get(e->c.store, &info->vm, &order, NULL);
    guest_add(e, &order.vm, GUEST_OWN)->stopping = true;
}

void
guests_adopt(struct engine *e)
{
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(e->c.hypervisor, &infos);

    for (size_t i = 0; i < n; i++) {
        struct vm_order order;

        bool ours = (!vms_get(e->c.store, &infos[i].vm, &order, NULL)
                     && (uuid_equals(&order.host, &e->c.host)
                         || (uuid_is_zero(&order.host)
                             && infos[i].state == VM_RUNNING)));
        if (!guest_find(e, &infos[i].vm)
            && (infos[i].state == VM_LISTENING
                || (infos[i].state == VM_FAILED && !ours))) {
            end_unknown(e, &infos[i]);
            continue;
        }
        if ((infos[i].state != VM_RUNNING && infos[i].state != VM_PAUSED
             && infos[i].state != VM_SENT)
            || guest_find(e, &infos[i].vm) || !ours) {
            continue;
        }
        struct guest *g = guest_adopt(e, &order.vm, GUEST_OWN);
        if (uuid_is_zero(&order.host)) {
            g->told = VM_RUNNING;       /* The store was restored. */
        } else if (g->bound && infos[i].state == VM_RUNNING) {
            /* An agent may have died between the words that the old instance
             * is gone and that there is a new one. */
            guest_tell(e, g, VM_RUNNING, "");
        }
        engine_note(e, "vm", g->vm.name, false, "found \"%s\" running on %s",
                    g->vm.name, e->c.name);
    }
    free(infos);
}

/* Does anything have to be done about the guests?  Not while packets of a
 * move wake the loop thousands of times a second. */
static bool
is_anything_to_do(const struct engine *e)
{
    const struct guest *g;

    if (e->store_seqno != store_seqno(e->c.store)) {
        return true;
    }
    HMAP_FOR_EACH (g, node, &e->guests) {
        bool runs = (g->told == VM_RUNNING && g->present && !g->stopping
                     && g->bridge_seqno == bridge_seqno(e->c.bridge));

        if (g->role == GUEST_OWN && !runs && (!g->ended || g->stopping)) {
            return true;
        }
    }
    return false;
}

void
guests_run(struct engine *e)
{
    if (!e->resumed || !store_is_ready(e->c.store)
        || !is_anything_to_do(e)) {
        return;
    }
    e->store_seqno = store_seqno(e->c.store);

    struct uuid *uuids;
    size_t n = vms_list_here(e->c.store, &uuids);
    for (size_t i = 0; i < n; i++) {
        struct vm_order order;

        if (!guest_find(e, &uuids[i])
            && !vms_get(e->c.store, &uuids[i], &order, NULL)
            && order.power && uuid_is_zero(&order.migration)) {
            guest_add(e, &order.vm, GUEST_OWN);
        }
    }
    free(uuids);

    struct guest *g;
    HMAP_FOR_EACH_SAFE (g, node, &e->guests) {
        struct vm_order order;
        int error = vms_get(e->c.store, &g->vm.uuid, &order, NULL);

        if (!error || error == ENOENT) {
            guest_run(e, g, error ? NULL : &order);
        }
    }
}

void
guests_wait(const struct engine *e)
{
    const struct guest *g;

    HMAP_FOR_EACH (g, node, &e->guests) {
        if (g->retry_at) {
            poll_timer_wait_until(g->retry_at);
        }
    }
}

void
guests_handle_event(struct engine *e, const struct hypervisor_event *event)
{
    struct guest *g = guest_find(e, &event->vm);

    if (!g || g->role != GUEST_OWN || g->stopping
        || event->kind != HYPERVISOR_EXITED) {
        return;
    }
    g->ended = true;
    engine_note(e, "vm", g->vm.name, true, "\"%s\" ended on %s: %s",
                g->vm.name, e->c.name, event->text);
    guest_tell(e, g, VM_FAILED, event->text);
}

bool
guests_check_lost(struct engine *e, struct guest *g, struct err *err)
{
    const char *why = "its QEMU is gone";
    struct hypervisor_info info;

    if (g->ended) {
        return false;           /* That is known already. */
    }
    if (engine_find_info(e, &g->vm.uuid, &info)) {
        if (info.state != VM_FAILED && info.state != VM_ABSENT) {
            return false;
        }
        why = info.error[0] ? info.error : why;
    }
    g->ended = true;
    guest_tell(e, g, VM_FAILED, why);
    err_set(err, ESRCH, "\"%s\" ended on %s: %s", g->vm.name, e->c.name, why);
    engine_note(e, "vm", g->vm.name, true, "%s", err->text);
    return true;
}

bool
guests_are_complete(const struct engine *e)
{
    const struct guest *g;

    if (!e->resumed) {
        return false;
    }
    HMAP_FOR_EACH (g, node, &e->guests) {
        if (g->bound && !g->ticket && !g->ended && g->told == VM_RUNNING) {
            return false;       /* Not in the datapath yet. */
        }
    }
    return true;
}

void
guests_format(const struct engine *e, struct ds *s)
{
    static const char *const roles[] = {
        [GUEST_OWN] = "own",
        [GUEST_INCOMING] = "incoming",
        [GUEST_LEAVING] = "leaving",
    };
    const struct guest *g;

    HMAP_FOR_EACH (g, node, &e->guests) {
        char buf[GENERATION_STRLEN];

        ds_put_format(s, "guest %s: %s, %s, generation %s%s%s%s%s\n",
                      g->vm.name, roles[g->role], vm_state_name(g->told),
                      generation_format(&g->generation, buf),
                      g->present ? ", present" : ", not present",
                      g->bound ? ", bound" : "", g->ended ? ", ended" : "",
                      g->stopping ? ", stopping" : "");
    }
}

void
guests_destroy(struct engine *e)
{
    struct guest *g;

    HMAP_FOR_EACH_SAFE (g, node, &e->guests) {
        guest_forget(e, g);
    }
}
