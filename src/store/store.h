#ifndef STORE_STORE_H
#define STORE_STORE_H 1

/* A session with the store.
 *
 * The store is an OVSDB database with the schema schema/watari.ovsschema; a
 * session keeps a replica of the part that its program needs.  What rows say
 * is read as values, by UUID, from the replica (networks.h, vms.h, ...);
 * what is to be written is queued (write.h).  Nothing here blocks, and an
 * agent never sees a row.
 *
 *      store_run()                     each turn of the main loop
 *      while (store_next_change()) {   what is different now; read it again
 *      ...
 *      store_wait()
 *
 * Changes are a level, not an edge: a change says "look at this object
 * again", and one that comes and goes between two turns may show up as gone
 * only.  All that exists is reported as changed once, at the beginning.
 *
 * An agent's replica holds all sites, hosts, pools and networks; the claims
 * of its site; VMs and endpoints whose host it is; VMs being migrated;
 * migrations from and to it; and the interfaces and bindings of the networks
 * that are present on it, see store_watch_network(). */

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/uuid.h"

#include "base/err.h"

struct store;

/* Connects to 'remote' ("tcp:...", "unix:...", several with commas) and
 * keeps doing so.  'host' is the name of the agent's Host row, or null for a
 * program that needs everything. */
struct store *store_create(const char *remote, const char *host);
void store_destroy(struct store *);

/* 'now' is a monotonic time in ms. */
void store_run(struct store *, long long now);
void store_wait(struct store *);

bool store_is_connected(const struct store *);

/* Is the replica complete?  False before the first connection; for an agent
 * also while there is no Host row of its name, and while it waits for the
 * rows of networks that it began to watch. */
bool store_is_ready(const struct store *);

/* Changes whenever the replica changes. */
unsigned int store_seqno(const struct store *);

/* Grows when a store is restored from a backup; 0: not known yet. */
uint32_t store_epoch(const struct store *);

/* The agent's own Host row; null as long as there is none. */
const struct uuid *store_host(const struct store *);

/* The interfaces and bindings of 'network' are needed here from now on, or
 * no longer.  Networks of own VMs and endpoints, of VMs that a migration
 * brings, and those for which the host is a gateway are watched without
 * being asked for. */
void store_watch_network(struct store *, const struct uuid *network);
void store_unwatch_network(struct store *, const struct uuid *network);

enum store_table {
    STORE_GLOBAL,
    STORE_SITE,
    STORE_POOL,
    STORE_HOST,
    STORE_NETWORK,
    STORE_INTERFACE,
    STORE_VM,
    STORE_ENDPOINT,
    STORE_INSTANCE,
    STORE_BINDING,              /* 'uuid' is the interface's! */
    STORE_CLAIM,
    STORE_MIGRATION,
    STORE_EVENT,
    N_STORE_TABLES
};

struct store_change {
    enum store_table table;
    struct uuid uuid;
    bool gone;                  /* Not for STORE_BINDING: always false. */
};

/* Takes the next change off the queue; false if there is none. */
bool store_next_change(struct store *, struct store_change *);

/* A lock in the store, for "at most one of us does this".  It has its own
 * connection, so that writes do not depend on it. */
struct store_lock;
struct store_lock *store_lock_create(const char *remote, const char *name);
void store_lock_destroy(struct store_lock *);
void store_lock_run(struct store_lock *);
void store_lock_wait(struct store_lock *);
bool store_lock_is_held(const struct store_lock *);

#endif /* store/store.h */
