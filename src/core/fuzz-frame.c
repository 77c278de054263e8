#include <config.h>

/* Fuzzing of the frame parsers: whatever the bytes, they stay within them. */

#include <stdlib.h>

#include "base/fuzz.h"
#include "core/frame.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_fence fence;
    struct frame frame;

    if (!frame_parse(data, size, &frame, NULL)
        && frame.l4_ofs + frame.l4_len > size) {
        abort();
    }
    if (frame_parse_fence(data, size, &fence)) {
        uint8_t buf[FRAME_BUILT_MAX];

        /* What was a fence is one again. */
        size_t n = frame_build_fence(buf, frame.eth_src, frame.eth_dst,
                                     &frame.src, &frame.dst, &fence);
        if (!frame_parse_fence(buf, n, &fence)) {
            abort();
        }
    }
    return 0;
}
