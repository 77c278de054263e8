#include <config.h>

/* Fuzzing of the frame parsers: whatever the bytes, they stay within them.
 *
 *      clang -fsanitize=fuzzer,address ... fuzz-frame.c
 *
 * With FUZZ_REPLAY it is a program that replays a corpus: the folder of the
 * file that it is given. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_fence fence;
    struct frame frame;

    /* An exact copy on the heap, so that a sanitizer sees each byte that is
     * read behind the end. */
    uint8_t *copy = malloc(size + !size);
    if (size) {
        memcpy(copy, data, size);
    }

    if (!frame_parse(copy, size, &frame, NULL)
        && frame.l4_ofs + frame.l4_len > size) {
        abort();
    }
    if (frame_parse_fence(copy, size, &fence)) {
        uint8_t buf[FRAME_BUILT_MAX];

        /* What was a fence is one again. */
        size_t n = frame_build_fence(buf, frame.eth_src, frame.eth_dst,
                                     &frame.src, &frame.dst, &fence);
        if (!frame_parse_fence(buf, n, &fence)) {
            abort();
        }
    }
    free(copy);
    return 0;
}

#ifdef FUZZ_REPLAY
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>

/* Also each prefix of each file, which is where lengths are missed. */
static size_t
replay(const char *path)
{
    uint8_t data[2048];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(data, 1, sizeof data, file) : 0;

    if (file) {
        fclose(file);
    }
    for (size_t i = 0; i <= n; i++) {
        LLVMFuzzerTestOneInput(data, i);
    }
    return n;
}

int
main(int argc, char *argv[])
{
    const char *name = argc > 1 ? dirname(argv[1]) : ".";
    DIR *dir = opendir(name);
    struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir))) {
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        n += entry->d_name[0] != '.' && replay(path) > 0;
    }
    if (dir) {
        closedir(dir);
    }
    printf("%d inputs\n", n);
    return n > 1 ? 0 : 1;       /* One of them is the README. */
}
#endif
