#include <config.h>

#include "cli/commands.h"

#include <string.h>

#include "openvswitch/util.h"
#include "util.h"

#include "base/nearest.h"

static const struct command_table *const tables[] = {
    &lab_commands, &vm_commands, &object_commands, &pki_commands,
    &store_commands, &other_commands,
};

const struct command *
commands_next(const struct command *command)
{
    if (!command) {
        return tables[0]->rows;
    }
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        const struct command *end = tables[i]->rows + tables[i]->n;

        if (command >= tables[i]->rows && command < end) {
            return (command + 1 < end ? command + 1
                    : i + 1 < ARRAY_SIZE(tables) ? tables[i + 1]->rows
                    : NULL);
        }
    }
    return NULL;
}

const struct command *
commands_find(const char *noun, const char *verb)
{
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (!strcmp(c->noun, noun)
            && (!c->verb || (verb && !strcmp(c->verb, verb)))) {
            return c;
        }
    }
    return NULL;
}

bool
commands_has_verbs(const char *noun)
{
    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (!strcmp(c->noun, noun) && c->verb) {
            return true;
        }
    }
    return false;
}

const char *
commands_nearest(const char *noun, const char *verb)
{
    bool know_noun = commands_has_verbs(noun);
    const char *words[128];
    size_t n = 0;

    for (const struct command *c = commands_next(NULL); c;
         c = commands_next(c)) {
        if (n < ARRAY_SIZE(words)
            && (!know_noun || !strcmp(c->noun, noun))) {
            words[n++] = know_noun ? c->verb : c->noun;
        }
    }
    return know_noun && !verb ? NULL
           : nearest(know_noun ? verb : noun, words, n);
}
