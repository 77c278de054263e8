#include <config.h>

#include "engine/incoming-private.h"

#include "uuid.h"

#include "engine/journal.h"
#include "hypervisor/hypervisor.h"
#include "store/store.h"

/* After a crash of ours, from the journal and from what QEMU says. */

static void
resume_one(struct engine *e, const struct journal_entry *entry,
           const struct hypervisor_info *info)
{
    struct incoming *in = incoming_add(e, &entry->migration, &entry->source,
                                       &entry->generation, &entry->vm);

    for (size_t i = 0; i < entry->vm.n_nics; i++) {
        in->guest->nics[i].mobile = entry->mobile[i];
        store_watch_network(e->c.store,
                            &entry->vm.nics[i].interface.network);
    }
    in->guest->bound = true;
    incoming_recall_frames(in);
    in->guest->told = VM_LISTENING;
    if (info && info->granted) {
        in->guest->told = VM_RUNNING;
        in->state = INCOMING_RESUMED;
    } else {
        incoming_abort(e, in, false);
    }
}

void
incoming_resume(struct engine *e)
{
    struct ovs_list entries = OVS_LIST_INITIALIZER(&entries);
    struct journal_entry *entry;
    struct hypervisor_info *infos;
    size_t n = hypervisor_list(e->c.hypervisor, &infos);

    journal_load(e->c.journal_dir, &entries);
    LIST_FOR_EACH_POP (entry, node, &entries) {
        const struct hypervisor_info *info = NULL;

        for (size_t i = 0; i < n; i++) {
            if (uuid_equals(&infos[i].vm, &entry->vm.uuid)) {
                info = &infos[i];
            }
        }
        if (uuid_equals(&entry->destination, &e->c.host)) {
            resume_one(e, entry, info);
        }
        free(entry);
    }
    free(infos);
}
