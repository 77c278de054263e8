#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "svec.h"
#include "util.h"

#include "base/pki.h"
#include "cli/commands.h"
#include "cli/output.h"

#define DAY 86400
#define SOON_DAYS 30            /* Time to rotate. */

static int
run_init(const struct invocation *in, struct err *err)
{
    if (pki_init(in->args[0], time(NULL), err)) {
        return COMMAND_FAILED;
    }
    printf("%s/ca.crt is for every host; %s/ca.key stays here, and nowhere "
           "else\n", in->args[0], in->args[0]);
    return COMMAND_OK;
}

static int
parse_days(const struct invocation *in, int *days, struct err *err)
{
    const char *text = invocation_option(in, "days");

    *days = PKI_DAYS;
    return (!text || (str_to_int(text, 10, days) && *days >= 1
                      && *days <= PKI_MAX_DAYS) ? 0
            : err_set(err, EINVAL, "--days %s: expected 1 to %d", text,
                      PKI_MAX_DAYS));
}

static int
make(const struct invocation *in,
     int (*function)(const char *, const char *, time_t, int, struct err *),
     struct err *err)
{
    const char *dir = in->args[0], *name = in->args[1];
    int days;

    if (parse_days(in, &days, err)) {
        return COMMAND_USAGE;
    }
    if (function(dir, name, time(NULL), days, err)) {
        return COMMAND_FAILED;
    }
    printf("%s/%s.key and %s/%s.crt are for %s, for %d days\n", dir, name,
           dir, name, name, days);
    return COMMAND_OK;
}

static int
run_issue(const struct invocation *in, struct err *err)
{
    return make(in, pki_issue, err);
}

static int
run_rotate(const struct invocation *in, struct err *err)
{
    int status = make(in, pki_rotate, err);

    if (!status) {
        printf("copy them to the host, then \"systemctl reload "
               "watari-agent\" there; the old ones are good until they "
               "expire\n");
    }
    return status;
}

/* Showing. */

static struct json *
certificate_json(const char *file, const struct pki_certificate *c,
                 time_t now)
{
    struct json *json = json_object_create();
    char ends[32];
    struct tm tm;

    strftime(ends, sizeof ends, "%Y-%m-%dT%H:%M:%SZ",
             gmtime_r(&c->ends, &tm));
    json_object_put_string(json, "name", c->name);
    json_object_put_string(json, "state", now < c->begins ? "not-yet"
                           : now > c->ends ? "expired"
                           : c->ends - now < SOON_DAYS * DAY ? "expires-soon"
                           : "good");
    json_object_put(json, "days", json_integer_create(
                        c->ends > now ? (c->ends - now) / DAY : 0));
    json_object_put_string(json, "ends", ends);
    json_object_put_string(json, "issuer", c->issuer);
    json_object_put_string(json, "serial", c->serial);
    json_object_put_string(json, "sha256", c->fingerprint);
    json_object_put_string(json, "file", file);
    return json;
}

/* The names of the certificates in 'dir', sorted. */
static int
list_files(const char *dir, struct svec *files, struct err *err)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;

    if (!stream) {
        return err_set(err, errno, "%s: %s", dir, ovs_strerror(errno));
    }
    while ((entry = readdir(stream))) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot && !strcmp(dot, ".crt")) {
            svec_add_nocopy(files, xasprintf("%s/%s", dir, entry->d_name));
        }
    }
    closedir(stream);
    svec_sort(files);
    return (files->n ? 0
            : err_set(err, ENOENT, "there is no certificate in %s; try "
                      "\"watari pki init %s\"", dir, dir));
}

static int
run_show(const struct invocation *in, struct err *err)
{
    static const char *const columns[] = {
        "name", "state", "days", "ends", "issuer", "serial", NULL
    };
    struct svec files = SVEC_EMPTY_INITIALIZER;
    struct json *list = json_array_create_empty();
    struct pki_certificate certificate;
    const char *file;
    struct stat st;
    int error = 0;
    size_t i;

    if (in->n_args > 1) {
        svec_add_nocopy(&files, xasprintf("%s/%s.crt", in->args[0],
                                          in->args[1]));
    } else if (!stat(in->args[0], &st) && !S_ISDIR(st.st_mode)) {
        svec_add(&files, in->args[0]);
    } else {
        error = list_files(in->args[0], &files, err);
    }
    SVEC_FOR_EACH (i, file, &files) {
        error = error ? error : pki_read(file, &certificate, err);
        if (!error) {
            json_array_add(list, certificate_json(file, &certificate,
                                                  time(NULL)));
        }
    }
    if (!error) {
        output_list(in, list, columns);
    }
    json_destroy(list);
    svec_destroy(&files);
    return error ? COMMAND_FAILED : COMMAND_OK;
}

static const struct option_row issue_options[] = {
    { "days", "N", "for how long it is good [365]" },
    { NULL },
};

static const struct command rows[] = {
    { "pki", "init", "DIR", 1, 1, NULL,
      "make a certificate authority in a folder",
      "  watari pki init /root/watari-pki", run_init },
    { "pki", "issue", "DIR NAME", 2, 2, issue_options,
      "make a key and a certificate for a host, manager or store",
      "  watari pki issue /root/watari-pki h1\n"
      "  watari pki issue /root/watari-pki store --days 90", run_issue },
    { "pki", "rotate", "DIR NAME", 2, 2, issue_options,
      "replace a key and its certificate",
      "  watari pki rotate /root/watari-pki h1", run_rotate },
    { "pki", "show", "DIR|FILE [NAME]", 1, 2, NULL,
      "show certificates, and which of them expire soon",
      "  watari pki show /root/watari-pki\n"
      "  watari pki show /etc/watari/h1.crt -o json", run_show },
};
const struct command_table pki_commands = { rows, ARRAY_SIZE(rows) };
