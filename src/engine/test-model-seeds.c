#include <config.h>

/* What the linker puts between the engine and its parts (--wrap): a journal
 * in memory, so that a process has its own, and the seeded bugs. */

#include "engine/test-model.h"

#include <errno.h>
#include <string.h>

#include "util.h"
#include "uuid.h"

#include "engine/incoming-private.h"
#include "engine/journal.h"
#include "engine/move.h"
#include "engine/outgoing-private.h"
#include "engine/outgoing.h"
#include "engine/test-world.h"
#include "hypervisor/hypervisor.h"

/* The journal: there is one migration. */

static struct {
    bool there;
    struct journal_entry entry;
    struct journal_tombstone *tombstones;
    size_t n_tombstones;
} journals[N_HOSTS];

int __wrap_journal_init(const char *, struct err *);
int __wrap_journal_save(const char *, const struct journal_entry *,
                        struct err *);
void __wrap_journal_remove(const char *, const struct uuid *);
size_t __wrap_journal_load(const char *, struct ovs_list *);
int __wrap_journal_save_tombstones(const char *,
                                   const struct journal_tombstone *, size_t,
                                   struct err *);
int __wrap_journal_load_tombstones(const char *, struct journal_tombstone **,
                                   size_t *, struct err *);
int __real_hypervisor_proceed(struct hypervisor *, const struct uuid *,
                              struct err *);
int __wrap_hypervisor_proceed(struct hypervisor *, const struct uuid *,
                              struct err *);
size_t __real_hypervisor_list(const struct hypervisor *,
                              struct hypervisor_info **);
size_t __wrap_hypervisor_list(const struct hypervisor *,
                              struct hypervisor_info **);
void __real_incoming_run(struct engine *);
void __wrap_incoming_run(struct engine *);
void __real_outgoing_run_stuck(struct outgoing *);
void __wrap_outgoing_run_stuck(struct outgoing *);

static int
find_host(const char *dir)
{
    for (int i = 0; i < N_HOSTS; i++) {
        if (!strcmp(world.hosts[i].journal, dir)) {
            return i;
        }
    }
    OVS_NOT_REACHED();
}

int
__wrap_journal_init(const char *dir OVS_UNUSED, struct err *err OVS_UNUSED)
{
    return 0;
}

int
__wrap_journal_save(const char *dir, const struct journal_entry *entry,
                    struct err *err OVS_UNUSED)
{
    int host = find_host(dir);

    if (model.seed == SEED_LATE_MARK && host == HOST_S
        && outgoing_steps[entry->mark.at].run == move_run) {
        return 0;
    }
    world_effect(&world.hosts[host], "save");
    journals[host].there = true;
    journals[host].entry = *entry;
    return 0;
}

void
__wrap_journal_remove(const char *dir,
                      const struct uuid *migration OVS_UNUSED)
{
    int host = find_host(dir);

    if (journals[host].there) {
        world_effect(&world.hosts[host], "forget");
        journals[host].there = false;
    }
}

size_t
__wrap_journal_load(const char *dir, struct ovs_list *entries)
{
    int host = find_host(dir);

    if (journals[host].there) {
        struct journal_entry *entry = xmemdup(&journals[host].entry,
                                              sizeof *entry);

        if (model.seed == SEED_FORGETS_MARK) {
            entry->mark = (struct step_mark) { STEP_FORWARD, 0 };
        }
        ovs_list_push_back(entries, &entry->node);
    }
    return 0;
}

int
__wrap_journal_save_tombstones(const char *dir,
                               const struct journal_tombstone *list, size_t n,
                               struct err *err OVS_UNUSED)
{
    int host = find_host(dir);

    free(journals[host].tombstones);
    journals[host].tombstones = n ? xmemdup(list, n * sizeof *list) : NULL;
    journals[host].n_tombstones = n;
    return 0;
}

int
__wrap_journal_load_tombstones(const char *dir,
                               struct journal_tombstone **list, size_t *n,
                               struct err *err OVS_UNUSED)
{
    int host = find_host(dir);

    *n = journals[host].n_tombstones;
    *list = *n ? xmemdup(journals[host].tombstones, *n * sizeof **list) : NULL;
    return 0;
}

/* Seeds. */

int
__wrap_hypervisor_proceed(struct hypervisor *hv, const struct uuid *vm,
                          struct err *err)
{
    int error = __real_hypervisor_proceed(hv, vm, err);

    return (model.seed == SEED_EARLY_GRANT && error == EINPROGRESS ? 0
            : error);
}

size_t
__wrap_hypervisor_list(const struct hypervisor *hv,
                       struct hypervisor_info **infos)
{
    size_t n = __real_hypervisor_list(hv, infos);

    if (model.seed == SEED_ABORTS_GRANTED) {
        (*infos)->granted = false;
    }
    return n;
}

void
__wrap_incoming_run(struct engine *e)
{
    struct incoming *in;

    HMAP_FOR_EACH (in, node, &e->incoming) {
        if (model.seed == SEED_NO_GRANT && in->state == INCOMING_LISTENING
            && world.hosts[HOST_D].qemu.loaded) {
            in->state = INCOMING_LOADING;
        }
    }
    __real_incoming_run(e);
}

void
__wrap_outgoing_run_stuck(struct outgoing *o)
{
    if (model.seed == SEED_TAKES_BACK) {
        err_set(&o->refused, ETIMEDOUT, "it says nothing");
    }
    __real_outgoing_run_stuck(o);
}
