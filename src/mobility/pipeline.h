#ifndef MOBILITY_PIPELINE_H
#define MOBILITY_PIPELINE_H 1

/* The pipeline of a switch: its tables, fields, priorities and cookies.
 *
 * README.md draws it.  Everything that a number in a flow means is here. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pipeline_table {
    TABLE_CLASSIFY = 0,         /* Who sends?  By port. */
    TABLE_GUEST_ND = 1,         /* ARP and NS of guests, answered here. */
    TABLE_ROUTE = 2,            /* Where to?  By network and destination. */
    TABLE_SOURCE = 3,           /* From which mobile address?  By source. */
    TABLE_WAN_ND = 4,           /* ARP and NS of the site's network. */
    TABLE_WAN_IN = 5,           /* For whom?  By our mobile address. */
    TABLE_FROM = 6,             /* From whom?  By their mobile address. */
    TABLE_DELIVER = 7,          /* To the guest, or to the agent. */
    TABLE_ND_REPLY = 8,         /* Finishes an NA that was an NS. */
    N_TABLES
};

/* Metadata: the id of the network, from CLASSIFY or WAN_IN on, so that home
 * addresses may overlap between networks.
 * Register 0: scratch, inside one flow.
 *
 * Ethernet source of frames that go to the hold port: what they are, and the
 * network's id, as 02:57:KK:II:II:II. */
#define PIPELINE_MARK_OUI 0x0257
#define PIPELINE_MARK_HELD 0x01
#define PIPELINE_MARK_WITNESS 0x02

enum pipeline_priority {
    PRIORITY_MISS = 0,          /* In each table: dropped and counted. */
    PRIORITY_PORT = 50,         /* CLASSIFY: what a port may not. */
    PRIORITY_OPEN = 60,         /* CLASSIFY: ports that may declare, also
                                 * that they have more addresses.
                                 * FROM: errors of unknown routers. */
    PRIORITY_MULTICAST = 30,    /* CLASSIFY: nobody asked for it. */
    PRIORITY_FLOW = 100,        /* The usual one. */
    PRIORITY_SPECIAL = 110,     /* Part of what PRIORITY_FLOW matches. */
    PRIORITY_WAN = 190,         /* CLASSIFY: the site's network. */
    PRIORITY_GUARD = 200,       /* Before everything else of a table. */
};

/* A cookie says which object a flow belongs to: its part in bits 56-63, the
 * object's number in bits 0-47.  An interface's number comes from its UUID,
 * so that an agent that starts again makes the same flows again. */
enum pipeline_part {
    PART_DROP = 1,              /* By enum pipeline_drop. */
    PART_UPLINK = 2,            /* One. */
    PART_NETWORK = 3,           /* By network id. */
    PART_OPEN = 4,              /* By port. */
    PART_REPLY = 5,             /* One: ND_REPLY. */
    PART_ERROR = 6,             /* One: ICMP errors, to the agent. */

    /* By interface. */
    PART_HERE = 8,
    PART_OUT = 9,
    PART_FROM = 10,
    PART_SPOOFED = 11,          /* Drops what a declared port may not send. */
};

#define PIPELINE_PART_SHIFT 56
#define PIPELINE_PART_MASK (UINT64_C(0xff) << PIPELINE_PART_SHIFT)
#define PIPELINE_NUMBER_MASK ((UINT64_C(1) << 48) - 1)

uint64_t pipeline_cookie(enum pipeline_part, uint64_t number);
enum pipeline_part pipeline_cookie_part(uint64_t cookie);
uint64_t pipeline_cookie_number(uint64_t cookie);

/* What is dropped on purpose: name, table and priority of the flow that
 * counts it, and what it means. */
#define PIPELINE_DROPS                                                      \
    DROP(UNDECLARED, "undeclared", CLASSIFY, MISS,                          \
         "from a port without a declared interface")                        \
    DROP(VLAN, "vlan", CLASSIFY, GUARD, "tagged frames")                    \
    DROP(MULTICAST, "multicast", CLASSIFY, MULTICAST,                       \
         "multicast and broadcast from undeclared ports")                   \
    DROP(PROBE, "probe", GUEST_ND, GUARD,                                   \
         "duplicate address detection: nobody else has the address")        \
    DROP(NEIGHBOR, "neighbor", GUEST_ND, MISS,                              \
         "ARP and ND for addresses outside of the network")                 \
    DROP(GUEST_MULTICAST, "guest-multicast", ROUTE, GUARD,                  \
         "multicast and broadcast of guests")                               \
    DROP(NO_ROUTE, "no-route", ROUTE, MISS, "to unknown home addresses")    \
    DROP(NO_SOURCE, "no-source", SOURCE, MISS,                              \
         "to elsewhere, but without a mobile address or a router")          \
    DROP(WAN_OTHER, "wan-other", WAN_ND, MISS,                              \
         "from the site's network, and not for us")                         \
    DROP(UNKNOWN_MOBILE, "unknown-mobile", WAN_IN, MISS,                    \
         "to a mobile address that leads to nobody")                        \
    DROP(UNKNOWN_SENDER, "unknown-sender", FROM, MISS,                      \
         "from a mobile address that is not believed")                      \
    DROP(NOT_HERE, "not-here", DELIVER, MISS,                               \
         "to an interface that does not live here")

enum pipeline_drop {
#define DROP(ENUM, NAME, TABLE, PRIORITY, MEANING) DROP_##ENUM,
    PIPELINE_DROPS
#undef DROP
    N_DROPS
};

/* The name of the drop that a flow with 'cookie' counts; "spoofed" for all of
 * PART_SPOOFED; null if it is no drop. */
const char *pipeline_drop_name(uint64_t cookie);
const char *pipeline_table_name(enum pipeline_table);

#endif /* mobility/pipeline.h */
