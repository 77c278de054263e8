#ifndef BASE_ROFF_H
#define BASE_ROFF_H 1

/* Manual pages on stdout. */

/* Prints 'text' as it is: where roff would see '-' and a leading '.' or '\''
 * as its own, they are escaped. */
void roff_put(const char *text);

/* The page's head; its first section has begun. */
void roff_put_heading(const char *name, int section, const char *version,
                      const char *what);

#endif /* base/roff.h */
