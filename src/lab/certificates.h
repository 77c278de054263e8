#ifndef LAB_CERTIFICATES_H
#define LAB_CERTIFICATES_H 1

/* Certificates of a lab whose programs talk by TLS, as real hosts do: an
 * authority of the lab's own, in DIR/pki, and a certificate for each host, the
 * store and the manager.  They go with the lab. */

#include <time.h>

#include "base/err.h"
#include "lab/labfile.h"
#include "lab/state.h"

int certificates_make(const struct labfile *, const struct state *,
                      time_t now, struct err *);

/* Adds the options by which a program uses the certificate of 'name'; none if
 * the lab does without. */
void certificates_add_args(const struct state *, const char *name,
                           struct svec *argv);

/* Was 'process' given some? */
bool certificates_are_used(const struct state_process *);

#endif /* lab/certificates.h */
