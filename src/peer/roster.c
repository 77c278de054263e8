#include <config.h>

#include "peer/roster.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "uuid.h"

struct roster {
    struct channel_host *hosts; /* Sorted by UUID. */
    size_t n;
};

struct roster *
roster_create(void)
{
    return xzalloc(sizeof(struct roster));
}

void
roster_destroy(struct roster *r)
{
    if (r) {
        free(r->hosts);
        free(r);
    }
}

static int
compare(const void *a_, const void *b_)
{
    const struct channel_host *a = a_, *b = b_;

    return uuid_compare_3way(&a->uuid, &b->uuid);
}

static bool
is_equal(const struct roster *r, const struct channel_host *sorted, size_t n)
{
    bool equal = n == r->n;

    for (size_t i = 0; equal && i < n; i++) {
        equal = (uuid_equals(&sorted[i].uuid, &r->hosts[i].uuid)
                 && !strcmp(sorted[i].name, r->hosts[i].name));
    }
    return equal;
}

bool
roster_set(struct roster *r, const struct channel_host *hosts, size_t n)
{
    struct channel_host *sorted = xcalloc(n + 1, sizeof *sorted);

    if (n) {
        memcpy(sorted, hosts, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare);
    }
    if (is_equal(r, sorted, n)) {
        free(sorted);
        return false;
    }
    free(r->hosts);
    r->hosts = sorted;
    r->n = n;
    return true;
}

const char *
roster_find(const struct roster *r, const struct uuid *host)
{
    struct channel_host key = { .uuid = *host };
    const struct channel_host *found
        = r->n ? bsearch(&key, r->hosts, r->n, sizeof key, compare) : NULL;

    return found ? found->name : NULL;
}
