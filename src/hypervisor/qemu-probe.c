#include <config.h>
#include "hypervisor/qemu-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/qemu-args.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "util.h"

#define FIRMWARE "kvm-probe.bin"
#define FIRMWARE_SIZE 65536     /* The smallest that QEMU maps. */
#define DEBUG_PORT 0xe9
#define WITNESS 'W'

struct probe {
    struct qemu_process *process;
    char *firmware;
    int fd;                     /* What the guest prints. */
    long long deadline;         /* 0: not yet. */
};

/* A whole firmware: at the reset vector, 16 bytes below its end, print one
 * byte and stop. */
static int
write_firmware(const char *path, struct err *err)
{
    static const uint8_t code[] = {
        0xb0, WITNESS,          /* mov al, 'W' */
        0xe6, DEBUG_PORT,       /* out 0xe9, al */
        0xfa,                   /* cli */
        0xf4,                   /* hlt */
        0xeb, 0xfd,             /* jmp to the hlt */
    };
    uint8_t *image = xzalloc(FIRMWARE_SIZE);
    memcpy(image + FIRMWARE_SIZE - 16, code, sizeof code);

    int error = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644)
        || write(fd, image, FIRMWARE_SIZE) != FIRMWARE_SIZE) {
        error = err_set(err, errno, "%s: %s", path, ovs_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(image);
    return error;
}

int
probe_start(const char *folder, const struct credentials *credentials,
            struct probe **probep, struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK)) {
        return err_set(err, errno, "pipe: %s", ovs_strerror(errno));
    }
    char *firmware = xasprintf("%s/"FIRMWARE, folder);
    char *argv[] = {
        QEMU_PROGRAM, "-accel", "kvm", "-nodefaults", "-no-user-config",
        "-display", "none", "-machine", "pc", "-m", "16", "-bios", FIRMWARE,
        "-debugcon", "stdio", NULL
    };
    struct qemu_process_config config = {
        .credentials = credentials, .folder = folder,
        .in = -1, .out = fds[1], .err = -1,
    };
    struct qemu_process *process;
    int error = write_firmware(firmware, err);
    error = error ? error : qemu_process_spawn(&config, argv, &process, err);
    close(fds[1]);
    if (error) {
        close(fds[0]);
        unlink(firmware);
        free(firmware);
        return error;
    }
    struct probe *p = xzalloc(sizeof *p);
    p->process = process;
    p->firmware = firmware;
    p->fd = fds[0];
    *probep = p;
    return 0;
}

int
probe_run(struct probe *p, long long now)
{
    if (!p->deadline) {
        p->deadline = now + PROBE_TIMEOUT_MS;
    }
    char c;
    ssize_t n = read(p->fd, &c, 1);
    if (n == 1) {
        return c == WITNESS ? 0 : EPROTO;
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return now < p->deadline ? EINPROGRESS : ETIMEDOUT;
    }
    return ECHILD;
}

void
probe_wait(struct probe *p)
{
    poll_fd_wait(p->fd, POLLIN);
    if (p->deadline) {
        poll_timer_wait_until(p->deadline);
    } else {
        poll_immediate_wake();
    }
}

void
probe_destroy(struct probe *p)
{
    if (p) {
        qemu_process_kill(p->process, SIGKILL);
        /* It must not become a zombie, and is gone in no time, unless KVM
         * holds it; then a zombie is the lesser evil. */
        for (int i = 0; i < 50 && !qemu_process_has_ended(p->process, NULL, 0);
             i++) {
            struct timespec ts = { .tv_nsec = 1000 * 1000 };
            nanosleep(&ts, NULL);
        }
        qemu_process_close(p->process);
        close(p->fd);
        unlink(p->firmware);
        free(p->firmware);
        free(p);
    }
}
