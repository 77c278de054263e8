#include <config.h>
#include "bench/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-get.h"
#include "base/text-table.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

void
document_init(struct document *d, const char *bench)
{
    d->bench = xstrdup(bench);
    d->machine = json_object_create();
    d->rows = json_array_create_empty();
    d->summary = json_array_create_empty();
    d->checks = json_array_create_empty();
}

void
document_finish(struct document *d)
{
    free(d->bench);
    json_destroy(d->machine);
    json_destroy(d->rows);
    json_destroy(d->summary);
    json_destroy(d->checks);
}

static double
round_to_thousandths(double value)
{
    return round(value * 1000) / 1000;
}

void
document_put_number(struct json *object, const char *name, double value)
{
    json_object_put(object, name,
                    json_real_create(round_to_thousandths(value)));
}

static bool
holds(double value, const char *relation, double bar)
{
    if (!strcmp(relation, "<=")) {
        return value <= bar;
    } else if (!strcmp(relation, "<")) {
        return value < bar;
    } else if (!strcmp(relation, ">=")) {
        return value >= bar;
    } else if (!strcmp(relation, ">")) {
        return value > bar;
    } else if (!strcmp(relation, "==")) {
        return value == bar;
    }
    OVS_NOT_REACHED();
}

static struct json *
begin_check(const char *name, const char *unit, const char *relation,
            double bar)
{
    struct json *check = json_object_create();

    json_object_put_string(check, "name", name);
    json_object_put_string(check, "unit", unit);
    json_object_put_string(check, "relation", relation);
    document_put_number(check, "bar", bar);
    return check;
}

void
document_check(struct document *d, const char *name, double value,
               const char *unit, const char *relation, double bar)
{
    struct json *check = begin_check(name, unit, relation, bar);

    value = round_to_thousandths(value);
    bar = round_to_thousandths(bar);
    document_put_number(check, "value", value);
    json_object_put(check, "ok",
                    json_boolean_create(holds(value, relation, bar)));
    json_array_add(d->checks, check);
}

void
document_check_missing(struct document *d, const char *name,
                       const char *unit, const char *relation, double bar,
                       const char *why)
{
    struct json *check = begin_check(name, unit, relation, bar);

    json_object_put(check, "value", json_null_create());
    json_object_put(check, "ok", json_boolean_create(false));
    json_object_put_string(check, "why", why);
    json_array_add(d->checks, check);
}

bool
document_ok(const struct document *d)
{
    size_t n = json_length(d->checks);

    for (size_t i = 0; i < n; i++) {
        if (!json_get_bool(json_at(d->checks, i), "ok")) {
            return false;
        }
    }
    return n > 0;
}

struct json *
document_to_json(const struct document *d)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "bench", d->bench);
    json_object_put(json, "machine", json_deep_clone(d->machine));
    json_object_put(json, "rows", json_deep_clone(d->rows));
    json_object_put(json, "summary", json_deep_clone(d->summary));
    json_object_put(json, "checks", json_deep_clone(d->checks));
    return json;
}

static const char *
member_text(const struct json *object, const char *name, char buf[64])
{
    const struct json *member = json_get(object, name);
    const char *text = json_get_string(object, name);

    if (text) {
        return text;
    }
    if (!member || member->type == JSON_NULL) {
        return NULL;
    }
    snprintf(buf, 64, "%g", json_get_number(object, name, 0));
    return buf;
}

/* A table of 'objects' with the given columns, which end with a null. */
static void
print_table(const struct json *objects, const char *const *columns,
            size_t n_columns, FILE *out)
{
    struct text_table *table = text_table_create(n_columns);
    struct ds text = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < n_columns; i++) {
        text_table_put(table, columns[i]);
    }
    for (size_t i = 0; i < json_length(objects); i++) {
        const struct json *object = json_at(objects, i);

        for (size_t j = 0; j < n_columns; j++) {
            char buf[64];
            bool is_ok = !strcmp(columns[j], "ok");

            text_table_put(table, is_ok
                           ? json_get_bool(object, "ok") ? "ok" : "FAILED"
                           : member_text(object, columns[j], buf));
        }
    }
    text_table_format(table, &text);
    fputs(ds_cstr(&text), out);
    ds_destroy(&text);
    text_table_destroy(table);
}

void
document_print(const struct document *d, FILE *out)
{
    static const char *const summary[] = {
        "row", "scheme", "figure", "n", "median", "p99", "max", "total",
        "low", "high", "unit"
    };
    static const char *const check[] = {
        "name", "value", "unit", "relation", "bar", "ok", "why"
    };

    if (json_length(d->summary)) {
        print_table(d->summary, summary, ARRAY_SIZE(summary), out);
        fputc('\n', out);
    }
    print_table(d->checks, check, ARRAY_SIZE(check), out);
}
