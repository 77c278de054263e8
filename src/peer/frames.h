#ifndef PEER_FRAMES_H
#define PEER_FRAMES_H 1

/* The connections that carry relayed frames; only the channel uses them.
 *
 * Each record on the wire is big-endian: length of what follows in 32 bits,
 * kind in 8, NIC in 8, 16 zero bits, the migration's UUID in 128, the frame's
 * number in 32, then the Ethernet frame.  The first record is a hello, which carries the sending
 * host's UUID in the place of the migration's. */

#include <stddef.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "peer/channel.h"

#define FRAMES_HEADER_LEN 28    /* With the length. */
#define FRAMES_MAX_LEN 65536    /* Of an Ethernet frame. */

struct stream;

struct frames_in;
struct frames_out;

/* Takes 'stream', which is connected. */
struct frames_in *frames_in_create(struct stream *stream);
void frames_in_destroy(struct frames_in *);

/* Appends what has arrived to 'received'.  Nonzero, and nothing more will
 * come, if the peer closed or sent what is not ours. */
int frames_in_run(struct frames_in *, struct ovs_list *received);
void frames_in_wait(struct frames_in *);

/* Who it says that it is; zero until its hello. */
const struct uuid *frames_in_from(const struct frames_in *);
const struct stream *frames_in_stream(const struct frames_in *);

/* The pure half, for tests and fuzzing: takes whole records from the 'len'
 * bytes at 'data', returns how many bytes it used, or -1 for a bad one. */
long frames_parse(const uint8_t *data, size_t len, struct uuid *from,
                  struct ovs_list *received);

struct frames_out *frames_out_create(const struct uuid *self);
void frames_out_destroy(struct frames_out *);
void frames_out_set_target(struct frames_out *, const char *target);

/* Whom a certificate has to name, if the target is "ssl:..."; null: nobody
 * is right. */
void frames_out_set_name(struct frames_out *, const char *name);

/* EACCES, now and then, if somebody else is at the target. */
int frames_out_run(struct frames_out *, long long mono_us);
void frames_out_wait(struct frames_out *, long long mono_us);

/* False if the queue is full. */
bool frames_out_send(struct frames_out *, const struct relay *,
                     const void *data, size_t len);

/* Has it not sent everything? */
bool frames_out_is_busy(const struct frames_out *);
void frames_out_warm(struct frames_out *, long long mono_us);

#endif /* peer/frames.h */
