#include <config.h>

#include "base/yamlfile.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/nearest.h"
#include "base/units.h"

struct binder {
    const char *file;
    yaml_document_t doc;
    size_t n_nodes;
    struct problems *problems;
};

static void bind_struct(struct binder *, const yaml_node_t *,
                        const struct yamlfile_table *, void *, int depth);
static int parse_scalar(const struct yamlfile_field *, const char *,
                        void *, struct err *);
static void free_field(const struct yamlfile_field *, void *);

#define COMPLAIN(B, NODE, FORMAT, ...) \
    problems_add((B)->problems, "%s:%zu:%zu: " FORMAT, (B)->file, \
                 (NODE)->start_mark.line + 1, (NODE)->start_mark.column + 1, \
                 ##__VA_ARGS__)

const char *
yamlfile_type_name(enum yamlfile_type type)
{
    static const char *const names[] = {
        [YAML_TEXT] = "text",
        [YAML_BOOL] = "true or false",
        [YAML_INT] = "a number",
        [YAML_SIZE] = "a size, as 256M",
        [YAML_DURATION] = "a duration, as 5ms",
        [YAML_RATE] = "a rate, as 1gbit",
        [YAML_PERCENT] = "a percentage, as 0.1%",
        [YAML_CHOICE] = "a word",
        [YAML_PARSED] = "text",
        [YAML_TEXTS] = "a list",
        [YAML_EACH] = "a list",
        [YAML_STRUCT] = "a mapping",
        [YAML_MAP] = "a mapping of names",
    };

    return names[type];
}

int
yamlfile_load(const char *file, const struct yamlfile_table *table,
               void *value, struct problems *problems, struct err *err)
{
    FILE *stream = fopen(file, "r");
    if (!stream) {
        return err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
    }

    char *text = xmalloc(YAML_MAX_BYTES + 1);
    size_t len = fread(text, 1, YAML_MAX_BYTES + 1, stream);
    int error = ferror(stream) ? errno : 0;
    fclose(stream);
    if (error) {
        err_set(err, error, "%s: %s", file, ovs_strerror(error));
    } else {
        yamlfile_read(file, text, len, table, value, problems);
    }
    free(text);
    return error;
}

/* Loads the only document of 'text'.  Returns false with a problem. */
static bool
load(struct binder *b, const char *text, size_t len)
{
    yaml_parser_t parser;

    if (len > YAML_MAX_BYTES) {
        problems_add(b->problems, "%s: larger than %d bytes", b->file,
                     YAML_MAX_BYTES);
        return false;
    }
    if (!yaml_parser_initialize(&parser)) {
        out_of_memory();
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *) text, len);

    bool ok = yaml_parser_load(&parser, &b->doc);
    if (ok && !yaml_document_get_root_node(&b->doc)) {
        problems_add(b->problems, "%s:1:1: the file is empty", b->file);
        yaml_document_delete(&b->doc);
        ok = false;
    } else if (!ok) {
        const yaml_mark_t *mark = (parser.problem_mark.line
                                   ? &parser.problem_mark
                                   : &parser.context_mark);
        problems_add(b->problems, "%s:%zu:%zu: %s%s%s", b->file,
                     mark->line + 1, mark->column + 1,
                     parser.problem ? parser.problem : "not YAML",
                     parser.context ? " " : "",
                     parser.context ? parser.context : "");
    } else {
        yaml_document_t next;
        if (yaml_parser_load(&parser, &next)) {
            if (yaml_document_get_root_node(&next)) {
                problems_add(b->problems, "%s:%zu: a second document; a file "
                             "holds one", b->file, next.start_mark.line + 1);
            }
            yaml_document_delete(&next);
        }
    }
    yaml_parser_delete(&parser);
    return ok;
}

void
yamlfile_read(const char *file, const char *text, size_t len,
          const struct yamlfile_table *table, void *value,
          struct problems *problems)
{
    struct binder b = { .file = file, .problems = problems };

    if (load(&b, text, len)) {
        bind_struct(&b, yaml_document_get_root_node(&b.doc), table, value, 0);
        yaml_document_delete(&b.doc);
    }
}

void
yamlfile_preset(const struct yamlfile_table *table, void *value)
{
    for (size_t i = 0; i < table->n_fields; i++) {
        const struct yamlfile_field *field = &table->fields[i];
        void *member = (char *) value + field->offset;

        if (field->preset) {
            int error = parse_scalar(field, field->preset, member, NULL);
            ovs_assert(!error);
        } else if (field->type == YAML_STRUCT) {
            yamlfile_preset(field->table, member);
        }
    }
}

static void
add_text(struct yamlfile_texts *texts, const char *text)
{
    texts->items = xrealloc(texts->items,
                            (texts->n + 1) * sizeof *texts->items);
    texts->items[texts->n++] = xstrdup(text);
}

int
yamlfile_set(const struct yamlfile_field *field, const char *text,
             void *value, struct err *err)
{
    int error = field->check ? field->check(text, err) : 0;

    if (!error && field->type == YAML_TEXTS) {
        add_text(value, text);
    } else if (!error) {
        error = parse_scalar(field, text, value, err);
    }
    return error;
}

void
yamlfile_free(const struct yamlfile_table *table, void *value)
{
    for (size_t i = 0; i < table->n_fields; i++) {
        const struct yamlfile_field *field = &table->fields[i];
        free_field(field, (char *) value + field->offset);
    }
    memset(value, 0, table->size);
}

static const char *
text_of(const yaml_node_t *node)
{
    return (const char *) node->data.scalar.value;
}

/* "hosts:" and "hosts: ~" say nothing. */
static bool
is_null(const yaml_node_t *node)
{
    return (node->type == YAML_SCALAR_NODE
            && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
            && (!*text_of(node) || !strcmp(text_of(node), "~")
                || !strcmp(text_of(node), "null")));
}

static int
parse_bool(const char *text, bool *value, struct err *err)
{
    if (!strcmp(text, "true") || !strcmp(text, "yes")) {
        *value = true;
    } else if (!strcmp(text, "false") || !strcmp(text, "no")) {
        *value = false;
    } else {
        return err_set(err, EINVAL, "\"%.40s\" is neither true nor false",
                       text);
    }
    return 0;
}

static int
parse_int(const char *text, int64_t *value, struct err *err)
{
    char *end;

    errno = 0;
    long long int number = strtoll(text, &end, 10);
    if (errno || end == text || *end) {
        return err_set(err, EINVAL, "\"%.40s\" is not a number", text);
    }
    *value = number;
    return 0;
}

static int
parse_choice(const struct yamlfile_field *field, const char *text, int *value,
             struct err *err)
{
    struct ds expected = DS_EMPTY_INITIALIZER;

    for (int i = 0; field->choices[i]; i++) {
        if (!strcmp(text, field->choices[i])) {
            *value = i;
            ds_destroy(&expected);
            return 0;
        }
        ds_put_format(&expected, "%s%s", i ? ", " : "", field->choices[i]);
    }
    err_set(err, EINVAL, "\"%.40s\" is not one of %s", text,
            ds_cstr(&expected));
    ds_destroy(&expected);
    return EINVAL;
}

static int
check_range(const struct yamlfile_field *field, int64_t value, struct err *err)
{
    if ((field->min || field->max)
        && (value < field->min || value > field->max)) {
        return err_set(err, EINVAL, "%"PRId64" is not in %"PRId64"..%"PRId64,
                       value, field->min, field->max);
    }
    return 0;
}

/* Parses a scalar's 'text' into '*value'. */
static int
parse_scalar(const struct yamlfile_field *field, const char *text, void *value,
             struct err *err)
{
    int64_t number = 0;
    int error;

    switch (field->type) {
    case YAML_TEXT:
        free(*(char **) value);
        *(char **) value = xstrdup(text);
        return 0;

    case YAML_BOOL:
        return parse_bool(text, value, err);

    case YAML_INT:
        error = parse_int(text, &number, err);
        break;

    case YAML_SIZE:
        error = units_parse_size(text, (uint64_t *) &number, err);
        break;

    case YAML_DURATION:
        error = units_parse_duration(text, (uint64_t *) &number, err);
        break;

    case YAML_RATE:
        error = units_parse_rate(text, (uint64_t *) &number, err);
        break;

    case YAML_PERCENT:
        error = units_parse_percent(text, (uint64_t *) &number, err);
        break;

    case YAML_CHOICE:
        return parse_choice(field, text, value, err);

    case YAML_PARSED:
    case YAML_EACH:
        return field->parse(text, value, err);

    case YAML_TEXTS:
    case YAML_STRUCT:
    case YAML_MAP:
    default:                    /* The compiler cannot know it is complete. */
        OVS_NOT_REACHED();
    }

    error = error ? error : check_range(field, number, err);
    if (!error) {
        *(int64_t *) value = number;
    }
    return error;
}

/* A list of words: of TEXTS or of EACH. */
static void
bind_texts(struct binder *b, const yaml_node_t *node,
           const struct yamlfile_field *field, void *value)
{
    struct err err;

    if (node->type != YAML_SEQUENCE_NODE) {
        COMPLAIN(b, node, "%s: expected a list such as [a, b]", field->key);
        return;
    }
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&b->doc, *i);

        if (item->type != YAML_SCALAR_NODE || is_null(item)) {
            COMPLAIN(b, item, "%s: expected a word", field->key);
        } else if (++b->n_nodes <= YAML_MAX_NODES
                   && yamlfile_set(field, text_of(item), value, &err)) {
            COMPLAIN(b, item, "%s: %s", field->key, err.text);
        }
    }
}

static void
bind_map(struct binder *b, const yaml_node_t *node,
         const struct yamlfile_field *field, struct yamlfile_map *map,
         int depth)
{
    if (node->type != YAML_MAPPING_NODE) {
        COMPLAIN(b, node, "%s: expected a mapping, NAME: {...}", field->key);
        return;
    }

    const struct yamlfile_table *table = field->table;
    size_t n = (node->data.mapping.pairs.top
                - node->data.mapping.pairs.start);
    if (n > YAML_MAX_NODES) {
        COMPLAIN(b, node, "%s: too many", field->key);
        return;
    }

    map->items = xcalloc(n + !n, table->size);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&b->doc, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&b->doc,
                                                          pair->value);
        if (key->type != YAML_SCALAR_NODE) {
            COMPLAIN(b, key, "%s: expected a name", field->key);
            continue;
        }

        bool twice = false;
        for (size_t i = 0; i < map->n; i++) {
            struct yamlfile_item *other = (void *) ((char *) map->items
                                                + i * table->size);
            if (!strcmp(other->name, text_of(key))) {
                COMPLAIN(b, key, "\"%.60s\" is here a second time; it was "
                         "first on line %d", text_of(key), other->at.line);
                twice = true;
            }
        }
        if (!twice) {
            struct yamlfile_item *item = (void *) ((char *) map->items
                                               + map->n++ * table->size);
            item->name = xstrdup(text_of(key));
            item->at.line = key->start_mark.line + 1;
            item->at.column = key->start_mark.column + 1;
            bind_struct(b, value, table, item, depth + 1);
        }
    }
}

static void
bind_field(struct binder *b, const yaml_node_t *node,
           const struct yamlfile_field *field, void *value, int depth)
{
    struct err err;

    switch (field->type) {
    case YAML_TEXTS:
    case YAML_EACH:
        bind_texts(b, node, field, value);
        break;

    case YAML_STRUCT:
        bind_struct(b, node, field->table, value, depth + 1);
        break;

    case YAML_MAP:
        bind_map(b, node, field, value, depth + 1);
        break;

    case YAML_TEXT:
    case YAML_BOOL:
    case YAML_INT:
    case YAML_SIZE:
    case YAML_DURATION:
    case YAML_RATE:
    case YAML_PERCENT:
    case YAML_CHOICE:
    case YAML_PARSED:
        if (node->type != YAML_SCALAR_NODE) {
            COMPLAIN(b, node, "%s: expected a single value", field->key);
        } else if (yamlfile_set(field, text_of(node), value, &err)) {
            COMPLAIN(b, node, "%s: %s", field->key, err.text);
        }
        break;
    }
}

static void
complain_unknown(struct binder *b, const yaml_node_t *key,
                 const struct yamlfile_table *table)
{
    const char *words[64];
    size_t n = MIN(table->n_fields, ARRAY_SIZE(words));

    for (size_t i = 0; i < n; i++) {
        words[i] = table->fields[i].key;
    }

    const char *near = nearest(text_of(key), words, n);
    if (near) {
        COMPLAIN(b, key, "%s has no key \"%.60s\"; did you mean \"%s\"?",
                 table->what, text_of(key), near);
        return;
    }

    struct ds known = DS_EMPTY_INITIALIZER;
    for (size_t i = 0; i < n; i++) {
        ds_put_format(&known, "%s%s", i ? ", " : "", words[i]);
    }
    COMPLAIN(b, key, "%s has no key \"%.60s\"; it has %s", table->what,
             text_of(key), ds_cstr(&known));
    ds_destroy(&known);
}

static const struct yamlfile_field *
find_field(const struct yamlfile_table *table, const char *key)
{
    for (size_t i = 0; i < table->n_fields; i++) {
        if (!strcmp(table->fields[i].key, key)) {
            return &table->fields[i];
        }
    }
    return NULL;
}

/* Is a mapping with one more level allowed?  Complains if not. */
static bool
admit(struct binder *b, const yaml_node_t *node,
      const struct yamlfile_table *table, int depth)
{
    if (node->type != YAML_MAPPING_NODE) {
        COMPLAIN(b, node, "%s: expected a mapping, {key: value}",
                 table->what);
        return false;
    }
    if (depth > YAML_MAX_DEPTH) {
        COMPLAIN(b, node, "nested more than %d deep", YAML_MAX_DEPTH);
        return false;
    }
    return true;
}

static void
bind_struct(struct binder *b, const yaml_node_t *node,
            const struct yamlfile_table *table, void *value, int depth)
{
    bool seen[64] = { false };

    ovs_assert(table->n_fields <= ARRAY_SIZE(seen));
    yamlfile_preset(table, value);
    if (is_null(node) ? false : !admit(b, node, table, depth)) {
        return;
    }

    const yaml_node_pair_t *pair = NULL, *end = NULL;
    if (!is_null(node)) {
        pair = node->data.mapping.pairs.start;
        end = node->data.mapping.pairs.top;
    }
    for (; pair < end; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&b->doc, pair->key);
        const yaml_node_t *child = yaml_document_get_node(&b->doc,
                                                          pair->value);
        const struct yamlfile_field *field;

        if (++b->n_nodes > YAML_MAX_NODES) {
            if (b->n_nodes == YAML_MAX_NODES + 1) {
                COMPLAIN(b, key, "more than %d nodes", YAML_MAX_NODES);
            }
            return;
        }
        if (key->type != YAML_SCALAR_NODE) {
            COMPLAIN(b, key, "%s: expected a key", table->what);
            continue;
        }
        field = find_field(table, text_of(key));
        if (!field) {
            complain_unknown(b, key, table);
        } else if (seen[field - table->fields]) {
            COMPLAIN(b, key, "\"%s\" is here a second time", field->key);
        } else if (!is_null(child)) {
            seen[field - table->fields] = true;
            bind_field(b, child, field, (char *) value + field->offset,
                       depth);
        }
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        if (table->fields[i].required && !seen[i]) {
            COMPLAIN(b, node, "%s lacks \"%s\": %s", table->what,
                     table->fields[i].key, table->fields[i].help);
        }
    }
}

static void
free_field(const struct yamlfile_field *field, void *value)
{
    if (field->type == YAML_TEXT) {
        free(*(char **) value);
    } else if (field->type == YAML_TEXTS) {
        struct yamlfile_texts *texts = value;

        for (size_t i = 0; i < texts->n; i++) {
            free(texts->items[i]);
        }
        free(texts->items);
    } else if (field->type == YAML_STRUCT) {
        yamlfile_free(field->table, value);
    } else if (field->type == YAML_MAP) {
        struct yamlfile_map *map = value;

        for (size_t i = 0; i < map->n; i++) {
            struct yamlfile_item *item = (void *) ((char *) map->items
                                               + i * field->table->size);
            free(item->name);
            yamlfile_free(field->table, item);
        }
        free(map->items);
    }
}
