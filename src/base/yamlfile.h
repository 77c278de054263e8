#ifndef BASE_YAMLFILE_H
#define BASE_YAMLFILE_H 1

/* YAML files into C structs, by tables.
 *
 * A table has a row for each key: its type, where the value goes, what is
 * allowed, the default, and a line of help.  The same rows will feed the
 * manual.  To add a key to a file's format, add a member to the struct and a
 * row to its table.
 *
 * A key that is absent and one without a value ("hosts:") are the same.
 * Everything wrong is reported with file, line and column, together with
 * what was expected; binding goes on behind a problem, so that all of them
 * show at once.
 *
 * The prefix is not "yaml_": libyaml has that, and even an internal function
 * of the library would be replaced by ours of the same name.
 *
 * A hostile file costs little: its size, depth and number of nodes, those
 * reached through aliases counted each time, are bounded. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/problems.h"

#define YAML_MAX_BYTES (1024 * 1024)
#define YAML_MAX_DEPTH 16
#define YAML_MAX_NODES 20000

enum yamlfile_type {
    YAML_TEXT,                  /* char *, owned; null if absent. */
    YAML_BOOL,                  /* bool */
    YAML_INT,                   /* int64_t, 'min' to 'max'. */
    YAML_SIZE,                  /* uint64_t, bytes, "256M". */
    YAML_DURATION,              /* uint64_t, microseconds, "5ms". */
    YAML_RATE,                  /* uint64_t, bits per second, "1gbit". */
    YAML_PERCENT,               /* uint64_t, parts in a million, "0.1%". */
    YAML_CHOICE,                /* int, an index in 'choices'. */
    YAML_PARSED,                /* Whatever 'parse' writes. */
    YAML_TEXTS,                 /* struct yamlfile_texts: a list. */
    YAML_EACH,                  /* A list, each of which 'parse' adds. */
    YAML_STRUCT,                /* A mapping with the keys of 'table'. */
    YAML_MAP,                   /* struct yamlfile_map: name: STRUCT. */
};

struct yamlfile_texts {
    char **items;
    size_t n;
};

struct yamlfile_at {
    int line, column;           /* From 1; 0: nowhere. */
};

/* The first member of each struct that a map holds. */
struct yamlfile_item {
    char *name;
    struct yamlfile_at at;
};

struct yamlfile_map {
    void *items;                /* An array of 'table->size' bytes each. */
    size_t n;
};

typedef int yamlfile_parse_func(const char *text, void *value, struct err *);
typedef int yamlfile_check_func(const char *text, struct err *);

struct yamlfile_field {
    const char *key;
    enum yamlfile_type type;
    size_t offset;
    bool required;
    const char *preset;         /* As in a file, used when absent. */
    int64_t min, max;           /* Of numbers and of a map's size; both 0:
                                 * anything. */
    const char *const *choices; /* Ends with a null. */
    yamlfile_parse_func *parse;
    yamlfile_check_func *check; /* Of TEXT and of each of TEXTS; null: any
                                 * will do. */
    const struct yamlfile_table *table;
    const char *help;
};

struct yamlfile_table {
    const char *what;           /* "a site", for messages. */
    const struct yamlfile_field *fields;
    size_t n_fields;
    size_t size;                /* Of the struct. */
};

/* Iterates ITEM, a pointer to a struct, over a map's items. */
#define YAML_MAP_FOR_EACH(ITEM, MAP) \
    for ((ITEM) = (MAP)->items; \
         (ITEM) && (ITEM) < (__typeof__(ITEM)) (MAP)->items + (MAP)->n; \
         (ITEM)++)

/* "a number", for manuals. */
const char *yamlfile_type_name(enum yamlfile_type);

/* Reads 'file' into 'value', a zeroed struct of 'table'; what is wrong goes
 * to 'problems'.  Fails only if the file cannot be read.  Either way the
 * caller ends with yamlfile_free(). */
int yamlfile_load(const char *file, const struct yamlfile_table *table,
                  void *value, struct problems *, struct err *);

/* The same for a text in memory; 'file' is for messages. */
void yamlfile_read(const char *file, const char *text, size_t len,
               const struct yamlfile_table *table, void *value,
               struct problems *);

/* Gives members their presets, as reading an empty mapping does. */
void yamlfile_preset(const struct yamlfile_table *table, void *value);

/* Sets the member at 'value' from 'text', as from a file; adds one to a list.
 * For fields without a table. */
int yamlfile_set(const struct yamlfile_field *, const char *text, void *value,
                 struct err *);

/* Frees what 'value' owns and zeroes it. */
void yamlfile_free(const struct yamlfile_table *table, void *value);

#endif /* base/yamlfile.h */
