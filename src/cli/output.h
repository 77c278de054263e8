#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H 1

/* Results on stdout, as a table, JSON or YAML. */

#include "cli/command.h"

/* An array of objects.  Tables have 'columns', which end with a null;
 * columns that no object has are left out. */
void output_list(const struct invocation *, const struct json *array,
                 const char *const *columns);

/* One object; as a "table" it is a line for each member. */
void output_object(const struct invocation *, const struct json *object);

/* Member 'name' as a cell of a table; the caller frees it. */
char *output_cell(const char *name, const struct json *);

#endif /* cli/output.h */
