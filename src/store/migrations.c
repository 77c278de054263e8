#include <config.h>

#include "store/migrations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "smap.h"
#include "util.h"

#include "store/rows.h"
#include "store/session.h"

const char *
migration_state_name(enum migration_state state)
{
    switch (state) {
    case MOVE_REQUESTED: return "requested";
    case MOVE_RUNNING: return "running";
    case MOVE_COMPLETED: return "completed";
    case MOVE_ROLLED_BACK: return "rolled-back";
    case MOVE_FAILED: return "failed";
    case MOVE_STUCK: return "stuck";
    }
    OVS_NOT_REACHED();
}

bool
migration_state_is_final(enum migration_state state)
{
    switch (state) {
    case MOVE_REQUESTED:
    case MOVE_RUNNING:
        return false;
    case MOVE_COMPLETED:
    case MOVE_ROLLED_BACK:
    case MOVE_FAILED:
    case MOVE_STUCK:
        return true;
    }
    OVS_NOT_REACHED();
}

int
migrations_get(const struct store *store, const struct uuid *uuid,
               struct migration *migration, struct err *err)
{
    const struct dbrec_migration *row = SESSION_ROW(store, migration, uuid);

    return (row ? rows_migration(row, migration, err)
            : err_set(err, ENOENT, "no migration "UUID_FMT,
                      UUID_ARGS(uuid)));
}

const char *
migrations_option(const struct store *store, const struct uuid *uuid,
                  const char *name, char *buf, size_t size)
{
    const struct dbrec_migration *row = SESSION_ROW(store, migration, uuid);

    ovs_strlcpy(buf, row ? smap_get_def(&row->options, name, "") : "", size);
    return buf;
}

/* The older one first; the UUID is for a stable order. */
static int
compare_age(const void *a_, const void *b_)
{
    const struct migration *a = a_, *b = b_;

    return (a->created != b->created ? (a->created < b->created ? -1 : 1)
            : uuid_compare_3way(&a->uuid, &b->uuid));
}

size_t
migrations_list_here(const struct store *store, struct migration **migrations)
{
    const struct dbrec_migration *row;
    struct migration *list = NULL;
    size_t n = 0, allocated = 0;

    DBREC_MIGRATION_FOR_EACH (row, store->idl) {
        if (!row->source || rows_migration_has_ended(row)
            || !uuid_equals(ROW_UUID(row->source), &store->host)) {
            continue;
        }
        if (n == allocated) {
            list = x2nrealloc(list, &allocated, sizeof *list);
        }
        n += !rows_migration(row, &list[n], NULL);
    }
    if (n > 1) {
        qsort(list, n, sizeof *list, compare_age);
    }
    *migrations = list;
    return n;
}

static void
split_figures(const struct migration_figure *figures, size_t n,
              const char *names[], double values[])
{
    for (size_t i = 0; i < n; i++) {
        names[i] = figures[i].name;
        values[i] = figures[i].value;
    }
}

static int
build_put(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
          const void *data, struct err *err)
{
    const struct migration *m = data;
    const struct dbrec_migration *row
        = SESSION_ROW(store, migration, &m->uuid);
    const char *names[MIGRATION_MAX_FIGURES];
    double values[MIGRATION_MAX_FIGURES];

    if (!row) {
        return err_set(err, ENOENT, "no migration "UUID_FMT,
                       UUID_ARGS(&m->uuid));
    }
    dbrec_migration_set_counter(row, m->counter);
    dbrec_migration_set_state(row, migration_state_name(m->state));
    dbrec_migration_set_step(row, m->step);
    dbrec_migration_set_copied(row, m->copied);
    dbrec_migration_set_total(row, m->total);
    dbrec_migration_set_error(row, m->error);
    dbrec_migration_set_finished(row, MAX(m->finished, 0));
    split_figures(m->figures, m->n_figures, names, values);
    dbrec_migration_set_figures(row, names, values, m->n_figures);
    split_figures(m->phases, m->n_phases, names, values);
    dbrec_migration_set_phases(row, names, values, m->n_phases);
    return 0;
}

write_ticket
migrations_put(struct store *store, const struct migration *migration)
{
    static const struct write_class class = {
        .what = "writing a migration's progress",
        .build = build_put,
        .replace = true,
    };

    return write_queue(store, &class, &migration->uuid, migration,
                       sizeof *migration);
}
