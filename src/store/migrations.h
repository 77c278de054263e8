#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H 1

/* Migrations: requested by a manager, driven by the source's agent, which
 * alone writes all but 'cancel' and 'runs_on'. */

#include "core/vm.h"
#include "store/write.h"

#define MIGRATION_MAX_FIGURES 24
#define MIGRATION_STEP_LEN 31

enum migration_state {
    MOVE_REQUESTED,
    MOVE_RUNNING,
    MOVE_COMPLETED,        /* This and the following are final. */
    MOVE_ROLLED_BACK,
    MOVE_FAILED,           /* Refused before it began. */
    MOVE_STUCK,
};

const char *migration_state_name(enum migration_state);
bool migration_state_is_final(enum migration_state);

struct migration_figure {
    char name[MIGRATION_STEP_LEN + 1];
    double value;
};

struct migration {
    struct uuid uuid;
    struct uuid vm;             /* Zero: deleted meanwhile. */
    char vm_name[NAME_LEN + 1];
    struct uuid source, destination;
    char source_name[NAME_LEN + 1];
    char destination_name[NAME_LEN + 1];
    uint64_t counter;           /* Of the generation that it reserved. */
    enum migration_state state;
    bool cancel;                /* Somebody wants it to end. */
    struct uuid runs_on;        /* Where a person says the VM of a stuck one
                                 * runs; zero: nobody has said anything. */
    char step[MIGRATION_STEP_LEN + 1];
    uint64_t copied, total;     /* Bytes of the current round. */
    char error[400];
    long long created, finished; /* Wall clock, in ms; 0: not yet. */

    /* "total_ms", "blackout_ms", "blackout_error_ms", "bytes",
     * "relayed_packets", ... */
    struct migration_figure figures[MIGRATION_MAX_FIGURES];
    size_t n_figures;

    /* Step -> ms. */
    struct migration_figure phases[MIGRATION_MAX_FIGURES];
    size_t n_phases;
};

int migrations_get(const struct store *, const struct uuid *,
                   struct migration *, struct err *);

/* An option of the request, "" if it has none of that name. */
const char *migrations_option(const struct store *, const struct uuid *,
                              const char *name, char *buf, size_t size);

/* Migrations from this host that have not ended, the oldest first; the caller
 * frees '*migrations'.  Those to look at are the requested ones, and all whose
 * 'cancel' is set. */
size_t migrations_list_here(const struct store *,
                            struct migration **migrations);

/* Writes 'counter', 'state', 'step', 'copied', 'total', 'error', 'finished',
 * 'figures' and 'phases'.  One that is still queued for the same migration
 * is replaced, so progress may be written freely. */
write_ticket migrations_put(struct store *, const struct migration *);

#endif /* store/migrations.h */
