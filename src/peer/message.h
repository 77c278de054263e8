#ifndef PEER_MESSAGE_H
#define PEER_MESSAGE_H 1

/* What agents say to each other.
 *
 * On the wire a message is a JSON-RPC notification (RFC 7159, and the
 * framing of RFC 7047, section 4): the method is the message's name, the only
 * parameter an object.  The table below is the whole list; docs/channel.md
 * explains each one, and a test compares the two.  A message is validated
 * when it arrives: whoever reads a field of a received message may rely on
 * its presence and type.
 *
 *     type       name, direction, and what it is about */
#define MESSAGES(M) \
    M(HELLO,     "hello")     /* Both, first: version, features, who. */ \
    M(PING,      "ping")      /* Both: round trip and clock offset. */ \
    M(PONG,      "pong") \
    M(PREPARE,   "prepare")   /* S -> D: check, and start to listen. */ \
    M(PREPARED,  "prepared")  /* D -> S: send it there. */ \
    M(DECLINED,  "declined")  /* D -> S: impossible, and why. */ \
    M(ACCEPT,    "accept")    /* S -> C: expect it from a new address. */ \
    M(ACCEPTED,  "accepted")  /* C -> S */ \
    M(EXPECT,    "expect")    /* S -> D: who will send fences. */ \
    M(FLIP,      "flip")      /* S -> C: from now on it is there. */ \
    M(FORGET,    "forget")    /* S -> C: that address is void. */ \
    M(GRANT,     "grant")     /* S -> D: run.  The commit of a move. */ \
    M(RUNNING,   "running")   /* D -> S: it does. */ \
    M(REFUSED,   "refused")   /* D -> S: its load failed; take it back. */ \
    M(SETTLED,   "settled")   /* D -> S: all in order and in the store. */ \
    M(ABORT,     "abort")     /* S -> D: it stays where it is. */ \
    M(ABORTED,   "aborted")   /* D -> S: nothing is left here. */

enum message_type {
#define M(TYPE, NAME) MESSAGE_##TYPE,
    MESSAGES(M)
#undef M
    N_MESSAGES
};

#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/uuid.h"

#include "base/err.h"
#include "core/addr.h"
#include "core/generation.h"
#include "core/vm.h"

struct message {
    struct ovs_list node;
    enum message_type type;
    struct uuid from;           /* The sending host. */
    struct json *body;          /* Owned; an object. */
};

/* At most so many elements in any list of a message. */
#define MESSAGE_MAX_LIST 4096

const char *message_name(enum message_type);

/* A message of 'type' about 'migration' without further fields; add those to
 * its 'body'. */
struct message *message_create(enum message_type,
                               const struct uuid *migration);
void message_destroy(struct message *);

/* Takes ownership of 'body'.  Returns 0 and stores a message that the caller
 * owns, or EBADMSG. */
int message_parse(const char *name, struct json *body, struct message **,
                  struct err *);

/* Builders for fields of several messages. */
void message_put_uuid(struct json *object, const char *key,
                      const struct uuid *);
void message_put_addrs(struct json *object, const char *key,
                       const struct addr_pair *);
void message_put_generation(struct json *object, const struct generation *);
struct json *message_put_list(struct json *object, const char *key);

/* Readers of validated fields; an absent optional one is zero or "". */
bool message_has(const struct json *object, const char *key);
struct uuid message_get_uuid(const struct json *object, const char *key);
struct addr_pair message_get_addrs(const struct json *object,
                                   const char *key);
struct generation message_get_generation(const struct json *object);
const char *message_get_string(const struct json *object, const char *key);
long long message_get_integer(const struct json *object, const char *key);
const struct json *message_get_object(const struct json *object,
                                      const char *key);
const struct json_array *message_get_list(const struct json *object,
                                          const char *key);

/* A VM's record, as PREPARE carries it. */
struct json *message_from_vm(const struct vm *);
int message_to_vm(const struct json *, struct vm *, struct err *);

#endif /* peer/message.h */
