#include <config.h>
#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bench/handover.h"
#include "openvswitch/util.h"
#include "util.h"

#define LOCK_FILE "/run/watari-bench.lock"

const struct bench benches[] = {
    { "handover", "what talks to a VM loses nothing when it moves",
      handover_row_name, handover_run },
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
