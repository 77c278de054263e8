#ifndef API_OBJECTS_H
#define API_OBJECTS_H 1

/* Objects of the store as JSON.
 *
 * Each kind is one row of a table: its name in paths, its name in events,
 * how to make a JSON object of a row, and how its list is sorted.  Objects
 * are flat: members are strings, numbers, booleans or null, so that a table
 * can show them.  One that is shown alone has more, in lists. */

#include <stdbool.h>
#include <stddef.h>

struct api;
struct json;
struct store;
struct store_change;
struct uuid;

struct object_kind {
    const char *plural;         /* "vms", in paths. */
    const char *singular;       /* "vm", in events and sentences. */
    const char *help;           /* What it is, for the documentation. */
    struct object_source *source;       /* Null: nothing yet. */
};

extern const struct object_kind object_kinds[];
extern const size_t n_object_kinds;
const struct object_kind *objects_find_kind(const char *plural);

/* All objects of a kind, an array; the last 'limit' if that is not 0. */
struct json *objects_list(struct store *, const struct object_kind *,
                          size_t limit);

/* One object by its name or UUID, with all that is known; null if there is
 * none. */
struct json *objects_get(struct store *, const struct object_kind *,
                         const char *name);
struct json *objects_get_uuid(struct store *, const struct object_kind *,
                              const struct uuid *);

struct json *objects_unfinished_migrations(struct store *);

/* Sends what a change of the store changes to all streams. */
void objects_send_change(struct api *, const struct store_change *);

#endif /* api/objects.h */
