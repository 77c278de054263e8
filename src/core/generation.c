#include <config.h>

#include "core/generation.h"

#include <inttypes.h>
#include <stdio.h>

#include "uuid.h"

int
generation_compare(const struct generation *a, const struct generation *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch ? -1 : 1;
    }
    if (a->counter != b->counter) {
        return a->counter < b->counter ? -1 : 1;
    }
    return uuid_compare_3way(&a->host, &b->host);
}

char *
generation_format(const struct generation *g, char buf[GENERATION_STRLEN])
{
    snprintf(buf, GENERATION_STRLEN, "%"PRIu32".%"PRIu64".%08"PRIx32,
             g->epoch, g->counter, g->host.parts[0]);
    return buf;
}
