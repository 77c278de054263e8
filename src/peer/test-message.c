#include <config.h>

/* The messages.  Their examples in docs/channel.md, whose name is the only
 * argument, are what is tested: so that page and code cannot drift apart. */

#include "peer/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

/* A section of the page. */
struct example {
    char name[32];
    char *text;                 /* All of the section. */
    struct json *json;
};

static const char *page;
static struct example examples[2 * N_MESSAGES];
static size_t n_examples;

static int
read_page(void **state)
{
    FILE *file = fopen(page, "r");
    struct ds text = DS_EMPTY_INITIALIZER;
    struct ds line = DS_EMPTY_INITIALIZER;
    struct example *ex = NULL;

    assert_non_null(file);
    while (!ds_get_line(&line, file)) {
        const char *s = ds_cstr(&line);
        bool heading = s[0] == '#';

        if (heading && ex) {
            ex->text = ds_steal_cstr(&text);
            ex = NULL;
        }
        if (!strncmp(s, "### `", 5)) {
            assert_true(n_examples < ARRAY_SIZE(examples));
            ex = &examples[n_examples++];
            ovs_strlcpy(ex->name, s + 5, sizeof ex->name);
            ex->name[strcspn(ex->name, "`")] = '\0';
        } else if (ex && s[0] == '{') {
            assert_null(ex->json);
            ex->json = json_from_string(s);
            assert_int_equal(ex->json->type, JSON_OBJECT);
        } else if (ex) {
            ds_put_format(&text, "%s ", s);
        }
    }
    assert_null(ex);
    ds_destroy(&line);
    ds_destroy(&text);
    fclose(file);
    return 0;
}

static int
forget_page(void **state)
{
    for (size_t i = 0; i < n_examples; i++) {
        free(examples[i].text);
        json_destroy(examples[i].json);
    }
    return 0;
}

static const struct example *
find_example(const char *name)
{
    for (size_t i = 0; i < n_examples; i++) {
        if (!strcmp(examples[i].name, name)) {
            return &examples[i];
        }
    }
    fail_msg("docs/channel.md does not explain \"%s\"", name);
    return NULL;
}

/* Takes 'body'. */
static bool
parses(const char *name, struct json *body)
{
    struct message *m = NULL;
    struct err err = ERR_INIT;
    int error = message_parse(name, body, &m, &err);

    if (error) {
        assert_int_equal(error, EBADMSG);
        assert_int_equal(err.code, EBADMSG);
        assert_true(err.text[0] != '\0');
        assert_null(m);
    } else {
        assert_non_null(m);
        assert_string_equal(message_name(m->type), name);
        message_destroy(m);
    }
    return !error;
}

static void
test_page_lists_all(void **state)
{
    for (enum message_type type = 0; type < N_MESSAGES; type++) {
        const struct example *ex = find_example(message_name(type));

        assert_non_null(ex->json);
        assert_string_equal(ex->name, examples[type].name); /* In order. */
        if (!parses(ex->name, json_deep_clone(ex->json))) {
            fail_msg("the example of \"%s\" is not valid", ex->name);
        }
    }
    assert_int_equal(n_examples, N_MESSAGES);
}

/* Something that no field of the same place in a message may be. */
static struct json *
wrong(const struct json *right, int how)
{
    switch (how) {
    case 0:
        return json_null_create();
    case 1:
        return json_real_create(1.5);
    case 2:
        return right->type == JSON_INTEGER ? json_integer_create(-1)
               : json_integer_create(7);
    case 3:
        return right->type == JSON_OBJECT ? json_array_create_empty()
               : json_object_create();
    case 4:
        return right->type == JSON_ARRAY ? json_string_create("x")
               : json_array_create_empty();
    case 5:
        return json_boolean_create(true);
    }
    return NULL;
}

/* Checks each field of 'object', which is inside 'body'. */
static void
check_fields(const struct example *ex, struct json *body,
             struct json *object)
{
    const struct shash_node **nodes = shash_sort(object->object);
    size_t n = shash_count(object->object);

    for (size_t i = 0; i < n; i++) {
        char *key = xstrdup(nodes[i]->name);
        char *mark = xasprintf("`%s` *(optional)*", key);
        struct json *value = shash_find_and_delete(object->object, key);
        bool optional = strstr(ex->text, mark);

        if (parses(ex->name, json_deep_clone(body)) != optional) {
            fail_msg("%s: \"%s\" is %soptional", ex->name, key,
                     optional ? "not " : "");
        }
        struct json *bad;
        for (int how = 0; (bad = wrong(value, how)); how++) {
            json_object_put(object, key, bad);
            if (parses(ex->name, json_deep_clone(body))) {
                fail_msg("%s: \"%s\" may be anything (%d)", ex->name, key,
                         how);
            }
            shash_find_and_delete(object->object, key);
            json_destroy(bad);
        }
        json_object_put(object, key, value);
        free(mark);
        free(key);
    }
    free(nodes);
}

static void
test_each_field(void **state)
{
    for (size_t i = 0; i < n_examples; i++) {
        struct json *body = json_deep_clone(examples[i].json);

        check_fields(&examples[i], body, body);

        const struct shash_node **nodes = shash_sort(body->object);
        size_t n = shash_count(body->object);
        for (size_t k = 0; k < n; k++) {
            struct json *list = shash_find_data(body->object,
                                                nodes[k]->name);

            for (size_t e = 0; list->type == JSON_ARRAY && e < list->array.n;
                 e++) {
                if (list->array.elems[e]->type == JSON_OBJECT) {
                    check_fields(&examples[i], body, list->array.elems[e]);
                }
            }
        }
        free(nodes);
        json_destroy(body);
    }
}

static void
test_unknown_fields_are_allowed(void **state)
{
    for (size_t i = 0; i < n_examples; i++) {
        struct json *body = json_deep_clone(examples[i].json);

        json_object_put(body, "from-the-future", json_object_create());
        assert_true(parses(examples[i].name, body));
    }
}

static void
test_what_is_no_message(void **state)
{
    assert_false(parses("grand", json_object_create()));
    assert_false(parses("", json_object_create()));
    assert_false(parses("abort", json_array_create_empty()));
    assert_false(parses("abort", json_null_create()));
    assert_false(parses("abort", json_object_create()));
}

static bool
accepts_list(const char *name, const char *key, size_t n, const char *text)
{
    struct json *body = json_deep_clone(find_example(name)->json);
    struct json *list = json_array_create_empty();
    struct json *old = shash_find_data(body->object, key);

    for (size_t i = 0; i < n; i++) {
        json_array_add(list, text ? json_string_create(text)
                       : json_deep_clone(old->array.elems[0]));
    }
    json_object_put(body, key, list);
    return parses(name, body);
}

static void
test_lists_end(void **state)
{
    assert_true(accepts_list("expect", "fences", 0, NULL));
    assert_true(accepts_list("expect", "fences", MESSAGE_MAX_LIST, NULL));
    assert_false(accepts_list("expect", "fences", MESSAGE_MAX_LIST + 1,
                              NULL));
    assert_false(accepts_list("flip", "interfaces", MESSAGE_MAX_LIST + 1,
                              NULL));
    assert_false(accepts_list("expect", "fences", 1, "x"));
    assert_true(accepts_list("hello", "features", MESSAGE_MAX_LIST, "f"));
    assert_false(accepts_list("hello", "features", MESSAGE_MAX_LIST + 1,
                              "f"));
}

static bool
accepts_addresses(const char *text)
{
    struct json *body = json_deep_clone(find_example("accept")->json);
    struct json *list = shash_find_data(body->object, "interfaces");

    json_object_put(list->array.elems[0], "mobile", json_from_string(text));
    return parses("accept", body);
}

static void
test_addresses(void **state)
{
    assert_true(accepts_addresses("[]"));
    assert_true(accepts_addresses("[\"10.0.0.1\", \"fd00::1\"]"));
    assert_false(accepts_addresses("[\"10.0.0.1\", \"10.0.0.2\"]"));
    assert_false(accepts_addresses("[\"10.0.0\"]"));
    assert_false(accepts_addresses("[\"224.0.0.1\"]"));
    assert_false(accepts_addresses("[7]"));
}

/* Building and reading. */

static void
test_builders_and_readers(void **state)
{
    struct uuid migration = { { 1, 2, 3, 4 } };
    struct generation g = { 7, 1ULL << 40, { { 5, 6, 7, 8 } } };
    struct message *m = message_create(MESSAGE_ACCEPT, &migration), *got;
    struct addr_pair mobile = { 0 };

    assert_int_equal(addr_pair_add(&mobile, "198.18.1.1", NULL), 0);
    assert_int_equal(addr_pair_add(&mobile, "2001:db8::1", NULL), 0);
    message_put_generation(m->body, &g);

    struct json *list = message_put_list(m->body, "interfaces");
    struct json *o = json_object_create();
    message_put_uuid(o, "interface", &migration);
    message_put_addrs(o, "mobile", &mobile);
    json_array_add(list, o);

    char *text = json_to_string(m->body, 0);
    assert_int_equal(message_parse("accept", json_from_string(text), &got,
                                   NULL), 0);
    free(text);

    struct uuid u = message_get_uuid(got->body, "migration");
    struct generation h = message_get_generation(got->body);
    assert_true(uuid_equals(&u, &migration));
    assert_int_equal(generation_compare(&g, &h), 0);
    const struct json_array *l = message_get_list(got->body, "interfaces");
    assert_int_equal(l->n, 1);
    struct addr_pair a = message_get_addrs(l->elems[0], "mobile");
    assert_true(addr_pair_equals(&a, &mobile));

    /* What is absent. */
    a = message_get_addrs(l->elems[0], "old");
    assert_true(addr_pair_is_none(&a));
    u = message_get_uuid(got->body, "no");
    assert_true(uuid_is_zero(&u));
    assert_string_equal(message_get_string(got->body, "no"), "");
    assert_int_equal(message_get_integer(got->body, "no"), 0);
    assert_int_equal(message_get_list(got->body, "no")->n, 0);
    assert_null(message_get_object(got->body, "no"));
    message_destroy(got);
    message_destroy(m);
    message_destroy(NULL);
}

/* The record of a VM. */

static struct json *
vm_json(void)
{
    return json_deep_clone(shash_find_data(
                               find_example("prepare")->json->object, "vm"));
}

static bool
is_vm(const struct json *json)
{
    struct vm vm = { .vcpus = 99 };
    struct err err = ERR_INIT;
    int error = message_to_vm(json, &vm, &err);

    if (error) {
        assert_int_equal(error, EBADMSG);
        assert_true(err.text[0] != '\0');
        assert_int_equal(vm.vcpus, 99); /* Untouched. */
    }
    return !error;
}

static void
test_vm_round_trip(void **state)
{
    struct json *json = vm_json(), *again;
    struct vm vm;

    assert_int_equal(message_to_vm(json, &vm, NULL), 0);
    assert_string_equal(vm.name, "web1");
    assert_int_equal(vm.n_nics, 1);
    assert_int_equal(vm.nics[0].interface.network_id, 7);
    assert_int_equal(vm.nics[0].prefix_len[ADDR_V4], 24);
    assert_int_equal(vm.nics[0].mtu, 1400);
    assert_true(addr_is_none(&vm.nics[0].router[ADDR_V6]));

    again = message_from_vm(&vm);
    assert_true(json_equal(json, again));
    json_destroy(again);
    json_destroy(json);
}

static void
check_vm_fields(struct json *vm, struct json *object)
{
    const struct shash_node **nodes = shash_sort(object->object);
    size_t n = shash_count(object->object);

    for (size_t i = 0; i < n; i++) {
        char *key = xstrdup(nodes[i]->name);
        struct json *value = shash_find_and_delete(object->object, key);
        struct json *bad;

        if (is_vm(vm)) {
            fail_msg("a VM record without \"%s\"", key);
        }
        for (int how = 0; (bad = wrong(value, how)); how++) {
            bool any_list = value->type == JSON_ARRAY && how == 4;

            json_object_put(object, key, bad);
            if (is_vm(vm) && !any_list) {
                fail_msg("VM record: \"%s\" may be anything (%d)", key, how);
            }
            shash_find_and_delete(object->object, key);
            json_destroy(bad);
        }
        json_object_put(object, key, value);
        free(key);
    }
    free(nodes);
}

static void
test_vm_fields(void **state)
{
    struct json *vm = vm_json();
    struct json *nics = shash_find_data(vm->object, "nics");

    check_vm_fields(vm, vm);
    check_vm_fields(vm, nics->array.elems[0]);
    assert_true(is_vm(vm));
    json_destroy(vm);
}

/* Puts 'value', JSON or "LONG:N" for a string of N letters, into the record
 * or, if 'in_nic', its NIC. */
static bool
accepts_in_vm(bool in_nic, const char *key, const char *value)
{
    struct json *vm = vm_json();
    struct json *nics = shash_find_data(vm->object, "nics");
    struct json *object = in_nic ? nics->array.elems[0] : vm;
    struct json *json;
    int n;

    if (sscanf(value, "LONG:%d", &n) == 1) {
        char *s = xmalloc(n + 1);

        memset(s, 'x', n);
        s[n] = '\0';
        json = json_string_create_nocopy(s);
    } else {
        char *text = xasprintf("[%s]", value);
        struct json *list = json_from_string(text);

        assert_int_equal(list->type, JSON_ARRAY);
        json = json_deep_clone(list->array.elems[0]);
        json_destroy(list);
        free(text);
    }
    json_object_put(object, key, json);

    bool ok = is_vm(vm);
    json_destroy(vm);
    return ok;
}

static void
test_vm_values(void **state)
{
    static const struct {
        bool in_nic;
        const char *key, *good, *bad;
    } rows[] = {
        { false, "uuid", "\"00000001-0000-4000-8000-0000000000c2\"",
          "\"00000001\"" },
        { false, "name", "LONG:63", "LONG:64" },
        { false, "memory_kib", "1", "0" },
        { false, "memory_kib", "1099511627776", "1099511627777" },
        { false, "vcpus", "255", "256" },
        { false, "vcpus", "1", "0" },
        { false, "image", "LONG:255", "LONG:256" },
        { false, "machine", "LONG:63", "LONG:64" },
        { false, "cpu", "LONG:63", "LONG:64" },
        { false, "nics", "[]", "[1]" },
        { true, "network_id", "16777215", "16777216" },
        { true, "network_id", "1", "0" },
        { true, "mac", "\"02:00:00:00:00:99\"", "\"03:00:00:00:00:99\"" },
        { true, "mac", "\"02:00:00:00:00:99\"", "\"02:00:00:00:99\"" },
        { true, "mac", "\"02:00:00:00:00:99\"", "LONG:18" },
        { true, "home", "[\"10.1.1.1\"]", "[\"10.1.1.1\", \"10.1.1.2\"]" },
        { true, "home", "[]", "[\"ff02::1\"]" },
        { true, "inside", "[\"fd00::1\"]", "[\"fd00::1::\"]" },
        { true, "router", "[]", "[3]" },
        { true, "prefix4", "32", "33" },
        { true, "prefix6", "128", "129" },
        { true, "mtu", "65535", "65536" },
        { true, "mtu", "576", "575" },
        { true, "pci", "LONG:15", "LONG:16" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!accepts_in_vm(rows[i].in_nic, rows[i].key, rows[i].good)) {
            fail_msg("%s: %s is good", rows[i].key, rows[i].good);
        }
        if (accepts_in_vm(rows[i].in_nic, rows[i].key, rows[i].bad)) {
            fail_msg("%s: %s is bad", rows[i].key, rows[i].bad);
        }
    }
}

static void
test_vm_nics_end(void **state)
{
    struct json *vm = vm_json();
    struct json *nics = shash_find_data(vm->object, "nics");

    while (nics->array.n < VM_MAX_NICS) {
        json_array_add(nics, json_deep_clone(nics->array.elems[0]));
    }
    assert_true(is_vm(vm));
    json_array_add(nics, json_deep_clone(nics->array.elems[0]));
    assert_false(is_vm(vm));
    json_destroy(vm);
}

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_lists_all),
        cmocka_unit_test(test_each_field),
        cmocka_unit_test(test_unknown_fields_are_allowed),
        cmocka_unit_test(test_what_is_no_message),
        cmocka_unit_test(test_lists_end),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_builders_and_readers),
        cmocka_unit_test(test_vm_round_trip),
        cmocka_unit_test(test_vm_fields),
        cmocka_unit_test(test_vm_values),
        cmocka_unit_test(test_vm_nics_end),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: %s docs/channel.md\n", argv[0]);
        return 2;
    }
    page = argv[1];
    return cmocka_run_group_tests(tests, read_page, forget_page);
}
