#ifndef BENCH_DOCUMENT_H
#define BENCH_DOCUMENT_H 1

/* What a benchmark found out: the document that "-o json" prints, that a
 * person reads as text, and that html.h draws.
 *
 *      bench       its name
 *      machine     cores, accelerator, versions
 *      rows        what was measured: an object a run, with "row" and
 *                  "scheme", and numbers
 *      summary     a few figures of each row of the benchmark, by scheme
 *      checks      {name, value, unit, relation, bar, ok}: a promise each
 *
 * Numbers are stored rounded to thousandths, so that the text stays short and
 * the verdict can be redone from it. */

#include <stdbool.h>
#include <stdio.h>

#include "openvswitch/json.h"

struct document {
    char *bench;
    struct json *machine;       /* An object. */
    struct json *rows;          /* An array. */
    struct json *summary;       /* An array. */
    struct json *checks;        /* An array. */
};

void document_init(struct document *, const char *bench);
void document_finish(struct document *);

/* Puts 'value', rounded to thousandths. */
void document_put_number(struct json *object, const char *name, double value);

/* Adds a promise: 'value' 'relation' 'bar', where 'relation' is one of "<=",
 * "<", ">=", ">" and "==". */
void document_check(struct document *, const char *name, double value,
                    const char *unit, const char *relation, double bar);

/* A promise that could not be looked at, which is not kept: its value is
 * null, and 'why' says why. */
void document_check_missing(struct document *, const char *name,
                            const char *unit, const char *relation,
                            double bar, const char *why);

/* Do all checks hold?  Without any there is nothing to say: false. */
bool document_ok(const struct document *);

/* Everything as one object, which the caller destroys. */
struct json *document_to_json(const struct document *);

/* For a person: summaries, then checks. */
void document_print(const struct document *, FILE *);

#endif /* bench/document.h */
