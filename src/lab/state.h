#ifndef LAB_STATE_H
#define LAB_STATE_H 1

/* What a lab consists of, in a file.
 *
 *      /run/watari/LAB/state.json      namespaces and processes
 *      /run/watari/LAB/NODE/           logs, sockets, databases
 *      /run/watari/LAB/pki/            certificates, and keys for root only
 *      /run/watari/sysctls.json        what the machine had before
 *
 * Each part is in the file before it exists, so that "lab down" finds all of
 * them wherever "lab up" was interrupted.  Whoever changes a lab holds its
 * lock. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/process.h"
#include "svec.h"

#define STATE_ROOT "/run/watari"
#define STATE_MAX_PROCESSES 4096

struct state_process {
    char *node, *part;          /* "t1", "agent" */
    char *netns;                /* Null: the machine's own. */
    char *output;               /* Log file. */
    struct svec argv, env;      /* Terminated. */
    int nice;
    bool listens;               /* Gets a socket at state->listen as 3. */
    struct process_id id;       /* pid 0: not started (yet). */
};

struct state {
    char *lab;
    char *dir;                  /* STATE_ROOT/LAB */
    bool up;                    /* "lab up" has finished. */
    char *listen;               /* "127.0.0.1:7480", or null. */
    char *file;                 /* The lab file, for people. */
    bool tls;                   /* Its programs have certificates. */
    struct svec netns;          /* Full names. */
    struct state_process **processes;
    size_t n_processes, allocated_processes;
    int lock;                   /* Descriptor, or -1. */
};

/* Makes the state of a new lab, locked.  EEXIST if there is one. */
int state_create(const char *lab, struct state **, struct err *);

/* Loads a lab's state; ENOENT if there is none.  With 'lock' waits until
 * nobody else changes it. */
int state_load(const char *lab, bool lock, struct state **, struct err *);
void state_destroy(struct state *);

/* Writes the file anew. */
int state_save(const struct state *, struct err *);

/* Removes the lab's folder, and STATE_ROOT if it is empty then. */
int state_remove(struct state *, struct err *);

/* Does a part of a real machine have its folder there?  See
 * deploy/tmpfiles.conf. */
bool state_is_reserved(const char *name);

/* Names of all labs, sorted. */
void state_list(struct svec *labs);

/* The only lab; ENOENT if there is none, EEXIST if there are several, with the
 * sentence. */
int state_find_only(char **lab, struct err *);

int state_add_netns(struct state *, const char *netns, struct err *);

/* Adds a process that is not running, with nothing in 'argv' and 'env'. */
struct state_process *state_add_process(struct state *, const char *node,
                                        const char *part);
struct state_process *state_find_process(const struct state *,
                                         const char *node, const char *part);

/* Starts 'process', which 'state' records before it runs.  'listener' is the
 * socket for a process that wants one, otherwise -1. */
int state_start(struct state *, struct state_process *, int listener,
                struct err *);

/* Is 'node' part of the lab? */
bool state_has_node(const struct state *, const char *node);

/* "DIR/NODE", or "DIR/NODE/FILE" with a file; the caller frees it. */
char *state_path(const struct state *, const char *node, const char *file);

/* Makes the folder of 'node'. */
int state_make_dir(const struct state *, const char *node, struct err *);

#endif /* lab/state.h */
