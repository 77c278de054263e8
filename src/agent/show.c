#include <config.h>

#include "agent/show.h"

#include <inttypes.h>

#include "openvswitch/dynamic-string.h"
#include "unixctl.h"
#include "util.h"

#include "core/flow-table.h"
#include "engine/engine.h"
#include "mobility/datapath.h"
#include "openflow/switch.h"
#include "peer/channel.h"
#include "store/store.h"
#include "store/write.h"

static void
show_flows(struct unixctl_conn *conn, int argc OVS_UNUSED,
           const char *argv[] OVS_UNUSED, void *agent_)
{
    struct agent *a = agent_;
    struct ds s = DS_EMPTY_INITIALIZER;

    flow_table_format(datapath_flows(a->datapath), &s);
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
}

static void
show_counters(struct unixctl_conn *conn, int argc OVS_UNUSED,
              const char *argv[] OVS_UNUSED, void *agent_)
{
    struct agent *a = agent_;
    const struct of_switch_counters *sw = of_switch_counters(a->of_switch);
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_format(&s, "flow_mods %"PRIu64"\nbundles %"PRIu64"\n"
                  "flow_errors %"PRIu64"\npacket_ins %"PRIu64"\n"
                  "packet_ins_dropped %"PRIu64"\n"
                  "switch_reconnects %"PRIu64"\n", sw->flow_mods,
                  sw->bundles, sw->errors, sw->packet_ins,
                  sw->packet_ins_dropped, sw->reconnects);
    if (a->channel) {
        const struct channel_counters *c = channel_counters(a->channel);

        ds_put_format(&s, "messages_in %"PRIu64"\nmessages_out %"PRIu64"\n"
                      "frames_in %"PRIu64"\nframes_out %"PRIu64"\n"
                      "frames_dropped %"PRIu64"\nrefused %"PRIu64"\n",
                      c->messages_in, c->messages_out, c->frames_in,
                      c->frames_out, c->frames_dropped, c->refused);
    }
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
}

static void
show_status(struct unixctl_conn *conn, int argc OVS_UNUSED,
            const char *argv[] OVS_UNUSED, void *agent_)
{
    struct agent *a = agent_;
    struct ds s = DS_EMPTY_INITIALIZER;

    ds_put_format(&s, "store %s\nswitch %s\ncomplete %s\nqueued %"PRIuSIZE
                  "\n", store_is_ready(a->store) ? "ready"
                  : store_is_connected(a->store) ? "connected" : "away",
                  of_switch_is_up(a->of_switch) ? "up" : "away",
                  a->complete ? "yes" : "no", write_n_queued(a->store));
    if (a->engine) {
        engine_format(a->engine, &s);
    }
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
}

void
show_init(struct agent *a)
{
    unixctl_command_register("watari/flows", "", 0, 0, show_flows, a);
    unixctl_command_register("watari/counters", "", 0, 0, show_counters, a);
    unixctl_command_register("watari/status", "", 0, 0, show_status, a);
}
