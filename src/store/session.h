#ifndef STORE_SESSION_H
#define STORE_SESSION_H 1

/* What the files of store/ know of a session.  Private to store/, and to
 * api/, which shows all rows and writes what people want. */

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/uuid.h"
#include "sset.h"

#include "core/addr.h"
#include "core/vm.h"
#include "store/dbrec.h"
#include "store/store.h"
#include "store/write.h"

struct write;

/* Lookups that the IDL keeps for us. */
enum session_index {
    SESSION_HOST_BY_NAME,
    SESSION_SITE_BY_NAME,
    SESSION_NETWORK_BY_NAME,
    SESSION_VM_BY_NAME,
    SESSION_VM_BY_HOST,
    SESSION_ENDPOINT_BY_NAME,
    SESSION_INTERFACE_BY_MAC,
    SESSION_INSTANCE_BY_VM,
    SESSION_INSTANCE_BY_HOST,
    SESSION_BINDING_BY_INTERFACE,
    SESSION_BINDING_BY_HOST,
    SESSION_CLAIM_BY_ADDRESS,
    SESSION_CLAIM_BY_HOST,
    SESSION_MIGRATION_BY_VM,
    N_SESSION_INDEXES
};

struct store_result {
    write_ticket ticket;
    enum write_result result;
    struct err *err;            /* Null if there is nothing to say. */
};

/* Something that the store did not permit. */
#define STORE_MAX_DENIALS 16

struct store_denial {
    const struct write_class *class;    /* Null: this place is free. */
    long long time;
    char *text;                 /* Null: it has been said. */
};

struct store {
    struct ovsdb_idl *idl;
    struct ovsdb_idl_index *index[N_SESSION_INDEXES];
    struct owners *owners;      /* See session_owner(). */
    unsigned int seqno;         /* Of the changes that were collected. */

    /* Who we are; 'host_name' is null for who sees everything. */
    char *host_name;
    struct uuid host;           /* Zero: no such row. */

    /* Conditions, see conditions.c. */
    struct hmap watched;        /* By store_watch_network(). */
    struct uuid *present;       /* Networks asked for, sorted. */
    size_t n_present;
    struct uuid asked_host, asked_site;
    bool in_sync;               /* Has this connection brought rows? */
    bool one_server;            /* There is no other to connect to. */
    long long away_since;       /* Not in sync; 0: it is. */
    bool settled;               /* Does the replica match them? */

    /* Changes that nobody has taken yet. */
    struct ovs_list changes;
    struct hmap changes_by_uuid;
    struct hmap binding_interfaces;     /* Binding row -> interface. */

    /* Writes. */
    struct ovs_list writes;     /* In the order of their tickets. */
    struct hmap writes_by_ticket, writes_by_key;
    size_t n_writes;
    size_t n_blocked;           /* Of them. */
    write_ticket last_ticket;
    struct write *committing;
    struct ovsdb_idl_txn *txn;
    unsigned int txn_seqno;
    long long retry_at;         /* Not before; 0: at once. */
    struct store_result results[WRITE_MAX_RESULTS];
    struct store_denial denials[STORE_MAX_DENIALS];

    struct sset taken;          /* Claims taken, not yet written. */
    write_ticket trim_ticket;
    double event_tokens;
    long long event_time;
    unsigned int n_events_dropped;
};

/* The row of 'class' and 'uuid', or null.  (ovsdb_idl_get_row_for_uuid()
 * also returns rows that only others refer to.) */
const struct ovsdb_idl_row *session_row(
    const struct store *, const struct ovsdb_idl_table_class *,
    const struct uuid *);

#define SESSION_ROW(STORE, NAME, UUID) \
    ((const struct dbrec_##NAME *) session_row( \
        STORE, &dbrec_table_##NAME, UUID))

static inline const struct uuid *
session_uuid(const struct ovsdb_idl_row *row)
{
    static const struct uuid none;

    return row ? &row->uuid : &none;
}

/* The UUID of a dbrec_ row, zero for null. */
#define ROW_UUID(ROW) session_uuid((ROW) ? &(ROW)->header_ : NULL)

/* Whose binding it is, also while the replica lacks the interface. */
const struct uuid *session_binding_interface(const struct dbrec_binding *);

/* A key for SESSION_BINDING_BY_INTERFACE, whose row the replica may lack; to
 * be ended by dbrec_binding_index_destroy_row(). */
struct dbrec_binding *session_binding_key(const struct store *,
                                          const struct uuid *interface);

const struct dbrec_host *session_own_host(const struct store *);

/* What the certificate of 'host' names, for the rows that are its own; "" if
 * the store does not say. */
const char *session_writer(const struct dbrec_host *host);

const struct dbrec_global *session_global(const struct store *);

/* EPERM unless 'generation', and the row that has it, are this host's: not
 * even a bug of ours writes another host's row.  'row_host' is null as long
 * as there is no row. */
int session_check_own(const struct store *,
                      const struct generation *generation,
                      const struct uuid *row_host, struct err *);

/* Lookups by name; null if there is none. */
const struct dbrec_host *session_host(const struct store *, const char *);
const struct dbrec_site *session_site(const struct store *, const char *);
const struct dbrec_network *session_network(const struct store *,
                                            const char *);
const struct dbrec_vm *session_vm(const struct store *, const char *);
const struct dbrec_endpoint *session_endpoint(const struct store *,
                                              const char *);
const struct dbrec_interface *session_interface(
    const struct store *, const struct dbrec_network *, const char *mac);
const struct dbrec_claim *session_claim(const struct store *,
                                        const char *address);

/* Whose interface is it?  '*uuid' is a row of STORE_VM or STORE_ENDPOINT, as
 * '*table' says; false if the replica knows of none. */
bool session_owner(const struct store *, const struct uuid *interface,
                   enum store_table *table, struct uuid *uuid);
struct owners *owners_create(void);
void owners_destroy(struct owners *);

/* Writes, for the files that offer them. */

typedef int write_build_func(struct store *, struct ovsdb_idl_txn *,
                             const void *data, struct err *);

struct write_class {
    const char *what;           /* "binding an interface". */

    /* Puts the change into the transaction.  Returns 0; EAGAIN if rows that
     * it needs are not in the replica (yet): it is called again, for a few
     * seconds; or another errno value to refuse.  The data is its own: no
     * pointers into it are kept. */
    write_build_func *build;

    /* Try again with a new choice when an index of the store refuses. */
    bool retry_conflicts;

    /* A queued write of the same class and key gives way to a new one. */
    bool replace;

    /* Ends what the data points to; null if it points to nothing. */
    void (*destroy)(void *data);
};

/* Queues a write.  'key' is the object's: writes of one key stay in order.
 * 'data' of 'size' bytes is copied. */
write_ticket write_queue(struct store *, const struct write_class *,
                         const struct uuid *key, const void *data,
                         size_t size);

void write_init(struct store *);
void write_destroy(struct store *);
void write_run(struct store *, long long now);
void write_wait(struct store *);

/* Adds an event to a transaction that does what it tells. */
void session_add_event(const struct store *, struct ovsdb_idl_txn *,
                       const char *kind, const char *object, long long time,
                       const char *format, ...)
    OVS_PRINTF_FORMAT(6, 7);

/* Conditions. */
void conditions_init(struct store *);
void conditions_destroy(struct store *);
void conditions_run(struct store *);

/* Tells the claims what changed, see claims.c. */
void claims_note_change(struct store *, const struct uuid *claim);

#endif /* store/session.h */
