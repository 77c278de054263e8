#include <config.h>

#include "base/yamlfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/nearest.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

struct pet {
    struct yamlfile_item item;
    uint64_t size, age;
    int kind;
};

static const char *const kinds[] = { "cat", "dog", NULL };
static const struct yamlfile_field pet_fields[] = {
    { "size", YAML_SIZE, offsetof(struct pet, size), .preset = "1K" },
    { "age", YAML_DURATION, offsetof(struct pet, age), .max = 1000000 },
    { "kind", YAML_CHOICE, offsetof(struct pet, kind), .required = true,
      .choices = kinds, .help = "what it is" },
};
static const struct yamlfile_table pet_table = {
    "a pet", pet_fields, ARRAY_SIZE(pet_fields), sizeof(struct pet)
};

struct home {
    char *name;
    bool open;
    int64_t rooms;
    uint64_t rate, share;
    struct yamlfile_texts streets;
    struct yamlfile_map pets;
    struct pet favourite;
};

static const struct yamlfile_field home_fields[] = {
    { "name", YAML_TEXT, offsetof(struct home, name) },
    { "open", YAML_BOOL, offsetof(struct home, open) },
    { "rooms", YAML_INT, offsetof(struct home, rooms), .min = 1, .max = 9,
      .preset = "2" },
    { "rate", YAML_RATE, offsetof(struct home, rate) },
    { "share", YAML_PERCENT, offsetof(struct home, share) },
    { "streets", YAML_TEXTS, offsetof(struct home, streets) },
    { "pets", YAML_MAP, offsetof(struct home, pets), .table = &pet_table },
    { "favourite", YAML_STRUCT, offsetof(struct home, favourite),
      .table = &pet_table },
};
static const struct yamlfile_table home_table = {
    "a home", home_fields, ARRAY_SIZE(home_fields), sizeof(struct home)
};

static void
read_home(const char *text, struct home *home, struct problems *problems)
{
    memset(home, 0, sizeof *home);
    *problems = (struct problems) PROBLEMS_INIT;
    yamlfile_read("f", text, strlen(text), &home_table, home, problems);
}

static void
assert_problems(const struct problems *problems, const char *expected)
{
    char *text = problems_format(problems);

    assert_string_equal(text, expected);
    free(text);
}

/* Reading 'text' gives exactly these problems. */
static void
expect(const char *text, const char *expected)
{
    struct problems problems;
    struct home home;

    read_home(text, &home, &problems);
    assert_problems(&problems, expected);
    problems_finish(&problems);
    yamlfile_free(&home_table, &home);
}

static void
test_values(void **state OVS_UNUSED)
{
    struct problems problems;
    struct home home;

    read_home("name: here\nopen: true\nrate: 1.5gbit\nshare: 0.1%\n"
              "streets: [a, 'b c']\nrooms:\n"
              "pets:\n  tama: {kind: cat, size: 3M, age: 5ms}\n"
              "  pochi: {kind: dog}\n", &home, &problems);
    assert_problems(&problems, "");
    assert_string_equal(home.name, "here");
    assert_true(home.open);
    assert_int_equal(home.rooms, 2);
    assert_int_equal(home.rate, 1500000000);
    assert_int_equal(home.share, 1000);
    assert_int_equal(home.streets.n, 2);
    assert_string_equal(home.streets.items[1], "b c");
    assert_int_equal(home.pets.n, 2);

    struct pet *pets = home.pets.items;
    assert_string_equal(pets[0].item.name, "tama");
    assert_int_equal(pets[0].item.at.line, 8);
    assert_int_equal(pets[0].item.at.column, 3);
    assert_int_equal(pets[0].size, 3 << 20);
    assert_int_equal(pets[0].age, 5000);
    assert_int_equal(pets[1].kind, 1);
    assert_int_equal(pets[1].size, 1024);
    assert_int_equal(home.favourite.size, 1024);
    problems_finish(&problems);
    yamlfile_free(&home_table, &home);
}

static void
test_all_problems_at_once(void **state OVS_UNUSED)
{
    expect("roms: 3\nrooms: 10\nopen: maybe\npets: {a: {kind: cow}, b: {}}\n",
           "f:1:1: a home has no key \"roms\"; did you mean \"rooms\"?\n"
           "f:2:8: rooms: 10 is not in 1..9\n"
           "f:3:7: open: \"maybe\" is neither true nor false\n"
           "f:4:18: kind: \"cow\" is not one of cat, dog\n"
           "f:4:27: a pet lacks \"kind\": what it is");
}

static void
test_malformed(void **state OVS_UNUSED)
{
    expect("", "f:1:1: the file is empty");
    expect("- a\n", "f:1:1: a home: expected a mapping, {key: value}");
    expect("name: [a]\n", "f:1:7: name: expected a single value");
    expect("streets: a\n",
           "f:1:10: streets: expected a list such as [a, b]");
    expect("streets: [a, [b]]\n", "f:1:14: streets: expected a word");
    expect("pets: [a]\n",
           "f:1:7: pets: expected a mapping, NAME: {...}");
    expect("name: a\nname: b\n", "f:2:1: \"name\" is here a second time");
    expect("pets:\n  a: {kind: cat}\n  a: {kind: dog}\n",
           "f:3:3: \"a\" is here a second time; it was first on line 2");
    expect("? [a]\n: b\n", "f:1:3: a home: expected a key");
    expect("rate: 5\n",
           "f:1:7: rate: \"5\" is not a rate such as 100mbit");
    expect("zzzzzzzzz: 1\n", "f:1:1: a home has no key \"zzzzzzzzz\"; it has "
           "name, open, rooms, rate, share, streets, pets, favourite");
    expect("name: a\n---\nname: b\n",
           "f:2: a second document; a file holds one");
}

static void
test_syntax(void **state OVS_UNUSED)
{
    static const char *const texts[] = {
        "name: [a\n", "name: 'a\n", "\tname: a\n", "name: *nobody\n",
        "a: b: c\n", "{", "name: \"\\q\"\n", "\xff\xfe\x00", "%YAML 9.9\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct problems problems;
        struct home home;

        read_home(texts[i], &home, &problems);
        assert_int_not_equal(problems.n, 0);
        assert_memory_equal(problems.texts[0], "f:", 2);
        problems_finish(&problems);
        yamlfile_free(&home_table, &home);
    }
}

static void
test_aliases(void **state OVS_UNUSED)
{
    struct problems problems;
    struct home home;

    read_home("pets:\n  a: &x {kind: dog, age: 1ms}\n  b: *x\n", &home,
              &problems);
    assert_int_equal(problems.n, 0);
    assert_int_equal(((struct pet *) home.pets.items)[1].age, 1000);
    problems_finish(&problems);
    yamlfile_free(&home_table, &home);

    /* One that contains itself. */
    expect("&x {favourite: *x}\n",
           "f:1:5: a pet has no key \"favourite\"; it has size, age, kind\n"
           "f:1:1: a pet lacks \"kind\": what it is");
}

/* Many problems cost bounded memory. */
static void
test_many_problems(void **state OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct problems problems;
    struct home home;

    for (int i = 0; i < 1000; i++) {
        ds_put_format(&ds, "k%d: x\n", i);
    }
    read_home(ds_cstr(&ds), &home, &problems);
    assert_int_equal(problems.n, 1000);

    char *text = problems_format(&problems);
    assert_non_null(strstr(text, "\nand 900 more problems"));
    free(text);
    problems_finish(&problems);
    yamlfile_free(&home_table, &home);
    ds_destroy(&ds);
}

static void
test_too_large(void **state OVS_UNUSED)
{
    char *text = xmalloc(YAML_MAX_BYTES + 1);
    struct problems problems;
    struct home home;

    memset(text, ' ', YAML_MAX_BYTES + 1);
    memset(&home, 0, sizeof home);
    problems = (struct problems) PROBLEMS_INIT;
    yamlfile_read("f", text, YAML_MAX_BYTES + 1, &home_table, &home,
                  &problems);
    assert_problems(&problems, "f: larger than 1048576 bytes");
    problems_finish(&problems);
    free(text);
}

static void
test_nearest(void **state OVS_UNUSED)
{
    static const char *const words[] = { "migrate", "start", "stop" };

    assert_string_equal(nearest("strat", words, 3), "start");
    assert_string_equal(nearest("sotp", words, 3), "stop");
    assert_string_equal(nearest("migrat", words, 3), "migrate");
    assert_null(nearest("delete", words, 3));
    assert_null(nearest("x", words, 3));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_all_problems_at_once),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_many_problems),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
