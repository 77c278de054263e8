#include <config.h>

#include "manager/housekeeping.h"

#include <limits.h>
#include <stdlib.h>

#include "openvswitch/poll-loop.h"
#include "util.h"

#include "store/access.h"
#include "store/rows.h"
#include "store/session.h"
#include "store/settle.h"

/* A row that may go, and how old it is. */
struct candidate {
    const struct ovsdb_idl_row *row;
    int64_t time;
};

struct candidates {
    struct candidate *rows;
    size_t n, allocated;
};

static void
add(struct candidates *candidates, const struct ovsdb_idl_row *row,
    int64_t time)
{
    if (candidates->n == candidates->allocated) {
        candidates->rows = x2nrealloc(candidates->rows,
                                      &candidates->allocated,
                                      sizeof *candidates->rows);
    }
    candidates->rows[candidates->n++] = (struct candidate) { row, time };
}

static int
compare_times(const void *a_, const void *b_)
{
    const struct candidate *a = a_, *b = b_;

    return a->time < b->time ? -1 : a->time > b->time;
}

/* Deletes all but the newest 'max'; ends 'candidates'. */
static void
trim(struct candidates *candidates, size_t max)
{
    if (candidates->n > max) {
        qsort(candidates->rows, candidates->n, sizeof *candidates->rows,
              compare_times);
        for (size_t i = 0; i < candidates->n - max; i++) {
            ovsdb_idl_txn_delete(candidates->rows[i].row);
        }
    }
    free(candidates->rows);
}

struct order {
    struct housekeeping *housekeeping;
    long long now, wall_now;
};

/* Agents are let in, under rules, and have what is theirs. */
static void
build_access(struct store *store, struct ovsdb_idl_txn *txn,
             const struct dbrec_global *global, const struct order *order)
{
    struct housekeeping *housekeeping = order->housekeeping;
    long long again = LLONG_MAX;

    access_set_role(store, txn, global, housekeeping->agents);
    if (global->n_connections) {
        again = access_sweep(store, txn, order->wall_now);
    }
    housekeeping->again = (again == LLONG_MAX ? 0
                           : order->now + again - order->wall_now);
}

static int
build(struct store *store, struct ovsdb_idl_txn *txn, const void *order_,
      struct err *err OVS_UNUSED)
{
    const struct order *order = order_;
    struct candidates events = { NULL, 0, 0 }, migrations = { NULL, 0, 0 };
    const struct dbrec_global *global = session_global(store);
    const struct dbrec_migration *migration;
    const struct dbrec_event *event;

    if (!global) {
        global = dbrec_global_insert(txn);
        dbrec_global_set_epoch(global, 1);
    }
    settle_vms(store, txn, order->wall_now);
    build_access(store, txn, global, order);
    DBREC_EVENT_FOR_EACH (event, store->idl) {
        add(&events, &event->header_, event->time);
    }
    DBREC_MIGRATION_FOR_EACH (migration, store->idl) {
        if (rows_migration_has_ended(migration)) {
            add(&migrations, &migration->header_, migration->created);
        }
    }
    trim(&events, HOUSEKEEPING_MAX_EVENTS);
    trim(&migrations, HOUSEKEEPING_MAX_MIGRATIONS);
    return 0;
}

void
housekeeping_run(struct housekeeping *housekeeping, struct store *store,
                 long long now, long long wall_now)
{
    static const struct write_class class = {
        .what = "keeping the store in order", .build = build,
    };
    struct order order = { housekeeping, now, wall_now };

    if (now < housekeeping->next || !store_is_ready(store)
        || (housekeeping->seqno == store_seqno(store)
            && (!housekeeping->again || now < housekeeping->again))
        || (housekeeping->ticket
            && write_result(store, housekeeping->ticket, NULL)
            == WRITE_PENDING)) {
        return;
    }
    housekeeping->seqno = store_seqno(store);
    housekeeping->next = now + HOUSEKEEPING_INTERVAL_MS;
    housekeeping->again = 0;
    housekeeping->ticket = write_queue(store, &class, &UUID_ZERO, &order,
                                       sizeof order);
}

void
housekeeping_wait(const struct housekeeping *housekeeping,
                  const struct store *store)
{
    if (store_is_ready(store)
        && housekeeping->seqno != store_seqno(store)) {
        poll_timer_wait_until(housekeeping->next);
    } else if (store_is_ready(store) && housekeeping->again) {
        poll_timer_wait_until(housekeeping->again);
    }
}
