#include <config.h>

#include "lab/certificates.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

#include "base/pki.h"

#define FOLDER "pki"
#define CERTIFICATE "--certificate="

int
certificates_make(const struct labfile *file, const struct state *state,
                  time_t now, struct err *err)
{
    char *dir = state_path(state, FOLDER, NULL);
    const struct labfile_site *site;

    int error = pki_init(dir, now, err);
    error = error ? error : pki_issue(dir, "store", now, PKI_DAYS, err);
    error = error ? error : pki_issue(dir, "manager", now, PKI_DAYS, err);
    YAML_MAP_FOR_EACH (site, &file->sites) {
        for (size_t i = 0; !error && i < site->hosts.n; i++) {
            error = pki_issue(dir, site->hosts.items[i], now, PKI_DAYS, err);
        }
    }
    free(dir);
    return error;
}

void
certificates_add_args(const struct state *state, const char *name,
                      struct svec *argv)
{
    if (state->tls) {
        char *dir = state_path(state, FOLDER, NULL);

        svec_add_nocopy(argv, xasprintf("--private-key=%s/%s.key", dir,
                                        name));
        svec_add_nocopy(argv, xasprintf(CERTIFICATE "%s/%s.crt", dir,
                                        name));
        svec_add_nocopy(argv, xasprintf("--ca-cert=%s/ca.crt", dir));
        free(dir);
    }
}

bool
certificates_are_used(const struct state_process *process)
{
    const char *arg;
    size_t i;

    SVEC_FOR_EACH (i, arg, &process->argv) {
        if (!strncmp(arg, CERTIFICATE, strlen(CERTIFICATE))) {
            return true;
        }
    }
    return false;
}
