#include <config.h>

#include "store/claims.h"

#include <errno.h>
#include <string.h>

#include "random.h"
#include "util.h"

#include "store/rows.h"
#include "store/session.h"

#define MAX_ADD 64              /* At once. */

struct claims_add {
    enum addr_family family;
    size_t n;
    long long now;
    struct uuid insert[MAX_ADD];
};

struct claim_update {
    struct addr_pair pair;
    long long now;
};

/* The pools of this host's site, of one family. */
static bool
pool_is_ours(const struct store *store, const struct dbrec_pool *pool,
             enum addr_family family, struct addr_range *range)
{
    const struct dbrec_host *host = session_own_host(store);
    char text[2 * ADDR_STRLEN + 1];

    if (!host || !host->site || pool->site != host->site) {
        return false;
    }
    snprintf(text, sizeof text, "%s-%s", pool->first, pool->last);
    return (!addr_range_parse(text, range, NULL)
            && addr_family(&range->first) == family);
}

static bool
address_is_of(const char *text, enum addr_family family,
              struct in6_addr *address)
{
    return (!addr_parse(text, address, NULL)
            && addr_family(address) == family);
}

static const struct dbrec_claim *
find_claim(const struct store *store, const struct in6_addr *address)
{
    char text[ADDR_STRLEN];

    return session_claim(store, addr_format(address, text));
}

/* Claims 'n' addresses out of 'range', from a random place on, so that
 * hosts seldom choose the same.  Returns how many it got. */
static size_t
insert_from_pool(struct store *store, struct ovsdb_idl_txn *txn,
                 const struct addr_range *range,
                 const struct claims_add *data, size_t n_done)
{
    const struct dbrec_host *host = session_own_host(store);
    uint32_t size = addr_range_size(range);
    uint32_t start = size ? random_uint32() % size : 0;
    size_t n = n_done;

    for (uint32_t i = 0; i < size && n < data->n; i++) {
        struct in6_addr address
            = addr_plus(&range->first, ((uint64_t) start + i) % size);
        char text[ADDR_STRLEN];

        if (find_claim(store, &address)) {
            continue;
        }
        const struct dbrec_claim *claim
            = dbrec_claim_insert_persist_uuid(txn, &data->insert[n++]);
        dbrec_claim_set_address(claim, addr_format(&address, text));
        dbrec_claim_set_site(claim, host->site);
        dbrec_claim_set_host(claim, host);
        dbrec_claim_set_writer(claim, session_writer(host));
        dbrec_claim_set_state(claim, "free");
        dbrec_claim_set_since(claim, data->now);
    }
    return n - n_done;
}

static int
build_add(struct store *store, struct ovsdb_idl_txn *txn, const void *data_,
          struct err *err)
{
    const struct claims_add *data = data_;
    const struct dbrec_pool *pool;
    struct addr_range range;
    size_t n = 0;

    if (!session_own_host(store)) {
        return err_set(err, EAGAIN, "this host is not registered");
    }
    if (SESSION_ROW(store, claim, &data->insert[0])) {
        return 0;               /* Done before the connection broke. */
    }
    DBREC_POOL_FOR_EACH (pool, store->idl) {
        if (n < data->n
            && pool_is_ours(store, pool, data->family, &range)) {
            n += insert_from_pool(store, txn, &range, data, n);
        }
    }
    return n ? 0 : err_set(err, ENOSPC, "the pools of this site have no free "
                           "IPv%d address",
                           data->family == ADDR_V4 ? 4 : 6);
}

/* A store's epoch is the second in which it was restored, see docs/schema.md;
 * one that never was has the epoch 1. */
bool
claims_may_take(const struct store *store, long long wall_now)
{
    long long restored = store_epoch(store) * 1000LL;

    return (wall_now < restored
            || wall_now >= restored + CLAIM_QUARANTINE_MS);
}

write_ticket
claims_add(struct store *store, enum addr_family family, size_t n,
           long long wall_now)
{
    static const struct write_class class = {
        .what = "claiming mobile addresses",
        .build = build_add,
        .retry_conflicts = true,
    };
    struct claims_add data = {
        .family = family, .n = MIN(n, MAX_ADD), .now = wall_now,
    };

    for (size_t i = 0; i < data.n; i++) {
        uuid_generate(&data.insert[i]);
    }
    return write_queue(store, &class, &data.insert[0], &data, sizeof data);
}

/* This host's claims in 'state', to be freed by the caller. */
static const struct dbrec_claim **
own_claims(const struct store *store, const char *state, size_t *n)
{
    struct ovsdb_idl_index *index = store->index[SESSION_CLAIM_BY_HOST];
    const struct dbrec_host *host = session_own_host(store);
    const struct dbrec_claim **claims = NULL, *claim;
    size_t allocated = 0;

    *n = 0;
    if (!host) {
        return NULL;
    }
    struct dbrec_claim *key = dbrec_claim_index_init_row(index);
    dbrec_claim_index_set_host(key, host);
    DBREC_CLAIM_FOR_EACH_EQUAL (claim, key, index) {
        if (strcmp(claim->state, state)
            || !rows_is_written_by(claim->writer, host)) {
            continue;
        }
        if (*n == allocated) {
            claims = x2nrealloc(claims, &allocated, sizeof *claims);
        }
        claims[(*n)++] = claim;
    }
    dbrec_claim_index_destroy_row(key);
    return claims;
}

/* A free claim of 'family' that nobody took, null if there is none, and the
 * number of such claims. */
static const struct dbrec_claim *
find_free(const struct store *store, enum addr_family family, size_t *n_free,
          struct in6_addr *address)
{
    const struct dbrec_claim **claims, *found = NULL;
    size_t n;

    *n_free = 0;
    claims = own_claims(store, "free", &n);
    for (size_t i = 0; i < n; i++) {
        struct in6_addr addr;

        if (!sset_contains(&store->taken, claims[i]->address)
            && address_is_of(claims[i]->address, family, &addr)
            && !(*n_free)++) {
            found = claims[i];
            *address = addr;
        }
    }
    free(claims);
    return found;
}

size_t
claims_n_free(const struct store *store, enum addr_family family)
{
    struct in6_addr address;
    size_t n;

    find_free(store, family, &n, &address);
    return n;
}

size_t
claims_n_available(const struct store *store, enum addr_family family)
{
    const struct dbrec_claim *claim;
    const struct dbrec_pool *pool;
    struct addr_range range;
    size_t n = 0;

    DBREC_POOL_FOR_EACH (pool, store->idl) {
        if (!pool_is_ours(store, pool, family, &range)) {
            continue;
        }
        size_t used = 0;
        DBREC_CLAIM_FOR_EACH (claim, store->idl) {
            struct in6_addr address;

            used += (address_is_of(claim->address, family, &address)
                     && addr_range_contains(&range, &address));
        }
        size_t size = addr_range_size(&range);
        n += size > used ? size - used : 0;
    }
    return n;
}

/* Sets the state of the claims of 'data->pair' that are ours. */
static int
build_state(struct store *store, const struct claim_update *data,
            const char *state)
{
    ADDR_FOR_EACH_FAMILY (f) {
        const struct in6_addr *address = &data->pair.of[f];
        const struct dbrec_claim *claim
            = addr_is_none(address) ? NULL : find_claim(store, address);

        if (claim && claim->host
            && uuid_equals(ROW_UUID(claim->host), &store->host)
            && strcmp(claim->state, state)) {
            dbrec_claim_set_state(claim, state);
            dbrec_claim_set_since(claim, data->now);
        }
    }
    return 0;
}

static int
build_take(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
           const void *data, struct err *err OVS_UNUSED)
{
    return build_state(store, data, "used");
}

static int
build_rest(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
           const void *data, struct err *err OVS_UNUSED)
{
    return build_state(store, data, "resting");
}

static int
build_keep(struct store *store, struct ovsdb_idl_txn *txn, const void *data_,
           struct err *err)
{
    const struct claim_update *data = data_;
    const struct dbrec_host *host = session_own_host(store);

    if (!host || !host->site) {
        return err_set(err, EAGAIN, "this host is not registered");
    }
    ADDR_FOR_EACH_FAMILY (f) {
        const struct in6_addr *address = &data->pair.of[f];
        char text[ADDR_STRLEN];

        if (addr_is_none(address)) {
            continue;
        }
        const struct dbrec_claim *claim = find_claim(store, address);
        if (!claim) {
            claim = dbrec_claim_insert(txn);
            dbrec_claim_set_address(claim, addr_format(address, text));
            dbrec_claim_set_site(claim, host->site);
            dbrec_claim_set_host(claim, host);
            dbrec_claim_set_writer(claim, session_writer(host));
        } else if (claim->host != host) {
            return err_set(err, EBUSY, "%s is claimed by host \"%s\"",
                           claim->address,
                           claim->host ? claim->host->name : "?");
        }
        dbrec_claim_set_state(claim, "used");
        dbrec_claim_set_since(claim, data->now);
    }
    return 0;
}

/* All updates of claims have the same key, hence stay in order. */
static const struct uuid update_key = { { 0, 0, 0, 1 } };

int
claims_take(struct store *store, enum addr_family family, long long wall_now,
            struct in6_addr *out, struct err *err)
{
    static const struct write_class class = {
        .what = "taking a mobile address",
        .build = build_take,
    };
    struct in6_addr address;
    size_t n;
    const struct dbrec_claim *claim = find_free(store, family, &n, &address);

    if (!claim || !claims_may_take(store, wall_now)) {
        return err_set(err, ENOENT, "this host has no free mobile IPv%d "
                       "address claimed", family == ADDR_V4 ? 4 : 6);
    }
    sset_add(&store->taken, claim->address);

    struct claim_update data = { .now = wall_now };
    data.pair.of[family] = address;
    write_queue(store, &class, &update_key, &data, sizeof data);
    *out = address;
    return 0;
}

write_ticket
claims_keep(struct store *store, const struct addr_pair *pair,
            long long wall_now)
{
    static const struct write_class class = {
        .what = "keeping a mobile address",
        .build = build_keep,
    };
    struct claim_update data = { .pair = *pair, .now = wall_now };

    return write_queue(store, &class, &update_key, &data, sizeof data);
}

write_ticket
claims_rest(struct store *store, const struct addr_pair *pair,
            long long wall_now)
{
    static const struct write_class class = {
        .what = "releasing a mobile address",
        .build = build_rest,
    };
    struct claim_update data = { .pair = *pair, .now = wall_now };

    return write_queue(store, &class, &update_key, &data, sizeof data);
}

/* An address is no longer "taken" once the store says what it is. */
void
claims_note_change(struct store *store, const struct uuid *uuid)
{
    const struct dbrec_claim *claim = SESSION_ROW(store, claim, uuid);

    if (claim && strcmp(claim->state, "free")) {
        sset_find_and_delete(&store->taken, claim->address);
    }
}

/* The claims that have rested long enough, as own_claims(). */
static const struct dbrec_claim **
rested_claims(const struct store *store, long long now, size_t *n_rested)
{
    const struct dbrec_claim **claims;
    size_t n;

    *n_rested = 0;
    claims = own_claims(store, "resting", &n);
    for (size_t i = 0; i < n; i++) {
        if (now >= claims[i]->since + CLAIM_QUARANTINE_MS) {
            claims[(*n_rested)++] = claims[i];
        }
    }
    return claims;
}

static int
build_trim(struct store *store, struct ovsdb_idl_txn *txn OVS_UNUSED,
           const void *data, struct err *err OVS_UNUSED)
{
    const long long *now = data;
    const struct dbrec_claim **claims;
    size_t n;

    claims = rested_claims(store, *now, &n);
    for (size_t i = 0; i < n; i++) {
        dbrec_claim_verify_state(claims[i]);
        dbrec_claim_delete(claims[i]);
    }
    free(claims);
    return 0;
}

void
claims_trim(struct store *store, long long wall_now)
{
    static const struct write_class class = {
        .what = "giving up rested addresses",
        .build = build_trim,
    };

    size_t n;

    if (store->trim_ticket
        && write_result(store, store->trim_ticket, NULL) == WRITE_PENDING) {
        return;
    }
    free(rested_claims(store, wall_now, &n));
    if (n) {
        store->trim_ticket = write_queue(store, &class, &update_key,
                                         &wall_now, sizeof wall_now);
    }
}

/* The mobile addresses in this host's bindings, as addr_format() writes
 * them. */
static void
find_bound(const struct store *store, struct sset *bound)
{
    struct ovsdb_idl_index *index = store->index[SESSION_BINDING_BY_HOST];
    struct dbrec_binding *key = dbrec_binding_index_init_row(index);
    const struct dbrec_binding *row;

    dbrec_binding_index_set_host(key, session_own_host(store));
    DBREC_BINDING_FOR_EACH_EQUAL (row, key, index) {
        struct binding binding;

        if (rows_binding(row, &binding, NULL)) {
            continue;
        }
        ADDR_FOR_EACH_FAMILY (f) {
            char text[ADDR_STRLEN];

            sset_add(bound, addr_format(&binding.mobile.of[f], text));
        }
    }
    dbrec_binding_index_destroy_row(key);
}

void
claims_rest_unbound(struct store *store, long long wall_now)
{
    struct sset bound = SSET_INITIALIZER(&bound);
    const struct dbrec_claim **claims;
    size_t n;

    claims = own_claims(store, "used", &n);
    if (n) {
        find_bound(store, &bound);
    }
    for (size_t i = 0; i < n; i++) {
        struct addr_pair pair = { 0 };

        if (!sset_contains(&bound, claims[i]->address)
            && !addr_pair_add(&pair, claims[i]->address, NULL)) {
            claims_rest(store, &pair, wall_now);
        }
    }
    free(claims);
    sset_destroy(&bound);
}
