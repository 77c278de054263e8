#ifndef PEER_FUZZ_REPLAY_H
#define PEER_FUZZ_REPLAY_H 1

/* A main() that replays the corpus in the folder of the file that it is
 * given, for the fuzz targets of this folder. */

#include <dirent.h>
#include <libgen.h>
#include <stdio.h>

/* Also each prefix of each file, which is where lengths are missed. */
static size_t
replay(const char *path)
{
    uint8_t data[4096];
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

#endif /* peer/fuzz-replay.h */
