#ifndef PROBE_PAYLOAD_H
#define PROBE_PAYLOAD_H 1

/* What a probe sends, and gets back from an echo.  Numbers are big-endian.
 *
 *      0  "watariP1"
 *      8  how many requests the echo had answered before this one: written
 *         by the echo (UDP only), so that its memory can be followed too
 *     16  number of the request, from 0
 *     24  when the request left, ns of the sender's monotonic clock
 *     32  zeros, up to 64 bytes
 *
 * A source (port 19) sends blocks of 1024 bytes that begin alike:
 *
 *      0  "watariS1"
 *      8  number of the block, from 0
 *     16  segments that the source's TCP has repeated so far
 *     24  filling
 */

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define PAYLOAD_BYTES 64
#define PAYLOAD_MAGIC "watariP1"
#define PAYLOAD_COUNT 8
#define PAYLOAD_SEQ 16
#define PAYLOAD_TIME 24

#define BLOCK_BYTES 1024
#define BLOCK_MAGIC "watariS1"
#define BLOCK_NUMBER 8
#define BLOCK_RETRANS 16
#define BLOCK_HEADER 24

static inline void
payload_put(uint8_t *payload, int offset, uint64_t value)
{
    value = htobe64(value);
    memcpy(payload + offset, &value, sizeof value);
}

static inline uint64_t
payload_get(const uint8_t *payload, int offset)
{
    uint64_t value;

    memcpy(&value, payload + offset, sizeof value);
    return be64toh(value);
}

#endif /* probe/payload.h */
