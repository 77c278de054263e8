#ifndef PEER_REFUSALS_H
#define PEER_REFUSALS_H 1

/* What the channel refused, in sentences for people.
 *
 * A peer that is refused tries again, every second for days.  So a sentence
 * is said once in REFUSALS_INTERVAL_US, and not more than REFUSALS_MAX
 * different ones in that time; all of them are counted elsewhere. */

#define REFUSALS_INTERVAL_US (60 * 1000000LL)
#define REFUSALS_MAX 64

struct refusals;

struct refusals *refusals_create(void);
void refusals_destroy(struct refusals *);

void refusals_add(struct refusals *, long long mono_us, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

/* Whose certificate names 'id' says that it is host 'name'; null: one that the
 * store does not know. */
void refusals_add_identity(struct refusals *, long long mono_us,
                           const char *connection, const char *id,
                           const char *name);

/* The next sentence, or null.  The caller frees it. */
char *refusals_next(struct refusals *);

#endif /* peer/refusals.h */
