#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H 1

/* A program's settings, from its command line and from a YAML file.
 *
 * One table has a row for each: it feeds the parsers of both, the help, the
 * manual page and --check-config.  A row named "wan-interface" is the option
 * --wan-interface and the key "wan-interface" of the file; what an option
 * says wins.  Options of the library (logging, daemons) come on top.
 *
 * To add a setting, add a member to the program's struct and a row to its
 * table.
 *
 * A running program may read its file again.  What rows that are 'live' say
 * then is new in its values; all others keep theirs, so that whoever holds
 * one of those strings may do so for ever. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/problems.h"
#include "base/tls.h"
#include "base/yamlfile.h"

struct svec;

enum setting_where {
    SETTING_ANYWHERE,
    SETTING_OPTION,             /* On the command line only. */
    SETTING_KEY,                /* In the file only. */
};

struct setting {
    struct yamlfile_field field;        /* Without a table. */
    size_t size;                /* Of the member. */
    const char *arg;            /* "ADDRESS", for the help; null: a flag,
                                 * YAML_BOOL, without a value. */
    enum setting_where where;
    bool live;                  /* Changes while the program runs. */
};

/* A row for MEMBER of 'struct STRUCT'; more members may follow. */
#define SETTING(STRUCT, MEMBER, KEY, TYPE, ARG, HELP, ...) \
    { .field.key = KEY, .field.type = TYPE, \
      .field.offset = offsetof(struct STRUCT, MEMBER), .field.help = HELP, \
      .size = sizeof ((struct STRUCT *) NULL)->MEMBER, .arg = ARG, \
      ##__VA_ARGS__ }

/* What each program can be told about its log.  Settings obey it. */
struct settings_log {
    struct yamlfile_texts levels;       /* "info", "file:dbg", ... */
    char *file;                 /* Null: none. */
};

/* The rows of 'struct settings_log log' in 'struct STRUCT'. */
#define SETTINGS_LOG(STRUCT) \
    SETTING(STRUCT, log.levels, "log", YAML_TEXTS, "WORDS", \
            "what to log, as [info, \"file:dbg\"]: LEVEL, MODULE:LEVEL or " \
            "MODULE:DESTINATION:LEVEL; destinations are console, file and " \
            "syslog, levels off, emer, err, warn, info and dbg", \
            .field.check = settings_check_log, .where = SETTING_KEY, \
            .live = true), \
    SETTING(STRUCT, log.file, "log-file", YAML_TEXT, "FILE", \
            "where to log, too", .field.check = settings_check_path, \
            .where = SETTING_KEY)

/* The rows of 'struct tls_files tls' in 'struct STRUCT'.  The program's check
 * calls tls_check().  The paths stay; what is in the files is read again. */
#define SETTINGS_TLS(STRUCT) \
    SETTING(STRUCT, tls.private_key, "private-key", YAML_TEXT, "FILE", \
            "our key, in PEM", .field.check = settings_check_path), \
    SETTING(STRUCT, tls.certificate, "certificate", YAML_TEXT, "FILE", \
            "our certificate, as \"watari pki issue\" makes it; with it, " \
            "TLS is required of others, too", \
            .field.check = settings_check_path), \
    SETTING(STRUCT, tls.ca_cert, "ca-cert", YAML_TEXT, "FILE", \
            "whose certificates we believe", \
            .field.check = settings_check_path)

struct settings_class {
    const char *program, *version;      /* "watari-agent" */
    const char *what;           /* "the agent's configuration" */
    const char *summary;        /* For help and manual. */
    const char *text;           /* A paragraph for the manual. */
    const char *example;        /* A command line. */
    const char *file;           /* Read without --config, if it exists... */
    const char *unless;         /* ...and this option is not given. */
    const struct setting *rows;
    size_t n_rows;
    size_t size;                /* Of the program's struct... */
    size_t log;                 /* ...and where its settings_log is. */
    size_t tls;                 /* Where its tls_files are; 0: nowhere. */

    /* Adds to the problems what is wrong with the whole, each a sentence
     * without a place.  May be null. */
    void (*check)(const void *values, struct problems *);

    /* Fills in what can be derived from other values.  May be null. */
    void (*fill_in)(void *values);
};

struct settings;

/* Reads the command line and the file.  Ends the program if it was asked for
 * help, its version, its manual or --check-config (0, or 2 if something is
 * wrong), and if either is wrong (2), having said why. */
struct settings *settings_create(const struct settings_class *, int argc,
                                 char *argv[]);
void settings_destroy(struct settings *);

/* The program's struct, which belongs to the settings. */
const void *settings_values(const struct settings *);

/* Reads the file again.  Either way what is to be logged about it is added
 * to 'said', a sentence each.  EINVAL, and nothing has changed, if something
 * is wrong. */
int settings_reload(struct settings *, struct svec *said);

/* Checks for rows. */
int settings_check_log(const char *text, struct err *);
int settings_check_path(const char *text, struct err *);        /* Absolute. */
int settings_check_remotes(const char *text, struct err *);     /* "tcp:..." */

#endif /* base/settings.h */
