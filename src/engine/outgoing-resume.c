#include <config.h>

#include "engine/outgoing-private.h"

#include <errno.h>

#include "util.h"
#include "uuid.h"

#include "engine/engine-private.h"
#include "engine/journal.h"
#include "engine/move.h"
#include "engine/outgoing.h"
#include "store/migrations.h"

/* After a crash of ours, from the journal and from what QEMU says. */

/* Where does a migration go on that was in step 'move' when its agent died?
 * QEMU knows: it has sent everything, and then the grant may have gone, too,
 * or it has not, and then no grant has.  If it has ended, only the destination
 * knows: see move_say_grant(). */
static void
resume_move(struct outgoing *o, const struct hypervisor_info *info)
{
    /* "Completed" alone is no word of this migration: QEMU goes on saying it
     * of the one that has brought the guest here, or of one that was taken
     * back. */
    if (info->state == VM_SENT || info->state == VM_FAILED
        || info->migration == MIGRATION_DEVICE) {
        o->armed = o->opened = o->flipped = o->paused = true;
        o->proceeded = true;    /* It is too late to cancel. */
        o->said_grant = UINT_MAX;       /* Perhaps; not on this connection. */
        o->stopped_us = o->engine->now.wall_us;
        o->lost = o->granted = info->state == VM_FAILED;
    } else {
        struct err err;

        o->flipped = true;      /* Perhaps; taking it back does no harm. */
        err_set(&err, ESHUTDOWN, "the agent was restarted during the copy");
        o->run.cause = err;
        o->run.mark.mode = STEP_BACK;
    }
}

static void
resume_one(struct engine *e, const struct journal_entry *entry)
{
    /* Of one that is over only the store may not have heard; whatever guest
     * is here now is none of its business. */
    bool over = entry->mark.mode > STEP_BACK;
    struct guest *g = over ? NULL : guest_find(e, &entry->vm.uuid);
    struct hypervisor_info info;
    bool found = !over && engine_find_info(e, &entry->vm.uuid, &info);
    struct outgoing *o = outgoing_add(e, &entry->migration, &entry->vm,
                                      &entry->destination);

    if (!g && found) {
        /* The store has it elsewhere already, but it has not left. */
        g = guest_adopt(e, &entry->vm, GUEST_LEAVING);
    }
    o->run.mark = entry->mark;
    o->generation = entry->generation;
    o->guest = g;
    o->phase = outgoing_n_steps;
    o->phase_failed = true;
    if (entry->cause[0]) {
        err_set(&o->run.cause, ECANCELED, "%s", entry->cause);
    }
    migrations_get(e->c.store, &o->migration, &o->row, NULL);
    ovs_strlcpy(o->destination_name, o->row.destination_name,
                sizeof o->destination_name);
    engine_connect(e, &o->destination);
    if (g) {
        g->role = GUEST_LEAVING;
    }
    if (o->run.mark.mode != STEP_FORWARD) {
        return;
    }
    if (outgoing_steps[o->run.mark.at].run != move_run) {
        if (!step_is_committed(&o->run)) {
            o->run.mark.mode = STEP_BACK;
            err_set(&o->run.cause, ESHUTDOWN,
                    "the agent was restarted before the copy");
        }
        o->running = step_is_committed(&o->run);
        return;
    }

    if (found) {
        resume_move(o, &info);
    }
}

void
outgoing_resume(struct engine *e)
{
    struct ovs_list entries = OVS_LIST_INITIALIZER(&entries);
    struct journal_entry *entry;

    journal_load(e->c.journal_dir, &entries);
    LIST_FOR_EACH_POP (entry, node, &entries) {
        if (uuid_equals(&entry->source, &e->c.host)) {
            resume_one(e, entry);
        }
        free(entry);
    }
}
