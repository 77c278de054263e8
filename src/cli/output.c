#include <config.h>

#include "cli/output.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"
#include "base/text-table.h"

static void put_yaml(struct ds *, const struct json *, int indent);

/* Members that are times, in ms since 1970. */
static bool
is_time(const char *name)
{
    return (!strcmp(name, "time") || !strcmp(name, "created")
            || !strcmp(name, "finished"));
}

static char *
format_time(long long ms)
{
    time_t seconds = ms / 1000;
    struct tm tm;
    char text[32];

    if (!ms) {
        return xstrdup("");
    }
    localtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    return xasprintf("%s.%03d", text, (int) (ms % 1000));
}

char *
output_cell(const char *name, const struct json *json)
{
    if (!json || json->type == JSON_NULL) {
        return xstrdup("");
    }
    if (json->type == JSON_STRING) {
        return xstrdup(json_string(json));
    }
    if (json->type == JSON_INTEGER && is_time(name)) {
        return format_time(json_integer(json));
    }
    if (json->type == JSON_REAL) {
        return xasprintf("%.2f", json_real(json));
    }
    if (json->type == JSON_TRUE || json->type == JSON_FALSE) {
        return xstrdup(json->type == JSON_TRUE ? "yes" : "no");
    }
    if (json->type == JSON_ARRAY) {
        struct ds ds = DS_EMPTY_INITIALIZER;

        for (size_t i = 0; i < json_length(json); i++) {
            char *cell = output_cell(name, json_at(json, i));
            ds_put_format(&ds, "%s%s", i ? " " : "", cell);
            free(cell);
        }
        return ds_steal_cstr(&ds);
    }
    return json_to_string(json, JSSF_SORT);
}

/* Does any element of 'array' have a member 'name' that is not empty? */
static bool
is_used(const struct json *array, const char *name)
{
    for (size_t i = 0; i < json_length(array); i++) {
        const struct json *member = json_get(json_at(array, i), name);

        if (member && member->type != JSON_NULL) {
            return true;
        }
    }
    return !json_length(array);
}

static void
put_table(struct ds *ds, const struct json *array, const char *const *columns)
{
    const char *used[32];
    size_t n = 0;

    for (; *columns && n < ARRAY_SIZE(used); columns++) {
        if (is_used(array, *columns)) {
            used[n++] = *columns;
        }
    }
    if (!n) {
        return;
    }

    struct text_table *table = text_table_create(n);
    for (size_t j = 0; j < n; j++) {
        char *heading = xstrdup(used[j]);
        for (char *p = heading; *p; p++) {
            *p = *p == '_' ? '-' : toupper((unsigned char) *p);
        }
        text_table_put(table, heading);
        free(heading);
    }
    for (size_t i = 0; i < json_length(array); i++) {
        for (size_t j = 0; j < n; j++) {
            const struct json *member = json_get(json_at(array, i), used[j]);
            char *cell = output_cell(used[j], member);

            if (member && !is_time(used[j])
                && (member->type == JSON_INTEGER
                    || member->type == JSON_REAL)) {
                text_table_align_right(table, j);
            }
            text_table_put(table, cell);
            free(cell);
        }
    }
    text_table_format(table, ds);
    text_table_destroy(table);
}

static void
put_lines(struct ds *ds, const struct json *object)
{
    const struct shash_node **nodes = shash_sort(json_object(object));
    struct text_table *table = text_table_create(2);

    for (size_t i = 0; i < shash_count(json_object(object)); i++) {
        char *cell = output_cell(nodes[i]->name, nodes[i]->data);
        text_table_put(table, nodes[i]->name);
        text_table_put(table, cell);
        free(cell);
    }
    text_table_format(table, ds);
    text_table_destroy(table);
    free(nodes);
}

/* JSON's scalars are YAML's, if strings are quoted. */
static void
put_yaml_scalar(struct ds *ds, const struct json *json)
{
    json_to_ds(json, 0, ds);
    ds_put_char(ds, '\n');
}

static bool
is_nested(const struct json *json)
{
    return ((json->type == JSON_OBJECT && shash_count(json_object(json)))
            || (json->type == JSON_ARRAY && json_length(json)));
}

static void
put_yaml_object(struct ds *ds, const struct json *json, int indent)
{
    const struct shash_node **nodes = shash_sort(json_object(json));

    for (size_t i = 0; i < shash_count(json_object(json)); i++) {
        const struct json *member = nodes[i]->data;

        /* The first line continues the one of a list's dash. */
        if (i) {
            ds_put_char_multiple(ds, ' ', indent);
        }
        ds_put_format(ds, "%s:", nodes[i]->name);
        if (is_nested(member)) {
            ds_put_char(ds, '\n');
            ds_put_char_multiple(ds, ' ', indent + 2);
            put_yaml(ds, member, indent + 2);
        } else {
            ds_put_char(ds, ' ');
            put_yaml_scalar(ds, member);
        }
    }
    free(nodes);
}

/* The cursor is behind 'indent' spaces. */
static void
put_yaml(struct ds *ds, const struct json *json, int indent)
{
    if (!is_nested(json)) {
        put_yaml_scalar(ds, json);
    } else if (json->type == JSON_OBJECT) {
        put_yaml_object(ds, json, indent);
    } else {
        for (size_t i = 0; i < json_length(json); i++) {
            if (i) {
                ds_put_char_multiple(ds, ' ', indent);
            }
            ds_put_cstr(ds, "- ");
            put_yaml(ds, json_at(json, i), indent + 2);
        }
    }
}

void
output_list(const struct invocation *in, const struct json *array,
            const char *const *columns)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    switch (in->format) {
    case FORMAT_TABLE:
        put_table(&ds, array, columns);
        break;
    case FORMAT_JSON:
        json_to_ds(array, JSSF_PRETTY | JSSF_SORT, &ds);
        ds_put_char(&ds, '\n');
        break;
    case FORMAT_YAML:
        put_yaml(&ds, array, 0);
        break;
    }
    fputs(ds_cstr(&ds), stdout);
    ds_destroy(&ds);
}

void
output_object(const struct invocation *in, const struct json *object)
{
    static const char *const none[] = { NULL };
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (in->format == FORMAT_TABLE && object->type == JSON_OBJECT) {
        put_lines(&ds, object);
        fputs(ds_cstr(&ds), stdout);
    } else {
        output_list(in, object, none);
    }
    ds_destroy(&ds);
}
