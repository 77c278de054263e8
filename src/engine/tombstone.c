#include <config.h>

#include "engine/tombstone.h"

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guest.h"
#include "mobility/datapath.h"
#include "peer/channel.h"

struct tombstone {
    struct ovs_list node;
    struct uuid interface, host;
    struct addr_pair mobile;
    bool returned;              /* The interface is here again. */
    long long until;            /* Monotonic ms. */
};

static struct tombstone *
find(const struct engine *e, const struct uuid *interface)
{
    struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->interface, interface)) {
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
        if (uuid_equals(&t->interface, interface)
            && !addr_pair_equals(&t->mobile, &here->mobile)
            && here->n_late < DATAPATH_MAX_LATE) {
            here->late[here->n_late++] = t->mobile;
        }
    }
}

static void
add(struct engine *e, const struct uuid *interface,
    const struct addr_pair *mobile, const struct uuid *host)
{
    struct datapath_here here = {
        .port = OFPP_NONE,
        .mobile = *mobile,
        .delivery = DATAPATH_HOLD,
    };
    struct tombstone *t;

    /* Older ones of this interface follow it to its new place. */
    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->interface, interface)) {
            t->host = *host;
            t->returned = false;
        }
    }
    tombstone_fill(e, interface, &here);
    datapath_set_here(e->c.datapath, interface, &here);

    t = xzalloc(sizeof *t);
    t->interface = *interface;
    t->host = *host;
    t->mobile = *mobile;
    t->until = e->now_ms + TOMBSTONE_MS;
    ovs_list_push_front(&e->tombstones, &t->node);
}

void
tombstone_add(struct engine *e, const struct guest *guest,
              const struct uuid *host)
{
    guest_set_shortcuts(e, guest, false);
    for (size_t i = 0; i < guest->vm.n_nics; i++) {
        const struct uuid *uuid = &guest->vm.nics[i].interface.uuid;

        if (datapath_find_interface(e->c.datapath, uuid)) {
            add(e, uuid, &guest->nics[i].mobile, host);
        }
    }
    engine_sync(e);
}

void
tombstone_return(struct engine *e, const struct uuid *interface)
{
    struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        if (uuid_equals(&t->interface, interface)) {
            t->returned = true;
        }
    }
}

bool
tombstone_held(struct engine *e, const struct uuid *interface,
               const struct dp_packet *packet)
{
    const struct tombstone *t = find(e, interface);

    if (!t || t->returned) {
        return false;
    }
    channel_send_frame(e->c.channel, &t->host, RELAY_LATE, interface, 0,
                       dp_packet_data(packet), dp_packet_size(packet));
    return true;
}

void
tombstone_late(struct engine *e, const struct relayed *r)
{
    struct dp_packet packet;
    size_t nic;
    struct guest *g = guest_find_interface(e, &r->migration, &nic);

    dp_packet_use_const(&packet, r->data, r->len);
    if (g) {
        guest_inject(e, g, nic, &packet);
    } else {
        tombstone_held(e, &r->migration, &packet);  /* It went on. */
    }
}

/* The address of 't' leaves its quarantine. */
static void
expire(struct engine *e, struct tombstone *t)
{
    const struct datapath_here *old = datapath_get_here(e->c.datapath,
                                                        &t->interface);

    ovs_list_remove(&t->node);
    if (old && !t->returned && !find(e, &t->interface)) {
        datapath_set_here(e->c.datapath, &t->interface, NULL);
    } else if (old) {
        struct datapath_here here = *old;

        tombstone_fill(e, &t->interface, &here);
        datapath_set_here(e->c.datapath, &t->interface, &here);
    }
    engine_sync(e);
    free(t);
}

void
tombstone_run(struct engine *e)
{
    struct tombstone *t;

    LIST_FOR_EACH_SAFE (t, node, &e->tombstones) {
        if (e->now_ms >= t->until) {
            expire(e, t);
        }
    }
}

void
tombstone_wait(struct engine *e)
{
    const struct tombstone *t;

    LIST_FOR_EACH (t, node, &e->tombstones) {
        poll_timer_wait_until(t->until);
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
