#include <config.h>

#include "base/text-table.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "svec.h"
#include "util.h"

struct text_table {
    struct svec cells;
    size_t n;
    bool *right;
};

struct text_table *
text_table_create(size_t n)
{
    struct text_table *table = xmalloc(sizeof *table);

    svec_init(&table->cells);
    table->n = n;
    table->right = xcalloc(n, sizeof *table->right);
    return table;
}

void
text_table_destroy(struct text_table *table)
{
    if (table) {
        svec_destroy(&table->cells);
        free(table->right);
        free(table);
    }
}

void
text_table_put(struct text_table *table, const char *text)
{
    svec_add(&table->cells, text && *text ? text : "-");
}

void
text_table_align_right(struct text_table *table, size_t column)
{
    table->right[column] = true;
}

/* Columns that UTF-8 'text' takes, for scripts without wide characters. */
static int
width(const char *text)
{
    int n = 0;

    for (; *text; text++) {
        n += (*text & 0xc0) != 0x80;
    }
    return n;
}

void
text_table_format(const struct text_table *table, struct ds *ds)
{
    int *widths = xcalloc(table->n, sizeof *widths);

    for (size_t i = 0; i < table->cells.n; i++) {
        int *max = &widths[i % table->n];
        *max = MAX(*max, width(table->cells.names[i]));
    }
    for (size_t i = 0; i < table->cells.n; i++) {
        const char *cell = table->cells.names[i];
        size_t column = i % table->n;
        int pad = widths[column] - width(cell);
        bool last = column + 1 == table->n;

        if (table->right[column]) {
            ds_put_char_multiple(ds, ' ', pad);
        }
        ds_put_cstr(ds, cell);
        if (!table->right[column] && !last) {
            ds_put_char_multiple(ds, ' ', pad);
        }
        ds_put_cstr(ds, last ? "\n" : "  ");
    }
    free(widths);
}
