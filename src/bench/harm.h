#ifndef BENCH_HARM_H
#define BENCH_HARM_H 1

/* What can be done to an arena so that a move in it goes wrong. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct arena;

/* Fault points of the agent of 'host', see engine/fault.h: what comes by is
 * held, has been held, is let go. */
int harm_hold(const struct arena *, const char *host, const char *point,
              struct err *);
int harm_is_held(const struct arena *, const char *host, const char *point,
                 bool *held, struct err *);
int harm_release(const struct arena *, const char *host, struct err *);

/* What comes by is not held any more. */
int harm_unhold(const struct arena *, const char *host, const char *point,
                struct err *);

/* Does the agent of 'host' know that a migration is to be cancelled? */
int harm_is_cancelled(const struct arena *, const char *host, bool *cancelled,
                      struct err *);

/* Is the agent of 'host' still busy with a migration, of either side? */
int harm_is_moving(const struct arena *, const char *host, bool *moving,
                   struct err *);

/* Kills a part of the lab, with SIGKILL, and starts it again. */
int harm_kill(const struct arena *, const char *node, const char *part,
              struct err *);
int harm_start(const struct arena *, const char *node, const char *part,
               struct err *);

/* Kills the server that leads the store's cluster, with SIGKILL, and starts
 * all servers that do not run. */
int harm_kill_leader(const struct arena *, struct err *);
int harm_start_stores(const struct arena *, struct err *);

/* Drops what the agents of two hosts (indexes) say to each other, on both of
 * their connections, or no longer. */
int harm_cut_channel(const struct arena *, size_t a, size_t b, bool cut,
                     struct err *);

/* Drops everything between the site of a host (index) and the rest of the
 * world, or no longer. */
int harm_cut_link(const struct arena *, size_t host, bool cut, struct err *);

#endif /* bench/harm.h */
