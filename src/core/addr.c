#include <config.h>

#include "core/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer texts are no address or range of addresses. */
#define TEXT_MAX (2 * ADDR_STRLEN)

/* Bits in front of an address of 'family' in its v4-mapped form. */
static unsigned int
family_offset(enum addr_family family)
{
    return family == ADDR_V4 ? 96 : 0;
}

static bool
bit_is_set(const struct in6_addr *a, unsigned int bit)
{
    return a->s6_addr[bit / 8] & (0x80 >> bit % 8);
}

bool
addr_is_none(const struct in6_addr *a)
{
    return IN6_IS_ADDR_UNSPECIFIED(a);
}

enum addr_family
addr_family(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a) ? ADDR_V4 : ADDR_V6;
}

bool
addr_equals(const struct in6_addr *a, const struct in6_addr *b)
{
    return !addr_compare(a, b);
}

int
addr_compare(const struct in6_addr *a, const struct in6_addr *b)
{
    return memcmp(a, b, sizeof *a);
}

struct in6_addr
addr_plus(const struct in6_addr *a, uint64_t n)
{
    struct in6_addr sum = *a;
    unsigned int carry = 0;

    for (int i = sizeof sum.s6_addr - 1; i >= 0; i--) {
        unsigned int byte = sum.s6_addr[i] + (n & 0xff) + carry;

        sum.s6_addr[i] = byte;
        carry = byte >> 8;
        n >>= 8;
    }
    return sum;
}

/* As addr_parse(), but takes every address, also "::". */
static int
addr_parse_any(const char *text, struct in6_addr *addr, struct err *err)
{
    struct in6_addr a;
    struct in_addr a4;

    if (inet_pton(AF_INET, text, &a4) == 1) {
        memset(&a, 0, sizeof a);
        memset(&a.s6_addr[10], 0xff, 2);
        memcpy(&a.s6_addr[12], &a4, sizeof a4);
    } else if (inet_pton(AF_INET6, text, &a) != 1
               || IN6_IS_ADDR_V4MAPPED(&a)) {
        /* A mapped address on the wire is an attack or a mistake. */
        return err_set(err, EINVAL, "\"%.*s\" is not an IP address",
                       TEXT_MAX, text);
    }
    *addr = a;
    return 0;
}

static bool
addr_is_unicast(const struct in6_addr *a)
{
    if (addr_family(a) == ADDR_V4) {
        uint8_t first = a->s6_addr[12];

        return first != 0 && first != 127 && first < 224;
    }
    return !addr_is_none(a) && !IN6_IS_ADDR_MULTICAST(a)
           && !IN6_IS_ADDR_LOOPBACK(a);
}

int
addr_parse(const char *text, struct in6_addr *addr, struct err *err)
{
    struct in6_addr a;
    int error = addr_parse_any(text, &a, err);

    if (error) {
        return error;
    }
    if (!addr_is_unicast(&a)) {
        return err_set(err, EINVAL, "%s is not a unicast address", text);
    }
    *addr = a;
    return 0;
}

char *
addr_format(const struct in6_addr *a, char buf[ADDR_STRLEN])
{
    if (addr_is_none(a)) {
        buf[0] = '\0';
    } else if (addr_family(a) == ADDR_V4) {
        inet_ntop(AF_INET, &a->s6_addr[12], buf, ADDR_STRLEN);
    } else {
        inet_ntop(AF_INET6, a, buf, ADDR_STRLEN);
    }
    return buf;
}

int
addr_pair_add(struct addr_pair *pair, const char *text, struct err *err)
{
    struct in6_addr a;
    int error = addr_parse(text, &a, err);

    if (error) {
        return error;
    }

    struct in6_addr *slot = &pair->of[addr_family(&a)];
    if (!addr_is_none(slot)) {
        return err_set(err, EEXIST, "%s is a second %s address", text,
                       addr_family(&a) == ADDR_V4 ? "IPv4" : "IPv6");
    }
    *slot = a;
    return 0;
}

bool
addr_pair_equals(const struct addr_pair *a, const struct addr_pair *b)
{
    return addr_equals(&a->of[ADDR_V4], &b->of[ADDR_V4])
           && addr_equals(&a->of[ADDR_V6], &b->of[ADDR_V6]);
}

bool
addr_pair_is_none(const struct addr_pair *pair)
{
    return addr_is_none(&pair->of[ADDR_V4])
           && addr_is_none(&pair->of[ADDR_V6]);
}

bool
addr_pair_contains(const struct addr_pair *pair, const struct in6_addr *a)
{
    return !addr_is_none(a) && addr_equals(&pair->of[addr_family(a)], a);
}

int
prefix_parse(const char *text, struct prefix *prefix, struct err *err)
{
    const char *slash = strchr(text, '/');
    char head[ADDR_STRLEN];
    struct prefix p;

    if (!slash || slash - text >= sizeof head) {
        return err_set(err, EINVAL, "\"%.*s\" is not ADDRESS/LENGTH",
                       TEXT_MAX, text);
    }
    memcpy(head, text, slash - text);
    head[slash - text] = '\0';

    int error = addr_parse_any(head, &p.addr, err);
    if (error) {
        return error;
    }

    char *end;
    unsigned int width = 128 - family_offset(addr_family(&p.addr));
    unsigned long len = strtoul(slash + 1, &end, 10);
    if (slash[1] < '0' || slash[1] > '9' || *end || len > width) {
        return err_set(err, EINVAL, "\"%.*s\": the length must be 0 to %u",
                       TEXT_MAX, text, width);
    }
    p.len = len;
    for (unsigned int bit = 128 - width + len; bit < 128; bit++) {
        if (bit_is_set(&p.addr, bit)) {
            return err_set(err, EINVAL, "%s has host bits set", text);
        }
    }
    *prefix = p;
    return 0;
}

char *
prefix_format(const struct prefix *prefix, char buf[PREFIX_STRLEN])
{
    addr_format(&prefix->addr, buf);
    if (buf[0]) {
        size_t n = strlen(buf);
        snprintf(buf + n, PREFIX_STRLEN - n, "/%u", prefix->len);
    }
    return buf;
}

bool
prefix_contains(const struct prefix *prefix, const struct in6_addr *a)
{
    if (addr_is_none(&prefix->addr) || addr_is_none(a)
        || addr_family(&prefix->addr) != addr_family(a)) {
        return false;
    }

    struct in6_addr mask = prefix_mask(prefix);
    for (size_t i = 0; i < sizeof mask.s6_addr; i++) {
        if ((a->s6_addr[i] & mask.s6_addr[i]) != prefix->addr.s6_addr[i]) {
            return false;
        }
    }
    return true;
}

bool
prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return prefix_contains(a->len < b->len ? a : b,
                           a->len < b->len ? &b->addr : &a->addr);
}

struct in6_addr
prefix_mask(const struct prefix *prefix)
{
    struct in6_addr mask = IN6ADDR_ANY_INIT;
    unsigned int n = family_offset(addr_family(&prefix->addr)) + prefix->len;

    for (unsigned int bit = 0; bit < n; bit++) {
        mask.s6_addr[bit / 8] |= 0x80 >> bit % 8;
    }
    return mask;
}

int
addr_range_parse(const char *text, struct addr_range *range, struct err *err)
{
    const char *dash = strchr(text, '-');
    char head[ADDR_STRLEN];
    struct addr_range r;

    if (!dash || dash - text >= sizeof head) {
        return err_set(err, EINVAL, "\"%.*s\" is not ADDRESS-ADDRESS",
                       TEXT_MAX, text);
    }
    memcpy(head, text, dash - text);
    head[dash - text] = '\0';

    int error = addr_parse(head, &r.first, err);
    if (!error) {
        error = addr_parse(dash + 1, &r.last, err);
    }
    if (error) {
        return error;
    }
    if (addr_family(&r.first) != addr_family(&r.last)) {
        return err_set(err, EINVAL, "%s mixes IPv4 and IPv6", text);
    }
    if (addr_compare(&r.first, &r.last) > 0) {
        return err_set(err, EINVAL, "%s ends before it begins", text);
    }
    *range = r;
    return 0;
}

bool
addr_range_contains(const struct addr_range *range, const struct in6_addr *a)
{
    return !addr_is_none(a)
           && addr_family(a) == addr_family(&range->first)
           && addr_compare(&range->first, a) <= 0
           && addr_compare(a, &range->last) <= 0;
}

uint32_t
addr_range_size(const struct addr_range *range)
{
    uint64_t difference = 0;
    bool huge = false;
    int borrow = 0;

    for (int i = 15; i >= 0; i--) {
        int byte = range->last.s6_addr[i] - range->first.s6_addr[i] - borrow;

        borrow = byte < 0;
        byte &= 0xff;
        if (i < 8) {
            huge = huge || byte;
        } else {
            difference |= (uint64_t) byte << 8 * (15 - i);
        }
    }
    return huge || difference >= UINT32_MAX ? UINT32_MAX : difference + 1;
}
