#include <config.h>

#include "base/settings.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command-line.h"
#include "daemon.h"
#include "openvswitch/vlog.h"
#include "stream-ssl.h"
#include "stream.h"
#include "svec.h"
#include "util.h"

#include "base/roff.h"

#define USAGE 2                 /* Exit status. */

/* What an option said. */
struct given {
    size_t row;
    char *text;
};

struct settings {
    const struct settings_class *class;
    struct yamlfile_field *fields;      /* Of all rows. */
    struct yamlfile_table table;        /* The same. */
    struct given *given;
    size_t n_given, allocated_given;
    struct svec verbose;        /* "" for -v without a word. */
    bool has_log_file;          /* By an option. */
    char *file;                 /* Null: none. */
    void *values;
    bool *said;                 /* Of each row: is its value not derived? */
};

enum {
    OPT_CONFIG = UCHAR_MAX + 1,
    OPT_CHECK_CONFIG,
    OPT_MANUAL,
    VLOG_OPTION_ENUMS,
    DAEMON_OPTION_ENUMS,
    SSL_OPTION_ENUMS,
    OPT_ROW,                    /* And one more for each row. */
};

/* Help and manual. */

static void
print_usage(const struct settings_class *class)
{
    printf("%s: %s\nusage: %s [OPTION]...\n\n"
           "  --config=FILE\n        a file that says the same; options win "
           "[%s, unless --%s is given]\n"
           "  --check-config\n        say what is wrong with it, and start "
           "nothing\n", class->program, class->summary, class->program,
           class->file, class->unless);
    for (size_t i = 0; i < class->n_rows; i++) {
        const struct setting *row = &class->rows[i];

        if (row->where != SETTING_KEY) {
            printf("  --%s%s%s%s\n        %s\n", row->field.key,
                   row->arg ? "=" : "", row->arg ? row->arg : "",
                   row->field.required ? "  (required)" : "",
                   row->field.help);
        }
    }
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  -h, --help                  display this help message\n"
           "  -V, --version               display version information\n"
           "\nExample:\n  %s\n", class->example);
}

static void
print_row(const struct setting *row)
{
    const struct yamlfile_field *field = &row->field;

    printf(".TP\n.B ");
    if (row->where != SETTING_OPTION) {
        roff_put(field->key);
        printf(": \\fI%s\\fP", row->arg);
    }
    if (row->where != SETTING_KEY) {
        printf("%s\\-\\-", row->where == SETTING_OPTION ? "" : "\\fR, \\fP");
        roff_put(field->key);
        if (row->arg) {
            printf("=\\fI%s\\fP", row->arg);
        }
    }
    putchar('\n');
    roff_put(field->help);
    if (row->where != SETTING_OPTION) {
        printf(" (%s%s%s)", yamlfile_type_name(field->type),
               field->required ? "; required" : "",
               row->live ? "; SIGHUP changes it" : "");
    }
    putchar('\n');
}

static void
print_manual(const struct settings_class *class)
{
    roff_put_heading(class->program, 8, class->version, class->summary);
    printf(".SH SYNOPSIS\n.B ");
    roff_put(class->program);
    printf(" [\\fIOPTION\\fP]...\n.SH DESCRIPTION\n");
    roff_put(class->text);
    printf("\n.SH \"OPTIONS AND KEYS\"\n");
    roff_put("What can be said on the command line, as --KEY=VALUE, can be "
             "said in a YAML file, as KEY: VALUE.  Where both say something, "
             "the command line wins.  An option whose key is a list can be "
             "given more than once.\n");
    printf(".TP\n.B \\-\\-config=\\fIFILE\\fP\n");
    roff_put("the file; without it, ");
    roff_put(class->file);
    roff_put(", unless --");
    roff_put(class->unless);
    roff_put(" is given\n");
    printf(".TP\n.B \\-\\-check\\-config\n");
    roff_put("read the file and say that it is right (exit status 0), or all "
             "that is wrong with it (2); start nothing\n");
    for (size_t i = 0; i < class->n_rows; i++) {
        print_row(&class->rows[i]);
    }
    printf(".PP\n");
    roff_put("--help lists the options of logging and daemons, which "
             "are those of all programs made with libopenvswitch.\n");
    printf(".SH SIGNALS\n.TP\n.B SIGHUP\n");
    roff_put("The file is read again.  What can change in a running program "
             "does; the log says what cannot.  A file in which anything is "
             "wrong changes nothing.  The log's file is opened again.\n");
    printf(".SH \"EXIT STATUS\"\n");
    roff_put("0: ended as asked.  1: failed.  2: the command line or the "
             "file is wrong.\n");
    printf(".SH EXAMPLE\n.nf\n");
    roff_put(class->example);
    printf("\n.fi\n.SH \"SEE ALSO\"\n.BR watari (1)\n");
}

/* Checks. */

int
settings_check_log(const char *text, struct err *err)
{
    struct svec words = SVEC_EMPTY_INITIALIZER;
    int error = 0;

    svec_parse_words(&words, text);
    if (words.n != 1 || strpbrk(text, " ,")) {
        error = err_set(err, EINVAL, "\"%.40s\" is not one word", text);
    }
    svec_destroy(&words);

    char *copy = xstrdup(text), *save = NULL;
    for (char *word = strtok_r(copy, ":", &save); !error && word;
         word = strtok_r(NULL, ":", &save)) {
        if (strcmp(word, "any") && !vlog_module_from_name(word)
            && vlog_get_level_val(word) >= VLL_N_LEVELS
            && vlog_get_destination_val(word) >= VLF_N_DESTINATIONS) {
            error = err_set(err, EINVAL, "\"%.40s\" is neither a module nor "
                            "a destination nor a level", word);
        }
    }
    free(copy);
    return error;
}

int
settings_check_path(const char *text, struct err *err)
{
    return (text[0] == '/' ? 0
            : err_set(err, EINVAL, "\"%.60s\" is not a path that begins with "
                      "a slash", text));
}

int
settings_check_remotes(const char *text, struct err *err)
{
    char *copy = xstrdup(text), *save = NULL;
    int error = *text ? 0 : err_set(err, EINVAL, "is empty");

    for (char *word = strtok_r(copy, ", ", &save); !error && word;
         word = strtok_r(NULL, ", ", &save)) {
        const char *colon = strchr(word, ':');

        if (!colon || !colon[1] || stream_verify_name(word)) {
            error = err_set(err, EINVAL, "\"%.60s\" is not like "
                            "tcp:192.0.2.1:6640, ssl:192.0.2.1:6640 or "
                            "unix:/PATH", word);
        }
    }
    free(copy);
    return error;
}

/* Reading. */

static void *
member(const struct setting *row, void *values)
{
    return (char *) values + row->field.offset;
}

static void
clear(const struct setting *row, void *values)
{
    struct yamlfile_table one = { NULL, &row->field, 1, 0 };

    yamlfile_free(&one, values);
    memset(member(row, values), 0, row->size);
}

static bool
is_set(const struct setting *row, const void *values)
{
    const char *bytes = (const char *) values + row->field.offset;

    return !is_all_zeros(bytes, row->size);
}

static bool
texts_equal(const struct yamlfile_texts *a, const struct yamlfile_texts *b)
{
    bool equal = a->n == b->n;

    for (size_t i = 0; equal && i < a->n; i++) {
        equal = !strcmp(a->items[i], b->items[i]);
    }
    return equal;
}

static bool
is_equal(const struct setting *row, const void *a_, const void *b_)
{
    const char *a = (const char *) a_ + row->field.offset;
    const char *b = (const char *) b_ + row->field.offset;

    return (row->field.type == YAML_TEXT
            ? nullable_string_is_equal(*(char *const *) a, *(char *const *) b)
            : row->field.type == YAML_TEXTS
            ? texts_equal((const void *) a, (const void *) b)
            : !memcmp(a, b, row->size));
}

/* Reads the file.  Its table lacks the rows that are no keys, and requires
 * nothing: an option may say it. */
static void
read_file(const struct settings *s, void *values, struct problems *problems)
{
    const struct settings_class *class = s->class;
    struct yamlfile_field *fields = xcalloc(class->n_rows, sizeof *fields);
    struct yamlfile_table table = { class->what, fields, 0, class->size };
    struct err err;

    for (size_t i = 0; i < class->n_rows; i++) {
        if (class->rows[i].where != SETTING_OPTION) {
            fields[table.n_fields] = class->rows[i].field;
            fields[table.n_fields++].required = false;
        }
    }
    if (yamlfile_load(s->file, &table, values, problems, &err)) {
        problems_add(problems, "%s", err.text);
    }
    free(fields);
}

static void
obey_options(const struct settings *s, void *values,
             struct problems *problems)
{
    bool *seen = xcalloc(s->class->n_rows, sizeof *seen);
    struct err err;

    for (size_t i = 0; i < s->n_given; i++) {
        const struct given *given = &s->given[i];
        const struct setting *row = &s->class->rows[given->row];

        if (!seen[given->row]) {
            clear(row, values);
            seen[given->row] = true;
        }
        if (yamlfile_set(&row->field, given->text, member(row, values),
                         &err)) {
            problems_add(problems, "--%s: %s", row->field.key, err.text);
        }
    }
    free(seen);
}

static void
check_whole(const struct settings *s, const void *values,
            struct problems *problems)
{
    const struct settings_class *class = s->class;
    struct problems found = PROBLEMS_INIT;

    for (size_t i = 0; i < class->n_rows; i++) {
        const struct setting *row = &class->rows[i];

        if (row->field.required && !is_set(row, values)) {
            problems_add(&found, "\"%s\" is missing: %s", row->field.key,
                         row->field.help);
        }
    }
    if (!found.n && class->check) {
        class->check(values, &found);
    }
    for (size_t i = 0; i < MIN(found.n, PROBLEMS_MAX); i++) {
        problems_add(problems, "%s: %s", s->file ? s->file
                     : "the command line", found.texts[i]);
    }
    problems_finish(&found);
}

/* The caller frees the values, in any case.  'said' has a place for each
 * row. */
static void *
read_values(const struct settings *s, bool *said, struct problems *problems)
{
    void *values = xzalloc(s->class->size);

    yamlfile_preset(&s->table, values);
    if (s->file) {
        read_file(s, values, problems);
    }
    obey_options(s, values, problems);
    if (!problems->n) {
        check_whole(s, values, problems);
    }
    for (size_t i = 0; i < s->class->n_rows; i++) {
        said[i] = is_set(&s->class->rows[i], values);
    }
    if (!problems->n && s->class->fill_in) {
        s->class->fill_in(values);
    }
    return values;
}

static void
free_values(const struct settings *s, void *values)
{
    if (values) {
        yamlfile_free(&s->table, values);
        free(values);
    }
}

static const struct settings_log *
get_log(const struct settings *s)
{
    return (const void *) ((const char *) s->values + s->class->log);
}

/* Sets all levels: as they are built in, then as the file says, then as the
 * command line says. */
static void
obey_log(const struct settings *s)
{
    const struct settings_log *log = get_log(s);
    const char *word;
    size_t i;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_INFO);
    for (i = 0; i < log->levels.n; i++) {
        free(vlog_set_levels_from_string(log->levels.items[i]));
    }
    SVEC_FOR_EACH (i, word, &s->verbose) {
        vlog_set_verbosity(*word ? word : NULL);
    }
}

static void
obey_tls(const struct settings *s)
{
    if (s->class->tls) {
        tls_load((const void *) ((const char *) s->values + s->class->tls));
    }
}

/* The command line. */

static void OVS_NO_RETURN
complain(const struct settings *s, const struct problems *problems)
{
    char *text = problems_format(problems);

    fprintf(stderr, "%s\n%s: nothing was started; see --help\n", text,
            s->class->program);
    free(text);
    exit(USAGE);
}

static void
add_given(struct settings *s, size_t row, const char *text)
{
    if (s->n_given >= s->allocated_given) {
        s->given = x2nrealloc(s->given, &s->allocated_given,
                              sizeof *s->given);
    }
    s->given[s->n_given++] = (struct given) { row, xstrdup(text) };
}

static void
take_option(struct settings *s, int c, bool *check_only)
{
    if (c >= OPT_ROW) {
        add_given(s, c - OPT_ROW, optarg ? optarg : "true");
        return;
    }
    if (c == 'v') {
        svec_add(&s->verbose, optarg ? optarg : "");
    }
    s->has_log_file |= c == OPT_LOG_FILE;
    switch (c) {
    case OPT_CONFIG:
        free(s->file);
        s->file = abs_file_name(NULL, optarg);  /* A daemon changes to /. */
        break;
    case OPT_CHECK_CONFIG:
        *check_only = true;
        break;
    case OPT_MANUAL:
        print_manual(s->class);
        exit(EXIT_SUCCESS);
    case 'h':
        print_usage(s->class);
        exit(EXIT_SUCCESS);
    case 'V':
        printf("%s %s\n", s->class->program, s->class->version);
        exit(EXIT_SUCCESS);
    VLOG_OPTION_HANDLERS
    DAEMON_OPTION_HANDLERS
    STREAM_SSL_OPTION_HANDLERS
    default:
        exit(USAGE);
    }
}

static void
parse_options(struct settings *s, int argc, char *argv[], bool *check_only)
{
    static const struct option library[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
        { "manual", no_argument, NULL, OPT_MANUAL },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        VLOG_LONG_OPTIONS,
        DAEMON_LONG_OPTIONS,
        { "ssl-protocols", required_argument, NULL, OPT_SSL_PROTOCOLS },
        { "ssl-ciphers", required_argument, NULL, OPT_SSL_CIPHERS },
    };
    const struct settings_class *class = s->class;
    struct option *all = xcalloc(ARRAY_SIZE(library) + class->n_rows + 1,
                                 sizeof *all);
    size_t n = ARRAY_SIZE(library);
    int c;

    memcpy(all, library, sizeof library);
    for (size_t i = 0; i < class->n_rows; i++) {
        if (class->rows[i].where != SETTING_KEY) {
            all[n++] = (struct option) { class->rows[i].field.key,
                                         class->rows[i].arg
                                         ? required_argument : no_argument,
                                         NULL, OPT_ROW + i };
        }
    }

    char *short_options = ovs_cmdl_long_options_to_short_options(all);
    while ((c = getopt_long(argc, argv, short_options, all, NULL)) != -1) {
        take_option(s, c, check_only);
    }
    free(short_options);
    free(all);
    if (optind < argc) {
        fprintf(stderr, "%s: \"%s\" is no option; see --help\n",
                class->program, argv[optind]);
        exit(USAGE);
    }
}

/* Without --config it is the usual one, unless the command line stands for
 * itself. */
static void
choose_file(struct settings *s, bool check_only)
{
    bool alone = false;

    for (size_t i = 0; i < s->n_given; i++) {
        alone |= !strcmp(s->class->rows[s->given[i].row].field.key,
                         s->class->unless);
    }
    if (!s->file && (check_only
                     || (!alone && !access(s->class->file, F_OK)))) {
        s->file = xstrdup(s->class->file);
    }
}

static struct settings *
settings_new(const struct settings_class *class)
{
    struct settings *s = xzalloc(sizeof *s);

    s->class = class;
    s->fields = xcalloc(class->n_rows, sizeof *s->fields);
    for (size_t i = 0; i < class->n_rows; i++) {
        s->fields[i] = class->rows[i].field;
    }
    s->table = (struct yamlfile_table) {
        class->what, s->fields, class->n_rows, class->size
    };
    s->said = xcalloc(class->n_rows, sizeof *s->said);
    svec_init(&s->verbose);
    return s;
}

struct settings *
settings_create(const struct settings_class *class, int argc, char *argv[])
{
    struct settings *s = settings_new(class);
    struct problems problems = PROBLEMS_INIT;
    bool check_only = false;

    parse_options(s, argc, argv, &check_only);
    choose_file(s, check_only);
    s->values = read_values(s, s->said, &problems);
    if (problems.n) {
        complain(s, &problems);
    }
    if (check_only) {
        printf("%s is right\n", s->file);
        exit(EXIT_SUCCESS);
    }
    obey_log(s);
    obey_tls(s);
    if (get_log(s)->file && !s->has_log_file
        && vlog_set_log_file(get_log(s)->file)) {
        exit(EXIT_FAILURE);     /* The library has said why. */
    }
    return s;
}

void
settings_destroy(struct settings *s)
{
    if (s) {
        free_values(s, s->values);
        for (size_t i = 0; i < s->n_given; i++) {
            free(s->given[i].text);
        }
        free(s->given);
        svec_destroy(&s->verbose);
        free(s->fields);
        free(s->said);
        free(s->file);
        free(s);
    }
}

const void *
settings_values(const struct settings *s)
{
    return s->values;
}

/* Exchanges a live row's member with that of 'new', which was 'said' by the
 * file or is derived; tells of others, unless they only follow from them. */
static void
take_over(struct settings *s, size_t i, void *new, bool said_now,
          struct svec *said)
{
    const struct setting *row = &s->class->rows[i];

    if (is_equal(row, s->values, new)
        || (!row->live && !s->said[i] && !said_now)) {
        return;
    }
    if (!row->live) {
        svec_add_nocopy(said, xasprintf(
            "%s: \"%s\" cannot change while %s runs; the old value holds "
            "until it starts again", s->file, row->field.key,
            s->class->program));
        return;
    }
    s->said[i] = said_now;

    char *a = member(row, s->values), *b = member(row, new);
    for (size_t j = 0; j < row->size; j++) {
        char byte = a[j];

        a[j] = b[j];
        b[j] = byte;
    }
    svec_add_nocopy(said, xasprintf("%s: \"%s\" has its new value", s->file,
                                    row->field.key));
}

int
settings_reload(struct settings *s, struct svec *said)
{
    struct problems problems = PROBLEMS_INIT;
    void *new;

    if (!s->file) {
        svec_add(said, "there is no file to read again: all settings are "
                 "from the command line");
        return EINVAL;
    }
    bool *said_now = xcalloc(s->class->n_rows, sizeof *said_now);
    new = read_values(s, said_now, &problems);
    for (size_t i = 0; i < MIN(problems.n, PROBLEMS_MAX); i++) {
        svec_add(said, problems.texts[i]);
    }
    if (problems.n) {
        svec_add_nocopy(said, xasprintf("%s is wrong; nothing has changed",
                                        s->file));
    } else {
        size_t before = said->n;

        for (size_t i = 0; i < s->class->n_rows; i++) {
            take_over(s, i, new, said_now[i], said);
        }
        if (said->n == before) {
            svec_add_nocopy(said, xasprintf("%s says nothing new", s->file));
        }
        obey_log(s);
        obey_tls(s);
    }
    free_values(s, new);
    free(said_now);
    int error = problems.n ? EINVAL : 0;
    problems_finish(&problems);
    return error;
}
