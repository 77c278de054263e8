#ifndef BASE_PROBLEMS_H
#define BASE_PROBLEMS_H 1

/* What is wrong with an input, all of it at once.
 *
 * Whoever checks a document goes on after the first problem and adds each to
 * one list, so that its author corrects them in one go.  The list is
 * bounded: behind PROBLEMS_MAX they are only counted. */

#include <stddef.h>

#include "base/err.h"

#define PROBLEMS_MAX 100

struct problems {
    char **texts;
    size_t n;                   /* Counts all, 'texts' has PROBLEMS_MAX. */
};

#define PROBLEMS_INIT { NULL, 0 }

void problems_finish(struct problems *);

/* Adds a sentence, without a full stop, that begins with the place. */
void problems_add(struct problems *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line each, without the last newline, and one more that counts what did
 * not fit.  The caller frees it. */
char *problems_format(const struct problems *);

/* 0 if there are none; otherwise EINVAL, with the first of them and the
 * number of the others in '*err'. */
int problems_result(const struct problems *, struct err *);

#endif /* base/problems.h */
