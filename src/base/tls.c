#include <config.h>

#include "base/tls.h"

#include <errno.h>
#include <string.h>

#include "stream-ssl.h"

#include "base/pki.h"

#define DAY 86400

void
tls_check(const struct tls_files *files, const char *name,
          struct problems *problems)
{
    struct err err;

    if (!files->private_key && !files->certificate && !files->ca_cert) {
        return;
    }
    if (!files->private_key || !files->certificate || !files->ca_cert) {
        problems_add(problems, "\"private-key\", \"certificate\" and "
                     "\"ca-cert\" are needed together");
    } else if (pki_check(files->private_key, files->certificate,
                         files->ca_cert, name, &err)) {
        problems_add(problems, "%s", err.text);
    }
}

void
tls_check_remote(const struct tls_files *files, const char *key,
                 const char *remote, struct problems *problems)
{
    if (!tls_is_on(files)
        && (!strncmp(remote, "ssl:", 4) || strstr(remote, ",ssl:")
            || strstr(remote, " ssl:"))) {
        problems_add(problems, "\"%s\" is %s, which needs \"private-key\", "
                     "\"certificate\" and \"ca-cert\"", key, remote);
    }
}

void
tls_load(const struct tls_files *files)
{
    if (tls_is_on(files)) {
        stream_ssl_set_key_and_cert(files->private_key, files->certificate);
        stream_ssl_set_ca_cert_file(files->ca_cert, false);
    }
}

int
tls_check_time(const struct tls_files *files, time_t now, struct err *err)
{
    struct pki_certificate certificate;

    if (!tls_is_on(files)
        || pki_read(files->certificate, &certificate, NULL)) {
        return 0;
    }

    long long int left = certificate.ends - now;
    return (left >= TLS_SOON_DAYS * DAY ? 0
            : left < 0 ? err_set(err, EKEYEXPIRED, "%s has expired: nobody "
                                 "will talk to us; \"watari pki rotate\" "
                                 "makes a new one", files->certificate)
            : err_set(err, EKEYEXPIRED, "%s expires in %lld days; \"watari "
                      "pki rotate\" makes a new one", files->certificate,
                      left / DAY));
}
