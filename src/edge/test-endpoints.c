#include <config.h>

/* Endpoints behind open ports, over an agent's deaths: a real edge between
 * fakes of the store, the switch and its ports.  An edge that is made anew is
 * an agent that begins again; the fakes are what outlives it. */

#include "edge/edge.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flow.h"
#include "openvswitch/ofp-port.h"
#include "packets.h"
#include "util.h"
#include "uuid.h"

#include "core/flow-table.h"
#include "core/frame.h"
#include "mobility/datapath.h"
#include "mobility/pipeline.h"
#include "openflow/bridge.h"
#include "openflow/switch.h"
#include "store/bindings.h"
#include "store/claims.h"
#include "store/endpoints.h"
#include "store/networks.h"
#include "store/store.h"

#define OPEN_PORT 5
#define OTHER_PORT 6

static const struct uuid us = { { 1, 2, 3, 4 } }, them = { { 2, 2, 3, 4 } };
static const struct eth_addr dora_mac = { .ea = { 2, 0, 0, 0, 1, 0x31 } };
static const struct eth_addr other_mac = { .ea = { 2, 0, 0, 0, 1, 0x32 } };

static struct {
    /* The store. */
    struct network network;
    struct interface interface; /* Its network is zero: there is none. */
    bool detected, hidden;      /* Hidden: its rows have not arrived. */
    bool is_a_vms;
    struct binding bindings[8];
    size_t n_bindings, n_taken[N_ADDR_FAMILIES], n_rested;
    bool exhausted[N_ADDR_FAMILIES];
    unsigned int seqno;

    /* The switch. */
    struct bridge_port ports[2];
    size_t n_ports;
    unsigned int bridge_seqno;
    bool switch_is_down;
    uint64_t cookie;            /* Of flows for OPEN_PORT; 0: none. */
    struct packet_in *packet;
    int n_asked[N_ADDR_FAMILIES];       /* Behind OPEN_PORT. */

    /* The agent. */
    struct datapath *datapath;
    struct edge *edge;
    long long now;
} w;

/* The fakes. */

bool
store_is_ready(const struct store *store OVS_UNUSED)
{
    return true;
}

unsigned int
store_seqno(const struct store *store OVS_UNUSED)
{
    return w.seqno;
}

uint32_t
store_epoch(const struct store *store OVS_UNUSED)
{
    return 1;
}

void
store_watch_network(struct store *store OVS_UNUSED,
                    const struct uuid *network OVS_UNUSED)
{
}

bool
store_next_change(struct store *store OVS_UNUSED,
                  struct store_change *change OVS_UNUSED)
{
    return false;
}

enum write_result
write_result(const struct store *store OVS_UNUSED,
             write_ticket ticket OVS_UNUSED, struct err *err OVS_UNUSED)
{
    return WRITE_DONE;
}

int
networks_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
             struct network *network, struct err *err)
{
    if (!uuid_equals(uuid, &w.network.uuid)) {
        return err_set(err, ENOENT, "no such network");
    }
    *network = w.network;
    return 0;
}

int
networks_find(const struct store *store OVS_UNUSED, const char *name,
              struct network *network, struct err *err)
{
    return strcmp(name, w.network.name)
           ? err_set(err, ENOENT, "no such network")
           : networks_get(NULL, &w.network.uuid, network, err);
}

int
interfaces_get(const struct store *store OVS_UNUSED, const struct uuid *uuid,
               struct interface *interface, struct err *err)
{
    if (w.hidden || !uuid_equals(uuid, &w.interface.uuid)) {
        return err_set(err, ENOENT, "no such interface");
    }
    *interface = w.interface;
    return 0;
}

bool
interfaces_find(const struct store *store OVS_UNUSED,
                const struct uuid *network OVS_UNUSED, struct eth_addr mac,
                struct interface *interface)
{
    return (eth_addr_equals(mac, w.interface.mac)
            && !interfaces_get(NULL, &w.interface.uuid, interface, NULL));
}

bool
interfaces_admit(const struct store *store OVS_UNUSED,
                 const struct uuid *interface OVS_UNUSED,
                 const struct uuid *host)
{
    assert_true(uuid_equals(host, &us));
    return !w.is_a_vms;
}

bool
endpoints_has(const struct store *store OVS_UNUSED,
              const struct uuid *interface)
{
    return !w.hidden && uuid_equals(interface, &w.interface.uuid);
}

bool
endpoints_is_detected(const struct store *store OVS_UNUSED,
                      const struct uuid *interface OVS_UNUSED)
{
    return w.detected;
}

write_ticket
endpoints_add_detected(struct store *store OVS_UNUSED,
                       const struct interface *interface)
{
    w.interface = *interface;
    w.detected = true;
    return ++w.seqno;
}

write_ticket
endpoints_add_addresses(struct store *store OVS_UNUSED,
                        const struct uuid *interface,
                        const struct addr_pair *addresses)
{
    assert_true(uuid_equals(interface, &w.interface.uuid));
    w.interface.home = w.interface.inside = *addresses;
    return ++w.seqno;
}

size_t
bindings_list_own(const struct store *store OVS_UNUSED,
                  struct binding **list)
{
    size_t n = 0;

    *list = xcalloc(w.n_bindings + 1, sizeof **list);
    for (size_t i = 0; i < w.n_bindings; i++) {
        if (uuid_equals(&w.bindings[i].generation.host, &us)) {
            (*list)[n++] = w.bindings[i];
        }
    }
    return n;
}

size_t
bindings_list(const struct store *store OVS_UNUSED,
              const struct uuid *interface OVS_UNUSED,
              struct binding *list OVS_UNUSED, size_t max OVS_UNUSED)
{
    return 0;
}

bool
bindings_find_newest(const struct store *store OVS_UNUSED,
                     const struct uuid *interface OVS_UNUSED,
                     bool active OVS_UNUSED, struct binding *binding)
{
    for (size_t i = 0; i < w.n_bindings; i++) {
        if (!i || generation_compare(&w.bindings[i].generation,
                                     &binding->generation) > 0) {
            *binding = w.bindings[i];
        }
    }
    return w.n_bindings > 0;
}

write_ticket
bindings_put(struct store *store OVS_UNUSED, const struct binding *binding)
{
    assert_true(w.n_bindings < ARRAY_SIZE(w.bindings));
    w.bindings[w.n_bindings++] = *binding;
    return ++w.seqno;
}

write_ticket
bindings_delete(struct store *store OVS_UNUSED,
                const struct uuid *interface OVS_UNUSED,
                const struct generation *generation)
{
    for (size_t i = 0; i < w.n_bindings; i++) {
        if (!generation_compare(&w.bindings[i].generation, generation)) {
            w.bindings[i] = w.bindings[--w.n_bindings];
            return ++w.seqno;
        }
    }
    fail_msg("there is no such binding");
    return 0;
}

int
claims_take(struct store *store OVS_UNUSED, enum addr_family family,
            long long wall_now OVS_UNUSED, struct in6_addr *addr,
            struct err *err)
{
    static const char *const formats[]
        = { [ADDR_V4] = "198.18.1.%d", [ADDR_V6] = "2001:db8::%d" };
    char text[ADDR_STRLEN];

    if (w.exhausted[family]) {
        return err_set(err, ENOENT, "none is free");
    }
    snprintf(text, sizeof text, formats[family],
             100 + (int) w.n_taken[family]++);
    return addr_parse(text, addr, err);
}

write_ticket
claims_rest(struct store *store OVS_UNUSED,
            const struct addr_pair *pair OVS_UNUSED,
            long long wall_now OVS_UNUSED)
{
    w.n_rested++;
    return 1;
}

write_ticket
claims_keep(struct store *store OVS_UNUSED,
            const struct addr_pair *pair OVS_UNUSED,
            long long wall_now OVS_UNUSED)
{
    return 1;
}

bool
claims_may_take(const struct store *store OVS_UNUSED,
                long long wall_now OVS_UNUSED)
{
    return true;
}

write_ticket
claims_add(struct store *store OVS_UNUSED,
           enum addr_family family OVS_UNUSED, size_t n OVS_UNUSED,
           long long wall_now OVS_UNUSED)
{
    return 1;
}

size_t
claims_n_free(const struct store *store OVS_UNUSED,
              enum addr_family family OVS_UNUSED)
{
    return 4;
}

size_t
claims_n_available(const struct store *store OVS_UNUSED,
                   enum addr_family family OVS_UNUSED)
{
    return 0;
}

void
claims_trim(struct store *store OVS_UNUSED, long long wall_now OVS_UNUSED)
{
}

void
claims_rest_unbound(struct store *store OVS_UNUSED,
                    long long wall_now OVS_UNUSED)
{
}

bool
bridge_is_ready(const struct bridge *bridge OVS_UNUSED)
{
    return true;
}

unsigned int
bridge_seqno(const struct bridge *bridge OVS_UNUSED)
{
    return w.bridge_seqno;
}

size_t
bridge_n_ports(const struct bridge *bridge OVS_UNUSED)
{
    return w.n_ports;
}

const struct bridge_port *
bridge_port(const struct bridge *bridge OVS_UNUSED, size_t i)
{
    return &w.ports[i];
}

const struct bridge_port *
bridge_find_port(const struct bridge *bridge OVS_UNUSED,
                 const char *name OVS_UNUSED)
{
    static const struct bridge_port wan = { .name = "wan", .number = 1 };

    return &wan;
}

bool
of_switch_is_up(const struct of_switch *sw OVS_UNUSED)
{
    return !w.switch_is_down;
}

uint64_t
of_switch_sync(struct of_switch *sw OVS_UNUSED)
{
    return 1;
}

ofp_port_t
of_switch_cookie_port(const struct of_switch *sw OVS_UNUSED, uint64_t cookie)
{
    return cookie == w.cookie ? OPEN_PORT : OFPP_NONE;
}

struct packet_in *
of_switch_next_packet(struct of_switch *sw OVS_UNUSED)
{
    struct packet_in *packet = w.packet;

    w.packet = NULL;
    return packet;
}

void
packet_in_destroy(struct packet_in *packet)
{
    free(packet->data);
    free(packet);
}

void
of_switch_packet_out(struct of_switch *sw OVS_UNUSED, const void *data,
                     size_t len, ofp_port_t in_port OVS_UNUSED,
                     ofp_port_t port)
{
    struct frame frame;

    if (port == OPEN_PORT) {
        assert_int_equal(frame_parse(data, len, &frame, NULL), 0);
        assert_true(addr_equals(
            &frame.target,
            &w.interface.home.of[addr_family(&frame.target)]));
        w.n_asked[addr_family(&frame.target)]++;
    }
}

/* The agent, and what is behind its ports. */

static void
run(int ms)
{
    long long until = w.now + ms;

    for (; w.now < until; w.now += 10) {
        edge_run(w.edge, w.now, w.now);
    }
}

static void
start(void)
{
    struct edge_config config = { .host = us, .wan_interface = "wan" };

    config.datapath = w.datapath = datapath_create();
    w.edge = edge_create(&config);
    /* What mappings.c makes of the store's rows. */
    datapath_set_network(w.datapath, &w.network);
    if (!uuid_is_zero(&w.interface.network)) {
        datapath_set_interface(w.datapath, &w.interface);
    }
}

static void
stop(void)
{
    edge_destroy(w.edge);
    datapath_destroy(w.datapath);
}

static void
add_port(ofp_port_t number)
{
    struct bridge_port *port = &w.ports[w.n_ports++];

    *port = (struct bridge_port) { .number = number };
    snprintf(port->name, sizeof port->name, "x%u", number);
    ovs_strlcpy(port->network, "blue", sizeof port->network);
    w.bridge_seqno++;
}

static int
setup(void **state OVS_UNUSED)
{
    memset(&w, 0, sizeof w);
    w.now = 1000000;
    w.seqno = w.bridge_seqno = 1;
    w.network = (struct network) {
        .uuid = { { 7, 7, 7, 7 } }, .name = "blue", .id = 7,
    };
    prefix_parse("10.0.0.0/24", &w.network.prefix[ADDR_V4], NULL);
    prefix_parse("fd00::/64", &w.network.prefix[ADDR_V6], NULL);
    addr_parse("10.0.0.254", &w.network.gateway.of[ADDR_V4], NULL);
    addr_parse("fd00::fffe", &w.network.gateway.of[ADDR_V6], NULL);
    add_port(OPEN_PORT);
    start();
    return 0;
}

static int
teardown(void **state OVS_UNUSED)
{
    stop();
    return 0;
}

/* Somebody behind 'port' asks for its router. */
static void
speak(ofp_port_t port, struct eth_addr mac, const char *address)
{
    struct packet_in *packet = xzalloc(sizeof *packet);
    struct in6_addr addr;

    assert_int_equal(addr_parse(address, &addr, NULL), 0);
    packet->in_port = port;
    packet->cookie = pipeline_cookie(PART_OPEN, ofp_to_u16(port));
    packet->metadata = w.network.id;
    packet->data = xmalloc(FRAME_BUILT_MAX);
    packet->len = frame_build_neighbor_request(
        packet->data, mac, &addr, &w.network.gateway.of[addr_family(&addr)]);
    w.packet = packet;
    run(50);
}

/* What the agent has told its switch about the only endpoint. */
static const struct datapath_here *
here(void)
{
    return datapath_get_here(w.datapath, &w.interface.uuid);
}

static bool
leads_to(const char *v4, const char *v6)
{
    struct addr_pair pair = { 0 };

    return (!addr_pair_add(&pair, v4, NULL)
            && (!v6 || !addr_pair_add(&pair, v6, NULL))
            && here() && addr_pair_equals(&here()->mobile, &pair)
            && here()->port == OPEN_PORT
            && w.n_bindings == 1
            && addr_pair_equals(&w.bindings[0].mobile, &pair));
}

/* The agent dies, and so may the switch with its flows. */
static void
restart(bool with_flows)
{
    w.cookie = (with_flows
                ? datapath_here_cookie(w.datapath, &w.interface.uuid) : 0);
    stop();
    start();
}

static void
test_detect(void **state OVS_UNUSED)
{
    run(50);
    assert_true(edge_is_complete(w.edge));
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_true(leads_to("198.18.1.100", NULL));

    /* Nobody else's address, and nobody else behind the port. */
    speak(OPEN_PORT, other_mac, "10.0.0.32");
    speak(OPEN_PORT, dora_mac, "10.0.0.33");
    speak(OPEN_PORT, dora_mac, "192.0.2.1");
    assert_true(leads_to("198.18.1.100", NULL));
    add_port(OTHER_PORT);
    speak(OTHER_PORT, other_mac, "10.0.0.31");
    speak(OTHER_PORT, dora_mac, "10.0.0.31");
    assert_true(leads_to("198.18.1.100", NULL));

    w.n_ports = 0;
    w.bridge_seqno++;
    run(50);
    assert_null(here());
    assert_int_equal(w.n_bindings, 0);
    assert_int_equal(w.n_rested, 1);
}

static void
test_second_family(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_int_equal(w.bindings[0].generation.counter, 1);

    /* As long as the site has no address for it, it has what it had. */
    w.exhausted[ADDR_V6] = true;
    speak(OPEN_PORT, dora_mac, "fd00::31");
    assert_true(leads_to("198.18.1.100", NULL));
    assert_true(edge_is_complete(w.edge));
    w.exhausted[ADDR_V6] = false;
    w.seqno++;
    run(50);
    assert_true(leads_to("198.18.1.100", "2001:db8::100"));
    assert_int_equal(w.bindings[0].generation.counter, 2);
    assert_int_equal(w.n_rested, 0);

    /* Not a third address, and not what is another's. */
    speak(OPEN_PORT, dora_mac, "fd00::33");
    assert_int_equal(w.bindings[0].generation.counter, 2);
    restart(true);
    run(50);
    assert_true(leads_to("198.18.1.100", "2001:db8::100"));
    assert_int_equal(w.bindings[0].generation.counter, 2);
}

static void
test_declared_learns_nothing(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "fd00::31");
    w.detected = false;
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_true(addr_is_none(&w.interface.home.of[ADDR_V4]));
    w.detected = true;
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_true(leads_to("198.18.1.100", "2001:db8::100"));
}

/* Nobody becomes a VM by its MAC. */
static void
test_vm(void **state OVS_UNUSED)
{
    w.interface = (struct interface) {
        .uuid = { { 9, 9, 9, 9 } }, .network = w.network.uuid,
        .network_id = 7, .mac = dora_mac,
    };
    addr_pair_add(&w.interface.home, "10.0.0.31", NULL);
    w.is_a_vms = true;
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_null(here());
    w.is_a_vms = false;
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_true(leads_to("198.18.1.100", NULL));
}

/* It says nothing, and nothing of it goes before all is said. */
static void
test_restart(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    for (int i = 0; i < 3; i++) {
        restart(true);
        w.switch_is_down = true;
        run(1000);
        assert_false(edge_is_complete(w.edge));
        w.switch_is_down = false;
        w.hidden = true;        /* Its rows come later. */
        run(1000);
        assert_false(edge_is_complete(w.edge));
        w.hidden = false;
        while (!edge_is_complete(w.edge)) {
            run(10);
        }
        assert_true(leads_to("198.18.1.100", NULL));
    }
    assert_int_equal(w.n_taken[ADDR_V4], 1);
}

/* Rows that never come hold nobody up for ever. */
static void
test_rows_missing(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    restart(true);
    w.hidden = true;
    run(4000);
    assert_false(edge_is_complete(w.edge));
    run(3000);
    assert_true(edge_is_complete(w.edge));
}

/* The agent died between the two writes of a new generation. */
static void
test_half_written(void **state OVS_UNUSED)
{
    struct binding old;

    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    old = w.bindings[0];
    speak(OPEN_PORT, dora_mac, "fd00::31");
    w.bindings[w.n_bindings++] = old;
    restart(true);
    run(50);
    assert_true(leads_to("198.18.1.100", "2001:db8::100"));
    assert_int_equal(w.n_rested, 0);
}

static void
test_elsewhere(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "10.0.0.31");

    struct binding newer = w.bindings[0];
    newer.generation.counter++;
    newer.generation.host = them;
    w.bindings[w.n_bindings++] = newer;
    w.hidden = true;            /* Nobody waits for rows of another's. */
    restart(true);
    run(50);
    assert_true(edge_is_complete(w.edge));
    assert_null(here());

    w.hidden = false;
    restart(true);
    run(50);
    assert_true(edge_is_complete(w.edge));
    assert_null(here());
    assert_int_equal(w.n_bindings, 1);
    assert_true(uuid_equals(&w.bindings[0].generation.host, &them));
    assert_int_equal(w.n_rested, 1);
}

/* The switch began anew, too. */
static void
test_asked_for(void **state OVS_UNUSED)
{
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    speak(OPEN_PORT, dora_mac, "fd00::31");
    restart(false);
    run(100);
    assert_true(edge_is_complete(w.edge));
    assert_null(here());
    run(10000);
    assert_int_equal(w.n_asked[ADDR_V4], 6);
    assert_int_equal(w.n_asked[ADDR_V6], 6);

    w.bridge_seqno++;           /* Perhaps it is there now. */
    run(10);
    assert_int_equal(w.n_asked[ADDR_V4], 7);
    speak(OPEN_PORT, dora_mac, "10.0.0.31");
    assert_true(leads_to("198.18.1.100", "2001:db8::100"));
    run(10000);
    assert_int_equal(w.n_asked[ADDR_V4], 7);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_detect),
        TEST(test_second_family),
        TEST(test_declared_learns_nothing),
        TEST(test_vm),
        TEST(test_restart),
        TEST(test_rows_missing),
        TEST(test_half_written),
        TEST(test_elsewhere),
        TEST(test_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
