#ifndef STORE_SETTLE_H
#define STORE_SETTLE_H 1

/* After the store was restored from a backup: no VM has a host, and hosts say
 * by Instances what they run (docs/schema.md, "Restoring one").  Believes
 * them: such a VM is to be on the host of its newest Instance.  For the active
 * manager; cheap if there is nothing to do. */

struct ovsdb_idl_txn;
struct store;

void settle_vms(struct store *, struct ovsdb_idl_txn *, long long wall_now);

#endif /* store/settle.h */
