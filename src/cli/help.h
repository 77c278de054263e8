#ifndef CLI_HELP_H
#define CLI_HELP_H 1

/* Help from the table of commands. */

#include "cli/command.h"

void help_program(void);
void help_noun(const char *noun);
void help_command(const struct command *);

/* A script for bash that completes commands and options. */
void help_completion(void);

#endif /* cli/help.h */
