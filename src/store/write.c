#include <config.h>

#include "store/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb-idl.h"
#include "util.h"
#include "uuid.h"

#include "store/session.h"

#define BLOCKED_MAX_MS 5000    /* For rows that do not arrive. */
#define CONFLICT_MAX_TRIES 30   /* With other choices. */
#define REFUSED_MAX_TRIES 2     /* The first may have been done unseen. */
#define DENIED_MS 2000          /* So long no answer for who may not do it. */
#define DENIAL_SAID_MS 60000    /* Then one of its kind is said again. */
#define RETRY_MS 200            /* If no change of the replica comes first. */

struct write {
    struct ovs_list node;
    struct hmap_node ticket_node, key_node;
    write_ticket ticket;
    const struct write_class *class;
    struct uuid key;
    void *data;
    bool blocked;               /* Its rows were not there yet... */
    unsigned int blocked_seqno; /* ...when the replica was at this. */
    long long blocked_until;    /* Refused if it still says so then. */
    struct err blocked_err;
    bool denied;                /* It is refused at 'blocked_until'. */
    unsigned int tries;         /* That the store refused. */
};

static void finish(struct store *, struct write *, enum write_result,
                   const struct err *);
static void expire(struct store *, long long now);
static struct write *next_to_try(struct store *);
static void try_write(struct store *, struct write *, long long now);
static void check_committing(struct store *, long long now);

static void
free_data(struct write *write)
{
    if (write->class->destroy) {
        write->class->destroy(write->data);
    }
    free(write->data);
}

enum write_result
write_result(const struct store *store, write_ticket ticket, struct err *err)
{
    const struct store_result *result
        = &store->results[ticket % WRITE_MAX_RESULTS];

    if (ticket && result->ticket == ticket) {
        if (result->result != WRITE_DONE && result->err && err) {
            *err = *result->err;
        }
        return result->result;
    }

    const struct write *write;
    HMAP_FOR_EACH_WITH_HASH (write, ticket_node, hash_uint64(ticket),
                             &store->writes_by_ticket) {
        if (write->ticket == ticket) {
            return WRITE_PENDING;
        }
    }
    err_set(err, ENOENT, "the store's answer is not known any more");
    return WRITE_LOST;
}

size_t
write_n_queued(const struct store *store)
{
    return store->n_writes;
}

void
write_init(struct store *store)
{
    ovs_list_init(&store->writes);
    hmap_init(&store->writes_by_ticket);
    hmap_init(&store->writes_by_key);
}

void
write_destroy(struct store *store)
{
    struct write *write;

    if (store->txn) {
        ovsdb_idl_txn_destroy(store->txn);
    }
    LIST_FOR_EACH_POP (write, node, &store->writes) {
        free_data(write);
        free(write);
    }
    hmap_destroy(&store->writes_by_ticket);
    hmap_destroy(&store->writes_by_key);
    for (size_t i = 0; i < WRITE_MAX_RESULTS; i++) {
        free(store->results[i].err);
    }
    for (size_t i = 0; i < STORE_MAX_DENIALS; i++) {
        free(store->denials[i].text);
    }
}

write_ticket
write_queue(struct store *store, const struct write_class *class,
            const struct uuid *key, const void *data, size_t size)
{
    struct write *write;

    if (class->replace) {
        HMAP_FOR_EACH_WITH_HASH (write, key_node, uuid_hash(key),
                                 &store->writes_by_key) {
            if (write != store->committing && write->class == class
                && uuid_equals(&write->key, key)) {
                free_data(write);
                write->data = xmemdup(data, size);
                return write->ticket;
            }
        }
    }

    write = xzalloc(sizeof *write);
    write->ticket = ++store->last_ticket;
    write->class = class;
    write->key = *key;
    write->data = xmemdup(data, size);
    ovs_list_push_back(&store->writes, &write->node);
    hmap_insert(&store->writes_by_ticket, &write->ticket_node,
                hash_uint64(write->ticket));
    hmap_insert(&store->writes_by_key, &write->key_node, uuid_hash(key));
    store->n_writes++;

    write_ticket ticket = write->ticket;
    if (store->n_writes > WRITE_MAX_QUEUED) {
        struct err err;

        err_set(&err, ENOBUFS, "%s: too many writes wait for the store",
                class->what);
        finish(store, write, WRITE_LOST, &err);
    }
    poll_immediate_wake();
    return ticket;
}

/* Can nothing be tried?  Whoever waits is woken by the connection. */
static bool
is_away(const struct store *store)
{
    return (!ovsdb_idl_has_ever_connected(store->idl)
            || !ovsdb_idl_is_connected(store->idl));
}

void
write_run(struct store *store, long long now)
{
    if (store->txn) {
        check_committing(store, now);
    }
    if (is_away(store)) {
        return;
    }
    if (store->retry_at) {
        if (now < store->retry_at
            && store->txn_seqno == ovsdb_idl_get_seqno(store->idl)) {
            return;
        }
        store->retry_at = 0;
    }
    expire(store, now);

    /* Writes that change nothing are finished at once, hence the loop. */
    struct write *write;
    while (!store->txn && !store->retry_at
           && (write = next_to_try(store)) != NULL) {
        try_write(store, write, now);
    }
}

void
write_wait(struct store *store)
{
    if (store->txn) {
        ovsdb_idl_txn_wait(store->txn);
    } else if (is_away(store)) {
        /* Times may have passed that only write_run() can clear. */
    } else if (store->retry_at) {
        poll_timer_wait_until(store->retry_at);
    } else if (store->n_blocked) {
        const struct write *write;

        /* Those that wait for rows are woken by their arrival. */
        LIST_FOR_EACH (write, node, &store->writes) {
            if (write->blocked) {
                poll_timer_wait_until(write->blocked_until);
            }
        }
    }
}

/* Does an earlier write of the same object still wait? */
static bool
is_overtaking(const struct store *store, const struct write *write)
{
    const struct write *earlier;

    HMAP_FOR_EACH_WITH_HASH (earlier, key_node, uuid_hash(&write->key),
                             &store->writes_by_key) {
        if (earlier->ticket < write->ticket
            && uuid_equals(&earlier->key, &write->key)) {
            return true;
        }
    }
    return false;
}

/* The first write that may be tried now, null if there is none. */
static struct write *
next_to_try(struct store *store)
{
    unsigned int seqno = ovsdb_idl_get_seqno(store->idl);
    struct write *write;
    bool passed = false;

    LIST_FOR_EACH (write, node, &store->writes) {
        if (write->denied
            || (write->blocked && write->blocked_seqno == seqno)) {
            passed = true;
        } else if (!passed || !is_overtaking(store, write)) {
            return write;
        }
    }
    return NULL;
}

static void
block(struct store *store, struct write *write, long long now,
      const struct err *err)
{
    if (!write->blocked) {
        write->blocked = true;
        store->n_blocked++;
        write->blocked_until = now + BLOCKED_MAX_MS;
    }
    write->blocked_seqno = ovsdb_idl_get_seqno(store->idl);
    write->blocked_err = *err;
}

/* Refuses writes whose rows do not come. */
static void
expire(struct store *store, long long now)
{
    struct write *write;

    if (!store->n_blocked) {
        return;
    }
    LIST_FOR_EACH_SAFE (write, node, &store->writes) {
        if (write->blocked && now >= write->blocked_until
            && write != store->committing) {
            finish(store, write, WRITE_REFUSED, &write->blocked_err);
        }
    }
}

static void
try_write(struct store *store, struct write *write, long long now)
{
    struct err err = ERR_INIT;

    store->txn_seqno = ovsdb_idl_get_seqno(store->idl);
    store->txn = ovsdb_idl_txn_create(store->idl);
    int error = write->class->build(store, store->txn, write->data, &err);
    if (error) {
        ovsdb_idl_txn_abort(store->txn);
        ovsdb_idl_txn_destroy(store->txn);
        store->txn = NULL;
        if (!err.code) {
            err_set(&err, error, "%s", strerror(error));
        }
        err_add(&err, error, "%s", write->class->what);
        if (error == EAGAIN) {
            block(store, write, now, &err);
        } else {
            finish(store, write, WRITE_REFUSED, &err);
        }
        return;
    }
    store->committing = write;
    check_committing(store, now);
}

/* Reads the sentence out of a server's error object, which is JSON text.  The
 * code is EALREADY if a row has a UUID that we chose, EEXIST if other rows
 * stand in the way. */
static void
refusal(const struct write *write, const struct ovsdb_idl_txn *txn,
        struct err *err)
{
    const char *text = ovsdb_idl_txn_get_error(txn);
    int code = (strstr(text, "duplicate uuid") ? EALREADY
                : strstr(text, "constraint violation") ? EEXIST
                : strstr(text, "referential integrity violation") ? EEXIST
                : strstr(text, "permission error") ? EPERM : EPROTO);

    err_set(err, code, "%s: the store refused: %s", write->class->what, text);
}

/* What a refusal for '*err' means.
 *
 * The row in the way may be our own: the write was done before the connection
 * broke, or the server itself tried it twice, which it does when its cluster
 * takes long to answer.  The server says what has changed before it answers,
 * so build() sees that the second time.  Our replica may lack the row (an
 * agent's has no events); but a UUID of ours is in the store only if the
 * whole write is. */
static enum write_result
judge_refusal(struct write *write, const struct err *err)
{
    unsigned int max = (write->class->retry_conflicts ? CONFLICT_MAX_TRIES
                        : REFUSED_MAX_TRIES);

    if (err->code == EPROTO) {
        return WRITE_REFUSED;
    }
    return (++write->tries < max ? WRITE_PENDING
            : err->code == EALREADY ? WRITE_DONE : WRITE_REFUSED);
}

/* Remembers 'err', to be said, unless another one of its kind was. */
static void
note_denial(struct store *store, const struct write_class *class,
            long long now, const struct err *err)
{
    struct store_denial *room = NULL;

    for (size_t i = 0; i < STORE_MAX_DENIALS; i++) {
        struct store_denial *denial = &store->denials[i];
        bool is_old = now >= denial->time + DENIAL_SAID_MS;

        if (denial->class == class && !is_old) {
            return;
        } else if (!denial->text
                   && (!denial->class || is_old || denial->class == class)) {
            room = denial;
        }
    }
    if (room) {
        *room = (struct store_denial) { class, now, xstrdup(err->text) };
    }
}

char *
write_next_denial(struct store *store)
{
    for (size_t i = 0; i < STORE_MAX_DENIALS; i++) {
        char *text = store->denials[i].text;

        if (text) {
            store->denials[i].text = NULL;
            return text;
        }
    }
    return NULL;
}

/* The store does not permit it.  Who is told so at once would try again at
 * once, for ever. */
static void
deny(struct store *store, struct write *write, long long now,
     const struct err *err)
{
    store->n_blocked += !write->blocked;
    write->blocked = write->denied = true;
    write->blocked_until = now + DENIED_MS;
    write->blocked_err = *err;
    note_denial(store, write->class, now, err);
}

static void
check_committing(struct store *store, long long now)
{
    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(store->txn);
    struct write *write = store->committing;
    enum write_result result;
    struct err err = ERR_INIT;

    if (status == TXN_INCOMPLETE) {
        return;
    }
    if (status == TXN_ERROR) {
        refusal(write, store->txn, &err);
    }
    ovsdb_idl_txn_destroy(store->txn);
    store->txn = NULL;
    store->committing = NULL;

    switch (status) {
    case TXN_UNCHANGED:
    case TXN_SUCCESS:
        finish(store, write, WRITE_DONE, NULL);
        break;

    case TXN_ERROR:
        if (err.code == EPERM) {
            deny(store, write, now, &err);
            break;
        }
        result = judge_refusal(write, &err);
        if (result != WRITE_PENDING) {
            finish(store, write, result, &err);
            break;
        }
        /* Fall through. */
    case TXN_TRY_AGAIN:
        store->retry_at = now + RETRY_MS;
        break;

    case TXN_UNCOMMITTED:
    case TXN_INCOMPLETE:
    case TXN_ABORTED:
    case TXN_NOT_LOCKED:
        OVS_NOT_REACHED();
    }
}

static void
finish(struct store *store, struct write *write, enum write_result result,
       const struct err *err)
{
    struct store_result *slot
        = &store->results[write->ticket % WRITE_MAX_RESULTS];

    free(slot->err);
    slot->ticket = write->ticket;
    slot->result = result;
    slot->err = err ? xmemdup(err, sizeof *err) : NULL;

    ovs_list_remove(&write->node);
    hmap_remove(&store->writes_by_ticket, &write->ticket_node);
    hmap_remove(&store->writes_by_key, &write->key_node);
    store->n_writes--;
    store->n_blocked -= write->blocked;
    free_data(write);
    free(write);
}
