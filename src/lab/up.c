#include <config.h>

#include "lab/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "openvswitch/util.h"
#include "util.h"

#include "lab/certificates.h"
#include "lab/down.h"
#include "lab/labfile.h"
#include "lab/machine.h"
#include "lab/network.h"
#include "lab/parts.h"
#include "lab/state.h"
#include "lab/system.h"

#define FIRST_PORT 7480

/* Set by a signal; each step looks at it before it begins. */
static volatile sig_atomic_t interrupted;

struct up {
    const struct lab_up *options;
    struct labfile file;
    struct state *state;
    int listener;
};

static int up_network(struct up *, struct err *);
static int up_links(struct up *, struct err *);
static int up_switches(struct up *, struct err *);
static int up_certificates(struct up *, struct err *);
static int up_store(struct up *, struct err *);
static int up_manager(struct up *, struct err *);
static int up_agents(struct up *, struct err *);
static int up_configuration(struct up *, struct err *);
static int up_vms(struct up *, struct err *);

static const struct up_step {
    const char *name;
    int (*run)(struct up *, struct err *);
    bool is_network, is_tls;
} steps[] = {
    { "namespaces and links", up_network, true },
    { "link emulation", up_links, true },
    { "switches", up_switches, true },
    { "certificates", up_certificates, .is_tls = true },
    { "store", up_store, false },
    { "manager", up_manager, false },
    { "agents", up_agents, false },
    { "configuration", up_configuration, false },
    { "VMs", up_vms, false },
};

static void
on_signal(int sig OVS_UNUSED)
{
    interrupted = 1;
}

static void
catch_signals(void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Says what the log of a part that has ended says. */
static void
explain(const struct up *up)
{
    const struct state_process *dead = parts_find_dead(up->state);

    if (dead) {
        char *log = parts_read_log(dead);

        progress_finish(up->options->progress);
        progress_say(up->options->progress, "%s on %s has ended; the end of "
                     "its log %s:\n%s", dead->part, dead->node, dead->output,
                     log);
        free(log);
    }
}

static int
run_steps(struct up *up, struct err *err)
{
    struct progress *progress = up->options->progress;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if ((up->options->only_network && !steps[i].is_network)
            || (steps[i].is_tls && !up->options->tls)) {
            continue;
        }
        progress_step(progress, "lab %s: %s", up->file.name, steps[i].name);
        int error = interrupted ? err_set(err, EINTR, "interrupted")
                    : steps[i].run(up, err);
        if (error) {
            explain(up);
            return err_add(err, error, "%s", steps[i].name);
        }
    }
    up->state->up = true;
    return state_save(up->state, err);
}

/* Takes down what a failed 'up' has made, or says where it is. */
static void
clean_up(struct up *up)
{
    struct progress *progress = up->options->progress;
    struct err err;

    progress_finish(progress);
    if (up->options->keep) {
        progress_say(progress, "what was made is kept, see %s; \"watari lab "
                     "down %s\" removes it", up->state->dir, up->file.name);
        return;
    }
    progress_step(progress, "lab %s: taking down", up->file.name);
    if (down_all(up->state, &err)) {
        progress_say(progress, "something is left of lab %s (%s); \"watari "
                     "lab down %s\" tries again", up->file.name, err.text,
                     up->file.name);
    }
}

int
lab_up(struct lab_up *options, struct problems *problems,
       struct err *err)
{
    struct up up = { .options = options, .listener = -1 };

    int error = labfile_read(options->file, true, &up.file, problems, err);
    if (!error && geteuid()) {
        error = err_set(err, EPERM, "labs need root; try sudo");
    }
    error = error ? error : parts_check(&up.file, options->only_network, err);
    error = error ? error : state_create(up.file.name, &up.state, err);
    if (!error) {
        char *file = realpath(options->file, NULL);

        ovs_strlcpy(options->name, up.file.name, sizeof options->name);
        interrupted = 0;
        catch_signals(on_signal);
        up.state->file = file;
        up.state->tls = options->tls;
        error = machine_prepare(err);
        error = error ? error : run_steps(&up, err);
        if (error) {
            clean_up(&up);
        }
        catch_signals(SIG_DFL);
        progress_finish(options->progress);
    }
    if (up.listener >= 0) {
        close(up.listener);
    }
    state_destroy(up.state);
    labfile_free(&up.file);
    return error;
}

static int
up_network(struct up *up, struct err *err)
{
    return network_create(&up->file, up->state, err);
}

static int
up_links(struct up *up, struct err *err)
{
    return parts_start_links(&up->file, up->state, err);
}

static int
up_switches(struct up *up, struct err *err)
{
    return parts_start_switches(&up->file, up->state, err);
}

static int
up_certificates(struct up *up, struct err *err)
{
    return certificates_make(&up->file, up->state, time(NULL), err);
}

static int
up_store(struct up *up, struct err *err)
{
    return parts_start_store(&up->file, up->state, err);
}

/* Writes the secret that the REST API over TCP asks for. */
static int
write_token(const struct up *up, struct err *err)
{
    char *file = xasprintf("%s/token", up->state->dir);
    unsigned char secret[16];
    int error = 0;

    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || getrandom(secret, sizeof secret, 0) != sizeof secret) {
        error = err_set(err, errno, "%s: %s", file, ovs_strerror(errno));
    }
    for (size_t i = 0; !error && i < sizeof secret; i++) {
        if (dprintf(fd, "%02x", secret[i]) != 2) {
            error = err_set(err, EIO, "%s: cannot write", file);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(file);
    return error;
}

static int
up_manager(struct up *up, struct err *err)
{
    unsigned int port;

    int error = write_token(up, err);
    error = error ? error : machine_listen(FIRST_PORT, &up->listener, &port,
                                           err);
    if (!error) {
        up->state->listen = xasprintf("127.0.0.1:%u", port);
        error = parts_start_manager(&up->file, up->state, up->listener, err);
    }
    return error;
}

static int
up_agents(struct up *up, struct err *err)
{
    return parts_start_agents(&up->file, up->state,
                              up->options->test_faults, err);
}

static int
up_configuration(struct up *up, struct err *err)
{
    int error = system_configure(&up->file, up->state, err);
    return error ? error : system_add_endpoints(&up->file, up->state, err);
}

static int
up_vms(struct up *up, struct err *err)
{
    return system_wait_vms(&up->file, up->state, up->options->progress,
                           &interrupted, err);
}
