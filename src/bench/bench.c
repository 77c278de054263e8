#include <config.h>
#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/faults.h"
#include "bench/handover.h"
#include "bench/walk.h"
#include "openvswitch/util.h"
#include "util.h"

#define LOCK_FILE "/run/watari-bench.lock"

const struct bench benches[] = {
    { "handover", "what talks to a VM loses nothing when it moves",
      handover_row_name, handover_run },
    { "faults", "a move that something goes wrong with loses no VM",
      faults_row_name, faults_run },
    { "walk", "VMs move at random while parts of the system die at random",
      walk_row_name, walk_run },
};
const size_t n_benches = ARRAY_SIZE(benches);

const struct bench *
bench_find(const char *name)
{
    for (size_t i = 0; i < n_benches; i++) {
        if (!strcmp(benches[i].name, name)) {
            return &benches[i];
        }
    }
    return NULL;
}

char *
bench_find_unknown_row(const struct bench *bench, const char *rows)
{
    while (*rows) {
        size_t len = strcspn(rows, ",");
        const char *name = NULL;

        for (size_t i = 0; (name = bench->row_name(i)); i++) {
            if (strlen(name) == len && !strncmp(name, rows, len)) {
                break;
            }
        }
        if (!name) {
            return xmemdup0(rows, len);
        }
        rows += len + (rows[len] == ',');
    }
    return NULL;
}

bool
bench_is_listed(const struct bench_options *options, const char *name)
{
    const char *rows = options->rows;
    size_t len = strlen(name);

    for (const char *p = rows; p && (p = strstr(p, name)); p++) {
        if ((p == rows || p[-1] == ',') && (!p[len] || p[len] == ',')) {
            return true;
        }
    }
    return !rows;
}

int
bench_folder_make(struct err *err)
{
    return mkdir(BENCH_FOLDER, 0755)
           ? err_set(err, errno, BENCH_FOLDER": %s", ovs_strerror(errno)) : 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    remove(path);
    return 0;
}

void
bench_folder_remove(void)
{
    nftw(BENCH_FOLDER, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
bench_lock(int *fdp, struct err *err)
{
    int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return err_set(err, errno, "%s: %s", LOCK_FILE, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return err_set(err, EBUSY, "another benchmark is running here; wait "
                       "until it has ended");
    }
    *fdp = fd;
    return 0;
}
