#ifndef LAB_PARTS_H
#define LAB_PARTS_H 1

/* The programs of a lab: links, switches, the store, the manager, agents.
 *
 * Each function starts one part, or all of a kind, and returns when others
 * can talk to it; the agents' returns at once.  What a part prints goes to
 * NODE/PART.log in the lab's folder. */

#include "base/err.h"
#include "lab/labfile.h"
#include "lab/state.h"

/* Is everything installed that a lab needs?  ENOENT, with a hint, if not. */
int parts_check(const struct labfile *, bool only_network, struct err *);

int parts_start_links(const struct labfile *, struct state *, struct err *);
int parts_start_switches(const struct labfile *, struct state *,
                         struct err *);
int parts_start_store(const struct labfile *, struct state *, struct err *);

/* 'listener' is the socket for the REST API over TCP. */
int parts_start_manager(const struct labfile *, struct state *, int listener,
                        struct err *);

/* With 'test_faults' they obey "watari/fault"; see engine/fault.h. */
int parts_start_agents(const struct labfile *, struct state *,
                       bool test_faults, struct err *);

/* Adds the port of 'endpoint' to its host's switch; 'interface' is the UUID
 * of its Interface, or null if nobody has declared it. */
int parts_add_port(const struct state *, const struct labfile_endpoint *,
                   const char *interface, struct err *);

/* Ends a part and starts it again as before. */
int parts_restart(struct state *, struct state_process *, struct err *);

/* The first part that has ended although nobody asked it to, or null. */
const struct state_process *parts_find_dead(const struct state *);

/* The last lines of a part's log; the caller frees them. */
char *parts_read_log(const struct state_process *);

#endif /* lab/parts.h */
