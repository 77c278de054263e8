#ifndef STORE_ROWS_H
#define STORE_ROWS_H 1

/* Rows become values here, and only here.
 *
 * The schema cannot say all that a row must be.  What it cannot is checked:
 * a bad row is an error with a sentence that names it (EINVAL), never an
 * assertion.  EAGAIN: it refers to rows that the replica does not have. */

#include "core/vm.h"
#include "store/bindings.h"
#include "store/dbrec.h"
#include "store/hosts.h"
#include "store/migrations.h"
#include "store/vms.h"

int rows_site(const struct dbrec_site *, struct site *, struct err *);
int rows_host(const struct dbrec_host *, struct host *, struct err *);
int rows_network(const struct dbrec_network *, struct network *,
                 struct err *);
int rows_interface(const struct dbrec_interface *, struct interface *,
                   struct err *);
int rows_vm(const struct dbrec_vm *, struct vm_order *, struct err *);
int rows_binding(const struct dbrec_binding *, struct binding *,
                 struct err *);
int rows_migration(const struct dbrec_migration *, struct migration *,
                   struct err *);

/* Rows that are not their writer's to write are passed over.  Where the store
 * checks no roles nobody is named, and everything is believed. */

/* Did 'host', whose row it says it is, write it? */
bool rows_is_written_by(const char *writer, const struct dbrec_host *host);

/* May 'host' have the interface? */
bool rows_interface_admits(const struct dbrec_interface *,
                           const struct uuid *host);

/* Both; their hosts have to be known.  (rows_binding() asks by itself.) */
bool rows_binding_is_honest(const struct dbrec_binding *);
bool rows_instance_is_honest(const struct dbrec_instance *);

/* Which migration has the VM?  The replica may lack the migration's row. */
struct uuid rows_vm_migration(const struct dbrec_vm *);

/* The order of a VM's interfaces: by PCI slot, then by UUID. */
int rows_compare_interfaces(const char *a_pci, const struct uuid *a,
                            const char *b_pci, const struct uuid *b);

/* Neither requested nor running; true also for a state that is not known. */
bool rows_migration_has_ended(const struct dbrec_migration *);

/* The generation of a Binding or an Instance. */
struct generation rows_generation(int64_t epoch, int64_t counter,
                                  const struct dbrec_host *);

/* An instance's state in the store's words. */
const char *rows_instance_state_name(enum vm_state);

/* The addresses of 'pair' as the store has them: 'strings' point into
 * 'bufs'.  Returns how many there are. */
size_t rows_format_pair(const struct addr_pair *pair,
                        char bufs[N_ADDR_FAMILIES][ADDR_STRLEN],
                        const char *strings[N_ADDR_FAMILIES]);

#endif /* store/rows.h */
