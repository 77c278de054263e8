#include <config.h>

/* The fake of the hypervisor: on each host at most one QEMU, for the one VM
 * that there is. */

#include "engine/test-world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dp-packet.h"
#include "util.h"
#include "uuid.h"

#include "hypervisor/capture.h"

#define COPY_US 25000
#define PAUSE_US 2000           /* From the stop to pre-switchover. */
#define SEND_REST_US 3000
#define CONFIRM_US 3000
#define WATCHDOG_US 2000000

static struct world_host *
host_of(const void *object)
{
    return CONST_CAST(struct world_host *, object);
}

static void
tell(struct world_host *h, enum hypervisor_event_kind kind, const char *text)
{
    struct world_qemu *q = &h->qemu;

    if (h->engine && q->n_events < ARRAY_SIZE(q->events)) {
        struct hypervisor_event *event = &q->events[q->n_events++];

        *event = (struct hypervisor_event) {
            .vm = world.vm.uuid, .kind = kind,
            .timestamp_us = world.now_us + INT64_C(1700000000000000),
        };
        ovs_strlcpy(event->text, text, sizeof event->text);
    }
}

static void
resume(struct world_host *h)
{
    h->qemu.state = VM_RUNNING;
    world.ever_two = world.ever_two || world_n_running() > 1;
    h->qemu.sending = h->qemu.paused = h->qemu.proceeding = false;
    tell(h, HYPERVISOR_RESUMED, "");
}

const char *
world_call_name(enum world_call call)
{
    static const char *const names[] = {
#define CALL(NAME) #NAME,
        WORLD_CALLS
#undef CALL
    };

    return names[call];
}

/* Before anything of a fake is done: what goes wrong today?  Returns 0 if
 * nothing does; else the caller returns that. */
static int
meet(struct world_host *h, enum world_call call, struct err *err)
{
    enum weather_kind *broken = &world.broken[h->index][call];
    int n = world.n_calls;

    world.n_calls += world.requested;
    if (world_strikes(CALL_FAILS_ONCE, n)) {
        return err_set(err, EIO, "%s broke on %s", world_call_name(call),
                       h->name);
    } else if (world_strikes(CALL_FAILS, n)) {
        *broken = CALL_FAILS;
    } else if (world_strikes(CALL_HANGS, n)) {
        *broken = CALL_HANGS;
    }
    return (*broken == WEATHER_FINE ? 0 : *broken == CALL_HANGS ? EINPROGRESS
            : err_set(err, EIO, "%s broke on %s", world_call_name(call),
                      h->name));
}

/* Each call is to be made a few times before it is done. */
static bool
takes_time(struct world_host *h, enum world_call call, int times)
{
    if (world.stepwise) {
        enum world_answer *answer = &h->qemu.answers[call];

        if (*answer != ASKED) {
            world_effect(h, world_call_name(call));
        }
        *answer = *answer == ANSWERED ? NOT_ASKED : ASKED;
        return *answer == ASKED;
    }
    if (h->qemu.polls[call]++ < times) {
        return true;
    }
    h->qemu.polls[call] = 0;
    return false;
}

/* What would reach the guest's NIC now. */
static void
drain_tap(struct world_qemu *q)
{
    bool runs = q->state == VM_RUNNING;
    bool stopped = q->state == VM_PAUSED || q->state == VM_SENT;
    struct dp_packet *p;

    if (q->capture == CAPTURE_OPEN) {
        while ((p = world_take(&q->kept))) {
            world_put(&q->captured, p);
        }
        while ((runs || stopped) && (p = world_take(&q->tap))) {
            world_put(&q->captured, p);
        }
        return;
    }
    while (runs && (p = world_take(&q->kept))) {
        world_guest_gets(p);
        dp_packet_delete(p);
    }
    while (runs && (p = world_take(&q->tap))) {
        world_guest_gets(p);
        dp_packet_delete(p);
    }
    while (stopped && q->capture == CAPTURE_ARMED
           && (p = world_take(&q->tap))) {
        world_put(&q->kept, p);
    }
}

/* The rest has been sent: into the other one, or into nowhere.  The receiver
 * has it some time before the sender says that it is done, and in between the
 * sender can still fail. */
static void
finish_sending(struct world_host *h)
{
    struct world_qemu *q = &h->qemu;
    struct world_qemu *d = &world.hosts[HOST_D].qemu;

    if (!q->rest_sent) {
        q->rest_sent = true;
        q->next_us = world_later(CONFIRM_US);
        if (d->state == VM_LISTENING) {
            d->loaded = !d->load_failed;
        }
    } else {
        q->sending = q->proceeding = q->paused = false;
        q->state = VM_SENT;
    }
}

void
world_run_data(void)
{
    for (int i = 0; i < N_HOSTS; i++) {
        world_run_switch(&world.hosts[i]);
    }
    world_run_transit();
    for (int i = 0; i < N_HOSTS; i++) {
        drain_tap(&world.hosts[i].qemu);
    }
}

void
world_run_qemu(struct world_host *h)
{
    struct world_qemu *q = &h->qemu;

    drain_tap(q);
    if (q->state == VM_PAUSED && !q->proceeding && !h->engine) {
        q->failed = true;
        resume(h);              /* The watchdog saw the agent's end. */
    } else if (q->proceeding && world.now_us >= q->next_us) {
        finish_sending(h);
    } else if (q->state == VM_PAUSED && !q->proceeding
               && world.now_us >= q->paused_us + WATCHDOG_US) {
        q->cancelled = true;
        resume(h);
    } else if (q->state == VM_PAUSED && world.now_us >= q->next_us) {
        q->paused = true;
    } else if (q->state == VM_RUNNING && q->sending
               && world.now_us >= q->next_us) {
        q->state = VM_PAUSED;
        q->paused_us = world.now_us;
        q->next_us = world_later(PAUSE_US);
        tell(h, HYPERVISOR_STOPPED, "");
    }
}

static void
reset(struct world_qemu *q)
{
    world_clear(&q->kept);
    world_clear(&q->captured);
    world_clear(&q->read);
    q->state = VM_ABSENT;
    q->capture = CAPTURE_OFF;
    q->consuming = false;
    q->incoming = q->loaded = q->granted = false;
    q->sending = q->cancelled = q->failed = q->paused = false;
    q->proceeding = false;
}

void
world_kill_qemu(struct world_host *h, const char *why)
{
    struct world_qemu *q = &h->qemu;

    if (q->state != VM_ABSENT && q->state != VM_FAILED) {
        /* An agent that is there knows whether QEMU had heard of it. */
        bool granted = (q->granted
                        && (q->state != VM_LISTENING || !h->engine));

        reset(q);
        q->state = VM_FAILED;
        q->granted = granted;
        tell(h, HYPERVISOR_EXITED, why);
    }

    /* The stream to it breaks, if the other one is still in the middle. */
    struct world_host *s = &world.hosts[HOST_S];
    if (h != s && s->qemu.sending && !s->qemu.proceeding) {
        bool stopped = s->qemu.state == VM_PAUSED;

        s->qemu.sending = s->qemu.paused = false;
        s->qemu.failed = true;
        if (stopped) {
            resume(s);
        }
    }
}

/* Who receives ends, unless it has everything; who sends runs on. */
void
world_break_stream(void)
{
    struct world_qemu *s = &world.hosts[HOST_S].qemu;
    struct world_host *d = &world.hosts[HOST_D];
    bool stopped = s->state == VM_PAUSED;

    s->sending = s->paused = s->proceeding = false;
    s->failed = true;
    if (stopped) {
        resume(&world.hosts[HOST_S]);
    }
    if (d->qemu.state == VM_LISTENING && !d->qemu.loaded) {
        world_kill_qemu(d, "its stream broke");
    }
}

/* hypervisor.h */

int
hypervisor_adopt(struct hypervisor *hv, struct err *err)
{
    return meet(host_of(hv), CALL_ADOPT, err);
}

static enum migration_status
migration_status(const struct world_qemu *q)
{
    return (q->proceeding ? MIGRATION_DEVICE
            : q->paused ? MIGRATION_PRE_SWITCHOVER
            : q->sending ? MIGRATION_ACTIVE
            : q->state == VM_SENT || q->loaded ? MIGRATION_COMPLETED
            : q->cancelled ? MIGRATION_CANCELLED
            : q->failed ? MIGRATION_FAILED : MIGRATION_NONE);
}

size_t
hypervisor_list(const struct hypervisor *hv, struct hypervisor_info **infos)
{
    const struct world_qemu *q = &host_of(hv)->qemu;

    *infos = xzalloc(sizeof **infos);
    (*infos)->vm = world.vm.uuid;
    (*infos)->state = q->state;
    (*infos)->granted = q->granted;
    (*infos)->migration = migration_status(q);
    ovs_strlcpy((*infos)->name, "web1", sizeof (*infos)->name);
    return q->state != VM_ABSENT;
}

int
hypervisor_query(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                 struct hypervisor_info *info, struct err *err OVS_UNUSED)
{
    struct hypervisor_info *infos;

    hypervisor_list(hv, &infos);
    *info = *infos;
    free(infos);
    return 0;
}

bool
hypervisor_next_event(struct hypervisor *hv, struct hypervisor_event *event)
{
    struct world_qemu *q = &host_of(hv)->qemu;

    if (!q->n_events) {
        return false;
    }
    *event = q->events[0];
    memmove(&q->events[0], &q->events[1],
            --q->n_events * sizeof q->events[0]);
    return true;
}

char *
hypervisor_tap_name(const struct uuid *vm OVS_UNUSED, size_t nic OVS_UNUSED,
                    char name[HYPERVISOR_TAP_LEN])
{
    ovs_strlcpy(name, "vm", HYPERVISOR_TAP_LEN);
    return name;
}

int
hypervisor_prepare(struct hypervisor *hv, const struct vm *vm OVS_UNUSED,
                   struct err *err)
{
    int error = meet(host_of(hv), CALL_PREPARE, err);

    if (!error) {
        host_of(hv)->qemu.taps = true;
    }
    return error;
}

int
hypervisor_boot(struct hypervisor *hv, const struct vm *vm OVS_UNUSED,
                struct err *err)
{
    struct world_host *h = host_of(hv);
    int error = meet(h, CALL_BOOT, err);

    if (error || h->qemu.state == VM_RUNNING) {
        return error;
    } else if (h->qemu.state != VM_ABSENT) {
        return err_set(err, EEXIST, "it is not absent");
    } else if (takes_time(h, CALL_BOOT, 2)) {
        return EINPROGRESS;
    }
    h->qemu.taps = true;
    resume(h);
    return 0;
}

int
hypervisor_listen(struct hypervisor *hv, const struct vm *vm OVS_UNUSED,
                  const char *source,
                  unsigned int rtt_us OVS_UNUSED,
                  struct migration_target *target, struct err *err)
{
    struct world_host *h = host_of(hv);
    struct world_qemu *q = &h->qemu;
    int error = meet(h, CALL_LISTEN, err);

    if (error) {
        return error;
    } else if (q->state != VM_ABSENT && q->state != VM_LISTENING) {
        return err_set(err, EEXIST, "it runs here, or did");
    }
    q->state = VM_LISTENING;
    q->incoming = true;
    if (takes_time(h, CALL_LISTEN, 3)) {
        return EINPROGRESS;
    }
    target->uri = xstrdup("tcp:192.0.2.2:49152");
    target->ticket = xasprintf("for %s", source);
    return 0;
}

int
hypervisor_set_capture(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                       enum capture_mode mode, struct err *err)
{
    struct world_host *h = host_of(hv);
    int error = meet(h, CALL_SET_CAPTURE, err);

    if (error || h->qemu.capture == mode) {
        return error;
    } else if (h->qemu.state == VM_ABSENT || h->qemu.state == VM_FAILED) {
        return err_set(err, ENOENT, "it is not here");
    } else if (takes_time(h, CALL_SET_CAPTURE, 1)) {
        return EINPROGRESS;
    }
    drain_tap(&h->qemu);
    h->qemu.capture = mode;
    drain_tap(&h->qemu);
    if (mode == CAPTURE_OFF || mode == CAPTURE_ARMED) {
        world_clear(&h->qemu.captured);
        world_clear(&h->qemu.read);
        h->qemu.consuming = false;
    }
    return 0;
}

struct capture *
hypervisor_capture(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED)
{
    struct world_host *h = host_of(hv);

    return (h->qemu.capture == CAPTURE_OFF ? NULL
            : (struct capture *) &h->qemu);
}

struct dp_packet *
capture_next(struct capture *capture, size_t *nic)
{
    struct world_qemu *q = (struct world_qemu *) capture;
    struct dp_packet *p = world_take(&q->captured);

    *nic = 0;
    if (p && !q->consuming) {
        world_put(&q->read, dp_packet_clone(p));
    }
    return p;
}

void
capture_consume(struct capture *capture)
{
    ((struct world_qemu *) capture)->consuming = true;
}

void
capture_rewind(struct capture *capture)
{
    struct world_qemu *q = (struct world_qemu *) capture;
    struct dp_packet *p;

    while ((p = world_take(&q->captured))) {
        world_put(&q->read, p);
    }
    while ((p = world_take(&q->read))) {
        world_put(&q->captured, p);
    }
}

int
hypervisor_send(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                const struct migration_target *target,
                const struct migration_limits *limits OVS_UNUSED,
                struct copy_progress *progress, struct err *err)
{
    struct world_host *h = host_of(hv);
    struct world_qemu *q = &h->qemu;
    int error = meet(h, CALL_SEND, err);

    if (error && error != EINPROGRESS && q->sending) {
        bool stopped = q->state == VM_PAUSED;

        q->sending = q->paused = false;
        if (stopped) {
            resume(h);
        }
    }
    if (error) {
        return error;
    } else if (q->cancelled || q->failed) {
        return err_set(err, q->cancelled ? ECANCELED : EIO,
                       "the migration ended");
    } else if (!q->sending && q->state != VM_RUNNING) {
        return err_set(err, EINVAL, "it does not run");
    } else if (!q->sending) {
        char *ticket = xasprintf("for %s", h->name);

        ovs_assert(!strcmp(target->ticket, ticket));
        ovs_assert(!strcmp(target->host, world.hosts[HOST_D].name));
        free(ticket);
        if (world.hosts[HOST_D].qemu.state != VM_LISTENING) {
            return err_set(err, ECONNREFUSED, "nobody listens");
        }
        world_effect(h, "SEND");
        q->sending = true;
        q->next_us = world_later(COPY_US);
    }
    progress->copied = 1000;
    progress->total = 1000;
    progress->paused = q->paused;
    return q->paused ? 0 : EINPROGRESS;
}

int
hypervisor_proceed(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                   struct err *err)
{
    struct world_host *h = host_of(hv);
    struct world_qemu *q = &h->qemu;

    if (q->state == VM_SENT) {
        return 0;               /* Too late to fail. */
    }
    int error = meet(h, CALL_PROCEED, err);
    if (error) {
        if (error != EINPROGRESS && q->state == VM_PAUSED) {
            q->failed = true;
            resume(h);          /* As hypervisor.h promises. */
        }
        return error;
    } else if (q->state != VM_PAUSED) {
        return err_set(err, EIO, "it ended in the switchover");
    }
    if (!q->proceeding) {
        world_effect(h, "PROCEED");
        q->proceeding = true;
        q->rest_sent = false;
        q->next_us = world_later(SEND_REST_US);
    }
    return EINPROGRESS;
}

int
hypervisor_take_back(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                     struct err *err)
{
    struct world_host *h = host_of(hv);
    int error = meet(h, CALL_TAKE_BACK, err);

    if (error || (h->qemu.state == VM_RUNNING && !h->qemu.sending)) {
        return error;
    } else if (h->qemu.state != VM_SENT) {
        return err_set(err, EPERM, "it was not sent");
    } else if (takes_time(h, CALL_TAKE_BACK, 1)) {
        return EINPROGRESS;
    }
    resume(h);
    return 0;
}

int
hypervisor_cancel(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                  struct err *err)
{
    struct world_host *h = host_of(hv);
    struct world_qemu *q = &h->qemu;
    int error = meet(h, CALL_CANCEL, err);

    if (error) {
        return error;
    } else if (q->proceeding || q->state == VM_SENT) {
        return err_set(err, EBUSY, "it proceeds");
    } else if (q->state == VM_ABSENT || q->state == VM_FAILED) {
        return err_set(err, ENOENT, "it is not here");
    }
    if (q->sending) {
        bool stopped = q->state == VM_PAUSED;

        if (takes_time(h, CALL_CANCEL, 2)) {
            return EINPROGRESS;
        }
        q->sending = q->paused = false;
        q->cancelled = true;
        if (stopped) {
            resume(h);
        }
    }
    return 0;
}

int
hypervisor_grant(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                 struct err *err)
{
    struct world_host *h = host_of(hv);
    struct world_qemu *q = &h->qemu;

    if (q->state == VM_RUNNING) {
        return 0;
    } else if (q->state == VM_FAILED) {
        return q->granted ? err_set(err, ESRCH, "it ran here and ended")
                          : err_set(err, ENOEXEC, "it did not load");
    } else if (q->state != VM_LISTENING) {
        return err_set(err, ENOENT, "it is not here");
    }
    int error = meet(h, CALL_GRANT, err);
    if (error) {
        if (error != EINPROGRESS) {
            q->load_failed = true;
            q->loaded = false;
            error = err_set(err, ENOEXEC, "it did not load");
        }
        return error;
    } else if (q->load_failed) {
        return err_set(err, ENOEXEC, "it did not load");
    } else if (!q->loaded) {
        return EINPROGRESS;
    }
    q->granted = true;          /* Before QEMU has heard of it. */
    if (takes_time(h, CALL_GRANT, 1)) {
        return EINPROGRESS;
    }
    resume(h);
    return 0;
}

int
hypervisor_stop(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                unsigned int grace_ms OVS_UNUSED, struct err *err)
{
    struct world_host *h = host_of(hv);
    int error = meet(h, CALL_STOP, err);

    if (error || h->qemu.state == VM_ABSENT) {
        return error;
    } else if (takes_time(h, CALL_STOP, 2)) {
        return EINPROGRESS;
    }
    reset(&h->qemu);
    return 0;
}

int
hypervisor_destroy(struct hypervisor *hv, const struct uuid *vm OVS_UNUSED,
                   struct err *err)
{
    struct world_host *h = host_of(hv);
    int error = meet(h, CALL_DESTROY, err);

    if (error) {
        return error;
    } else if (takes_time(h, CALL_DESTROY, 2)) {
        return EINPROGRESS;
    }
    reset(&h->qemu);
    world_clear(&h->qemu.tap);
    h->qemu.taps = false;
    return 0;
}
