#ifndef API_PROBLEMS_H
#define API_PROBLEMS_H 1

/* All that is wrong with a document, so that it is corrected once. */

#include <stdbool.h>
#include <stddef.h>

#define PROBLEMS_MAX 100        /* More are only counted. */

struct problems {
    char **texts;
    size_t n;                   /* Counts all, 'texts' has PROBLEMS_MAX. */
};

#define PROBLEMS_INIT { NULL, 0 }

void problems_finish(struct problems *);

/* Adds a sentence, without a full stop, that begins with the place. */
void problems_add(struct problems *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* api/problems.h */
