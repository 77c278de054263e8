#ifndef MANAGER_OPTIONS_H
#define MANAGER_OPTIONS_H 1

/* The manager's command line. */

struct options {
    const char *store;          /* Never null. */
    const char *unix_path;      /* Null: none. */
    const char *listen;         /* Null: none. */
    const char *listen_fd;      /* A number; null: none. */
    const char *token_file;     /* Null: none. */
    const char *unixctl;        /* Null: the library's place. */
};

/* Ends the program if they are wrong (2), or if help was asked for (0). */
void options_parse(struct options *, int argc, char *argv[]);

#endif /* manager/options.h */
