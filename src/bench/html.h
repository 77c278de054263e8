#ifndef BENCH_HTML_H
#define BENCH_HTML_H 1

/* A document as one page that needs nothing else: plots, checks, summaries,
 * and what others have published. */

#include "base/err.h"

struct document;
struct ds;

void html_format(const struct document *, struct ds *);

/* Replaces the file at 'path' by the page, at once or not at all. */
int html_save(const struct document *, const char *path, struct err *);

#endif /* bench/html.h */
