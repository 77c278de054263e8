#include <config.h>

#include "agent/faults.h"

#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "unixctl.h"
#include "util.h"

#include "agent/show.h"
#include "engine/fault.h"

#define USAGE "set POINT hold|kill|off, or release, or show"

static void
obey_set(struct unixctl_conn *conn, struct fault *fault, const char *argv[])
{
    struct err err;

    if (fault_set(fault, argv[0], argv[1], &err)) {
        unixctl_command_reply_error(conn, err.text);
    } else {
        unixctl_command_reply(conn, NULL);
    }
}

static void
obey_release(struct unixctl_conn *conn, struct fault *fault,
             const char *argv[] OVS_UNUSED)
{
    if (fault_release(fault)) {
        unixctl_command_reply(conn, NULL);
    } else {
        unixctl_command_reply_error(conn, "nothing is held");
    }
}

static void
obey_show(struct unixctl_conn *conn, struct fault *fault,
          const char *argv[] OVS_UNUSED)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    fault_format(fault, &s);
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
}

static const struct order {
    const char *verb;
    int n_args;
    void (*obey)(struct unixctl_conn *, struct fault *, const char *argv[]);
} orders[] = {
    { "set", 2, obey_set },
    { "release", 0, obey_release },
    { "show", 0, obey_show },
};

static void
faults_run(struct unixctl_conn *conn, int argc, const char *argv[],
           void *agent_)
{
    struct agent *a = agent_;

    if (!a->fault) {
        unixctl_command_reply_error(conn, "this agent takes no faults: it "
                                    "was started without --test-faults");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        if (!strcmp(argv[1], orders[i].verb)
            && argc - 2 == orders[i].n_args) {
            orders[i].obey(conn, a->fault, argv + 2);
            return;
        }
    }
    unixctl_command_reply_error(conn, "watari/fault: " USAGE);
}

void
faults_init(struct agent *a)
{
    unixctl_command_register("watari/fault", USAGE, 1, 3, faults_run, a);
}
