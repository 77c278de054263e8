#include <config.h>

#include "core/flow-table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofp-actions.h"
#include "util.h"

struct flow_table {
    struct hmap flows;          /* Also what goes away, until drained. */
    struct hmap owners;         /* The same, by cookie. */
    struct ovs_list changes;
    struct flow_entry *drained; /* Gone; freed at the next call. */
    size_t count;               /* Without what goes away. */
    uint64_t cookie;            /* Between "begin" and "end". */
    bool open;
};

static void entry_set_actions(struct flow_table *, struct flow_entry *,
                              const struct ofpbuf *);
static void entry_set_cookie(struct flow_table *, struct flow_entry *,
                             uint64_t cookie);
static void entry_mark_changed(struct flow_table *, struct flow_entry *);
static void entry_destroy(struct flow_entry *);

struct flow_table *
flow_table_create(void)
{
    struct flow_table *table = xzalloc(sizeof *table);

    hmap_init(&table->flows);
    hmap_init(&table->owners);
    ovs_list_init(&table->changes);
    return table;
}

void
flow_table_destroy(struct flow_table *table)
{
    struct flow_entry *entry;

    if (!table) {
        return;
    }
    HMAP_FOR_EACH_SAFE (entry, node, &table->flows) {
        hmap_remove(&table->flows, &entry->node);
        entry_destroy(entry);
    }
    if (table->drained) {
        entry_destroy(table->drained);
    }
    hmap_destroy(&table->flows);
    hmap_destroy(&table->owners);
    free(table);
}

static uint32_t
cookie_hash(uint64_t cookie)
{
    return hash_uint64(cookie);
}

static uint32_t
flow_hash(uint8_t table_id, uint16_t priority, const struct minimatch *match)
{
    return minimatch_hash(match, (uint32_t) table_id << 16 | priority);
}

/* Also finds what goes away. */
static struct flow_entry *
find_any(const struct flow_table *table, uint8_t table_id, uint16_t priority,
         const struct minimatch *match)
{
    struct flow_entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node,
                             flow_hash(table_id, priority, match),
                             &table->flows) {
        if (entry->table == table_id && entry->priority == priority
            && minimatch_equal(&entry->match, match)) {
            return entry;
        }
    }
    return NULL;
}

void
flow_table_init_match(struct minimatch *mini, const struct match *match)
{
    struct match plain = *match;

    plain.flow.packet_type = 0;
    plain.wc.masks.packet_type = 0;
    minimatch_init(mini, &plain);
}

void
flow_table_begin(struct flow_table *table, uint64_t cookie)
{
    struct flow_entry *entry;

    ovs_assert(!table->open);
    table->open = true;
    table->cookie = cookie;
    HMAP_FOR_EACH_WITH_HASH (entry, owner_node, cookie_hash(cookie),
                             &table->owners) {
        if (entry->cookie == cookie) {
            entry->stale = true;
        }
    }
}

void
flow_table_add(struct flow_table *table, uint8_t table_id, uint16_t priority,
               const struct match *match_, const struct ofpbuf *actions)
{
    struct minimatch match;

    ovs_assert(table->open);
    flow_table_init_match(&match, match_);

    struct flow_entry *entry = find_any(table, table_id, priority, &match);
    if (entry) {
        minimatch_destroy(&match);
        ovs_assert(!entry->actions || entry->cookie == table->cookie);
        if (entry->cookie != table->cookie) {
            entry_set_cookie(table, entry, table->cookie);
        }
    } else {
        entry = xzalloc(sizeof *entry);
        entry->cookie = table->cookie;
        entry->table = table_id;
        entry->priority = priority;
        minimatch_move(&entry->match, &match);
        ovs_list_init(&entry->change_node);
        hmap_insert(&table->flows, &entry->node,
                    flow_hash(table_id, priority, &entry->match));
        hmap_insert(&table->owners, &entry->owner_node,
                    cookie_hash(entry->cookie));
    }
    entry->stale = false;
    entry_set_actions(table, entry, actions);
}

void
flow_table_end(struct flow_table *table)
{
    struct flow_entry *entry;

    ovs_assert(table->open);
    HMAP_FOR_EACH_WITH_HASH (entry, owner_node, cookie_hash(table->cookie),
                             &table->owners) {
        if (entry->cookie == table->cookie && entry->stale) {
            entry->stale = false;
            entry_set_actions(table, entry, NULL);
        }
    }
    table->open = false;
}

void
flow_table_remove(struct flow_table *table, uint64_t cookie)
{
    flow_table_begin(table, cookie);
    flow_table_end(table);
}

const struct flow_entry *
flow_table_next_change(struct flow_table *table)
{
    if (table->drained) {
        entry_destroy(table->drained);
        table->drained = NULL;
    }
    if (ovs_list_is_empty(&table->changes)) {
        return NULL;
    }

    struct flow_entry *entry = CONTAINER_OF(
        ovs_list_pop_front(&table->changes), struct flow_entry, change_node);
    ovs_list_init(&entry->change_node);
    if (!entry->actions) {
        hmap_remove(&table->flows, &entry->node);
        hmap_remove(&table->owners, &entry->owner_node);
        table->drained = entry;
    }
    return entry;
}

bool
flow_table_has_changes(const struct flow_table *table)
{
    return !ovs_list_is_empty(&table->changes);
}

const struct flow_entry *
flow_table_next(const struct flow_table *table, const struct flow_entry *prev)
{
    struct hmap_node *node = prev ? hmap_next(&table->flows, &prev->node)
                                  : hmap_first(&table->flows);

    for (; node; node = hmap_next(&table->flows, node)) {
        struct flow_entry *entry
            = CONTAINER_OF(node, struct flow_entry, node);

        if (entry->actions) {
            return entry;
        }
    }
    return NULL;
}

const struct flow_entry *
flow_table_find(const struct flow_table *table, uint8_t table_id,
                uint16_t priority, const struct minimatch *match)
{
    struct flow_entry *entry = find_any(table, table_id, priority, match);

    return entry && entry->actions ? entry : NULL;
}

size_t
flow_table_count(const struct flow_table *table)
{
    return table->count;
}

static int
entry_compare(const void *a_, const void *b_)
{
    const struct flow_entry *const *a = a_;
    const struct flow_entry *const *b = b_;

    if ((*a)->table != (*b)->table) {
        return (*a)->table < (*b)->table ? -1 : 1;
    }
    return (*a)->priority > (*b)->priority ? -1
           : (*a)->priority < (*b)->priority;
}

static int
line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static char *
entry_to_line(const struct flow_entry *entry)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofpact_format_params fp = { .s = &s };

    ds_put_format(&s, "cookie=0x%"PRIx64", table=%u, ", entry->cookie,
                  entry->table);
    minimatch_format(&entry->match, NULL, NULL, &s, entry->priority);
    ds_put_cstr(&s, " actions=");
    ofpacts_format(entry->actions, entry->actions_len, &fp);
    ds_put_char(&s, '\n');
    return ds_steal_cstr(&s);
}

void
flow_table_format(const struct flow_table *table, struct ds *s)
{
    const struct flow_entry **entries
        = xmalloc((table->count + 1) * sizeof *entries);
    char **lines = xmalloc((table->count + 1) * sizeof *lines);
    size_t n = 0;

    for (const struct flow_entry *entry = flow_table_next(table, NULL); entry;
         entry = flow_table_next(table, entry)) {
        entries[n++] = entry;
    }
    qsort(entries, n, sizeof *entries, entry_compare);
    for (size_t i = 0; i < n; i++) {
        lines[i] = entry_to_line(entries[i]);
    }

    /* Among flows of one table and priority, the text decides. */
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && !entry_compare(&entries[i], &entries[j]);
             j++) {
            continue;
        }
        qsort(lines + i, j - i, sizeof *lines, line_compare);
    }
    for (size_t i = 0; i < n; i++) {
        ds_put_cstr(s, lines[i]);
        free(lines[i]);
    }
    free(lines);
    free(entries);
}

/* Null 'actions': the flow goes away, as soon as the reader knows. */
static void
entry_set_actions(struct flow_table *table, struct flow_entry *entry,
                  const struct ofpbuf *actions)
{
    if (actions && entry->actions
        && ofpacts_equal(entry->actions, entry->actions_len,
                         actions->data, actions->size)) {
        return;
    }
    table->count += !!actions - !!entry->actions;
    free(entry->actions);

    /* A drop has no actions, but is not null. */
    entry->actions = actions ? xmalloc(actions->size + 1) : NULL;
    entry->actions_len = actions ? actions->size : 0;
    if (entry->actions_len) {
        memcpy(entry->actions, actions->data, actions->size);
    }
    entry_mark_changed(table, entry);
}

static void
entry_set_cookie(struct flow_table *table, struct flow_entry *entry,
                 uint64_t cookie)
{
    hmap_remove(&table->owners, &entry->owner_node);
    entry->cookie = cookie;
    hmap_insert(&table->owners, &entry->owner_node, cookie_hash(cookie));
    entry_mark_changed(table, entry);
}

static void
entry_mark_changed(struct flow_table *table, struct flow_entry *entry)
{
    if (ovs_list_is_empty(&entry->change_node)) {
        ovs_list_push_back(&table->changes, &entry->change_node);
    }
}

static void
entry_destroy(struct flow_entry *entry)
{
    minimatch_destroy(&entry->match);
    free(entry->actions);
    free(entry);
}
