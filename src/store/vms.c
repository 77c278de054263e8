#include <config.h>

#include "store/vms.h"

#include <errno.h>
#include <string.h>

#include "util.h"

#include "store/rows.h"
#include "store/session.h"

/* All that is done to a VM's row is one write with some parts. */
struct vm_write {
    struct uuid vm;
    struct uuid migration;
    struct uuid host;           /* For vms_moved(). */
    uint64_t counter;
};

int
vms_get(const struct store *store, const struct uuid *uuid,
        struct vm_order *order, struct err *err)
{
    const struct dbrec_vm *row = SESSION_ROW(store, vm, uuid);

    return (row ? rows_vm(row, order, err)
            : err_set(err, ENOENT, "no VM "UUID_FMT, UUID_ARGS(uuid)));
}

size_t
vms_list_here(const struct store *store, struct uuid **uuids)
{
    const struct dbrec_vm *row;
    size_t n = 0, allocated = 0;

    *uuids = NULL;
    DBREC_VM_FOR_EACH (row, store->idl) {
        if (row->host && uuid_equals(ROW_UUID(row->host), &store->host)) {
            if (n == allocated) {
                *uuids = x2nrealloc(*uuids, &allocated, sizeof **uuids);
            }
            (*uuids)[n++] = *ROW_UUID(row);
        }
    }
    return n;
}

static const struct dbrec_vm *
find_vm(const struct store *store, const struct vm_write *data,
        struct err *err)
{
    const struct dbrec_vm *row = SESSION_ROW(store, vm, &data->vm);

    if (!row) {
        err_set(err, ENOENT, "no VM "UUID_FMT, UUID_ARGS(&data->vm));
    }
    return row;
}

/* Lets 'host' have the interfaces of 'vm', besides those that may have them.
 * Those that it has left are forgotten later, by a manager. */
static void
admit(const struct dbrec_vm *vm, const struct dbrec_host *host)
{
    for (size_t i = 0; host && i < vm->n_interfaces; i++) {
        const struct dbrec_interface *row = vm->interfaces[i];

        /* No host at all means that any may have it. */
        if (row->n_hosts && !rows_interface_admits(row, ROW_UUID(host))) {
            dbrec_interface_update_hosts_addvalue(row, host);
        }
    }
}

/* From now on the agent of 'host' writes the rows of 'vm'. */
static void
hand_over(const struct dbrec_vm *vm, const struct dbrec_host *host)
{
    const char *writer = session_writer(host);

    if (!writer[0] || !vm->writer[0]) {
        return;                 /* Nobody checks. */
    }
    dbrec_vm_set_writer(vm, writer);
    for (size_t i = 0; i < vm->n_interfaces; i++) {
        dbrec_interface_set_writer(vm->interfaces[i], writer);
    }
}

static int
build_reserve(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
              const void *data_, struct err *err)
{
    const struct vm_write *data = data_;
    const struct dbrec_vm *row = find_vm(store, data, err);

    if (!row) {
        return ENOENT;
    }
    struct uuid current = rows_vm_migration(row);
    bool advance = uuid_is_zero(&data->migration);
    uint64_t next = data->counter + (advance ? 1 : VM_MOVE_GENERATIONS);
    if (!advance && uuid_equals(&current, &data->migration)
        && row->generation == next) {
        return 0;               /* Done before the connection broke. */
    }
    if (!uuid_is_zero(&current)) {
        return err_set(err, EBUSY, "VM \"%s\" is being migrated already",
                       row->name);
    }
    if (row->generation != data->counter) {
        return err_set(err, ESTALE, "VM \"%s\" has generation %"PRId64", "
                       "not %"PRIu64, row->name, row->generation,
                       data->counter);
    }

    const struct dbrec_migration *migration
        = SESSION_ROW(store, migration, &data->migration);
    if (!advance && !migration) {
        return err_set(err, ENOENT, "no migration "UUID_FMT,
                       UUID_ARGS(&data->migration));
    }
    dbrec_vm_verify_migration(row);
    dbrec_vm_verify_generation(row);
    if (migration) {
        dbrec_vm_set_migration(row, migration);
        admit(row, migration->destination);
    }
    dbrec_vm_set_generation(row, next);
    return 0;
}

static write_ticket
queue_reserve(struct store *store, const struct vm_write *data)
{
    static const struct write_class class = {
        .what = "reserving the next generation",
        .build = build_reserve,
    };

    return write_queue(store, &class, &data->vm, data, sizeof *data);
}

write_ticket
vms_reserve(struct store *store, const struct uuid *vm,
            const struct uuid *migration, uint64_t counter)
{
    struct vm_write data = {
        .vm = *vm, .migration = *migration, .counter = counter,
    };

    return queue_reserve(store, &data);
}

write_ticket
vms_advance(struct store *store, const struct uuid *vm, uint64_t counter)
{
    struct vm_write data = { .vm = *vm, .counter = counter };

    return queue_reserve(store, &data);
}

static int
build_unreserve(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
                const void *data_, struct err *err)
{
    const struct vm_write *data = data_;
    const struct dbrec_vm *row = SESSION_ROW(store, vm, &data->vm);
    bool moved = !uuid_is_zero(&data->host);

    /* A VM that was deleted, or one that has left, needs nothing. */
    if (!row) {
        return 0;
    }
    struct uuid current = rows_vm_migration(row);
    if (uuid_is_zero(&current)
        || !uuid_equals(&current, &data->migration)) {
        bool done = (!moved || (uuid_is_zero(&current)
                                && uuid_equals(ROW_UUID(row->host),
                                               &data->host)));
        return done ? 0 : err_set(err, EBUSY, "VM \"%s\" is not with this "
                                  "migration any more", row->name);
    }

    const struct dbrec_host *host = SESSION_ROW(store, host, &data->host);
    if (moved && !host) {
        return err_set(err, ENOENT, "VM \"%s\": its new host is not known",
                       row->name);
    }
    dbrec_vm_verify_migration(row);
    dbrec_vm_set_migration(row, NULL);
    if (moved) {
        dbrec_vm_set_host(row, host);
        hand_over(row, host);
    }
    return 0;
}

static write_ticket
queue_unreserve(struct store *store, const struct vm_write *data)
{
    static const struct write_class class = {
        .what = "ending a reservation",
        .build = build_unreserve,
    };

    return write_queue(store, &class, &data->vm, data, sizeof *data);
}

write_ticket
vms_unreserve(struct store *store, const struct uuid *vm,
              const struct uuid *migration)
{
    struct vm_write data = { .vm = *vm, .migration = *migration };

    return queue_unreserve(store, &data);
}

write_ticket
vms_moved(struct store *store, const struct uuid *vm,
          const struct uuid *migration, const struct uuid *host)
{
    struct vm_write data = {
        .vm = *vm, .migration = *migration, .host = *host,
    };

    return queue_unreserve(store, &data);
}

/* Instances. */

static const struct dbrec_instance *
find_instance(const struct store *store, const struct instance *instance)
{
    struct ovsdb_idl_index *index = store->index[SESSION_INSTANCE_BY_VM];
    struct dbrec_instance *key = dbrec_instance_index_init_row(index);
    const struct dbrec_vm vm = { .header_.uuid = instance->vm };
    const struct dbrec_instance *row, *found = NULL;

    dbrec_instance_index_set_vm(key, &vm);
    DBREC_INSTANCE_FOR_EACH_EQUAL (row, key, index) {
        if (row->epoch == instance->generation.epoch
            && row->counter == instance->generation.counter) {
            found = row;
            break;
        }
    }
    dbrec_instance_index_destroy_row(key);
    return found;
}

static int
build_put(struct store *store, struct ovsdb_idl_txn *txn, const void *data,
          struct err *err)
{
    const struct instance *instance = data;
    const struct dbrec_instance *row = find_instance(store, instance);
    const char *state = rows_instance_state_name(instance->state);
    int error = session_check_own(store, &instance->generation,
                                  row ? ROW_UUID(row->host) : NULL, err);

    if (error) {
        return error;
    }
    if (row && !strcmp(row->state, state)
        && !strcmp(row->reason, instance->reason)) {
        return 0;               /* It has been so since then. */
    }
    if (!row) {
        const struct dbrec_vm *vm = SESSION_ROW(store, vm, &instance->vm);

        if (!vm) {
            return err_set(err, EAGAIN, "no VM "UUID_FMT,
                           UUID_ARGS(&instance->vm));
        }
        row = dbrec_instance_insert(txn);
        dbrec_instance_set_vm(row, vm);
        dbrec_instance_set_epoch(row, instance->generation.epoch);
        dbrec_instance_set_counter(row, instance->generation.counter);
        dbrec_instance_set_host(row, session_own_host(store));
        dbrec_instance_set_writer(row,
                                  session_writer(session_own_host(store)));
    }
    dbrec_instance_set_state(row, state);
    dbrec_instance_set_reason(row, instance->reason);
    dbrec_instance_set_since(row, MAX(instance->since, 0));
    return 0;
}

write_ticket
instances_put(struct store *store, const struct instance *instance)
{
    static const struct write_class class = {
        .what = "writing a VM's state",
        .build = build_put,
    };

    return write_queue(store, &class, &instance->vm, instance,
                       sizeof *instance);
}

static int
build_delete(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
             const void *data, struct err *err)
{
    const struct instance *instance = data;
    const struct dbrec_instance *row = find_instance(store, instance);
    int error = session_check_own(store, &instance->generation,
                                  row ? ROW_UUID(row->host) : NULL, err);

    if (!error && row) {
        dbrec_instance_delete(row);
    }
    return error;
}

write_ticket
instances_delete(struct store *store, const struct uuid *vm,
                 const struct generation *generation)
{
    static const struct write_class class = {
        .what = "deleting a VM's state",
        .build = build_delete,
    };
    struct instance instance = { .vm = *vm, .generation = *generation };

    return write_queue(store, &class, vm, &instance, sizeof instance);
}
