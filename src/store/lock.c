#include <config.h>

#include "store/store.h"

#include "ovsdb-idl.h"
#include "util.h"

#include "store/dbrec.h"

struct store_lock {
    struct ovsdb_idl *idl;      /* Monitors nothing. */
};

struct store_lock *
store_lock_create(const char *remote, const char *name)
{
    struct store_lock *lock = xmalloc(sizeof *lock);

    lock->idl = ovsdb_idl_create(remote, &dbrec_idl_class, false, true);
    ovsdb_idl_set_lock(lock->idl, name);
    return lock;
}

void
store_lock_destroy(struct store_lock *lock)
{
    if (lock) {
        ovsdb_idl_destroy(lock->idl);
        free(lock);
    }
}

void
store_lock_run(struct store_lock *lock)
{
    ovsdb_idl_run(lock->idl);
    if (!ovsdb_idl_is_connected(lock->idl)) {
        /* It reads nothing, so any history is good enough. */
        ovsdb_idl_reset_min_index(lock->idl);
    }
}

void
store_lock_wait(struct store_lock *lock)
{
    ovsdb_idl_wait(lock->idl);
}

bool
store_lock_is_held(const struct store_lock *lock)
{
    return ovsdb_idl_has_lock(lock->idl);
}
