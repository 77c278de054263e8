#include <config.h>

/* The functions of switch.h, one command a line, for tests/test_switch.py and
 * tests/test_pipeline.py.  Each command answers with one line.
 *
 *      test-switch-driver TARGET
 *
 *      load FILE       desires the flows of FILE, as ovs-ofctl prints them;
 *                      replaces those of the same cookies
 *      complete        of_switch_set_complete()
 *      up              waits until the switch is up
 *      sync            synchronizes, waits for the acknowledgement, says how
 *                      many microseconds that took
 *      packet-out IN_PORT PORT HEX
 *      packets         packet-ins so far
 *      idle COOKIE MASK
 *      port COOKIE     of_switch_cookie_port()
 *      counters
 *      run MS          only runs, so that messages are handled */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "byte-order.h"
#include "core/flow-table.h"
#include "dp-packet.h"
#include "fatal-signal.h"
#include "flow.h"
#include "openflow/switch.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

#define TIMEOUT_MS 10000

struct driver {
    struct of_switch *sw;
    struct flow_table *flows;
};

typedef bool condition_func(struct driver *, uint64_t arg);

/* Runs the session until 'condition'; null: for the whole time. */
static bool
run_until(struct driver *d, condition_func *condition, uint64_t arg, int ms)
{
    long long until = time_msec() + ms;

    for (;;) {
        of_switch_run(d->sw, time_msec());
        if (condition && condition(d, arg)) {
            return true;
        }
        if (time_msec() >= until) {
            return false;
        }
        of_switch_wait(d->sw);
        poll_timer_wait_until(until);
        poll_block();
    }
}

static bool
is_up(struct driver *d, uint64_t arg OVS_UNUSED)
{
    return of_switch_is_up(d->sw);
}

static bool
is_acked(struct driver *d, uint64_t ticket)
{
    return of_switch_is_acked(d->sw, ticket);
}

static bool
is_idle_done(struct driver *d, uint64_t arg OVS_UNUSED)
{
    return of_switch_idle_done(d->sw);
}

static struct ofputil_flow_mod
parse_flow(const char *line)
{
    enum ofputil_protocol usable;
    struct ofputil_flow_mod fm;
    char *error = parse_ofp_flow_mod_str(&fm, line, NULL, NULL, OFPFC_ADD,
                                         &usable);

    if (error) {
        ovs_fatal(0, "%s: %s", line, error);
    }
    return fm;
}

static void
add_flow(struct flow_table *flows, const struct ofputil_flow_mod *fm)
{
    struct ofpbuf actions
        = ofpbuf_const_initializer(fm->ofpacts, fm->ofpacts_len);
    struct match match;

    minimatch_expand(&fm->match, &match);

    /* The parser says "an Ethernet frame", which no compiler of ours does. */
    match.flow.packet_type = 0;
    match.wc.masks.packet_type = 0;
    flow_table_add(flows, fm->table_id, fm->priority, &match, &actions);
}

static void
do_load(struct driver *d, const char *path)
{
    struct ofputil_flow_mod *fms = NULL;
    size_t n = 0, allocated = 0;
    FILE *file = fopen(path, "r");
    char line[4096];

    if (!file) {
        ovs_fatal(errno, "%s", path);
    }
    while (fgets(line, sizeof line, file)) {
        if (n == allocated) {
            fms = x2nrealloc(fms, &allocated, sizeof *fms);
        }
        fms[n++] = parse_flow(line);
    }
    fclose(file);

    /* Each owner's flows together.  A flow that is done has table 255. */
    for (size_t i = 0; i < n; i++) {
        if (fms[i].table_id == 255) {
            continue;
        }
        flow_table_begin(d->flows, ntohll(fms[i].new_cookie));
        for (size_t j = i; j < n; j++) {
            if (fms[j].table_id != 255
                && fms[j].new_cookie == fms[i].new_cookie) {
                add_flow(d->flows, &fms[j]);
                fms[j].table_id = j == i ? fms[j].table_id : 255;
            }
        }
        flow_table_end(d->flows);
    }
    for (size_t i = 0; i < n; i++) {
        minimatch_destroy(&fms[i].match);
        free(CONST_CAST(struct ofpact *, fms[i].ofpacts));
    }
    free(fms);
    printf("%"PRIuSIZE" flows\n", flow_table_count(d->flows));
}

static long long
now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void
do_sync(struct driver *d)
{
    long long start = now_us();
    uint64_t ticket = of_switch_sync(d->sw);
    bool ok = run_until(d, is_acked, ticket, TIMEOUT_MS);

    printf("%s %lld\n", ok ? "acked" : "timeout", now_us() - start);
}

static void
do_packet_out(struct driver *d, int in_port, int port, const char *hex)
{
    struct dp_packet packet;

    dp_packet_init(&packet, 0);
    dp_packet_put_hex(&packet, hex, NULL);
    of_switch_packet_out(d->sw, dp_packet_data(&packet),
                         dp_packet_size(&packet), u16_to_ofp(in_port),
                         u16_to_ofp(port));
    dp_packet_uninit(&packet);
    printf("sent\n");
}

static void
do_packets(struct driver *d)
{
    struct packet_in *packet;

    while ((packet = of_switch_next_packet(d->sw))) {
        printf("%u:%#"PRIx64":%"PRIu64":%u:", packet->in_port, packet->cookie,
               packet->metadata, packet->table);
        for (size_t i = 0; i < packet->len; i++) {
            printf("%02x", packet->data[i]);
        }
        printf(" ");
        packet_in_destroy(packet);
    }
    printf("\n");
}

static void
do_idle(struct driver *d, uint64_t cookie, uint64_t mask)
{
    of_switch_request_idle(d->sw, cookie, mask);
    run_until(d, is_idle_done, 0, TIMEOUT_MS);

    size_t n;
    const struct of_idle *idle = of_switch_idle(d->sw, &n);
    for (size_t i = 0; i < n; i++) {
        printf("%#"PRIx64":%"PRIu64":%u ", idle[i].cookie, idle[i].packets,
               idle[i].idle_s);
    }
    printf("\n");
}

static void
do_counters(struct driver *d)
{
    const struct of_switch_counters *c = of_switch_counters(d->sw);

    printf("flow_mods=%"PRIu64" bundles=%"PRIu64" errors=%"PRIu64
           " packet_ins=%"PRIu64" dropped=%"PRIu64" reconnects=%"PRIu64
           " last_error=%s\n", c->flow_mods, c->bundles, c->errors,
           c->packet_ins, c->packet_ins_dropped, c->reconnects,
           of_switch_last_error(d->sw));
}

static bool
run_line(struct driver *d, const char *line)
{
    unsigned long long a, b;
    char text[4000];
    int x, y;

    if (sscanf(line, "load %3999s", text) == 1) {
        do_load(d, text);
    } else if (!strcmp(line, "complete\n")) {
        of_switch_set_complete(d->sw);
        printf("complete\n");
    } else if (!strcmp(line, "up\n")) {
        bool up = run_until(d, is_up, 0, TIMEOUT_MS);
        printf("%s\n", up ? "up" : "timeout");
    } else if (!strcmp(line, "sync\n")) {
        do_sync(d);
    } else if (sscanf(line, "packet-out %i %i %3999s", &x, &y, text) == 3) {
        do_packet_out(d, x, y, text);
    } else if (!strcmp(line, "packets\n")) {
        do_packets(d);
    } else if (sscanf(line, "idle %llx %llx", &a, &b) == 2) {
        do_idle(d, a, b);
    } else if (sscanf(line, "port %llx", &a) == 1) {
        printf("%u\n", of_switch_cookie_port(d->sw, a));
    } else if (!strcmp(line, "counters\n")) {
        do_counters(d);
    } else if (sscanf(line, "run %i", &x) == 1) {
        run_until(d, NULL, 0, x);
        printf("ran\n");
    } else {
        return false;
    }
    return true;
}

int
main(int argc, char *argv[])
{
    char line[4200];

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_ERR);
    fatal_ignore_sigpipe();
    if (argc != 2) {
        ovs_fatal(0, "usage: test-switch-driver TARGET");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    struct driver d = { .flows = flow_table_create() };
    d.sw = of_switch_create(argv[1], d.flows);
    while (fgets(line, sizeof line, stdin)) {
        if (!run_line(&d, line)) {
            printf("unknown command\n");
        }
    }
    of_switch_destroy(d.sw);
    flow_table_destroy(d.flows);
    return 0;
}
