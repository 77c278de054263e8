#ifndef STORE_VMS_H
#define STORE_VMS_H 1

/* VMs (what somebody wants) and their instances (what a host has). */

#include "core/vm.h"
#include "store/write.h"

/* What the store wants of a VM. */
struct vm_order {
    struct vm vm;
    struct uuid host;           /* Where it is to be; zero: nowhere. */
    bool power;                 /* Is it to run? */
    uint64_t counter;           /* Of the newest generation reserved. */
    struct uuid migration;      /* That moves it now; zero: none. */
};

/* ENOENT if the replica has no such VM, EAGAIN if rows that it needs have
 * not arrived yet (its networks are watched already: ask again), EINVAL if
 * the row is bad. */
int vms_get(const struct store *, const struct uuid *, struct vm_order *,
            struct err *);

/* UUIDs of the VMs whose host is this one; the caller frees '*uuids'. */
size_t vms_list_here(const struct store *, struct uuid **uuids);

/* Reserves generations for 'migration', by compare-and-set: refused unless the
 * VM has no migration and its counter is 'counter'.  It takes two of them:
 * counter + 1 for the destination, and counter + 2 with which a rollback
 * takes back what was said about the first. */
#define VM_MOVE_GENERATIONS 2
write_ticket vms_reserve(struct store *, const struct uuid *vm,
                         const struct uuid *migration, uint64_t counter);

/* As vms_reserve(), without a migration, for a start: takes counter + 1. */
write_ticket vms_advance(struct store *, const struct uuid *vm,
                         uint64_t counter);

/* Ends 'migration' of the VM; the counter stays.  Done also if it does not
 * have that migration any more. */
write_ticket vms_unreserve(struct store *, const struct uuid *vm,
                           const struct uuid *migration);

/* As vms_unreserve(), and the VM is to be on 'host' from now on.  Refused if
 * another migration has the VM. */
write_ticket vms_moved(struct store *, const struct uuid *vm,
                       const struct uuid *migration, const struct uuid *host);

struct instance {
    struct uuid vm;
    struct generation generation;
    enum vm_state state;        /* VM_ABSENT and VM_SENT: "stopped". */
    char reason[256];           /* Of VM_FAILED, for a person. */
    long long since;            /* Wall clock, in ms. */
};

/* Instances of this host; '->generation.host' must be its own.  One that is so
 * already keeps its time. */
write_ticket instances_put(struct store *, const struct instance *);
write_ticket instances_delete(struct store *, const struct uuid *vm,
                              const struct generation *);

#endif /* store/vms.h */
