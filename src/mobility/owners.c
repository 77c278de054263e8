#include <config.h>

#include "mobility/owners.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

struct claim {
    struct hmap_node node;
    enum claim_kind kind;
    uint32_t scope;
    struct in6_addr addr;
    void *owner;
};

static uint32_t
claim_hash(enum claim_kind kind, uint32_t scope, const struct in6_addr *addr)
{
    return hash_bytes(addr, sizeof *addr, hash_2words(kind, scope));
}

static struct claim *
find(const struct owners *owners, enum claim_kind kind, uint32_t scope,
     const struct in6_addr *addr)
{
    struct claim *claim;

    HMAP_FOR_EACH_WITH_HASH (claim, node, claim_hash(kind, scope, addr),
                             &owners->claims) {
        if (claim->kind == kind && claim->scope == scope
            && addr_equals(&claim->addr, addr)) {
            return claim;
        }
    }
    return NULL;
}

void
owners_init(struct owners *owners)
{
    hmap_init(&owners->claims);
}

void
owners_finish(struct owners *owners)
{
    struct claim *claim;

    HMAP_FOR_EACH_POP (claim, node, &owners->claims) {
        free(claim);
    }
    hmap_destroy(&owners->claims);
}

void *
owners_take(struct owners *owners, enum claim_kind kind, uint32_t scope,
            const struct in6_addr *addr, void *owner)
{
    struct claim *claim = find(owners, kind, scope, addr);
    void *before = claim ? claim->owner : NULL;

    if (!claim) {
        claim = xmalloc(sizeof *claim);
        claim->kind = kind;
        claim->scope = scope;
        claim->addr = *addr;
        hmap_insert(&owners->claims, &claim->node,
                    claim_hash(kind, scope, addr));
    }
    claim->owner = owner;
    return before != owner ? before : NULL;
}

void
owners_drop(struct owners *owners, enum claim_kind kind, uint32_t scope,
            const struct in6_addr *addr, const void *owner)
{
    struct claim *claim = find(owners, kind, scope, addr);

    if (claim && claim->owner == owner) {
        hmap_remove(&owners->claims, &claim->node);
        free(claim);
    }
}

void *
owners_find(const struct owners *owners, enum claim_kind kind, uint32_t scope,
            const struct in6_addr *addr)
{
    struct claim *claim = find(owners, kind, scope, addr);

    return claim ? claim->owner : NULL;
}
