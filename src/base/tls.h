#ifndef BASE_TLS_H
#define BASE_TLS_H 1

/* A program's key, certificate and authority, for libopenvswitch's "ssl:" and
 * "pssl:", which share one set of them in a process.  Each side of such a
 * connection demands a certificate from the same CA. */

#include <stdbool.h>
#include <time.h>

#include "base/err.h"
#include "base/problems.h"

#define TLS_SOON_DAYS 30        /* Before the end; time to rotate. */

/* All three, or none. */
struct tls_files {
    char *private_key, *certificate, *ca_cert;
};

static inline bool
tls_is_on(const struct tls_files *files)
{
    return files->certificate != NULL;
}

/* Adds what is wrong with them: one lacks, they do not belong together, or
 * the certificate names somebody else than 'name' (null: anybody is right).
 * One that has expired is not wrong: a program that starts without its peers
 * is better than one that does not. */
void tls_check(const struct tls_files *, const char *name, struct problems *);

/* Adds that 'remote', which 'key' says, needs them, if it does. */
void tls_check_remote(const struct tls_files *, const char *key,
                      const char *remote, struct problems *);

/* Hands them to the library, for new connections: also if the files have
 * changed.  They have been checked. */
void tls_load(const struct tls_files *);

/* EKEYEXPIRED if the certificate has expired or will soon, with a sentence. */
int tls_check_time(const struct tls_files *, time_t now, struct err *);

#endif /* base/tls.h */
