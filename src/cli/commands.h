#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H 1

/* All commands, in the order of the help. */

#include "cli/command.h"

/* Iterates over all commands; null at first and at the end. */
const struct command *commands_next(const struct command *);

const struct command *commands_find(const char *noun, const char *verb);

/* Is there a command with this noun and a verb? */
bool commands_has_verbs(const char *noun);

/* A command that someone may have meant by 'noun' and 'verb' (may be null),
 * or null. */
const char *commands_nearest(const char *noun, const char *verb);

/* The tables. */
struct command_table {
    const struct command *rows;
    size_t n;
};
extern const struct command_table lab_commands, object_commands, vm_commands,
    pki_commands, store_commands, other_commands;

#endif /* cli/commands.h */
