#ifndef MANAGER_OPTIONS_H
#define MANAGER_OPTIONS_H 1

/* What the manager can be told, on its command line and in
 * /etc/watari/manager.yaml: see base/settings.h. */

#include "base/settings.h"

#define OPTIONS_TOKEN_MAX 256

struct options {
    char *store;
    char *agents;               /* Null: not said. */
    char *unix_path;            /* Null: none. */
    char *listen;               /* Null: none. */
    int64_t listen_fd;          /* 0: none. */
    char *token_file;           /* Null: none. */
    char *unixctl;              /* Null: the library's place. */
    struct tls_files tls;
    struct settings_log log;
};

extern const struct settings_class options_class;

/* Reads the first line of 'file' into 'token'. */
int options_read_token(const char *file, char token[OPTIONS_TOKEN_MAX],
                       struct err *);

#endif /* manager/options.h */
