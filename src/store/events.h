#ifndef STORE_EVENTS_H
#define STORE_EVENTS_H 1

/* Events: one line for people, about what happened to an object. */

#include "store/write.h"

#define EVENTS_PER_SECOND 10
#define EVENTS_BURST 50

/* 'kind' is a word ("vm", "migration", "endpoint", ...), 'object' a name.
 * More than EVENTS_PER_SECOND in the long run are dropped, and counted in the
 * next one's text.  Returns 0 for one that was dropped. */
write_ticket events_add(struct store *, const char *kind, const char *object,
                        const char *text, long long wall_now);

#endif /* store/events.h */
