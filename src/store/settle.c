#include <config.h>

#include "store/settle.h"

#include <string.h>

#include "util.h"

#include "store/rows.h"
#include "store/session.h"

/* The instance of a VM that runs, as of this epoch; the newest if several say
 * so, and null if none does. */
static const struct dbrec_instance *
find_running(const struct store *store, const struct dbrec_vm *vm)
{
    struct ovsdb_idl_index *index = store->index[SESSION_INSTANCE_BY_VM];
    struct dbrec_instance *key = dbrec_instance_index_init_row(index);
    const struct dbrec_instance *row, *found = NULL;

    dbrec_instance_index_set_vm(key, vm);
    DBREC_INSTANCE_FOR_EACH_EQUAL (row, key, index) {
        if (row->host && row->epoch == store_epoch(store)
            && !strcmp(row->state, "running")
            && rows_instance_is_honest(row)
            && (!found || row->counter > found->counter)) {
            found = row;
        }
    }
    dbrec_instance_index_destroy_row(key);
    return found;
}

static void
settle(struct store *store, struct ovsdb_idl_txn *txn,
       const struct dbrec_vm *vm, const struct dbrec_instance *instance,
       long long wall_now)
{
    const struct dbrec_host *host = instance->host;

    dbrec_vm_verify_host(vm);
    dbrec_vm_verify_generation(vm);
    dbrec_vm_set_host(vm, host);
    dbrec_vm_set_writer(vm, session_writer(host));
    dbrec_vm_set_generation(vm, MAX(vm->generation, instance->counter));
    for (size_t i = 0; i < vm->n_interfaces; i++) {
        dbrec_interface_set_writer(vm->interfaces[i], session_writer(host));
    }
    session_add_event(store, txn, "vm", vm->name, wall_now, "found on %s after "
                      "the store was restored", host->name);
}

void
settle_vms(struct store *store, struct ovsdb_idl_txn *txn, long long wall_now)
{
    const struct dbrec_vm *vm;

    DBREC_VM_FOR_EACH (vm, store->idl) {
        const struct dbrec_instance *instance
            = vm->host ? NULL : find_running(store, vm);

        if (instance) {
            settle(store, txn, vm, instance, wall_now);
        }
    }
}
