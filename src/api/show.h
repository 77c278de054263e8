#ifndef API_SHOW_H
#define API_SHOW_H 1

/* One row as a JSON object; with 'details' also what a table has no room
 * for. */

#include <stdbool.h>

#include "store/dbrec.h"
#include "store/store.h"

struct json;

typedef struct json *show_func(const struct store *,
                               const struct ovsdb_idl_row *, bool details);

show_func show_site, show_host, show_network, show_vm, show_endpoint,
    show_binding, show_migration, show_event;

/* Where a VM is, or is to be; null if nowhere. */
const struct dbrec_host *show_vm_host(const struct store *,
                                      const struct dbrec_vm *);

/* "running", ..., "pending" for one that is to run but does not yet. */
const char *show_vm_state(const struct store *, const struct dbrec_vm *);

/* Memory of the VMs that are, or are to be, on a host, in KiB. */
int64_t show_used_kib(const struct store *, const struct dbrec_host *,
                      size_t *n_vms);

#endif /* api/show.h */
