#ifndef STORE_ACCESS_H
#define STORE_ACCESS_H 1

/* Who may write what into the store.
 *
 * ovsdb-server checks each write that comes by a Connection with a role: the
 * role's rule for the table names a column, and that has to hold the common
 * name of the writer's certificate; columns that the rule does not name stay
 * as they are (ovsdb-server(7), "Role-Based Access Control").  There is one
 * role, "agent", and the schema admits no Connection without it.  A manager
 * may write everything; it comes by the server's unix socket.
 *
 * The server cannot look behind a reference.  So each row of an agent says
 * who wrote it, each VM's interface which hosts may have it, and a row that
 * does not fit is passed over by everybody (rows.h), reported, and deleted by
 * the active manager.  docs/security.md says what remains possible.
 *
 * Where there is no Connection, as in labs, nobody checks anything, and no
 * interface names hosts.  Only a manager's session may be given to these
 * functions. */

#include <limits.h>
#include <stdbool.h>

struct dbrec_global;
struct ovsdb_idl_txn;
struct store;

#define ACCESS_ROLE "agent"

/* The host that a VM has left may speak for it for so long: packets come late
 * to where it was. */
#define ACCESS_LEAVE_MS (2 * 60 * 1000LL)

/* Puts the role's rules into a transaction, and with 'listen', "pssl:PORT" or
 * several with commas, where agents are let in.  What is right stays. */
void access_set_role(struct store *, struct ovsdb_idl_txn *,
                     const struct dbrec_global *, const char *listen);

/* Puts in order who may have what: rows of a store that was older than its
 * rules get their writers, forged ones are deleted, with an event, and hosts
 * that a VM has left lose it.  Returns the wall clock's time, in ms, at which
 * there is more to do, LLONG_MAX if that only depends on changes. */
long long access_sweep(struct store *, struct ovsdb_idl_txn *,
                       long long wall_now);

#endif /* store/access.h */
