#include <config.h>

#include "api/fields.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"

#include "base/problems.h"
#include "core/vm.h"

static const char *const type_names[] = {
    [FIELD_STRING] = "a string",
    [FIELD_NAME] = "a name: letters, digits, '.', '_', '-', at most 63, not "
                   "a sign first",
    [FIELD_INTEGER] = "an integer",
    [FIELD_BOOLEAN] = "true or false",
    [FIELD_SIZE] = "a size, such as 256M",
    [FIELD_LIST] = "a list",
    [FIELD_STRINGS] = "a string or a list of strings",
    [FIELD_OBJECT] = "an object",
    [FIELD_MAP] = "an object of objects",
    [FIELD_ANY] = "anything",
};

bool
fields_is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                      "0123456789._-");

    return n && n <= NAME_LEN && !s[n] && isalnum((unsigned char) s[0]);
}

static bool
parse_integer(const struct json *json, long long *out)
{
    if (json->type == JSON_INTEGER) {
        *out = json_integer(json);
        return true;
    }
    if (json->type == JSON_STRING) {
        const char *s = json_string(json);
        char *end;

        errno = 0;
        long long value = strtoll(s, &end, 10);
        if (*s && !isspace((unsigned char) *s) && !*end && !errno) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool
parse_size(const struct json *json, uint64_t *kib)
{
    static const struct {
        const char *unit;
        uint64_t kib;
    } units[] = {
        { "", 1024 }, { "K", 1 }, { "KiB", 1 }, { "k", 1 }, { "M", 1024 },
        { "MiB", 1024 }, { "m", 1024 }, { "G", 1024 * 1024 },
        { "GiB", 1024 * 1024 }, { "g", 1024 * 1024 },
    };
    long long value;
    char *end = "";

    if (json->type == JSON_STRING) {
        const char *s = json_string(json);

        if (!isdigit((unsigned char) *s)) {
            return false;
        }
        errno = 0;
        value = strtoll(s, &end, 10);
        if (errno) {
            return false;
        }
    } else if (!parse_integer(json, &value)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (!strcmp(end, units[i].unit)) {
            bool ok = value > 0 && value <= INT64_MAX / (1 << 30);

            *kib = ok ? value * units[i].kib : 0;
            return ok;
        }
    }
    return false;
}

static bool
is_list_of_strings(const struct json *json)
{
    if (json->type != JSON_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < json_array(json)->n; i++) {
        if (json_array(json)->elems[i]->type != JSON_STRING) {
            return false;
        }
    }
    return true;
}

static bool
type_matches(const struct field *field, const struct json *json)
{
    long long integer;
    uint64_t size;

    switch (field->type) {
    case FIELD_STRING:
        return json->type == JSON_STRING;
    case FIELD_NAME:
        return json->type == JSON_STRING && fields_is_name(json_string(json));
    case FIELD_INTEGER:
        return parse_integer(json, &integer);
    case FIELD_BOOLEAN:
        return json->type == JSON_TRUE || json->type == JSON_FALSE;
    case FIELD_SIZE:
        return parse_size(json, &size);
    case FIELD_LIST:
        return json->type == JSON_ARRAY;
    case FIELD_STRINGS:
        return json->type == JSON_STRING || is_list_of_strings(json);
    case FIELD_OBJECT:
    case FIELD_MAP:
        return json->type == JSON_OBJECT;
    case FIELD_ANY:
        return true;
    }
    OVS_NOT_REACHED();
}

/* 'where' and 'name' with a full stop between them, except at the top. */
static char *
place(const char *where, const char *name)
{
    return xasprintf("%s%s%.80s", where, where[0] ? "." : "", name);
}

static void check_member(const struct field *, const struct json *,
                         const char *where, struct problems *);

bool
fields_check(const struct field fields[], const struct json *object,
             const char *where, struct problems *problems)
{
    const struct shash_node *node;

    if (!object || object->type != JSON_OBJECT) {
        problems_add(problems, "%s: must be an object",
                     where[0] ? where : "the request");
        return false;
    }

    const struct shash_node **sorted = shash_sort(json_object(object));
    for (size_t i = 0; i < shash_count(json_object(object)); i++) {
        const struct field *field = fields;

        node = sorted[i];
        while (field->name && strcmp(field->name, node->name)) {
            field++;
        }
        char *at = place(where, node->name);
        if (field->name) {
            check_member(field, node->data, at, problems);
        } else {
            problems_add(problems, "%s: is not known here", at);
        }
        free(at);
    }
    free(sorted);

    for (const struct field *field = fields; field->name; field++) {
        if (field->required && !fields_find(object, field->name)) {
            char *at = place(where, field->name);

            problems_add(problems, "%s: is missing (%s)", at, field->help);
            free(at);
        }
    }
    return true;
}

static void
check_map(const struct field *field, const struct json *map,
          const char *where, struct problems *problems)
{
    const struct shash_node **sorted = shash_sort(json_object(map));

    for (size_t i = 0; i < shash_count(json_object(map)); i++) {
        char *at = place(where, sorted[i]->name);

        if (!fields_is_name(sorted[i]->name)) {
            problems_add(problems, "%s: its name must be %s", at,
                         type_names[FIELD_NAME]);
        }
        if (field->members) {
            fields_check(field->members, sorted[i]->data, at, problems);
        }
        free(at);
    }
    free(sorted);
}

static void
check_member(const struct field *field, const struct json *json,
             const char *where, struct problems *problems)
{
    long long value;

    if (json->type == JSON_NULL && !field->required) {
        return;
    }
    if (!type_matches(field, json)) {
        problems_add(problems, "%s: must be %s", where,
                     type_names[field->type]);
        return;
    }
    switch (field->type) {
    case FIELD_INTEGER:
        if (field->max && parse_integer(json, &value)
            && (value < field->min || value > field->max)) {
            problems_add(problems, "%s: must be between %lld and %lld",
                         where, field->min, field->max);
        }
        break;

    case FIELD_MAP:
        check_map(field, json, where, problems);
        break;

    case FIELD_OBJECT:
        if (field->members) {
            fields_check(field->members, json, where, problems);
        }
        break;

    case FIELD_LIST:
        for (size_t i = 0; field->members && i < json_array(json)->n; i++) {
            char *at = xasprintf("%s[%"PRIuSIZE"]", where, i);

            fields_check(field->members, json_array(json)->elems[i], at,
                         problems);
            free(at);
        }
        break;

    case FIELD_STRING:
    case FIELD_NAME:
    case FIELD_BOOLEAN:
    case FIELD_SIZE:
    case FIELD_STRINGS:
    case FIELD_ANY:
        break;
    }
}

const struct json *
fields_find(const struct json *object, const char *name)
{
    const struct json *json
        = (object && object->type == JSON_OBJECT
           ? shash_find_data(json_object(object), name) : NULL);

    return json && json->type != JSON_NULL ? json : NULL;
}

const char *
fields_string(const struct json *object, const char *name)
{
    const struct json *json = fields_find(object, name);

    return json && json->type == JSON_STRING ? json_string(json) : NULL;
}

bool
fields_integer(const struct json *object, const char *name, long long *out)
{
    const struct json *json = fields_find(object, name);

    return json && parse_integer(json, out);
}

bool
fields_boolean(const struct json *object, const char *name)
{
    const struct json *json = fields_find(object, name);

    return json && json->type == JSON_TRUE;
}

bool
fields_size(const struct json *object, const char *name, uint64_t *kib)
{
    const struct json *json = fields_find(object, name);

    return json && parse_size(json, kib);
}

const char *
fields_nth_string(const struct json *object, const char *name, size_t n)
{
    const struct json *json = fields_find(object, name);

    if (json && json->type == JSON_STRING && !n) {
        return json_string(json);
    }
    if (json && json->type == JSON_ARRAY && n < json_array(json)->n) {
        json = json_array(json)->elems[n];
        return json->type == JSON_STRING ? json_string(json) : NULL;
    }
    return NULL;
}

bool
fields_depth_is_at_most(const struct json *json, unsigned int max)
{
    if (json->type == JSON_OBJECT) {
        const struct shash_node *node;

        SHASH_FOR_EACH (node, json_object(json)) {
            if (!max || !fields_depth_is_at_most(node->data, max - 1)) {
                return false;
            }
        }
    } else if (json->type == JSON_ARRAY) {
        for (size_t i = 0; i < json_array(json)->n; i++) {
            if (!max || !fields_depth_is_at_most(json_array(json)->elems[i],
                                                 max - 1)) {
                return false;
            }
        }
    }
    return true;
}

static struct json *
type_to_schema(const struct field *field)
{
    struct json *schema = json_object_create();

    switch (field->type) {
    case FIELD_NAME:
        json_object_put_string(schema, "pattern",
                               "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
        /* Fall through. */
    case FIELD_STRING:
    case FIELD_SIZE:
        json_object_put_string(schema, "type", "string");
        break;
    case FIELD_INTEGER:
        json_object_put_string(schema, "type", "integer");
        if (field->max) {
            json_object_put(schema, "minimum",
                            json_integer_create(field->min));
            json_object_put(schema, "maximum",
                            json_integer_create(field->max));
        }
        break;
    case FIELD_BOOLEAN:
        json_object_put_string(schema, "type", "boolean");
        break;
    case FIELD_LIST:
    case FIELD_STRINGS:
        json_object_put_string(schema, "type", "array");
        struct json *items = (field->members
                              ? fields_to_schema(field->members)
                              : json_object_create());
        if (field->type == FIELD_STRINGS) {
            json_object_put_string(items, "type", "string");
        }
        json_object_put(schema, "items", items);
        break;
    case FIELD_OBJECT:
        json_destroy(schema);
        return (field->members ? fields_to_schema(field->members)
                : json_object_create());
    case FIELD_MAP:
        json_object_put_string(schema, "type", "object");
        if (field->members) {
            json_object_put(schema, "additionalProperties",
                            fields_to_schema(field->members));
        }
        break;
    case FIELD_ANY:
        break;
    }
    return schema;
}

struct json *
fields_to_schema(const struct field fields[])
{
    struct json *schema = json_object_create();
    struct json *properties = json_object_create();
    struct json *required = json_array_create_empty();

    for (const struct field *field = fields; field->name; field++) {
        struct json *member = type_to_schema(field);

        json_object_put_string(member, "description", field->help);
        json_object_put(properties, field->name, member);
        if (field->required) {
            json_array_add(required, json_string_create(field->name));
        }
    }
    json_object_put_string(schema, "type", "object");
    json_object_put(schema, "properties", properties);
    json_object_put(schema, "additionalProperties",
                    json_boolean_create(false));
    if (json_array(required)->n) {
        json_object_put(schema, "required", required);
    } else {
        json_destroy(required);
    }
    return schema;
}
