#include <config.h>

#include "manager/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socket-util.h"
#include "util.h"

#define TOKEN_MIN 16            /* Characters. */

static yamlfile_check_func check_agents, check_listen, check_token_file;

#define ROW(MEMBER, ...) SETTING(options, MEMBER, __VA_ARGS__)

static const struct setting rows[] = {
    ROW(store, "store", YAML_TEXT, "REMOTE",
        "the store, as tcp:192.0.2.1:6640 or ssl:...; several with commas",
        .field.required = true, .field.check = settings_check_remotes),
    ROW(agents, "agents", YAML_TEXT, "REMOTE",
        "where the store lets agents in, each to its own rows, as "
        "pssl:6640:192.0.2.9; several with commas",
        .field.check = check_agents),
    ROW(unix_path, "unix", YAML_TEXT, "PATH",
        "socket for the REST interface, without a token for root",
        .field.check = settings_check_path),
    ROW(listen, "listen", YAML_TEXT, "ADDRESS:PORT",
        "where to listen for the REST interface, with a token: by HTTPS "
        "with a certificate, without on 127.0.0.1 or [::1] only",
        .field.check = check_listen),
    ROW(listen_fd, "listen-fd", YAML_INT, "NUMBER",
        "a TCP socket that listens already, instead of --listen",
        .field.min = 3, .field.max = INT_MAX, .where = SETTING_OPTION),
    ROW(token_file, "token-file", YAML_TEXT, "FILE",
        "file that holds the token; needed by listen and --listen-fd",
        .field.check = check_token_file, .live = true),
    ROW(unixctl, "unixctl", YAML_TEXT, "SOCKET",
        "control socket for ovs-appctl [manager.ctl beside the other]"),
    SETTINGS_TLS(options),
    SETTINGS_LOG(options),
};

int
options_read_token(const char *file, char token[OPTIONS_TOKEN_MAX],
                   struct err *err)
{
    char line[OPTIONS_TOKEN_MAX] = "";
    FILE *stream = fopen(file, "re");

    if (!stream || (!fgets(line, sizeof line, stream) && ferror(stream))) {
        int error = errno;

        if (stream) {
            fclose(stream);
        }
        return err_set(err, error, "%s: %s", file, ovs_strerror(error));
    }
    fclose(stream);
    line[strcspn(line, "\r\n")] = '\0';
    if (strlen(line) < TOKEN_MIN) {
        return err_set(err, EINVAL, "%s: a token has at least %d characters",
                       file, TOKEN_MIN);
    }
    ovs_strlcpy(token, line, OPTIONS_TOKEN_MAX);
    return 0;
}

static int
check_token_file(const char *text, struct err *err)
{
    char token[OPTIONS_TOKEN_MAX];

    return options_read_token(text, token, err);
}

/* Only a certificate says who writes. */
static int
check_agents(const char *text, struct err *err)
{
    char *copy = xstrdup(text), *save = NULL;
    int error = *text ? 0 : err_set(err, EINVAL, "is empty");

    for (char *word = strtok_r(copy, ", ", &save); !error && word;
         word = strtok_r(NULL, ", ", &save)) {
        struct sockaddr_storage ss;

        if (strncmp(word, "pssl:", 5)
            || !inet_parse_passive(word + 5, -1, &ss, false, NULL)) {
            error = err_set(err, EINVAL, "\"%.60s\" is not like "
                            "pssl:6640 or pssl:6640:192.0.2.9", word);
        }
    }
    free(copy);
    return error;
}

/* An IPv6 address is in brackets. */
static int
check_listen(const char *text, struct err *err)
{
    const char *colon = strrchr(text, ':');
    bool v6 = text[0] == '[' && colon && colon[-1] == ']';
    int len = colon ? colon - text - 2 * v6 : 0;
    char *host = xasprintf("%.*s", len, text + v6);
    struct in6_addr addr;
    char *end = NULL;
    long int port = colon ? strtol(colon + 1, &end, 10) : 0;
    bool good = (inet_pton(v6 ? AF_INET6 : AF_INET, host, &addr) == 1
                 && !*end && port >= 1 && port <= UINT16_MAX);

    free(host);
    return good ? 0 : err_set(err, EINVAL, "\"%.60s\" is not like "
                              "192.0.2.9:7480 or [2001:db8::9]:7480", text);
}

static void
check(const void *options_, struct problems *problems)
{
    const struct options *o = options_;

    if (!o->unix_path && !o->listen && !o->listen_fd) {
        problems_add(problems, "\"unix\" or \"listen\" is needed, or both: "
                     "nobody could ask anything");
    }
    if ((o->listen || o->listen_fd) && !o->token_file) {
        problems_add(problems, "\"listen\" needs a \"token-file\"");
    }
    if (o->listen && !tls_is_on(&o->tls) && strncmp(o->listen, "127.", 4)
        && strncmp(o->listen, "[::1]", 5)) {
        problems_add(problems, "\"listen\" is %s, which needs "
                     "\"private-key\", \"certificate\" and \"ca-cert\": "
                     "HTTP without TLS is for this machine only", o->listen);
    }
    tls_check(&o->tls, NULL, problems);
    tls_check_remote(&o->tls, "store", o->store, problems);
}

static void
fill_in(void *options_)
{
    struct options *o = options_;

    if (!o->unixctl && o->unix_path) {
        char *dir = dir_name(o->unix_path);

        o->unixctl = xasprintf("%s/manager.ctl", dir);
        free(dir);
    }
}

const struct settings_class options_class = {
    .program = "watari-manager",
    .version = WATARI_VERSION,
    .what = "the manager's configuration",
    .summary = "Watari's manager: REST interface and events",
    .text = "A manager answers the REST interface and the command line.  Any "
        "number may run; one of them is active, and does what only one "
        "should do.  VMs do not need it.",
    .example = "watari-manager --store=tcp:192.0.2.9:6640 \\\n"
        "    --unix=/run/watari/manager/manager.sock",
    .file = "/etc/watari/manager.yaml",
    .unless = "store",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct options),
    .log = offsetof(struct options, log),
    .tls = offsetof(struct options, tls),
    .check = check,
    .fill_in = fill_in,
};
