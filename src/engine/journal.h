#ifndef ENGINE_JOURNAL_H
#define ENGINE_JOURNAL_H 1

/* The journal: what an agent must know of its migrations after a crash of its
 * own.  A file each, replaced in one piece.  It lives under /run and need not
 * outlive the host, since a guest does not either. */

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/err.h"
#include "base/step.h"
#include "core/vm.h"

struct journal_entry {
    struct ovs_list node;       /* Of a list that journal_load() made. */
    struct uuid migration, source, destination;
    struct generation generation;
    struct vm vm;
    struct addr_pair mobile[VM_MAX_NICS];       /* At the destination. */
    struct step_mark mark;      /* Of the source. */
    char cause[400];            /* Why it goes back; "". */
};

/* Makes the folder, for this user only. */
int journal_init(const char *dir, struct err *);

int journal_save(const char *dir, const struct journal_entry *,
                 struct err *);
void journal_remove(const char *dir, const struct uuid *migration);

/* Appends an entry to 'entries' for each file; the caller frees them.  Files
 * that cannot be read as entries are left alone and counted. */
size_t journal_load(const char *dir, struct ovs_list *entries);

#endif /* engine/journal.h */
