#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H 1

/* The agent's command line.  One table (options.c) feeds the parser and the
 * help. */

#include <stdint.h>

#include "core/addr.h"

struct options {
    const char *name, *site;
    const char *store;
    const char *run_dir;
    const char *bridge, *switch_db, *switch_mgmt;
    const char *address;        /* Of channel and migrations. */
    const char *channel;
    const char *wan_interface;
    struct addr_pair wan, router;
    const char *image_dir, *qemu_user, *accel, *watchdog;
    uint64_t memory_mib;
    const char *unixctl;
};

/* Fills in defaults; prints what is wrong and exits with status 2 on a wrong
 * command line.  Strings live as long as the process. */
void options_parse(int argc, char *argv[], struct options *);

#endif /* agent/options.h */
