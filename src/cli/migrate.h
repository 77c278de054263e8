#ifndef CLI_MIGRATE_H
#define CLI_MIGRATE_H 1

/* "watari vm migrate": asks for a migration and follows it to its end. */

#include "cli/command.h"

int migrate_run(const struct invocation *, struct err *);

#endif /* cli/migrate.h */
