#ifndef BASE_PROBLEMS_H
#define BASE_PROBLEMS_H 1

/* What is wrong with an input, all of it at once.
 *
 * Whoever checks a file goes on after the first problem and adds each to one
 * list, so that its author corrects them in one go.  The list is bounded:
 * behind PROBLEMS_MAX they are only counted. */

#include <stddef.h>

#include "openvswitch/dynamic-string.h"

#include "base/err.h"

#define PROBLEMS_MAX 20

struct problems {
    struct ds text;             /* A line each, without the last newline. */
    size_t n;
};

void problems_init(struct problems *);
void problems_finish(struct problems *);

void problems_add(struct problems *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The lines, with a last one that counts what did not fit.  Valid until the
 * next call. */
const char *problems_text(struct problems *);

/* 0 if there are none; otherwise EINVAL, with the first of them and the
 * number of the others in '*err'. */
int problems_result(const struct problems *, struct err *);

#endif /* base/problems.h */
