#ifndef PEER_ROSTER_H
#define PEER_ROSTER_H 1

/* Which hosts there are, and what their certificates name. */

#include <stdbool.h>

#include "peer/channel.h"

struct roster;

struct roster *roster_create(void);
void roster_destroy(struct roster *);

/* Replaces all.  False if nothing has changed. */
bool roster_set(struct roster *, const struct channel_host *, size_t n);

/* The name of 'host', valid until the next change; null: there is none. */
const char *roster_find(const struct roster *, const struct uuid *host);

#endif /* peer/roster.h */
