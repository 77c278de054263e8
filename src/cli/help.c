#include <config.h>

#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static void
print_command(const struct command *c)
{
    char left[80];

    snprintf(left, sizeof left, "%s%s%s%s%s", c->noun, c->verb ? " " : "",
             c->verb ? c->verb : "", c->args ? " " : "",
             c->args ? c->args : "");
    printf("  %-34s %s\n", left, c->help);
}

static void
print_options(const struct option_row *row)
{
    for (; row->name; row++) {
        char left[40];

        if (!row->help) {
            continue;           /* For tests. */
        }
        snprintf(left, sizeof left, "%s%s%s%s", row->name[1] ? "--" : "-",
                 row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        printf("  %-34s %s\n", left, row->help);
    }
}

void
help_program(void)
{
    printf("usage: watari COMMAND ...\n"
           "Moves running VMs between IP networks, and nobody who talks to "
           "them notices.\n\n");
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        print_command(c);
    }
    printf("\nOptions of every command:\n");
    print_options(command_common_options);
    printf("\nWhich system: --lab NAME, or WATARI=unix:PATH or "
           "https://HOST:PORT (with a token in\nWATARI_TOKEN and the "
           "authority's certificate in the file WATARI_CA), or the only\n"
           "lab that is up.\n");
}

void
help_noun(const char *noun)
{
    printf("usage: watari %s ...\n\n", noun);
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (!strcmp(c->noun, noun)) {
            print_command(c);
        }
    }
    printf("\n\"watari %s COMMAND --help\" says more.\n", noun);
}

void
help_command(const struct command *c)
{
    printf("usage: watari %s%s%s%s%s%s\n\n%s\n\n", c->noun,
           c->verb ? " " : "", c->verb ? c->verb : "",
           c->options ? " [OPTION]..." : "", c->args ? " " : "",
           c->args ? c->args : "", c->help);
    if (c->options && c->options->name) {
        printf("Options:\n");
        print_options(c->options);
        putchar('\n');
    }
    printf("Options of every command:\n");
    print_options(command_common_options);
    if (c->examples) {
        printf("\nExamples:\n%s\n", c->examples);
    }
}

/* Is this the first command with its noun? */
static bool
is_first_of_noun(const struct command *command)
{
    for (const struct command *c = commands_next(NULL); c != command;
         c = commands_next(c)) {
        if (!strcmp(c->noun, command->noun)) {
            return false;
        }
    }
    return true;
}

void
help_completion(void)
{
    printf("_watari() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]}\n"
           "    local words\n"
           "    case $COMP_CWORD in\n"
           "    1) words='");
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (is_first_of_noun(c)) {
            printf("%s ", c->noun);
        }
    }
    printf("--help --version' ;;\n    2) case ${COMP_WORDS[1]} in\n");
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (!c->verb || !is_first_of_noun(c)) {
            continue;
        }
        printf("       %s) words='", c->noun);
        for (const struct command *v = commands_next(NULL); v;
             v = commands_next(v)) {
            if (!strcmp(v->noun, c->noun)) {
                printf("%s ", v->verb);
            }
        }
        printf("' ;;\n");
    }
    printf("       esac ;;\n    *) case \"${COMP_WORDS[1]} "
           "${COMP_WORDS[2]}\" in\n");
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        const struct option_row *row = c->options;

        printf("       \"%s %s\"*) words='", c->noun, c->verb ? c->verb : "");
        for (; row && row->name; row++) {
            if (row->help) {
                printf("%s%s ", row->name[1] ? "--" : "-", row->name);
            }
        }
        printf("' ;;\n");
    }
    printf("       esac ;;\n    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
           "\"$cur\")\n"
           "    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default\n"
           "}\n"
           "complete -F _watari watari\n");
}
