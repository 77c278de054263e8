#ifndef BASE_TEXT_TABLE_H
#define BASE_TEXT_TABLE_H 1

/* Columns of text for a terminal. */

#include <stdbool.h>
#include <stddef.h>

struct ds;
struct text_table;

/* 'n' columns, at least 1. */
struct text_table *text_table_create(size_t n);
void text_table_destroy(struct text_table *);

/* Appends a cell to the last row, or begins a new one behind the 'n'-th.
 * The first row is the heading.  A null 'text' is shown as "-". */
void text_table_put(struct text_table *, const char *text);

/* Numbers look better at the right. */
void text_table_align_right(struct text_table *, size_t column);

void text_table_format(const struct text_table *, struct ds *);

#endif /* base/text-table.h */
