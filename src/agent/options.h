#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H 1

/* What the agent can be told, on its command line and in
 * /etc/watari/agent.yaml: see base/settings.h. */

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"
#include "core/addr.h"

struct options {
    char *name, *site;
    char *store;
    char *run_dir;
    char *bridge, *switch_db, *switch_mgmt;
    char *address;              /* Of channel and migrations. */
    char *channel;
    char *wan_interface;
    struct addr_pair wan, router;
    char *image_dir, *qemu_user, *watchdog, *keeper;
    int accel;                  /* An index in options_accels. */
    uint64_t memory_mib;
    char *unixctl;
    bool test_faults;           /* See engine/fault.h. */
    struct tls_files tls;
    struct settings_log log;
};

extern const char *const options_accels[];

extern const struct settings_class options_class;

#endif /* agent/options.h */
