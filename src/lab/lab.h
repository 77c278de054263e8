#ifndef LAB_LAB_H
#define LAB_LAB_H 1

/* Labs: several sites on one machine.
 *
 * A lab file says what there is (labfile.h); names and addresses of what it
 * does not mention follow from it (plan.h).  Bringing a lab up makes
 * namespaces and links (network.h), starts programs in them (parts.h) and
 * applies the file's VMs and endpoints through the manager.  All of it is
 * recorded in a state file (state.h), from which it is taken down again. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/problems.h"
#include "base/progress.h"

struct json;
struct state;

struct lab_up {
    const char *file;
    bool keep;                  /* What was made stays when it fails. */
    bool only_network;          /* Neither store nor agents nor VMs. */
    bool test_faults;           /* Agents get --test-faults. */
    bool tls;                   /* Its programs have certificates. */
    struct progress *progress;
    char name[64];              /* Set: the lab's. */
};

/* Brings a lab up and returns when every VM answers.  If it fails, nothing
 * is left unless '->keep'.  What is wrong with the file goes to 'problems'.
 * EINTR after SIGINT or SIGTERM. */
int lab_up(struct lab_up *, struct problems *, struct err *);

/* Takes a lab down, whatever state it is in.  Null: the only one. */
int lab_down(const char *lab, struct progress *, struct err *);

/* Becomes 'argv' inside the namespace of 'node'; returns only on failure. */
int lab_exec(const char *lab, const char *node, char *const argv[],
             struct err *);

/* Ends a part and starts it again. */
int lab_restart(const char *lab, const char *node, const char *part,
                struct err *);

/* Connects the terminal to a VM's serial console until ^] is typed. */
int lab_console(const char *lab, const char *vm, struct err *);

/* All labs as an array of objects: lab, node, part, pid, state, tls. */
struct json *lab_status(void);

#endif /* lab/lab.h */
