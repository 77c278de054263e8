#ifndef AGENT_SHOW_H
#define AGENT_SHOW_H 1

/* The agent as its control socket shows it. */

#include <stdbool.h>

#include "openvswitch/uuid.h"

#include "agent/options.h"
#include "store/write.h"

struct agent {
    struct settings *settings;
    const struct options *options;      /* Their values. */
    struct uuid host;           /* Zero until the store has said. */
    struct store *store;
    struct datapath *datapath;
    struct of_switch *of_switch;
    struct bridge *bridge;
    struct hypervisor *hypervisor;
    struct fault *fault;        /* Null without --test-faults. */
    write_ticket registered;    /* Our Host row... */
    unsigned int registered_seqno;      /* ...tried with this replica. */
    unsigned int hosts_seqno;   /* What the channel knows of hosts. */

    /* From begin() on. */
    struct channel *channel;
    struct edge *edge;
    struct engine *engine;
    unsigned int seen_store, seen_bridge;   /* The engine's last turn. */
    bool complete;              /* All that should be is in the datapath. */
};

/* Registers "watari/flows", "watari/counters" and "watari/status". */
void show_init(struct agent *);

#endif /* agent/show.h */
