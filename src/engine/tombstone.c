#include <config.h>

#include "engine/tombstone.h"

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/admission.h"
#include "engine/engine-private.h"
#include "engine/guest.h"
#include "engine/journal.h"
#include "mobility/datapath.h"
#include "peer/channel.h"
#include "store/networks.h"
#include "store/store.h"

struct tombstone {
    struct ovs_list node;       /* In 'engine->tombstones', newest first. */
    struct journal_tombstone t;
};

static struct tombstone *
find(const struct engine *e, const struct uuid *interface)
{
    struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->t.interface, interface)) {
            return t;
        }
    }
    return NULL;
}

void
tombstone_fill(const struct engine *e, const struct uuid *interface,
               struct datapath_here *here)
{
    const struct tombstone *t;

    here->n_late = 0;
    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->t.interface, interface)
            && !addr_pair_equals(&t->t.mobile, &here->mobile)
            && here->n_late < DATAPATH_MAX_LATE) {
            here->late[here->n_late++] = t->t.mobile;
        }
    }
}

static void
save(struct engine *e)
{
    size_t max = ovs_list_size(&e->tombstones), n = 0;
    struct journal_tombstone *list = xcalloc(max + 1, sizeof *list);
    const struct tombstone *t;
    struct err err;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        list[n++] = t->t;
    }
    if (journal_save_tombstones(e->c.journal_dir, list, n, &err)) {
        engine_note(e, "host", e->c.name, true, "%s", err.text);
    }
    free(list);
}

/* The newest tombstone of an interface becomes flows. */
static void
present(struct engine *e, const struct tombstone *t)
{
    struct datapath_here here = {
        .port = OFPP_NONE,
        .mobile = t->t.mobile,
        .delivery = DATAPATH_HOLD,
    };

    tombstone_fill(e, &t->t.interface, &here);
    datapath_set_here(e->c.datapath, &t->t.interface, &here);
}

static void
add(struct engine *e, const struct interface *interface,
    const struct addr_pair *mobile, const struct uuid *host)
{
    struct tombstone *t, *new;

    LIST_FOR_EACH_SAFE (t, node, &e->tombstones) {
        if (!uuid_equals(&t->t.interface, &interface->uuid)) {
            continue;
        }
        /* Older ones of this interface follow it to its new place. */
        t->t.host = *host;
        t->t.returned = false;
        if (addr_pair_equals(&t->t.mobile, mobile)) {
            ovs_list_remove(&t->node);  /* A step that is done again. */
            free(t);
        }
    }

    new = xzalloc(sizeof *new);
    new->t = (struct journal_tombstone) {
        .interface = interface->uuid,
        .network = interface->network,
        .host = *host,
        .mobile = *mobile,
        .until = e->now_ms + TOMBSTONE_MS,
    };
    ovs_list_push_front(&e->tombstones, &new->node);
    present(e, new);
}

void
tombstone_add(struct engine *e, const struct guest *guest,
              const struct uuid *host)
{
    guest_set_shortcuts(e, guest, false);
    for (size_t i = 0; i < guest->vm.n_nics; i++) {
        const struct interface *interface = &guest->vm.nics[i].interface;

        if (datapath_find_interface(e->c.datapath, &interface->uuid)
            && !addr_pair_is_none(&guest->nics[i].mobile)) {
            add(e, interface, &guest->nics[i].mobile, host);
        }
    }
    save(e);
    engine_sync(e);
}

void
tombstone_return(struct engine *e, const struct uuid *interface)
{
    struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->t.interface, interface) && !t->t.returned) {
            t->t.returned = true;
            save(e);
        }
    }
}

bool
tombstone_held(struct engine *e, const struct uuid *interface,
               const struct dp_packet *packet)
{
    const struct tombstone *t = find(e, interface);

    if (!t || t->t.returned) {
        return false;
    }
    const struct relay relay = { .kind = RELAY_LATE, .about = *interface };

    channel_send_frame(e->c.channel, &t->t.host, &relay,
                       dp_packet_data(packet), dp_packet_size(packet));
    return true;
}

void
tombstone_late(struct engine *e, const struct relayed *r)
{
    struct dp_packet packet;
    size_t nic;
    struct guest *g = guest_find_interface(e, &r->relay.about, &nic);

    if (!admission_check(e, &r->relay.about, &r->from,
                         "late frames for a VM that it does not have")) {
        return;
    }
    dp_packet_use_const(&packet, r->data, r->len);
    if (g) {
        guest_inject(e, g, nic, &packet);
    } else {
        tombstone_held(e, &r->relay.about, &packet);  /* It went on. */
    }
}

/* The address of 't' leaves its quarantine. */
static void
expire(struct engine *e, struct tombstone *t)
{
    const struct datapath_here *old = datapath_get_here(e->c.datapath,
                                                        &t->t.interface);

    ovs_list_remove(&t->node);
    if (old && !t->t.returned && !find(e, &t->t.interface)) {
        datapath_set_here(e->c.datapath, &t->t.interface, NULL);
    } else if (old) {
        struct datapath_here here = *old;

        tombstone_fill(e, &t->t.interface, &here);
        datapath_set_here(e->c.datapath, &t->t.interface, &here);
    }
    engine_sync(e);
    free(t);
}

void
tombstone_load(struct engine *e)
{
    struct journal_tombstone *list;
    struct err err;
    size_t n;

    if (journal_load_tombstones(e->c.journal_dir, &list, &n, &err)) {
        engine_note(e, "host", e->c.name, true, "%s", err.text);
    }
    for (size_t i = 0; i < n; i++) {
        if (e->now_ms < list[i].until) {
            struct tombstone *t = xzalloc(sizeof *t);

            t->t = list[i];
            /* Whatever the file says, addresses rest no longer than that. */
            t->t.until = MIN(t->t.until, e->now_ms + TOMBSTONE_MS);
            ovs_list_push_back(&e->tombstones, &t->node);
            store_watch_network(e->c.store, &t->t.network);
        }
    }
    free(list);
}

void
tombstone_resume(struct engine *e)
{
    struct tombstone *t;
    size_t nic;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        const struct uuid *uuid = &t->t.interface;
        const struct guest *g = guest_find_interface(e, uuid, &nic);
        struct interface interface;

        if (g && g->role != GUEST_LEAVING) {
            t->t.returned = true;
        } else if (find(e, uuid) == t && !t->t.returned
                   && !interfaces_get(e->c.store, uuid, &interface, NULL)
                   && !engine_set_interface(e, &interface, NULL)) {
            engine_connect(e, &t->t.host);
            present(e, t);
        }
    }
    engine_sync(e);
}

void
tombstone_run(struct engine *e)
{
    struct tombstone *t;
    bool changed = false;

    LIST_FOR_EACH_SAFE (t, node, &e->tombstones) {
        if (e->now_ms >= t->t.until) {
            expire(e, t);
            changed = true;
        }
    }
    if (changed) {
        save(e);
    }
}

void
tombstone_wait(struct engine *e)
{
    const struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        poll_timer_wait_until(t->t.until);
    }
}

void
tombstone_destroy(struct engine *e)
{
    struct tombstone *t;

    LIST_FOR_EACH_POP (t, node, &e->tombstones) {
        free(t);
    }
}
