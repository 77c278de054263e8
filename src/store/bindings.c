#include <config.h>

#include "store/bindings.h"

#include <errno.h>
#include <string.h>

#include "util.h"

#include "store/rows.h"
#include "store/session.h"

struct dbrec_binding *
session_binding_key(const struct store *store, const struct uuid *interface)
{
    struct dbrec_binding *key = dbrec_binding_index_init_row(
        store->index[SESSION_BINDING_BY_INTERFACE]);
    const struct dbrec_interface row = { .header_.uuid = *interface };

    dbrec_binding_index_set_interface(key, &row);
    return key;
}

size_t
bindings_list(const struct store *store, const struct uuid *interface,
              struct binding *out, size_t max)
{
    struct ovsdb_idl_index *index
        = store->index[SESSION_BINDING_BY_INTERFACE];
    struct dbrec_binding *key = session_binding_key(store, interface);
    const struct dbrec_binding *row;
    size_t n = 0, n_out = 0;

    DBREC_BINDING_FOR_EACH_EQUAL (row, key, index) {
        struct binding binding;
        size_t i;

        if (rows_binding(row, &binding, NULL)) {
            continue;
        }
        n++;

        /* Insert it in order; the oldest falls off. */
        for (i = n_out; i > 0; i--) {
            if (generation_compare(&binding.generation,
                                   &out[i - 1].generation) < 0) {
                break;
            }
            if (i < max) {
                out[i] = out[i - 1];
            }
        }
        if (i < max) {
            out[i] = binding;
            n_out = MIN(n_out + 1, max);
        }
    }
    dbrec_binding_index_destroy_row(key);
    return n;
}

bool
bindings_find_newest(const struct store *store, const struct uuid *interface,
                     bool active, struct binding *out)
{
    struct ovsdb_idl_index *index
        = store->index[SESSION_BINDING_BY_INTERFACE];
    struct dbrec_binding *key = session_binding_key(store, interface);
    const struct dbrec_binding *row;
    bool found = false;

    DBREC_BINDING_FOR_EACH_EQUAL (row, key, index) {
        struct binding binding;

        if (!rows_binding(row, &binding, NULL)
            && (binding.active || !active)
            && (!found || generation_compare(&binding.generation,
                                             &out->generation) > 0)) {
            *out = binding;
            found = true;
        }
    }
    dbrec_binding_index_destroy_row(key);
    return found;
}

size_t
bindings_list_own(const struct store *store, struct binding **list)
{
    struct ovsdb_idl_index *index = store->index[SESSION_BINDING_BY_HOST];
    struct dbrec_binding *key = dbrec_binding_index_init_row(index);
    const struct dbrec_binding *row;
    size_t n = 0, allocated = 0;

    *list = NULL;
    dbrec_binding_index_set_host(key, session_own_host(store));
    DBREC_BINDING_FOR_EACH_EQUAL (row, key, index) {
        if (n == allocated) {
            *list = x2nrealloc(*list, &allocated, sizeof **list);
        }
        n += (!rows_binding(row, &(*list)[n], NULL) && (*list)[n].active);
    }
    dbrec_binding_index_destroy_row(key);
    return n;
}

/* The row of a binding, null if there is none. */
static const struct dbrec_binding *
find_row(const struct store *store, const struct uuid *interface,
         const struct generation *generation)
{
    struct dbrec_binding *key = session_binding_key(store, interface);
    const struct dbrec_binding *row, *found = NULL;

    DBREC_BINDING_FOR_EACH_EQUAL (
        row, key, store->index[SESSION_BINDING_BY_INTERFACE]) {
        if (row->epoch == generation->epoch
            && row->counter == generation->counter) {
            found = row;
            break;
        }
    }
    dbrec_binding_index_destroy_row(key);
    return found;
}

static int
build_put(struct store *store, struct ovsdb_idl_txn *txn, const void *data,
          struct err *err)
{
    const struct binding *binding = data;
    const struct generation *generation = &binding->generation;
    const struct dbrec_binding *row = find_row(store, &binding->interface,
                                               generation);
    const struct dbrec_interface *interface
        = SESSION_ROW(store, interface, &binding->interface);
    char bufs[N_ADDR_FAMILIES][ADDR_STRLEN];
    const char *mobile[N_ADDR_FAMILIES];
    int error = session_check_own(store, generation,
                                  row ? ROW_UUID(row->host) : NULL, err);

    if (error) {
        return error;
    }
    if (!interface || !interface->network) {
        return err_set(err, EAGAIN, "no interface "UUID_FMT,
                       UUID_ARGS(&binding->interface));
    }
    if (!row) {
        row = dbrec_binding_insert(txn);
        dbrec_binding_set_interface(row, interface);
        dbrec_binding_set_network(row, interface->network);
        dbrec_binding_set_epoch(row, generation->epoch);
        dbrec_binding_set_counter(row, generation->counter);
        dbrec_binding_set_host(row, session_own_host(store));
        dbrec_binding_set_writer(row,
                                 session_writer(session_own_host(store)));
    }
    size_t n = rows_format_pair(&binding->mobile, bufs, mobile);
    dbrec_binding_set_mobile(row, mobile, n);
    dbrec_binding_set_state(row, binding->active ? "active" : "prepared");
    return 0;
}

write_ticket
bindings_put(struct store *store, const struct binding *binding)
{
    static const struct write_class class = {
        .what = "writing a binding",
        .build = build_put,
    };

    return write_queue(store, &class, &binding->interface, binding,
                       sizeof *binding);
}

static int
build_delete(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
             const void *data, struct err *err)
{
    const struct binding *binding = data;
    const struct dbrec_binding *row = find_row(store, &binding->interface,
                                               &binding->generation);
    int error = session_check_own(store, &binding->generation,
                                  row ? ROW_UUID(row->host) : NULL, err);

    if (!error && row) {
        dbrec_binding_delete(row);
    }
    return error;
}

write_ticket
bindings_delete(struct store *store, const struct uuid *interface,
                const struct generation *generation)
{
    static const struct write_class class = {
        .what = "deleting a binding",
        .build = build_delete,
    };
    struct binding binding = {
        .interface = *interface, .generation = *generation,
    };

    return write_queue(store, &class, interface, &binding, sizeof binding);
}
