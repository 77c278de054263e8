#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H 1

/* "Did you mean ...?" */

#include <stddef.h>

/* What 'word' may have meant among 'n' 'words': the one with the fewest
 * letters to change, or null if none is near. */
const char *nearest(const char *word, const char *const *words, size_t n);

#endif /* base/nearest.h */
