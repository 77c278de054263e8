#include <config.h>

#include "base/settings.h"

#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "openvswitch/util.h"
#include "openvswitch/vlog.h"
#include "svec.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(test_settings);

struct home {
    char *name, *street, *door;
    int64_t rooms;
    struct yamlfile_texts cats;
    struct settings_log log;
};

static int
check_street(const char *text, struct err *err)
{
    return (strcmp(text, "nowhere") ? 0
            : err_set(err, EINVAL, "there is no street \"%s\"", text));
}

static void
check(const void *home_, struct problems *problems)
{
    const struct home *home = home_;

    if (home->rooms < home->cats.n) {
        problems_add(problems, "more cats than rooms");
    }
}

static void
fill_in(void *home_)
{
    struct home *home = home_;

    if (!home->door) {
        home->door = xasprintf("%s's", home->name);
    }
}

static const struct setting rows[] = {
    SETTING(home, name, "name", YAML_TEXT, "NAME", "whose it is",
            .field.required = true),
    SETTING(home, street, "street", YAML_TEXT, "STREET", "where it is",
            .field.preset = "here", .field.check = check_street),
    SETTING(home, door, "door", YAML_TEXT, "TEXT", "what is on it"),
    SETTING(home, rooms, "rooms", YAML_INT, "N", "how many",
            .field.preset = "2", .field.min = 1, .field.max = 9,
            .live = true),
    SETTING(home, cats, "cat", YAML_TEXTS, "NAME", "who lives there",
            .live = true),
    SETTINGS_LOG(home),
};

static const struct settings_class class = {
    .program = "home",
    .version = "1",
    .what = "a home",
    .file = "/nonexistent/home.yaml",
    .unless = "name",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct home),
    .log = offsetof(struct home, log),
    .check = check,
    .fill_in = fill_in,
};

static char file[] = "/tmp/test-settings.XXXXXX";

static void
write_file(const char *text)
{
    FILE *stream = fopen(file, "w");

    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

/* Settings from 'words', an option each, up to a null. */
#define CREATE(...) create((const char *[]) { "home", ##__VA_ARGS__, NULL })

static struct settings *
create(const char *words[])
{
    int argc = 0;

    while (words[argc]) {
        argc++;
    }
    optind = 0;                 /* getopt() begins anew. */
    return settings_create(&class, argc, (char **) words);
}

static char *
config_option(void)
{
    return xasprintf("--config=%s", file);
}

/* Reading 'text' again returns 'error' and says the sentences, in which '@' is
 * the file. */
static void
expect_reload(struct settings *s, const char *text, int error,
              const char *sentences)
{
    struct svec said = SVEC_EMPTY_INITIALIZER;

    write_file(text);
    assert_int_equal(settings_reload(s, &said), error);

    char *joined = svec_join(&said, "\n", "");
    for (char *at; (at = strstr(joined, file)); ) {
        *at = '@';
        memmove(at + 1, at + strlen(file), strlen(at + strlen(file)) + 1);
    }
    assert_string_equal(joined, sentences);
    free(joined);
    svec_destroy(&said);
}

static void
test_options_only(void **state OVS_UNUSED)
{
    struct settings *s = CREATE("--name=tama", "--cat=a", "--cat=b");
    const struct home *home = settings_values(s);

    assert_string_equal(home->name, "tama");
    assert_string_equal(home->street, "here");
    assert_string_equal(home->door, "tama's");
    assert_int_equal(home->rooms, 2);
    assert_int_equal(home->cats.n, 2);
    assert_string_equal(home->cats.items[1], "b");
    settings_destroy(s);
}

static void
test_options_win(void **state OVS_UNUSED)
{
    char *config = config_option();

    write_file("name: tama\nstreet: main\nrooms: 3\ncat: [a, b, c]\n");

    struct settings *s = CREATE(config, "--cat=d", "--street=side");
    const struct home *home = settings_values(s);
    assert_string_equal(home->name, "tama");
    assert_string_equal(home->street, "side");
    assert_int_equal(home->rooms, 3);
    assert_int_equal(home->cats.n, 1);
    assert_string_equal(home->cats.items[0], "d");

    /* Also when the file is read again. */
    expect_reload(s, "name: tama\nstreet: other\nrooms: 4\ncat: [e]\n", 0,
                  "@: \"rooms\" has its new value");
    assert_string_equal(home->street, "side");
    assert_int_equal(home->rooms, 4);
    assert_string_equal(home->cats.items[0], "d");
    settings_destroy(s);
    free(config);
}

static void
test_reload(void **state OVS_UNUSED)
{
    char *config = config_option();

    write_file("name: tama\ncat: [a]\n");

    struct settings *s = CREATE(config);
    const struct home *home = settings_values(s);
    const char *name = home->name;

    expect_reload(s, "name: tama\ncat: [a]\n", 0, "@ says nothing new");
    expect_reload(s, "name: tama\ncat: [a]\nrooms: 5\n", 0,
                  "@: \"rooms\" has its new value");
    assert_int_equal(home->rooms, 5);

    /* What cannot change is named, and keeps its place in memory; the door,
     * which follows from the name, is not mentioned. */
    expect_reload(s, "name: kuro\nrooms: 6\ncat: [a, b]\n", 0,
                  "@: \"name\" cannot change while home runs; the old value "
                  "holds until it starts again\n"
                  "@: \"rooms\" has its new value\n"
                  "@: \"cat\" has its new value");
    assert_ptr_equal(home->name, name);
    assert_string_equal(home->name, "tama");
    assert_int_equal(home->cats.n, 2);

    expect_reload(s, "name: tama\nrooms: 6\ncat: [a, b]\ndoor: shut\n", 0,
                  "@: \"door\" cannot change while home runs; the old value "
                  "holds until it starts again");

    /* A wrong file changes nothing at all. */
    expect_reload(s, "name: tama\nrooms: 7\nstreet: nowhere\ncta: []\n",
                  EINVAL,
                  "@:3:9: street: there is no street \"nowhere\"\n"
                  "@:4:1: a home has no key \"cta\"; did you mean \"cat\"?\n"
                  "@ is wrong; nothing has changed");
    expect_reload(s, "name: tama\nrooms: 1\ncat: [a, b]\n", EINVAL,
                  "@: more cats than rooms\n"
                  "@ is wrong; nothing has changed");
    expect_reload(s, "rooms: 8\n", EINVAL,
                  "@: \"name\" is missing: whose it is\n"
                  "@ is wrong; nothing has changed");
    unlink(file);

    struct svec said = SVEC_EMPTY_INITIALIZER;
    assert_int_equal(settings_reload(s, &said), EINVAL);
    assert_int_equal(said.n, 2);
    svec_destroy(&said);
    assert_int_equal(home->rooms, 6);
    assert_int_equal(home->cats.n, 2);
    settings_destroy(s);
    free(config);
}

static enum vlog_level
console_level(void)
{
    return vlog_get_level(&this_module, VLF_CONSOLE);
}

static void
test_log(void **state OVS_UNUSED)
{
    char *config = config_option();

    write_file("name: tama\nlog: [warn, \"test_settings:console:dbg\"]\n");

    struct settings *s = CREATE(config, "--verbose=file:err");
    assert_int_equal(console_level(), VLL_DBG);
    assert_int_equal(vlog_get_level(&this_module, VLF_SYSLOG), VLL_WARN);
    assert_int_equal(vlog_get_level(&this_module, VLF_FILE), VLL_ERR);
    expect_reload(s, "name: tama\nlog: [loud]\n", EINVAL,
                  "@:2:7: log: \"loud\" is neither a module nor a "
                  "destination nor a level\n@ is wrong; nothing has changed");
    assert_int_equal(console_level(), VLL_DBG);
    expect_reload(s, "name: tama\n", 0, "@: \"log\" has its new value");
    assert_int_equal(console_level(), VLL_INFO);
    assert_int_equal(vlog_get_level(&this_module, VLF_FILE), VLL_ERR);
    settings_destroy(s);
    free(config);
}

static void
test_no_file(void **state OVS_UNUSED)
{
    struct settings *s = CREATE("--name=tama");
    struct svec said = SVEC_EMPTY_INITIALIZER;

    assert_int_equal(settings_reload(s, &said), EINVAL);
    assert_int_equal(said.n, 1);
    svec_destroy(&said);
    settings_destroy(s);
}

static void
test_checks(void **state OVS_UNUSED)
{
    static const char *const good[] = {
        "tcp:192.0.2.1:6640", "tcp:192.0.2.1:6640,tcp:192.0.2.2:6640",
        "unix:/run/x.sock", "tcp:[2001:db8::1]:6640",
    };
    static const char *const bad[] = {
        "", "tcp", "tcp:", "ptcp:6640", "192.0.2.1",
        "tcp:192.0.2.1:6640,nothing:1",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(settings_check_remotes(good[i], NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(settings_check_remotes(bad[i], NULL), EINVAL);
    }
    assert_int_equal(settings_check_path("/a", NULL), 0);
    assert_int_equal(settings_check_path("a", NULL), EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_only),
        cmocka_unit_test(test_options_win),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_checks),
    };
    int fd = mkstemp(file);

    if (fd < 0) {
        return 1;
    }
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file);
    return failed;
}
