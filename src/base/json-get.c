#include <config.h>

#include "base/json-get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/shash.h"

const struct json *
json_get(const struct json *json, const char *name)
{
    return (json && json->type == JSON_OBJECT
            ? shash_find_data(json->object, name) : NULL);
}

const char *
json_get_string(const struct json *json, const char *name)
{
    const struct json *member = json_get(json, name);

    return (member && member->type == JSON_STRING ? json_string(member)
            : NULL);
}

double
json_get_number(const struct json *json, const char *name, double preset)
{
    const struct json *member = json_get(json, name);

    if (!member) {
        return preset;
    }
    if (member->type == JSON_INTEGER) {
        return json_integer(member);
    }
    if (member->type == JSON_REAL) {
        return json_real(member);
    }
    if (member->type == JSON_STRING) {
        char *end;
        double value = strtod(json_string(member), &end);
        if (end != json_string(member) && !*end) {
            return value;
        }
    }
    return preset;
}

bool
json_get_bool(const struct json *json, const char *name)
{
    const struct json *member = json_get(json, name);

    return member && member->type == JSON_TRUE;
}

size_t
json_length(const struct json *json)
{
    return json && json->type == JSON_ARRAY ? json_array(json)->n : 0;
}

const struct json *
json_at(const struct json *json, size_t i)
{
    return json_array(json)->elems[i];
}

int
json_parse(const char *text, size_t len, struct json **jsonp, struct err *err)
{
    struct json_parser *parser = json_parser_create(JSPF_TRAILER);
    size_t used = json_parser_feed(parser, text, len);
    struct json *json = json_parser_finish(parser);

    if (json->type == JSON_STRING) {        /* That is how it says so. */
        err_set(err, EINVAL, "not JSON: %s", json_string(json));
        json_destroy(json);
        return EINVAL;
    }
    if (used != len && strspn(text + used, " \t\r\n") < len - used) {
        json_destroy(json);
        return err_set(err, EINVAL, "not JSON: more text behind it");
    }
    *jsonp = json;
    return 0;
}
