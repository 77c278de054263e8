#ifndef LAB_SYSTEM_H
#define LAB_SYSTEM_H 1

/* A lab's manager: what the lab file says is applied through it. */

#include <signal.h>

#include "base/err.h"
#include "base/progress.h"
#include "lab/labfile.h"
#include "lab/state.h"

/* The file's sites, hosts, networks, VMs and endpoints as the body of PUT
 * /api/v1/config.  The caller destroys it. */
struct json *system_config(const struct labfile *);

/* Applies it. */
int system_configure(const struct labfile *, const struct state *,
                     struct err *);

/* Puts the endpoints behind their switches, as the interfaces that the
 * manager knows. */
int system_add_endpoints(const struct labfile *, const struct state *,
                         struct err *);

/* Waits until every VM answers; EINTR once '*interrupted'. */
int system_wait_vms(const struct labfile *, const struct state *,
                    struct progress *,
                    const volatile sig_atomic_t *interrupted, struct err *);

#endif /* lab/system.h */
