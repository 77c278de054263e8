#ifndef ENGINE_GUESTS_H
#define ENGINE_GUESTS_H 1

/* All guests, and what the store wants of those that are the host's own. */

#include <stdbool.h>

struct ds;
struct engine;
struct hypervisor_event;

/* Once, when the store is ready: what was found running, and is none of an
 * incoming migration's, becomes guests. */
void guests_adopt(struct engine *);

/* The difference between what the store wants and what is. */
void guests_run(struct engine *);
void guests_wait(const struct engine *);
void guests_handle_event(struct engine *, const struct hypervisor_event *);

/* Has the guest's hypervisor process ended while a migration had the guest?
 * Then it has failed, '*err' says why, and the store is told so. */
struct err;
struct guest;
bool guests_check_lost(struct engine *, struct guest *, struct err *err);

/* Are all that were found at the start presented? */
bool guests_are_complete(const struct engine *);
void guests_format(const struct engine *, struct ds *);
void guests_destroy(struct engine *);

#endif /* engine/guests.h */
