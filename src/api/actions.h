#ifndef API_ACTIONS_H
#define API_ACTIONS_H 1

/* What the routes do that changes something.  See api/request.h. */

#include "api/fields.h"

struct dbrec_vm;
struct request;

void actions_apply(struct request *);
void actions_create_vm(struct request *);
void actions_start_vm(struct request *);
void actions_stop_vm(struct request *);
void actions_delete_vm(struct request *);
void actions_migrate_vm(struct request *);
void actions_cancel_migration(struct request *);
void actions_resolve_migration(struct request *);

/* Finds the VM of the path, by name or UUID; answers if there is none. */
const struct dbrec_vm *actions_find_vm(struct request *);

extern const struct field actions_migrate_fields[];
extern const struct field actions_resolve_fields[];

#endif /* api/actions.h */
