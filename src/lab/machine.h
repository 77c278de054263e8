#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H 1

/* What labs need of the machine as a whole. */

#include "base/err.h"

/* Raises the sysctls that labs need, and remembers what they were. */
int machine_prepare(struct err *);

/* Puts them back if no lab is left. */
int machine_restore(struct err *);

/* Finds a program or a data file of ours: beside the running program, in the
 * build folder, or where it is installed.  "watari-agent", "schema/...".
 * ENOENT if it is nowhere.  The caller frees '*path'. */
int machine_find(const char *name, char **path, struct err *);

/* A socket that listens on 127.0.0.1, on 'port' or the next free one.  The
 * caller closes '*fd'. */
int machine_listen(unsigned int port, int *fd, unsigned int *actual,
                   struct err *);

#endif /* lab/machine.h */
