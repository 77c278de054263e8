#include <config.h>

#include "engine/test-world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dp-packet.h"
#include "unaligned.h"
#include "util.h"
#include "uuid.h"

#include "engine/engine.h"
#include "engine/fault.h"
#include "mobility/pipeline.h"
#include "openflow/switch.h"
#include "peer/message.h"

struct world world;

const struct uuid world_migration = { { 0xaa, 0x4000, 0x80000000, 1 } };
const struct uuid world_network = { { 0xee, 0x4000, 0x80000000, 1 } };

#define NETWORK_ID 7
#define PAYLOAD (14 + 20 + 8)   /* Of a frame of ours. */
#define EDGE_US 20000           /* News from the store are read so late. */

struct queued {
    struct ovs_list node;
    struct dp_packet *packet;
};

/* Frames. */

struct uuid
world_interface(int sender)
{
    return (struct uuid) { { 0xd0 + sender + 1, 0x4000, 0x80000000, 1 } };
}

static struct interface
make_interface(int sender)
{
    struct interface interface = {
        .uuid = world_interface(sender),
        .network = world_network,
        .network_id = NETWORK_ID,
        .mac = { .ea = { 2, 0, 0, 0, 0, 0x11 + sender } },
    };
    char home[32];

    snprintf(home, sizeof home, "10.0.0.%d", 11 + sender);
    addr_pair_add(&interface.home, home, NULL);
    interface.inside = interface.home;
    return interface;
}

struct dp_packet *
world_make_fence(int sender, const struct frame_fence *fence)
{
    struct interface from = make_interface(sender);
    struct interface to = make_interface(-1);
    uint8_t buf[FRAME_BUILT_MAX];

    size_t n = frame_build_fence(buf, datapath_router_mac, to.mac,
                                 &from.home.of[ADDR_V4],
                                 &to.home.of[ADDR_V4], fence);
    return dp_packet_clone_data(buf, n);
}

/* A packet of a sender to the guest is made as a fence, and then given another
 * magic. */
struct dp_packet *
world_make_frame(int sender, int number)
{
    struct frame_fence fence = { .sender = sender, .sequence = number };
    struct dp_packet *p = world_make_fence(sender, &fence);

    memcpy((uint8_t *) dp_packet_data(p) + PAYLOAD, "wtrprobe", 8);
    return p;
}

void
world_put(struct frame_queue *q, struct dp_packet *p)
{
    struct queued *item = xmalloc(sizeof *item);

    item->packet = p;
    ovs_list_push_back(&q->packets, &item->node);
    q->n++;
}

struct dp_packet *
world_take(struct frame_queue *q)
{
    if (!q->n) {
        return NULL;
    }
    struct queued *item = CONTAINER_OF(ovs_list_pop_front(&q->packets),
                                       struct queued, node);
    struct dp_packet *p = item->packet;

    q->n--;
    free(item);
    return p;
}

void
world_clear(struct frame_queue *q)
{
    struct dp_packet *p;

    while ((p = world_take(q))) {
        struct frame_fence fence;

        world.n_lost += !frame_parse_fence(dp_packet_data(p),
                                           dp_packet_size(p), &fence);
        dp_packet_delete(p);
    }
}

/* The guest's own diary. */
void
world_guest_gets(const struct dp_packet *p)
{
    const uint8_t *data = dp_packet_data(p);
    struct frame_fence fence;

    if (frame_parse_fence(data, dp_packet_size(p), &fence)) {
        world.n_fences_to_guest++;
        return;
    }
    int number = ntohl(get_unaligned_be32((const ovs_be32 *)
                                          (data + PAYLOAD + 12)));
    int sender = ntohll(get_unaligned_be64((const ovs_be64 *)
                                           (data + PAYLOAD + 48)));

    size_t n = strlen(world.diary);
    snprintf(world.diary + n, sizeof world.diary - n, "%s%d.%d",
             n ? " " : "", sender, number);
    if (!world.n_said[sender]) {
        return;                 /* The test itself plays the sender. */
    }
    ovs_assert(sender < N_SENDERS && number < world.n_said[sender]);
    world.got[sender][number]++;
    world.n_reordered += number < world.last[sender];
    world.last[sender] = MAX(world.last[sender], number);
}

/* To the agent's own tap, as the flows of a switch do it. */
void
world_hold(int host, struct dp_packet *p, uint8_t mark)
{
    struct world_host *h = &world.hosts[host];
    struct eth_header *eth = dp_packet_data(p);

    eth->eth_src = (struct eth_addr) { .ea = { PIPELINE_MARK_OUI >> 8,
                                               PIPELINE_MARK_OUI & 0xff, mark,
                                               0, 0, NETWORK_ID } };
    world_put(&h->hold, p);
}

/* A packet for the VM, as far as the table that delivers. */
void
world_switch_in(int host, struct dp_packet *p)
{
    struct world_host *h = &world.hosts[host];
    const struct world_flows *flows = &h->flows;

    if (flows->is_here && flows->here.delivery == DATAPATH_HOLD) {
        world_hold(host, p, PIPELINE_MARK_HELD);
    } else if (flows->is_here && flows->here.port != OFPP_NONE
               && h->qemu.taps) {
        world_put(&h->qemu.tap, p);
    } else {
        world.n_lost++;
        dp_packet_delete(p);
    }
}

static void
say_packet(int sender, int host)
{
    struct world_host *h = &world.hosts[host];
    const struct datapath_out *out = &h->flows.out;
    int number = world.n_said[sender]++;

    if (number >= world.allocated[sender]) {
        size_t n = MAX(1024, 2 * world.allocated[sender]);

        world.got[sender] = xrealloc(world.got[sender],
                                     n * sizeof *world.got[sender]);
        for (size_t i = world.allocated[sender]; i < n; i++) {
            world.got[sender][i] = 0;
        }
        world.allocated[sender] = n;
    }
    struct dp_packet *p = world_make_frame(sender, number);
    switch (out->kind) {
    case DATAPATH_HERE:
        world_switch_in(host, p);
        break;
    case DATAPATH_AWAY:
        if (out->witness) {
            world_hold(host, dp_packet_clone(p), PIPELINE_MARK_WITNESS);
        }
        world_send_out(host, p, &out->mobile.of[ADDR_V4]);
        break;
    case DATAPATH_NOWHERE:
        world.n_lost++;
        dp_packet_delete(p);
    }
}

void
world_run_senders(void)
{
    if (world.talking) {
        say_packet(SENDER_LOCAL, HOST_S);
        say_packet(SENDER_REMOTE, HOST_C);
    }
}

/* Hosts. */

struct world_host *
world_host(const struct uuid *uuid)
{
    for (int i = 0; i < N_HOSTS; i++) {
        if (uuid_equals(&world.hosts[i].uuid, uuid)) {
            return &world.hosts[i];
        }
    }
    OVS_NOT_REACHED();
}

static struct addr_pair
make_mobile(int host, int number)
{
    struct addr_pair pair = { 0 };
    char buf[32];

    snprintf(buf, sizeof buf, "198.18.%d.%d", host + 1, number);
    addr_pair_add(&pair, buf, NULL);
    return pair;
}

/* What edge/ does for a datapath. */

static void
make_datapath(struct world_host *h)
{
    static const struct network network = {
        .uuid = { { 0xee, 0x4000, 0x80000000, 1 } },
        .name = "blue", .id = NETWORK_ID, .mode = NETWORK_REWRITE,
    };
    struct network blue = network;
    struct datapath_uplink uplink = {
        .wan = 1, .hold = OFPP_NONE,
        .mac = { .ea = { 2, 0, 0, 1, 0, h->index } },
        .router = { { .ea = { 2, 0, 0, 2, 0, 1 } } },
    };

    h->datapath = datapath_create();
    prefix_parse("10.0.0.0/24", &blue.prefix[ADDR_V4], NULL);
    addr_parse("10.0.0.254", &blue.gateway.of[ADDR_V4], NULL);
    uplink.router_ip = make_mobile(h->index, 1);
    datapath_set_uplink(h->datapath, &uplink);
    datapath_set_network(h->datapath, &blue);

    for (int sender = -1; sender < N_SENDERS; sender++) {
        struct interface interface = make_interface(sender);
        int place = sender == SENDER_LOCAL ? HOST_S : HOST_C;
        struct generation generation = { 1, 1, world.hosts[place].uuid };
        struct addr_pair mobile = make_mobile(place, 50);

        datapath_set_interface(h->datapath, &interface);
        if (sender < 0) {
            continue;
        } else if (place == h->index) {
            struct datapath_here here = { 10, mobile, DATAPATH_DIRECT };

            datapath_set_here(h->datapath, &interface.uuid, &here);
        } else {
            datapath_accept(h->datapath, &interface.uuid, &generation,
                            &mobile);
        }
    }
}

static void
run_edge(struct world_host *h)
{
    struct uuid uuid = world_interface(-1);
    struct binding list[16];

    if (h->store_seqno == world.store_seqno) {
        h->store_seen_us = world.now_us;
        return;
    } else if (world.now_us < h->store_seen_us + EDGE_US) {
        return;
    }
    h->store_seqno = world.store_seqno;
    size_t n = bindings_list((struct store *) h, &uuid, list,
                             ARRAY_SIZE(list));
    bool routed = false;
    for (size_t i = 0; i < n; i++) {
        bool ours = uuid_equals(&list[i].generation.host, &h->uuid);

        if (!ours) {
            datapath_accept(h->datapath, &uuid, &list[i].generation,
                            &list[i].mobile);
        }
        if (list[i].active && !routed) {
            const struct datapath_out *old = datapath_get_out(h->datapath,
                                                              &uuid);
            struct datapath_out out = {
                .kind = ours ? DATAPATH_HERE : DATAPATH_AWAY,
                .generation = list[i].generation,
                .mobile = list[i].mobile,
            };

            routed = true;
            if (old->kind == DATAPATH_NOWHERE
                || generation_compare(&old->generation, &out.generation)) {
                datapath_set_out(h->datapath, &uuid, &out);
            }
        }
    }
    of_switch_sync((struct of_switch *) h);
}

void
world_start_agent(int host)
{
    struct world_host *h = &world.hosts[host];

    make_datapath(h);
    snprintf(h->journal, sizeof h->journal, "%s/%d", world.dir, host);
    h->store_seqno = 0;
    h->store_seen_us = 0;
    h->n_syncs = 0;
    h->complete = false;
    h->back_us = 0;

    /* Each of these is the host itself; see the fakes. */
    struct engine_config config = {
        .host = h->uuid, .name = h->name, .journal_dir = h->journal,
        .hold_tap = WORLD_HOLD_TAP, .hypervisor = (void *) h,
        .channel = (void *) h, .store = (void *) h,
        .datapath = h->datapath, .of_switch = (void *) h,
        .bridge = (void *) h, .memory_mib = 1024,
        .fault = host == HOST_S ? world.fault : NULL,
    };
    world.current = h;
    if (engine_create(&config, &h->engine, NULL)) {
        abort();
    }
}

void
world_abandon_agent(int host)
{
    struct world_host *h = &world.hosts[host];

    h->engine = NULL;
    h->datapath = NULL;
    h->n_syncs = 0;
    memset(h->qemu.polls, 0, sizeof h->qemu.polls);
    memset(h->qemu.answers, 0, sizeof h->qemu.answers);
    h->qemu.n_events = 0;
    h->qemu.consuming = false;
    for (int i = 0; i < N_HOSTS; i++) {
        world.links[host][i].epoch++;
        world.links[i][host].epoch++;
    }

    struct message *m;
    LIST_FOR_EACH_POP (m, node, &h->received) {
        message_destroy(m);
    }
    struct relayed *r;
    LIST_FOR_EACH_POP (r, node, &h->received_frames) {
        free(r);
    }
}

void
world_kill_agent(int host)
{
    struct world_host *h = &world.hosts[host];

    world.current = h;
    engine_destroy(h->engine);
    datapath_destroy(h->datapath);
    world_abandon_agent(host);
}

static void
run_engine(struct world_host *h)
{
    struct engine_time now = { world.now_us,
                               world.now_us + INT64_C(1700000000000000) };
    struct engine_note *note;

    if (!h->engine) {
        if (h->back_us && world.now_us >= h->back_us) {
            world_start_agent(h->index);
        }
        return;
    }
    run_edge(h);
    world.current = h;
    engine_run(h->engine, now);
    while ((note = engine_next_note(h->engine))) {
        if (getenv("WORLD_NOTES")) {
            printf("%6d %s: %s\n", world.n_turns, h->name, note->text);
        }
        free(note);
    }
}

void
world_run_agent(int host)
{
    run_engine(&world.hosts[host]);
}

long long
world_later(long long us)
{
    return world.stepwise ? LLONG_MAX : world.now_us + us;
}

long long
world_soon(long long us)
{
    return world.stepwise ? world.now_us : world.now_us + us;
}

void
world_effect(struct world_host *h, const char *what)
{
    if (world.effect) {
        world.effect(h, what);
    }
}

/* The world. */

static void
init_queue(struct frame_queue *q)
{
    ovs_list_init(&q->packets);
    q->n = 0;
}

static void
init_host(int i)
{
    static const char *const names[] = { "s", "d", "c" };
    struct world_host *h = &world.hosts[i];

    h->index = i;
    h->uuid = (struct uuid) { { i + 1, 0x4000, 0x80000000, 1 } };
    ovs_strlcpy(h->name, names[i], sizeof h->name);
    init_queue(&h->qemu.tap);
    init_queue(&h->qemu.kept);
    init_queue(&h->qemu.captured);
    init_queue(&h->qemu.read);
    init_queue(&h->hold);
    ovs_list_init(&h->received);
    ovs_list_init(&h->received_frames);
}

static void
init_store(void)
{
    struct vm *vm = &world.vm;

    vm->uuid = (struct uuid) { { 0xc1, 0x4000, 0x80000000, 1 } };
    ovs_strlcpy(vm->name, "web1", sizeof vm->name);
    ovs_strlcpy(vm->image, "mini", sizeof vm->image);
    vm->memory_kib = 262144;
    vm->vcpus = 1;
    vm->n_nics = 1;
    vm->nics[0].interface = make_interface(-1);
    vm->nics[0].mtu = 1400;
    world.order = (struct vm_order) { .vm = *vm, .power = true,
                                      .host = world.hosts[HOST_S].uuid };
    world.store_seqno = 1;
    for (int sender = 0; sender < N_SENDERS; sender++) {
        int host = sender == SENDER_LOCAL ? HOST_S : HOST_C;
        struct binding *b = &world.bindings[world.n_bindings++].binding;

        b->interface = world_interface(sender);
        b->generation = (struct generation) { 1, 1, world.hosts[host].uuid };
        b->mobile = make_mobile(host, 50);
        b->active = true;
    }
    ovs_list_init(&world.writes);
}

void
world_begin(const struct weather *weathers, size_t n, unsigned int alive)
{
    memset(&world, 0, sizeof world);
    ovs_assert(n <= N_WEATHERS_AT_ONCE);
    for (size_t i = 0; i < n; i++) {
        world.weathers[i] = weathers[i];
    }
    world.now_us = 1000000000;
    world.fault = fault_create();
    ovs_list_init(&world.transit);
    ovs_list_init(&world.sent);
    snprintf(world.dir, sizeof world.dir, "%s/watari-test-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(world.dir)) {
        abort();
    }
    for (int i = 0; i < N_HOSTS; i++) {
        init_host(i);
        for (int k = 0; k < N_HOSTS; k++) {
            world.links[i][k].epoch = 1;
        }
    }
    init_store();
    for (int i = 0; i < N_HOSTS; i++) {
        if (alive & (1u << i)) {
            world_start_agent(i);
        } else {
            world.hosts[i].ghost = true;
        }
    }
}

static void
remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;

    while (dir && (d = readdir(dir))) {
        if (d->d_name[0] != '.') {
            char *name = xasprintf("%s/%s", path, d->d_name);

            if (unlink(name)) {
                remove_tree(name);
            }
            free(name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(path);
}

void
world_end(void)
{
    for (int i = 0; i < N_HOSTS; i++) {
        struct world_host *h = &world.hosts[i];

        world_kill_agent(i);
        world_clear(&h->hold);
        world_clear(&h->qemu.tap);
        world_clear(&h->qemu.kept);
        world_clear(&h->qemu.captured);
        world_clear(&h->qemu.read);
    }
    for (int i = 0; i < N_SENDERS; i++) {
        free(world.got[i]);
        world.got[i] = NULL;
    }
    world_clear_channel();
    world_clear_store();
    fault_destroy(world.fault);
    remove_tree(world.dir);
}

const struct weather *
world_strikes(enum weather_kind kind, int count)
{
    for (int i = 0; i < N_WEATHERS_AT_ONCE; i++) {
        const struct weather *w = &world.weathers[i];

        if (world.requested && w->kind == kind && !world.struck[i]
            && count >= w->at) {
            world.struck[i] = true;
            return w;
        }
    }
    return NULL;
}

bool
world_has(enum weather_kind kind)
{
    for (int i = 0; i < N_WEATHERS_AT_ONCE; i++) {
        if (world.weathers[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static void
kill_agent(int host, const struct weather *w)
{
    world_kill_agent(host);
    world.hosts[host].died = true;
    world.hosts[host].back_us = world.now_us + w->ms * 1000LL;
}

/* What strikes at a turn.  The rest strikes where it is counted. */
static void
run_weather(void)
{
    const struct weather *w;

    if (world_strikes(USER_CANCELS, world.n_turns)) {
        world.migration.cancel = true;
    }
    if ((w = world_strikes(AGENT_D_DIES, world.n_turns))) {
        kill_agent(HOST_D, w);
    }
    if ((w = world_strikes(AGENT_S_DIES, world.n_turns))) {
        kill_agent(HOST_S, w);
    }
    if (world_strikes(QEMU_D_DIES, world.n_turns)) {
        world_kill_qemu(&world.hosts[HOST_D], "killed");
    }
    if (world_strikes(LOAD_FAILS, world.n_turns)) {
        world.hosts[HOST_D].qemu.load_failed = true;
    }
}

int
world_n_running(void)
{
    int n = 0;

    for (int i = 0; i < N_HOSTS; i++) {
        n += world.hosts[i].qemu.state == VM_RUNNING;
    }
    return n;
}

void
world_turn(bool lazy)
{
    world.now_us += lazy && world_is_quiet() ? 20000 : 1000;
    world.n_turns += world.requested;
    run_weather();
    for (int i = 0; i < N_HOSTS; i++) {
        world_run_switch(&world.hosts[i]);
    }
    world_run_transit();
    world_run_store();
    world_run_senders();
    for (int i = 0; i < N_HOSTS; i++) {
        world_run_qemu(&world.hosts[i]);
    }
    world.ever_two = world.ever_two || world_n_running() > 1;
    for (int i = 0; i < N_HOSTS; i++) {
        run_engine(&world.hosts[i]);
        world.ever_two = world.ever_two || world_n_running() > 1;
    }
}

void
world_run(int ms)
{
    for (int i = 0; i < ms; i++) {
        world_turn(false);
    }
}

void
world_request(void)
{
    world.migration = (struct migration) {
        .uuid = world_migration,
        .vm = world.vm.uuid,
        .source = world.hosts[HOST_S].uuid,
        .destination = world.hosts[HOST_D].uuid,
        .vm_name = "web1", .source_name = "s", .destination_name = "d",
        .state = MOVE_REQUESTED,
    };
    world.requested = true;
}
