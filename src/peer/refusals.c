#include <config.h>

#include "peer/refusals.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#include "peer/arrivals.h"

struct refusal {
    char *text;                 /* Null: this place is free. */
    long long said_us;
    bool waits;                 /* Nobody has drained it. */
};

struct refusals {
    struct refusal places[REFUSALS_MAX];
};

struct refusals *
refusals_create(void)
{
    return xzalloc(sizeof(struct refusals));
}

void
refusals_destroy(struct refusals *r)
{
    if (r) {
        for (size_t i = 0; i < REFUSALS_MAX; i++) {
            free(r->places[i].text);
        }
        free(r);
    }
}

/* Takes 'text'. */
static void
add(struct refusals *r, long long mono_us, char *text)
{
    struct refusal *room = NULL;

    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *place = &r->places[i];

        if (place->text && !place->waits
            && mono_us - place->said_us >= REFUSALS_INTERVAL_US) {
            free(place->text);
            place->text = NULL;
        }
        if (place->text && !strcmp(place->text, text)) {
            free(text);
            return;
        } else if (!place->text && !room) {
            room = place;
        }
    }
    if (room) {
        *room = (struct refusal) { text, mono_us, true };
    } else {
        free(text);
    }
}

void
refusals_add(struct refusals *r, long long mono_us, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(r, mono_us, xvasprintf(format, args));
    va_end(args);
}

void
refusals_add_identity(struct refusals *r, long long mono_us,
                      const char *connection, const char *id,
                      const char *name)
{
    char *address = arrivals_address(connection);

    refusals_add(r, mono_us, name
                 ? "refused a peer at %s: the certificate of \"%s\" is not "
                   "that of host \"%s\""
                 : "refused a peer at %s: \"%s\" says that it is a host that "
                   "the store does not know", address, id ? id : "", name);
    free(address);
}

char *
refusals_next(struct refusals *r)
{
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        if (r->places[i].waits) {
            r->places[i].waits = false;
            return xstrdup(r->places[i].text);
        }
    }
    return NULL;
}
