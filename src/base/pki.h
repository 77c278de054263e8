#ifndef BASE_PKI_H
#define BASE_PKI_H 1

/* A small certificate authority in a folder, for a site's operator.
 *
 * The folder holds ca.key and ca.crt, and NAME.key and NAME.crt for each
 * NAME that was issued, in PEM.  A certificate names its holder as its
 * common name and as a DNS name (RFC 5280, section 4.2.1.6); for an agent
 * that is the name of its Host row.  It is good for both sides of TLS.
 *
 * Keys are P-256, readable by their owner only, and go from memory into the
 * file and nowhere else.  Files appear whole or not at all.  The key of a CA
 * is never replaced.  Nothing here can revoke: what was lost is good until
 * it expires, so a CA whose holder's key was stolen is given up.
 *
 * Times are seconds since 1970; this reads no clock. */

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/err.h"

#define PKI_NAME_LEN 63
#define PKI_CA_DAYS 3650
#define PKI_DAYS 365            /* Of a certificate, usually. */
#define PKI_MAX_DAYS 3650

struct pki_certificate {
    char name[PKI_NAME_LEN + 1];        /* The common name, shortened. */
    char issuer[PKI_NAME_LEN + 1];
    time_t begins, ends;
    char serial[48];            /* Hexadecimal. */
    char fingerprint[65];       /* SHA-256, hexadecimal. */
    bool is_ca;
};

/* Makes a CA in 'dir', and the folder if need be.  EEXIST if there is one. */
int pki_init(const char *dir, time_t now, struct err *);

/* Makes a key and a certificate for 'name'.  EEXIST if it has one already:
 * then pki_rotate() replaces both. */
int pki_issue(const char *dir, const char *name, time_t now, int days,
              struct err *);
int pki_rotate(const char *dir, const char *name, time_t now, int days,
               struct err *);

/* Reads the first certificate in 'file'. */
int pki_read(const char *file, struct pki_certificate *, struct err *);

/* Makes tickets with which two programs can talk once, for example the QEMUs
 * of a migration: each is, as text, the certificate of an authority that is
 * forgotten at once, a certificate of the holder's name, and its key.  They
 * have no end, since nobody believes them afterwards.  The caller frees
 * them. */
int pki_make_tickets(const char *const names[2], char *tickets[2],
                     struct err *);

/* Proves that 'key' is that of 'certificate', that 'ca' has signed it, and
 * that it names 'name' (null: anybody).  Whether it has expired is not
 * looked at. */
int pki_check(const char *key, const char *certificate, const char *ca,
              const char *name, struct err *);

#endif /* base/pki.h */
