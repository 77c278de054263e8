#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/util.h"
#include "openvswitch/vlog.h"
#include "util.h"

#include "base/nearest.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "lab/client.h"
#include "lab/state.h"

const struct option_row command_common_options[] = {
    { "lab", "NAME", "the lab that is meant" },
    { "o", "FORMAT", "table, json or yaml" },
    { "help", NULL, "say what the command does" },
    { NULL },
};

/* Of a manager of this machine, which is no lab's. */
#define MANAGER_SOCKET "/run/watari/manager/manager.sock"

/* The first index of common options in '->values'. */
#define COMMON (COMMAND_MAX_OPTIONS - 3)

/* Finds where in '->values' the value of option 'name' belongs. */
static int
find_option(const struct command *c, const char *name,
            const struct option_row **row)
{
    for (int i = 0; c->options && c->options[i].name; i++) {
        if (!strcmp(c->options[i].name, name)) {
            *row = &c->options[i];
            return i;
        }
    }
    for (int i = 0; command_common_options[i].name; i++) {
        if (!strcmp(command_common_options[i].name, name)) {
            *row = &command_common_options[i];
            return COMMON + i;
        }
    }
    return -1;
}

const char *
invocation_option(const struct invocation *in, const char *name)
{
    const struct option_row *row;
    int i = find_option(in->command, name, &row);

    ovs_assert(i >= 0);
    return in->values[i];
}

const char *
invocation_lab(const struct invocation *in)
{
    return invocation_option(in, "lab");
}

int
invocation_connect(const struct invocation *in, struct client **client,
                   struct err *err)
{
    const char *lab = invocation_lab(in);
    const char *target = getenv("WATARI");
    char *only = NULL;

    if (!lab && target && *target) {
        return client_create(target, getenv("WATARI_TOKEN"),
                             getenv("WATARI_CA"), client, err);
    }
    if (!lab) {
        int error = state_find_only(&only, err);
        if (error == ENOENT && !access(MANAGER_SOCKET, F_OK)) {
            return client_create("unix:" MANAGER_SOCKET, NULL, NULL, client,
                                 err);
        }
        if (error) {
            return error;
        }
        lab = only;
    }

    struct state *state;
    int error = state_load(lab, false, &state, err);
    if (!error) {
        char *socket = xasprintf("unix:%s/manager/manager.sock", state->dir);

        error = client_create(socket, NULL, NULL, client, err);
        free(socket);
        state_destroy(state);
    }
    free(only);
    return error;
}

static int
usage(const struct command *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
usage(const struct command *c, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "watari: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (c) {
        fprintf(stderr, "\nusage: watari %s%s%s%s%s%s\n", c->noun,
                c->verb ? " " : "", c->verb ? c->verb : "",
                c->options ? " [OPTION]..." : "", c->args ? " " : "",
                c->args ? c->args : "");
    } else {
        fprintf(stderr, "\n\"watari --help\" lists all commands.\n");
    }
    return COMMAND_USAGE;
}

static int
complain_option(const struct command *c, const char *name)
{
    const char *words[COMMAND_MAX_OPTIONS];
    size_t n = 0;

    for (int i = 0; c->options && c->options[i].name; i++) {
        words[n++] = c->options[i].name;
    }
    for (int i = 0; command_common_options[i].name; i++) {
        words[n++] = command_common_options[i].name;
    }
    const char *near = nearest(name, words, n);
    if (name[0] && name[1] && near && near[1]) {
        return usage(c, "there is no option --%s; did you mean --%s?", name,
                     near);
    }
    return usage(c, "there is no option %s%s", name[1] ? "--" : "-", name);
}

/* Parses one option, whose argument may be the next word.  Returns how many
 * words it took, or 0 after a complaint. */
static int
take_option(struct invocation *in, char **words)
{
    const struct command *c = in->command;
    const struct option_row *row;
    bool is_long = words[0][1] == '-';
    char name[32];

    ovs_strlcpy(name, words[0] + 1 + is_long, sizeof name);
    char *equals = strchr(name, '=');
    if (equals) {
        *equals = '\0';
    }

    int i = find_option(c, name, &row);
    if (i < 0 || is_long != (name[1] != '\0')) {
        complain_option(c, name);
        return 0;
    }
    if (!row->argument) {
        if (equals) {
            usage(c, "--%s takes no argument", name);
            return 0;
        }
        in->values[i] = "";
        return 1;
    }

    const char *value = equals ? strchr(words[0], '=') + 1 : words[1];
    if (!value) {
        usage(c, "%s%s lacks its %s", is_long ? "--" : "-", name,
              row->argument);
        return 0;
    }
    in->values[i] = value;
    return equals ? 1 : 2;
}

static int
parse_format(struct invocation *in)
{
    static const char *const names[] = { "table", "json", "yaml" };
    const char *format = invocation_option(in, "o");

    for (size_t i = 0; format && i < ARRAY_SIZE(names); i++) {
        if (!strcmp(format, names[i])) {
            in->format = i;
            return 0;
        }
    }
    return !format ? 0 : usage(in->command, "-o %s: expected table, json or "
                               "yaml", format);
}

/* Splits 'words', up to a null, into options and arguments. */
static int
parse(struct invocation *in, char **words)
{
    bool options = true;

    while (*words) {
        if (options && !strcmp(*words, "--")) {
            options = false;
            words++;
        } else if (options && words[0][0] == '-' && words[0][1]) {
            int n = take_option(in, words);
            if (!n) {
                return COMMAND_USAGE;
            }
            words += n;
        } else {
            in->args[in->n_args++] = *words++;
        }
    }
    in->args[in->n_args] = NULL;
    return parse_format(in);
}

/* Runs a command whose line has been parsed. */
static int
invoke(struct invocation *in)
{
    const struct command *c = in->command;
    struct err err = ERR_INIT;

    if (invocation_option(in, "help")) {
        help_command(c);
        return COMMAND_OK;
    }
    if (in->n_args < c->min_args) {
        return usage(c, "too few arguments");
    }
    if (in->n_args > c->max_args) {
        return usage(c, "\"%s\" is one argument too many",
                     in->args[c->max_args]);
    }

    progress_init(&in->progress, stderr);
    int status = c->run(in, &err);
    progress_finish(&in->progress);
    if (status && err.text[0]) {
        fprintf(stderr, "watari: %s\n", err.text);
    }
    return status;
}

static int
run(const struct command *c, char **words, int n_words)
{
    struct invocation in = { .command = c };

    in.args = xcalloc(n_words + 1, sizeof *in.args);
    int status = c->raw ? 0 : parse(&in, words);
    if (c->raw) {
        memcpy(in.args, words, n_words * sizeof *words);
        in.n_args = n_words;
    }
    status = status ? status : invoke(&in);
    free(in.args);
    return status;
}

/* Finds the command that the words mean, or complains. */
static const struct command *
find(const char *noun, const char *verb, int *status)
{
    const struct command *c = commands_find(noun, verb);
    bool has_verbs = commands_has_verbs(noun);

    if (c) {
        return c;
    }
    if (has_verbs && (!verb || !strcmp(verb, "--help"))) {
        help_noun(noun);
        *status = verb ? COMMAND_OK : COMMAND_USAGE;
        return NULL;
    }

    const char *near = commands_nearest(noun, verb);
    *status = usage(NULL, near ? "there is no command \"%s%s%s\"; did you "
                    "mean \"%s\"?" : "there is no command \"%s%s%s\"",
                    noun, has_verbs ? " " : "", has_verbs ? verb : "", near);
    return NULL;
}

/* What stands alone instead of a command; false if 'word' is none. */
static bool
run_special(const char *word)
{
    if (!strcmp(word, "--help") || !strcmp(word, "help")) {
        help_program();
    } else if (!strcmp(word, "--version")) {
        printf("watari %s\n", WATARI_VERSION);
    } else if (!strcmp(word, "--completion")) {
        help_completion();
    } else if (!strcmp(word, "--manual")) {
        manual_program();
    } else if (!strcmp(word, "--manual-lab")) {
        manual_labfile();
    } else {
        return false;
    }
    return true;
}

int
main(int argc, char *argv[])
{
    int first = 1, status = COMMAND_OK;

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);

    /* "--lab NAME" may stand in front, as what one types first. */
    char *lab = NULL;
    while (argc > first + 1 && !strcmp(argv[first], "--lab")) {
        free(lab);
        lab = xasprintf("--lab=%s", argv[first + 1]);
        first += 2;
    }
    if (!argv[first]) {
        status = usage(NULL, "a command is missing");
    } else if (!run_special(argv[first])) {
        const struct command *c = find(argv[first], argv[first + 1],
                                       &status);
        if (c) {
            char **words = xcalloc(argc + 2, sizeof *words);
            int n = 0;

            if (lab && !c->raw) {
                words[n++] = lab;
            }
            for (int i = first + (c->verb ? 2 : 1); i < argc; i++) {
                words[n++] = argv[i];
            }
            status = run(c, words, n);
            free(words);
        }
    }
    free(lab);
    return status;
}
