#include <config.h>

#include "mobility/pipeline.h"

#include "util.h"

static const char *const drop_names[] = {
#define DROP(ENUM, NAME, TABLE, PRIORITY, MEANING) [DROP_##ENUM] = NAME,
    PIPELINE_DROPS
#undef DROP
};

static const char *const table_names[] = {
    [TABLE_CLASSIFY] = "classify",
    [TABLE_GUEST_ND] = "guest-nd",
    [TABLE_ROUTE] = "route",
    [TABLE_SOURCE] = "source",
    [TABLE_WAN_ND] = "wan-nd",
    [TABLE_WAN_IN] = "wan-in",
    [TABLE_FROM] = "from",
    [TABLE_DELIVER] = "deliver",
    [TABLE_ND_REPLY] = "nd-reply",
};

uint64_t
pipeline_cookie(enum pipeline_part part, uint64_t number)
{
    ovs_assert(number <= PIPELINE_NUMBER_MASK);
    return (uint64_t) part << PIPELINE_PART_SHIFT | number;
}

enum pipeline_part
pipeline_cookie_part(uint64_t cookie)
{
    return cookie >> PIPELINE_PART_SHIFT;
}

uint64_t
pipeline_cookie_number(uint64_t cookie)
{
    return cookie & PIPELINE_NUMBER_MASK;
}

const char *
pipeline_drop_name(uint64_t cookie)
{
    uint64_t number = pipeline_cookie_number(cookie);

    switch ((int) pipeline_cookie_part(cookie)) {
    case PART_DROP:
        return number < N_DROPS ? drop_names[number] : NULL;
    case PART_SPOOFED:
        return "spoofed";
    default:
        return NULL;
    }
}

const char *
pipeline_table_name(enum pipeline_table table)
{
    return table < N_TABLES ? table_names[table] : "unknown";
}
