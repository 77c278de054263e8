#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H 1

/* The commands of the program "watari".
 *
 * A command is a row: noun, verb, arguments, options, help, examples, and the
 * function that does it.  The rows feed dispatch, --help and completion.  To
 * add a command, write its row in one of the tables that cli/commands.c
 * lists. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/progress.h"

struct client;
struct json;

/* Exit statuses. */
enum { COMMAND_OK, COMMAND_FAILED, COMMAND_USAGE };

struct option_row {
    const char *name;           /* "bandwidth", or "o". */
    const char *argument;       /* "RATE"; null: a flag. */
    const char *help;
};

#define COMMAND_MAX_OPTIONS 16
#define COMMAND_MAX_ARGS 64

enum command_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_YAML };

/* A command line that has been understood so far. */
struct invocation {
    const struct command *command;
    char **args;                /* Behind noun and verb, without options. */
    size_t n_args;
    const char *values[COMMAND_MAX_OPTIONS];    /* Null: not given. */
    enum command_format format;
    struct progress progress;
};

struct command {
    const char *noun;
    const char *verb;           /* Null: the noun alone. */
    const char *args;           /* "NAME", "[NAME]", "NODE -- COMMAND...". */
    int min_args, max_args;
    const struct option_row *options;   /* Ends with a null name. */
    const char *help;           /* A line. */
    const char *examples;       /* Lines, or null. */

    /* Returns an exit status, or sets '*err' and returns COMMAND_FAILED or
     * COMMAND_USAGE. */
    int (*run)(const struct invocation *, struct err *);
    bool raw;                   /* All words are arguments: they are for
                                 * another program, --help too. */
};

/* An option's value: null if it was not given, "" for a flag that was. */
const char *invocation_option(const struct invocation *, const char *name);

/* Connects to the system that is meant: --lab, $WATARI, the only lab. */
int invocation_connect(const struct invocation *, struct client **,
                       struct err *);

/* The lab that is meant, or null if the only one is. */
const char *invocation_lab(const struct invocation *);

/* Options that every command has. */
extern const struct option_row command_common_options[];

#endif /* cli/command.h */
