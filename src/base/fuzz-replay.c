/* The main() of fuzz targets that replay a corpus: tries each file that it is
 * given, and each file of each folder.
 *
 * A small file is also tried as all of its prefixes, which is where ends are
 * missed, and without each of its bytes, which is where a member is no longer
 * what it was.  A tiny one is tried with every byte changed to every value. */

#include "base/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes.  The limits keep a replay below a second. */
enum { MAX_FILE = 1024 * 1024, MAX_SMALL = 4096, MAX_TINY = 256 };

/* As libFuzzer does, hands over an exact copy on the heap. */
static void
try_input(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n);

    if (!copy) {
        abort();
    }
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void
try_variants(const uint8_t *data, size_t n)
{
    uint8_t varied[MAX_SMALL];

    for (size_t i = 0; i < n; i++) {
        try_input(data, i);

        memcpy(varied, data, i);
        memcpy(varied + i, data + i + 1, n - i - 1);
        try_input(varied, n - 1);
    }
    for (size_t i = 0; i < n && n <= MAX_TINY; i++) {
        memcpy(varied, data, n);
        for (int byte = 0; byte < 256; byte++) {
            varied[i] = byte;
            try_input(varied, n);
        }
    }
}

static bool
replay_file(const char *path)
{
    static uint8_t data[MAX_FILE];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(data, 1, sizeof data, file) : 0;
    bool ok = file && !ferror(file) && n < sizeof data;

    if (file) {
        fclose(file);
    }
    printf("%s%s\n", path, ok ? "" : ": cannot be read");
    fflush(stdout);             /* If it crashes, this is the culprit. */
    if (ok) {
        try_input(data, n);
        if (n <= MAX_SMALL) {
            try_variants(data, n);
        }
    }
    return ok;
}

/* Returns the number of files, or -1 if one of them could not be read. */
static int
replay(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int n = 0;

    if (!dir) {
        return errno == ENOTDIR && replay_file(path) ? 1 : -1;
    }
    while (n >= 0 && (entry = readdir(dir))) {
        char file[4096];

        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "README")) {
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            n = replay_file(file) ? n + 1 : -1;
        }
    }
    closedir(dir);
    return n;
}

int
main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);

        if (n <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i],
                    n ? "cannot be read" : "is empty");
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], n);
    }
    return argc > 1 ? 0 : 2;
}
