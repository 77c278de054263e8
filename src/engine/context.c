#include <config.h>

#include "engine/engine-private.h"

#include <stdarg.h>
#include <stdio.h>

#include "hypervisor/hypervisor.h"
#include "mobility/datapath.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/hosts.h"
#include "store/networks.h"
#include "util.h"
#include "uuid.h"

#define MAX_NOTES 1000          /* That nobody has drained. */

uint64_t
engine_sync(struct engine *e)
{
    return of_switch_sync(e->c.of_switch);
}

bool
engine_is_acked(const struct engine *e, uint64_t ticket)
{
    return of_switch_is_acked(e->c.of_switch, ticket);
}

int
engine_set_interface(struct engine *e, const struct interface *interface,
                     struct err *err)
{
    struct network network;
    int error = networks_get(e->c.store, &interface->network, &network, err);

    if (!error) {
        datapath_set_network(e->c.datapath, &network);
        datapath_set_interface(e->c.datapath, interface);
    }
    return error;
}

bool
engine_find_info(const struct engine *e, const struct uuid *vm,
                 struct hypervisor_info *info)
{
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(e->c.hypervisor, &infos);
    bool found = false;

    for (size_t i = 0; i < n && !found; i++) {
        found = uuid_equals(&infos[i].vm, vm);
        if (found) {
            *info = infos[i];
        }
    }
    free(infos);
    return found;
}

void
engine_connect(struct engine *e, const struct uuid *uuid)
{
    struct host host;

    if (!hosts_get(e->c.store, uuid, &host, NULL) && host.channel[0]) {
        channel_set_target(e->c.channel, uuid, host.channel);
    }
    channel_connect(e->c.channel, uuid);
}

void
engine_note(struct engine *e, const char *kind, const char *object, bool bad,
            const char *format, ...)
{
    if (ovs_list_size(&e->notes) >= MAX_NOTES) {
        return;
    }
    struct engine_note *note = xzalloc(sizeof *note);
    va_list args;

    ovs_strlcpy(note->kind, kind, sizeof note->kind);
    ovs_strlcpy(note->object, object, sizeof note->object);
    note->bad = bad;
    va_start(args, format);
    vsnprintf(note->text, sizeof note->text, format, args);
    va_end(args);
    ovs_list_push_back(&e->notes, &note->node);
}
