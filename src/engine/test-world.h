#ifndef ENGINE_TEST_WORLD_H
#define ENGINE_TEST_WORLD_H 1

/* A world for the engine's tests: real engines and datapaths, between fakes
 * of everything that the engine calls.  Only tests include this.
 *
 *      host S                   host D                   host C
 *      engine  datapath         engine  datapath         engine  datapath
 *      switch  QEMU             switch  QEMU             switch
 *        |  ^                     |                        |  ^
 *        |  sender 0              |                        |  sender 1
 *        `------------- WAN: by mobile address ------------'
 *        `------------- channel: messages, frames ---------'
 *                               store
 *
 * The VM is at home on S and moves to D.  Both senders send it a numbered
 * packet each ms as long as 'talking'; the guest writes down what it gets,
 * wherever it runs.
 *
 * A world has a weather or two, that is, things that go wrong.  Time is the
 * world's own: world_turn() is one turn of everybody's main loop.
 *
 * If the linker finds something defined twice, the engine calls a function of
 * a lower layer that has no fake yet. */

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "core/frame.h"
#include "core/vm.h"
#include "hypervisor/hypervisor.h"
#include "mobility/datapath.h"
#include "peer/channel.h"
#include "store/bindings.h"
#include "store/migrations.h"
#include "store/vms.h"

struct dp_packet;
struct fault;

#define WORLD_HOLD_TAP "hold"
#define WORLD_WAN_PORT 1
#define WORLD_HOLD_PORT 2
#define WORLD_VM_PORT 3

enum { HOST_S, HOST_D, HOST_C, N_HOSTS };
enum { SENDER_LOCAL, SENDER_REMOTE, N_SENDERS };        /* On S, on C. */

/* Functions of the hypervisor that can go wrong. */
#define WORLD_CALLS \
    CALL(ADOPT) CALL(PREPARE) CALL(BOOT) CALL(STOP) CALL(DESTROY) \
    CALL(SET_CAPTURE) CALL(SEND) CALL(PROCEED) CALL(TAKE_BACK) CALL(CANCEL) \
    CALL(LISTEN) CALL(GRANT)

enum world_call {
#define CALL(NAME) CALL_##NAME,
    WORLD_CALLS
#undef CALL
    N_CALLS
};

enum world_answer { NOT_ASKED, ASKED, ANSWERED };

enum weather_kind {
    WEATHER_FINE,
    CALL_FAILS_ONCE,            /* 'at': the number of the call. */
    CALL_FAILS,                 /* It and all later ones of its kind. */
    CALL_HANGS,
    CONNECTION_BREAKS,          /* 'at': the message that is lost, with all
                                 * else under way; for 'ms'. */
    MESSAGE_LATE,               /* By 'ms'. */
    WRITE_IS_REFUSED,           /* 'at': the number of the write. */
    STORE_AWAY,                 /* From that write on, for 'ms'. */
    USER_CANCELS,               /* 'at': the turn. */
    AGENT_D_DIES,               /* At that turn, for 'ms'. */
    AGENT_S_DIES,
    QEMU_D_DIES,
    LOAD_FAILS,                 /* At D. */
    N_WEATHERS
};

struct weather {
    enum weather_kind kind;
    int at;
    int ms;
};

#define N_WEATHERS_AT_ONCE 2

struct frame_queue {
    struct ovs_list packets;    /* dp_packets, in 'struct queued'. */
    size_t n;
};

struct world_qemu {
    bool taps;
    enum vm_state state;
    bool incoming, loaded, load_failed, granted;
    enum capture_mode capture;
    struct frame_queue tap;     /* Towards the guest. */
    struct frame_queue kept;    /* In its filter, while it is stopped. */
    struct frame_queue captured;
    struct frame_queue read;    /* Captured, and taken by the agent. */
    bool consuming;             /* It takes them for good. */
    bool sending, cancelled, failed, paused, proceeding, rest_sent;
    long long next_us;          /* When the current phase is over. */
    long long paused_us;
    struct hypervisor_event events[64];
    size_t n_events;
    int polls[N_CALLS];         /* Each call takes some. */
    enum world_answer answers[N_CALLS]; /* Or, stepwise, is answered. */
};

/* What a switch does with packets for the VM. */
struct world_flows {
    bool is_here;
    struct datapath_here here;
    struct datapath_out out;
};

struct world_sync {
    uint64_t ticket;
    long long at_us;
    struct world_flows flows;
};

struct world_binding {
    struct binding binding;
    bool gone;
};

struct world_write;

struct world_host {
    int index;
    struct uuid uuid;
    char name[8];
    char journal[96];
    struct engine *engine;      /* Null: the agent does not run. */
    bool ghost;                 /* The test itself plays the agent. */
    struct datapath *datapath;
    long long back_us;          /* When it runs again; 0: never. */
    bool died;                  /* Once at least. */
    struct world_qemu qemu;
    struct frame_queue hold;    /* The agent's tap. */

    /* Switch and bridge. */
    uint64_t ticket, acked;
    struct world_sync syncs[256];
    size_t n_syncs;
    bool complete;              /* Before it nothing is sent. */
    bool switch_away;
    struct world_flows flows;
    long long idle_asked_us;
    bool ports[2];              /* Of the hold and of the VM's tap. */

    /* Edge: what of the store its datapath knows. */
    unsigned int store_seqno;
    long long store_seen_us;

    /* Addresses of its site, by their last byte. */
    bool used[256], rested[256];

    struct ovs_list received;   /* Messages for its agent. */
    struct ovs_list received_frames;
};

/* A fence that a switch sent. */
struct world_fence {
    int host;
    ofp_port_t port;
    long long at_us;
    struct frame_fence fence;
    struct in6_addr target;
};

/* A message that was sent, for looking at. */
struct world_sent {
    struct ovs_list node;
    int from, to;
    enum message_type type;
    struct json *body;
};

struct world_link {
    unsigned int epoch;
    long long down_until_us;    /* 0: it is up. */
    long long late_us;          /* Nothing arrives before. */
};

struct world {
    struct weather weathers[N_WEATHERS_AT_ONCE];
    bool struck[N_WEATHERS_AT_ONCE];
    long long now_us;
    int n_turns;                /* Since the migration was requested. */
    struct world_host hosts[N_HOSTS];
    char dir[64];               /* For journals. */
    bool stepwise;              /* See below. */
    void (*effect)(struct world_host *, const char *what);
    struct fault *fault;        /* Points of the agent of S. */
    struct world_host *current; /* Whose turn it is: taps have no owner. */

    /* Channel and WAN: lists of 'struct transit'. */
    struct world_link links[N_HOSTS][N_HOSTS];
    struct ovs_list transit;
    struct ovs_list sent;       /* 'struct world_sent'. */

    struct uuid stranger;       /* May speak for no interface. */
    int n_refused;              /* By channel_refuse(). */

    /* Store. */
    struct vm vm;
    struct vm_order order;
    struct migration migration;
    struct instance instance;   /* The last one that was written. */
    bool requested;
    struct world_binding bindings[32];
    size_t n_bindings;
    unsigned int store_seqno;   /* Of the bindings. */
    unsigned int n_done;        /* Writes. */
    long long store_back_us;    /* 0: it is there. */
    struct ovs_list writes;
    write_ticket n_writes;

    /* What happened. */
    int n_calls, n_messages, n_counted;
    enum weather_kind broken[N_HOSTS][N_CALLS]; /* Fine, or how. */
    bool granted;               /* A grant was sent. */
    bool ever_two;              /* Never! */
    bool sleepy;                /* Resumed guests show no life. */
    bool talking;
    int n_said[N_SENDERS];
    int *got[N_SENDERS];        /* How often the guest got each of them. */
    size_t allocated[N_SENDERS];
    int last[N_SENDERS], n_reordered;
    int n_fences_to_guest;      /* Never! */
    unsigned int n_relayed;     /* By a source that the test plays. */
    struct world_fence fences[64];      /* That switches sent. */
    size_t n_fences;
    char diary[256];            /* What the guest got: "0.17 1.3 ...". */
    int n_lost;                 /* In queues of what died. */
};

extern struct world world;

/* Makes a world with 'n' weathers in which the agents in 'alive' (bits)
 * run. */
void world_begin(const struct weather *, size_t n, unsigned int alive);
void world_end(void);

/* One turn of everything; it takes 1 ms, or, if 'lazy' and nothing is under
 * way, 20. */
void world_turn(bool lazy);

/* Turns until then, each of 1 ms. */
void world_run(int ms);

/* Asks for the migration from S to D. */
void world_request(void);

struct world_host *world_host(const struct uuid *);
extern const struct uuid world_migration, world_network;
struct uuid world_interface(int sender);        /* -1: the VM's. */

/* The agent's death, and its new life. */
void world_kill_agent(int host);
void world_start_agent(int host);

/* The same death, in the middle of whatever it did: its memory is left as it
 * is, and what it said and wrote is still under way. */
void world_abandon_agent(int host);

/* Stepwise, for the model.  Nothing happens by itself: messages between S and
 * D, writes, and what QEMUs do take until these functions say that they are
 * over; everything else takes no time.  'effect' is called before an engine
 * does anything that anybody else could see. */
void world_run_agent(int host);                 /* One turn of it. */
void world_run_data(void);                      /* Packets and frames. */
size_t world_n_messages(int from, int to);      /* Under way. */
const struct message *world_message(int from, int to, size_t i);
void world_deliver(int from, int to);           /* The first one. */
void world_drop_messages(int from, int to);
void world_break(int a, int b);                 /* Until world_mend(). */
void world_mend(int a, int b);
bool world_is_up(int a, int b);
size_t world_n_writes(int host);                /* Not yet done. */
void world_write_name(int host, size_t i, char buf[24]);
void world_do_write(int host, bool refuse);     /* The first one. */
void world_drop_writes(int host);
void world_break_stream(void);                  /* From QEMU to QEMU. */
const char *world_call_name(enum world_call);

/* When what takes 'us' is over, and what takes no time stepwise. */
long long world_later(long long us);
long long world_soon(long long us);
void world_effect(struct world_host *, const char *what);

/* Test's own messages, as from the agent of 'from'; takes them. */
void world_say(int from, int to, struct message *);

/* A frame on the connection for frames; takes it. */
void world_relay(int from, int to, const struct relay *, struct dp_packet *);

/* The next message that 'from' sent and that was not looked at, of 'type';
 * its body is valid until world_end().  Null if there is none. */
const struct json *world_heard(int from, int to, enum message_type type);

/* Frames. */
struct dp_packet *world_make_frame(int sender, int number);
struct dp_packet *world_make_fence(int sender, const struct frame_fence *);
void world_put(struct frame_queue *, struct dp_packet *);
struct dp_packet *world_take(struct frame_queue *);
void world_clear(struct frame_queue *);
void world_guest_gets(const struct dp_packet *);
void world_hold(int host, struct dp_packet *, uint8_t mark);
void world_switch_in(int host, struct dp_packet *);
void world_send_out(int host, struct dp_packet *, const struct in6_addr *);
bool world_is_quiet(void);

/* Has the moment of a weather of this kind come, as its 'at' counts?  Then it
 * strikes, once.  Null if not. */
const struct weather *world_strikes(enum weather_kind, int count);
bool world_has(enum weather_kind);

/* Parts of a turn. */
void world_run_switch(struct world_host *);
void world_run_transit(void);
void world_run_qemu(struct world_host *);
void world_kill_qemu(struct world_host *, const char *why);
void world_run_store(void);
void world_run_senders(void);
void world_clear_channel(void);
void world_clear_store(void);
int world_n_running(void);

#endif /* engine/test-world.h */
