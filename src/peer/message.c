#include <config.h>

#include "peer/message.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/shash.h"
#include "util.h"
#include "uuid.h"

enum field_type { F_UUID, F_STRING, F_INTEGER, F_OBJECT, F_ADDRS, F_LIST,
                  F_TEXTS };

/* A field of an object.  For F_LIST, 'of' describes each element; fields of
 * an object that no row names are allowed, because a newer agent may send
 * them. */
struct field {
    const char *key;
    enum field_type type;
    bool optional;
    const struct field *of;
};

#define GENERATION_FIELDS \
    { "epoch", F_INTEGER }, { "counter", F_INTEGER }, { "host", F_UUID }

static const struct field interface_fields[] = {
    { "interface", F_UUID }, { "mobile", F_ADDRS },
    { "old", F_ADDRS, .optional = true }, { NULL },
};

static const struct field fence_fields[] = {
    { "from", F_UUID }, { "to", F_UUID },
    { "delay_ms", F_INTEGER, .optional = true }, { NULL },
};

static const struct field hello_fields[] = {
    { "version", F_INTEGER }, { "oldest", F_INTEGER },
    { "features", F_TEXTS }, { "host", F_UUID }, { "name", F_STRING },
    { "boot", F_UUID }, { "frames_port", F_INTEGER }, { NULL },
};
static const struct field ping_fields[] = {
    { "sent_us", F_INTEGER }, { NULL },
};
static const struct field pong_fields[] = {
    { "sent_us", F_INTEGER }, { "clock_us", F_INTEGER }, { NULL },
};
static const struct field migration_fields[] = {
    { "migration", F_UUID }, { NULL },
};
static const struct field prepare_fields[] = {
    { "migration", F_UUID }, { "vm", F_OBJECT }, GENERATION_FIELDS, { NULL },
};
static const struct field prepared_fields[] = {
    { "migration", F_UUID }, { "uri", F_STRING },
    { "ticket", F_STRING, .optional = true },
    { "interfaces", F_LIST, .of = interface_fields }, { NULL },
};
static const struct field declined_fields[] = {
    { "migration", F_UUID }, { "code", F_INTEGER }, { "text", F_STRING },
    { NULL },
};
static const struct field accept_fields[] = {
    { "migration", F_UUID }, GENERATION_FIELDS,
    { "interfaces", F_LIST, .of = interface_fields }, { NULL },
};
static const struct field expect_fields[] = {
    { "migration", F_UUID }, { "fences", F_LIST, .of = fence_fields },
    { NULL },
};
static const struct field flip_fields[] = {
    { "migration", F_UUID }, GENERATION_FIELDS,
    { "interfaces", F_LIST, .of = interface_fields },
    { "fences", F_LIST, .of = fence_fields }, { NULL },
};
static const struct field grant_fields[] = {
    { "migration", F_UUID }, GENERATION_FIELDS,
    { "relayed", F_INTEGER, .optional = true }, { NULL },
};
static const struct field running_fields[] = {
    { "migration", F_UUID }, { "resumed_us", F_INTEGER }, { NULL },
};
static const struct field refused_fields[] = {
    { "migration", F_UUID }, { "text", F_STRING }, { NULL },
};
static const struct field settled_fields[] = {
    { "migration", F_UUID }, { "relayed", F_INTEGER },
    { "held", F_INTEGER }, { "fences", F_INTEGER },
    { "missed", F_INTEGER },
    { "granted", F_INTEGER, .optional = true }, { NULL },
};
static const struct field aborted_fields[] = {
    { "migration", F_UUID },
    { "returned", F_INTEGER, .optional = true }, { NULL },
};

static const struct {
    const char *name;
    const struct field *fields;
} types[N_MESSAGES] = {
    [MESSAGE_HELLO] = { "hello", hello_fields },
    [MESSAGE_PING] = { "ping", ping_fields },
    [MESSAGE_PONG] = { "pong", pong_fields },
    [MESSAGE_PREPARE] = { "prepare", prepare_fields },
    [MESSAGE_PREPARED] = { "prepared", prepared_fields },
    [MESSAGE_DECLINED] = { "declined", declined_fields },
    [MESSAGE_ACCEPT] = { "accept", accept_fields },
    [MESSAGE_ACCEPTED] = { "accepted", migration_fields },
    [MESSAGE_EXPECT] = { "expect", expect_fields },
    [MESSAGE_FLIP] = { "flip", flip_fields },
    [MESSAGE_FORGET] = { "forget", accept_fields },
    [MESSAGE_GRANT] = { "grant", grant_fields },
    [MESSAGE_RUNNING] = { "running", running_fields },
    [MESSAGE_REFUSED] = { "refused", refused_fields },
    [MESSAGE_SETTLED] = { "settled", settled_fields },
    [MESSAGE_ABORT] = { "abort", migration_fields },
    [MESSAGE_ABORTED] = { "aborted", aborted_fields },
};

static int check_object(const struct json *, const struct field *,
                        struct err *);
static int check_field(const struct json *, const struct field *,
                       struct err *);

const char *
message_name(enum message_type type)
{
    return types[type].name;
}

struct message *
message_create(enum message_type type, const struct uuid *migration)
{
    struct message *m = xzalloc(sizeof *m);

    m->type = type;
    m->body = json_object_create();
    if (migration) {
        message_put_uuid(m->body, "migration", migration);
    }
    return m;
}

void
message_destroy(struct message *m)
{
    if (m) {
        json_destroy(m->body);
        free(m);
    }
}

int
message_parse(const char *name, struct json *body, struct message **mp,
              struct err *err)
{
    for (enum message_type type = 0; type < N_MESSAGES; type++) {
        if (strcmp(name, types[type].name)) {
            continue;
        }

        int error = check_object(body, types[type].fields, err);
        if (error) {
            json_destroy(body);
            return err_add(err, error, "message \"%s\"", name);
        }
        *mp = xzalloc(sizeof **mp);
        (*mp)->type = type;
        (*mp)->body = body;
        return 0;
    }
    json_destroy(body);
    return err_set(err, EBADMSG, "unknown message \"%.32s\"", name);
}

static int
check_object(const struct json *json, const struct field *fields,
             struct err *err)
{
    if (!json || json->type != JSON_OBJECT) {
        return err_set(err, EBADMSG, "not an object");
    }
    for (const struct field *f = fields; f->key; f++) {
        const struct json *value = shash_find_data(json->object, f->key);

        if (!value && !f->optional) {
            return err_set(err, EBADMSG, "\"%s\" is missing", f->key);
        }
        int error = value ? check_field(value, f, err) : 0;
        if (error) {
            return err_add(err, error, "\"%s\"", f->key);
        }
    }
    return 0;
}

static int
check_list(const struct json *json, const struct field *f, struct err *err)
{
    if (json->type != JSON_ARRAY || json->array.n > MESSAGE_MAX_LIST) {
        return err_set(err, EBADMSG, "not a list of at most %d elements",
                       MESSAGE_MAX_LIST);
    }

    struct addr_pair pair = { 0 };
    for (size_t i = 0; i < json->array.n; i++) {
        const struct json *elem = json->array.elems[i];
        int error;

        if (f->type == F_LIST) {
            error = check_object(elem, f->of, err);
        } else if (elem->type != JSON_STRING) {
            error = err_set(err, EBADMSG, "element is not a string");
        } else {
            error = (f->type == F_ADDRS
                     && addr_pair_add(&pair, json_string(elem), err)
                     ? EBADMSG : 0);
        }
        if (error) {
            return error;
        }
    }
    return 0;
}

static int
check_field(const struct json *json, const struct field *f, struct err *err)
{
    struct uuid uuid;

    switch (f->type) {
    case F_UUID:
        return (json->type == JSON_STRING
                && uuid_from_string(&uuid, json_string(json))
                ? 0 : err_set(err, EBADMSG, "not a UUID"));
    case F_STRING:
        return (json->type == JSON_STRING
                ? 0 : err_set(err, EBADMSG, "not a string"));
    case F_INTEGER:
        return (json->type == JSON_INTEGER && json_integer(json) >= 0
                ? 0 : err_set(err, EBADMSG, "not a natural number"));
    case F_OBJECT:
        return (json->type == JSON_OBJECT
                ? 0 : err_set(err, EBADMSG, "not an object"));
    case F_ADDRS:
    case F_LIST:
    case F_TEXTS:
        return check_list(json, f, err);
    }
    OVS_NOT_REACHED();
}

void
message_put_uuid(struct json *object, const char *key,
                 const struct uuid *uuid)
{
    json_object_put_nocopy(object, xstrdup(key),
                           json_string_create_nocopy(
                               xasprintf(UUID_FMT, UUID_ARGS(uuid))));
}

void
message_put_addrs(struct json *object, const char *key,
                  const struct addr_pair *pair)
{
    struct json *list = message_put_list(object, key);

    ADDR_FOR_EACH_FAMILY (family) {
        char buf[ADDR_STRLEN];

        if (!addr_is_none(&pair->of[family])) {
            json_array_add(list, json_string_create(
                               addr_format(&pair->of[family], buf)));
        }
    }
}

void
message_put_generation(struct json *object, const struct generation *g)
{
    json_object_put(object, "epoch", json_integer_create(g->epoch));
    json_object_put(object, "counter", json_integer_create(g->counter));
    message_put_uuid(object, "host", &g->host);
}

struct json *
message_put_list(struct json *object, const char *key)
{
    struct json *list = json_array_create_empty();

    json_object_put(object, key, list);
    return list;
}

static const struct json *
get(const struct json *object, const char *key)
{
    return shash_find_data(object->object, key);
}

struct uuid
message_get_uuid(const struct json *object, const char *key)
{
    const struct json *value = get(object, key);
    struct uuid uuid = UUID_ZERO;

    if (value) {
        ovs_assert(uuid_from_string(&uuid, json_string(value)));
    }
    return uuid;
}

struct addr_pair
message_get_addrs(const struct json *object, const char *key)
{
    const struct json *value = get(object, key);
    struct addr_pair pair = { 0 };

    for (size_t i = 0; value && i < value->array.n; i++) {
        addr_pair_add(&pair, json_string(value->array.elems[i]), NULL);
    }
    return pair;
}

struct generation
message_get_generation(const struct json *object)
{
    return (struct generation) {
        .epoch = message_get_integer(object, "epoch"),
        .counter = message_get_integer(object, "counter"),
        .host = message_get_uuid(object, "host"),
    };
}

const char *
message_get_string(const struct json *object, const char *key)
{
    const struct json *value = get(object, key);

    return value ? json_string(value) : "";
}

long long
message_get_integer(const struct json *object, const char *key)
{
    const struct json *value = get(object, key);

    return value ? json_integer(value) : 0;
}

bool
message_has(const struct json *object, const char *key)
{
    return get(object, key) != NULL;
}

const struct json *
message_get_object(const struct json *object, const char *key)
{
    return get(object, key);
}

const struct json_array *
message_get_list(const struct json *object, const char *key)
{
    static const struct json_array empty = { 0 };
    const struct json *value = get(object, key);

    return value ? &value->array : &empty;
}
