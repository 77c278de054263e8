#include <config.h>

#include "base/nearest.h"

#include <string.h>

#include "openvswitch/util.h"
#include "util.h"

/* The number of edits between 'a' and 'b', where the exchange of two
 * neighbours is one; at most 'max' + 1. */
static size_t
distance(const char *a, const char *b, size_t max)
{
    size_t n = strlen(b);
    size_t rows[3][64];

    if (n >= ARRAY_SIZE(rows[0]) || strlen(a) >= ARRAY_SIZE(rows[0])) {
        return max + 1;
    }
    for (size_t j = 0; j <= n; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t edit = up[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = MIN(edit, MIN(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2]
                && a[i - 2] == b[j - 1]) {
                row[j] = MIN(row[j], rows[(i + 1) % 3][j - 2] + 1);
            }
        }
    }
    return MIN(rows[strlen(a) % 3][n], max + 1);
}

const char *
nearest(const char *word, const char *const *words, size_t n)
{
    const char *found = NULL;
    size_t best = 1 + strlen(word) / 3;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i], best);
        if (d <= best) {
            found = words[i];
            if (!d) {
                break;
            }
            best = d - 1;
        }
    }
    return found;
}
