#include <config.h>

#include "engine/tombstone.h"

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/guests.h"
#include "mobility/datapath.h"
#include "peer/channel.h"

struct tombstone {
    struct ovs_list node;
    struct uuid interface, host;
    struct addr_pair mobile;
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
tombstone_add(struct engine *e, const struct guest *guest,
              const struct uuid *host)
{
    for (size_t i = 0; i < guest->vm.n_nics; i++) {
        const struct uuid *uuid = &guest->vm.nics[i].interface.uuid;
        struct datapath_here here = {
            .port = OFPP_NONE,
            .mobile = guest->nics[i].mobile,
            .delivery = DATAPATH_HOLD,
        };

        tombstone_remove(e, uuid);
        if (!datapath_find_interface(e->c.datapath, uuid)) {
            continue;           /* It never got so far. */
        }

        struct tombstone *t = xzalloc(sizeof *t);
        t->interface = *uuid;
        t->host = *host;
        t->mobile = here.mobile;
        t->until = e->now_ms + TOMBSTONE_MS;
        ovs_list_push_back(&e->tombstones, &t->node);
        datapath_set_here(e->c.datapath, uuid, &here);
    }
    engine_sync(e);
}

void
tombstone_remove(struct engine *e, const struct uuid *interface)
{
    struct tombstone *t = find(e, interface);

    if (t) {
        ovs_list_remove(&t->node);
        free(t);
    }
}

bool
tombstone_held(struct engine *e, const struct uuid *interface,
               const struct dp_packet *packet)
{
    const struct tombstone *t = find(e, interface);

    if (t) {
        channel_send_frame(e->c.channel, &t->host, RELAY_LATE, interface, 0,
                           dp_packet_data(packet), dp_packet_size(packet));
    }
    return t != NULL;
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

void
tombstone_run(struct engine *e)
{
    struct tombstone *t;

    LIST_FOR_EACH_SAFE (t, node, &e->tombstones) {
        if (e->now_ms >= t->until) {
            datapath_set_here(e->c.datapath, &t->interface, NULL);
            engine_sync(e);
            ovs_list_remove(&t->node);
            free(t);
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
