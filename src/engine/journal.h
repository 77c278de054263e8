#ifndef ENGINE_JOURNAL_H
#define ENGINE_JOURNAL_H 1

/* The journal: what an agent must know of its migrations after a crash of its
 * own, and of what they left behind.  A file each for migrations, one for all
 * tombstones, each replaced in one piece.  It lives under /run and need not
 * outlive the host, since a guest does not either. */

#include <stdbool.h>
#include <stddef.h>

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

/* What is left of an interface that has moved away; see tombstone.h. */
struct journal_tombstone {
    struct uuid interface, network;
    struct uuid host;           /* Where it is now. */
    struct addr_pair mobile;    /* Where late packets come to. */
    bool returned;              /* The interface is here again. */
    long long until;            /* Monotonic ms: the host's own clock, that
                                 * goes on while an agent does not. */
};

/* More than so many are not saved: the first ones are. */
#define JOURNAL_MAX_TOMBSTONES 2048

/* Replaces what was saved before, if by nothing. */
int journal_save_tombstones(const char *dir, const struct journal_tombstone *,
                            size_t n, struct err *);

/* Stores an array that the caller frees, and how many there are.  EBADMSG if
 * the file is damaged: what can be read of it is returned all the same. */
int journal_load_tombstones(const char *dir, struct journal_tombstone **,
                            size_t *n, struct err *);

#endif /* engine/journal.h */
