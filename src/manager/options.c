#include <config.h>

#include "manager/options.h"

#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command-line.h"
#include "daemon.h"
#include "openvswitch/vlog.h"
#include "stream-ssl.h"
#include "util.h"

/* Our own options; the library's follow in the help. */
static const struct {
    const char *name;
    size_t offset;
    const char *arg, *help;
} rows[] = {
    { "store", offsetof(struct options, store), "REMOTE",
      "the store, as tcp:192.0.2.1:6641; several with commas (required)" },
    { "unix", offsetof(struct options, unix_path), "PATH",
      "socket for the REST interface, without a token for root" },
    { "listen", offsetof(struct options, listen), "ADDRESS:PORT",
      "where to listen for the REST interface, with a token" },
    { "listen-fd", offsetof(struct options, listen_fd), "NUMBER",
      "a TCP socket that listens already, instead of --listen" },
    { "token-file", offsetof(struct options, token_file), "FILE",
      "file that holds the token; needed by --listen and --listen-fd" },
    { "unixctl", offsetof(struct options, unixctl), "SOCKET",
      "control socket for ovs-appctl" },
};

enum {
    OPT_ROW = UCHAR_MAX + 1,    /* And ARRAY_SIZE(rows) more. */
    OPT_OWN_END = OPT_ROW + ARRAY_SIZE(rows),
    VLOG_OPTION_ENUMS,
    DAEMON_OPTION_ENUMS,
    SSL_OPTION_ENUMS,
};

static void OVS_NO_RETURN
usage(void)
{
    printf("%s: Watari's manager: REST interface and events\n"
           "usage: %s --store=REMOTE [OPTION]...\n\n", program_name,
           program_name);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        printf("  --%s=%s\n        %s\n", rows[i].name, rows[i].arg,
               rows[i].help);
    }
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  -h, --help                  display this help message\n"
           "  -V, --version               display version information\n");
    exit(EXIT_SUCCESS);
}

static void OVS_NO_RETURN
wrong(const char *what)
{
    fprintf(stderr, "%s: %s; see --help\n", program_name, what);
    exit(2);
}

static void
parse_one(struct options *options, int c)
{
    switch (c) {
    case 'h':
        usage();
    case 'V':
        printf("watari-manager %s\n", WATARI_VERSION);
        exit(EXIT_SUCCESS);

    VLOG_OPTION_HANDLERS
    DAEMON_OPTION_HANDLERS
    STREAM_SSL_OPTION_HANDLERS

    case '?':
        exit(2);
    default:
        *(const char **) ((char *) options + rows[c - OPT_ROW].offset)
            = optarg;
    }
}

void
options_parse(struct options *options, int argc, char *argv[])
{
    static const struct option library[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        VLOG_LONG_OPTIONS,
        DAEMON_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
    };
    struct option all[ARRAY_SIZE(rows) + ARRAY_SIZE(library) + 1] = {
        { NULL, 0, NULL, 0 },
    };
    int c;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        all[i] = (struct option) { rows[i].name, required_argument, NULL,
                                   OPT_ROW + i };
    }
    for (size_t i = 0; i < ARRAY_SIZE(library); i++) {
        all[ARRAY_SIZE(rows) + i] = library[i];
    }
    *options = (struct options) { .store = NULL };
    while ((c = getopt_long(argc, argv, "hVv::", all, NULL)) != -1) {
        parse_one(options, c);
    }
    if (optind < argc) {
        wrong("takes options only");
    }
    if (!options->store) {
        wrong("--store is needed");
    }
    if (!options->unix_path && !options->listen && !options->listen_fd) {
        wrong("--unix, --listen or --listen-fd is needed");
    }
    if ((options->listen || options->listen_fd) && !options->token_file) {
        wrong("--listen and --listen-fd need a --token-file");
    }
    if (options->listen_fd
        && (!options->listen_fd[0]
            || strspn(options->listen_fd, "0123456789")
            != strlen(options->listen_fd))) {
        wrong("--listen-fd: not a number");
    }
}
