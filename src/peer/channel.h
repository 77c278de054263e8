#ifndef PEER_CHANNEL_H
#define PEER_CHANNEL_H 1

/* The channel: agents talk to agents.
 *
 * A channel knows other hosts by UUID and connects to one when somebody first
 * sends to it.  There are two connections to a host: messages travel on one,
 * relayed frames on the other, so that a burst of frames never delays a
 * grant.  Both sides begin with a hello; nothing else passes before it.
 *
 * Messages are not queued for a host that is away: channel_send() says so and
 * the caller tries again, or does without.  channel_epoch() tells whether a
 * connection is still the one on which something was said.  Frames are
 * queued, within a limit.
 *
 * Who listens on "pssl:" speaks TLS only, to and with hosts whose certificate
 * names the Host row that their hello claims.  libopenvswitch has the key and
 * the CA (base/settings.h).  What is refused is counted, and said.
 *
 * Times are in microseconds: 'mono_us' on the monotonic clock, 'wall_us' on
 * the wall clock, because QEMU stamps its events with that one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/err.h"
#include "core/vm.h"
#include "peer/message.h"

#define CHANNEL_VERSION 1       /* Ours. */
#define CHANNEL_OLDEST 1        /* The oldest that we understand. */
#define CHANNEL_PORT 6650       /* Messages; frames on the next one. */

/* Frames that wait for a slow or absent host, in bytes; what exceeds this is
 * dropped and counted. */
#define CHANNEL_MAX_FRAME_BYTES (64u << 20)

struct channel;

struct channel_config {
    struct uuid host;           /* Us. */
    const char *name;
    const char *listen;         /* "ptcp:6650:192.0.2.1", or "pssl:..." */
    const char *listen_frames;  /* "ptcp:6651:192.0.2.1", of the same kind. */
};

struct channel_host {
    struct uuid uuid;
    char name[NAME_LEN + 1];
};

/* Listens.  Fails if an address is in use. */
int channel_create(const struct channel_config *, struct channel **,
                   struct err *);
void channel_destroy(struct channel *);

void channel_run(struct channel *, long long mono_us, long long wall_us);
void channel_wait(struct channel *, long long mono_us);

/* All hosts, as the store knows them.  With TLS nobody else is spoken to;
 * connections of who is no longer what it was are closed. */
void channel_set_hosts(struct channel *, const struct channel_host *,
                       size_t n);

/* Where 'host' can be reached, "tcp:192.0.2.1:6650" or, with TLS, "ssl:...";
 * from the store. */
void channel_set_target(struct channel *, const struct uuid *host,
                        const char *target);

/* Connect to 'host' if we are not; nothing else happens. */
void channel_connect(struct channel *, const struct uuid *host);

/* Grows with each connection to 'host'; 0 if there is none now. */
unsigned int channel_epoch(const struct channel *, const struct uuid *host);

/* Sends 'm', of which it takes ownership in any case.  ENOTCONN: not now,
 * a connection is being made.  To ourselves it always succeeds. */
int channel_send(struct channel *, const struct uuid *host,
                 struct message *m);

/* The next message received, or null.  The caller frees it. */
struct message *channel_next(struct channel *);

struct channel_delay {
    long long rtt_us;           /* Smallest of the last ones; -1: unknown. */
    long long offset_us;        /* Its wall clock minus ours. */
    long long offset_error_us;
};
void channel_get_delay(const struct channel *, const struct uuid *host,
                       struct channel_delay *);

enum relay_kind {
    RELAY_HELLO = 1,            /* Only between channels. */
    RELAY_PAD,                  /* Only between channels. */
    RELAY_CAPTURED,             /* To be given to the guest, in order. */
    RELAY_RETURNED,             /* The same, backwards, after a rollback. */
    RELAY_LATE,                 /* Came to an address that was left. */
};

struct relay {
    enum relay_kind kind;
    struct uuid about;          /* A migration; RELAY_LATE: an interface. */
    unsigned int nic;           /* The index of, in the VM. */
    uint32_t number;            /* RELAY_CAPTURED: of those for this NIC, from
                                 * 0 on, so that it can be sent twice. */
};

struct relayed {
    struct ovs_list node;
    struct uuid from;           /* The sending host. */
    struct relay relay;
    size_t len;
    uint8_t data[];             /* An Ethernet frame as the guest sees it. */
};

/* Frames to one host arrive in order.  To ourselves it works, too. */
void channel_send_frame(struct channel *, const struct uuid *host,
                        const struct relay *, const void *data, size_t len);

/* Do frames wait to be sent to 'host'? */
bool channel_has_frames(const struct channel *, const struct uuid *host);

/* The next frame received, or null.  The caller frees it with free(). */
struct relayed *channel_next_frame(struct channel *);

/* Keeps the frame connection to 'host' open and its congestion window wide,
 * by padding; called each turn as long as a switchover may begin. */
void channel_warm(struct channel *, const struct uuid *host,
                  long long mono_us);

struct channel_counters {
    uint64_t messages_in, messages_out, frames_in, frames_out,
             frames_dropped, refused;
};
const struct channel_counters *channel_counters(const struct channel *);

/* Counts and says that 'host' has sent 'what', which is not its to send. */
void channel_refuse(struct channel *, const struct uuid *host,
                    const char *what);

/* The next sentence about a peer that was refused, or null; the same one comes
 * again after a minute.  The caller frees it. */
char *channel_next_refusal(struct channel *);

#endif /* peer/channel.h */
