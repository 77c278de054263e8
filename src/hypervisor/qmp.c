#include <config.h>
#include "hypervisor/qmp.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/util.h"
#include "socket-util.h"
#include "util.h"

enum qmp_state {
    QMP_CONNECTING,
    QMP_GREETING,               /* Connected, waits for the banner. */
    QMP_NEGOTIATING,            /* Waits for the reply to HELLO_ID. */
    QMP_READY,
    QMP_DEAD,                   /* 'error' says why. */
};

#define HELLO_ID 0              /* Of "qmp_capabilities". */

/* A command that was sent, or whose reply nobody has fetched. */
struct command {
    struct ovs_list node;       /* In 'commands'. */
    uint64_t id;
    bool answered;
    bool forgotten;             /* Drop the reply. */
    struct json *result;        /* Null if it failed. */
    char *refusal;              /* QEMU's words, or null. */
};

/* A file descriptor that leaves with a command. */
struct passed {
    struct ovs_list node;       /* In 'passed'. */
    size_t at;                  /* Where the command begins in 'output'. */
    int fd;
};

struct event {
    struct ovs_list node;       /* In 'events'. */
    struct qmp_event event;
};

struct qmp {
    enum qmp_state state;
    struct err error;           /* If QMP_DEAD. */

    char *path;                 /* Null: tests feed it. */
    int timeout_ms;             /* For everything up to QMP_READY. */
    long long deadline;         /* The same; 0: qmp_run() sets it. */
    int fd;                     /* -1: not connected. */

    struct json_parser *parser; /* Null between messages. */
    size_t n_message;           /* Bytes of it so far. */

    struct ds output;           /* Held back until QEMU has greeted. */
    uint64_t last_id;           /* Of the last command in it. */
    bool unread;                /* Of what left, QEMU has not read all. */
    size_t n_sent;              /* Bytes of 'output' that have left. */
    struct ovs_list passed;     /* Of struct passed, by 'at'. */

    uint64_t next_id;
    struct ovs_list commands;   /* Of struct command, oldest first. */
    size_t n_commands;
    struct ovs_list events;     /* Of struct event, oldest first. */
    size_t n_events;
};

static void qmp_fail(struct qmp *, int code, const char *format, ...)
    OVS_PRINTF_FORMAT(3, 4);
static void qmp_receive(struct qmp *, const struct json *);

struct qmp *
qmp_create(void)
{
    struct qmp *q = xzalloc(sizeof *q);
    q->state = QMP_GREETING;
    q->fd = -1;
    q->next_id = HELLO_ID + 1;
    ovs_list_init(&q->passed);
    ovs_list_init(&q->commands);
    ovs_list_init(&q->events);
    ds_init(&q->output);
    return q;
}

static void
command_destroy(struct qmp *q, struct command *c)
{
    ovs_list_remove(&c->node);
    q->n_commands--;
    json_destroy(c->result);
    free(c->refusal);
    free(c);
}

static void
passed_destroy(struct passed *p)
{
    ovs_list_remove(&p->node);
    close(p->fd);
    free(p);
}

/* Ends the connection, and forgets what has not left. */
static void
qmp_disconnect(struct qmp *q)
{
    if (q->fd >= 0) {
        close(q->fd);
        q->fd = -1;
    }
    struct passed *p;
    LIST_FOR_EACH_SAFE (p, node, &q->passed) {
        passed_destroy(p);
    }
    ds_clear(&q->output);
    q->n_sent = 0;
}

void
qmp_destroy(struct qmp *q)
{
    if (!q) {
        return;
    }
    struct qmp_event event;
    while (qmp_next_event(q, &event)) {
        qmp_event_destroy(&event);
    }
    struct command *c;
    LIST_FOR_EACH_SAFE (c, node, &q->commands) {
        command_destroy(q, c);
    }
    if (q->parser) {
        json_parser_abort(q->parser);
    }
    qmp_disconnect(q);
    ds_destroy(&q->output);
    free(q->path);
    free(q);
}

void
qmp_connect(struct qmp *q, const char *path, int timeout_ms)
{
    ovs_assert(!q->path);
    q->path = xstrdup(path);
    q->timeout_ms = timeout_ms;
    q->state = QMP_CONNECTING;
}

/* One attempt.  A socket that is not there yet, or on which nobody listens
 * yet, is not an error: QEMU is starting. */
static void
qmp_try_connect(struct qmp *q)
{
    int fd = make_unix_socket(SOCK_STREAM, true, NULL, q->path);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        q->fd = fd;
        q->state = QMP_GREETING;
    } else if (fd != -ENOENT && fd != -ECONNREFUSED) {
        qmp_fail(q, -fd, "connecting to %s: %s", q->path, ovs_strerror(-fd));
    }
}

static void
qmp_read(struct qmp *q)
{
    char buffer[4096];
    /* Bounded, so that a QEMU that never stops talking does not keep the loop
     * from its other work. */
    for (int i = 0; i < 64 && q->state != QMP_DEAD; i++) {
        ssize_t n = recv(q->fd, buffer, sizeof buffer, 0);
        if (n > 0) {
            qmp_feed(q, buffer, n);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        } else {
            /* Unix sockets: a peer that is closed with something unread. */
            q->unread = n < 0 && errno == ECONNRESET;
            qmp_fail(q, n ? errno : ECONNRESET, "%s",
                     n ? ovs_strerror(errno) : "QEMU closed the session");
        }
    }
}

void
qmp_run(struct qmp *q, long long now)
{
    if (q->path && !q->deadline) {
        q->deadline = now + q->timeout_ms;
    }
    if (q->state == QMP_CONNECTING) {
        qmp_try_connect(q);
    }
    if (q->fd >= 0) {
        qmp_read(q);
        qmp_flush(q);
    }
    if (q->path && q->state != QMP_READY && q->state != QMP_DEAD
        && now >= q->deadline) {
        qmp_fail(q, ETIMEDOUT, "QEMU does not answer on %s", q->path);
    }
}

void
qmp_wait(struct qmp *q)
{
    switch (q->state) {
    case QMP_CONNECTING:
        poll_timer_wait(QMP_RETRY_MS);
        break;

    case QMP_GREETING:
    case QMP_NEGOTIATING:
        poll_timer_wait(q->timeout_ms);
        /* Fall through. */
    case QMP_READY:
        if (q->fd >= 0) {
            bool more = q->state != QMP_GREETING
                        && q->n_sent < q->output.length;
            poll_fd_wait(q->fd, more ? POLLIN | POLLOUT : POLLIN);
        }
        break;

    case QMP_DEAD:
        break;
    }
}

int
qmp_status(const struct qmp *q, struct err *err)
{
    switch (q->state) {
    case QMP_CONNECTING:
    case QMP_GREETING:
    case QMP_NEGOTIATING:
        return EINPROGRESS;
    case QMP_READY:
        return 0;
    case QMP_DEAD:
        break;
    }
    return err_set(err, q->error.code, "%s", q->error.text);
}

/* A command's last byte is the one that completes it: as long as QEMU has not
 * read all, it has not begun to obey. */
static void
qmp_put(struct qmp *q, uint64_t id, const char *name, struct json *arguments)
{
    struct json *object = json_object_create();
    json_object_put_string(object, "execute", name);
    if (arguments) {
        json_object_put(object, "arguments", arguments);
    }
    json_object_put(object, "id", json_integer_create(id));
    ds_put_char(&q->output, '\n');
    json_to_ds(object, JSSF_SORT, &q->output);
    json_destroy(object);
}

uint64_t
qmp_send(struct qmp *q, const char *name, struct json *arguments)
{
    uint64_t id = q->next_id++;
    if (q->n_commands >= QMP_MAX_COMMANDS) {
        qmp_fail(q, ENOBUFS, "QEMU left %d commands unanswered",
                 QMP_MAX_COMMANDS);
    }
    if (q->state == QMP_DEAD) {
        json_destroy(arguments);
        return id;
    }
    struct command *c = xzalloc(sizeof *c);
    c->id = id;
    ovs_list_push_back(&q->commands, &c->node);
    q->n_commands++;
    qmp_put(q, id, name, arguments);
    q->last_id = id;
    return id;
}

uint64_t
qmp_send_fd(struct qmp *q, const char *name, struct json *arguments, int fd)
{
    size_t at = q->output.length;
    uint64_t id = qmp_send(q, name, arguments);
    if (q->state == QMP_DEAD) {
        close(fd);
        return id;
    }
    struct passed *p = xmalloc(sizeof *p);
    p->at = at;
    p->fd = fd;
    ovs_list_push_back(&q->passed, &p->node);
    return id;
}

/* One write, and the descriptor that belongs to its first byte.  The kernel
 * hands over one for each write, so a write ends where the next one begins.
 * Returns as send(). */
static ssize_t
qmp_write(struct qmp *q)
{
    struct passed *p = NULL, *next;
    size_t end = q->output.length;
    LIST_FOR_EACH (next, node, &q->passed) {
        if (next->at > q->n_sent) {
            end = next->at;
            break;
        }
        p = next;
    }

    struct iovec iov = { q->output.string + q->n_sent, end - q->n_sent };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (p) {
        memset(&control, 0, sizeof control);
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof p->fd);
        memcpy(CMSG_DATA(&control.header), &p->fd, sizeof p->fd);
    }
    ssize_t n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
    if (n > 0 && p) {
        passed_destroy(p);
    }
    return n;
}

void
qmp_flush(struct qmp *q)
{
    if ((q->state != QMP_READY && q->state != QMP_NEGOTIATING) || q->fd < 0) {
        return;
    }
    while (q->n_sent < q->output.length) {
        ssize_t n = qmp_write(q);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else if (n < 0) {
            qmp_fail(q, errno, "%s", ovs_strerror(errno));
            return;
        }
        q->n_sent += n;
    }
    ds_clear(&q->output);
    q->n_sent = 0;
}

static struct command *
command_find(const struct qmp *q, uint64_t id)
{
    struct command *c;
    LIST_FOR_EACH (c, node, &q->commands) {
        if (c->id == id) {
            return c;
        }
    }
    return NULL;
}

int
qmp_reply(struct qmp *q, uint64_t id, struct json **result, struct err *err)
{
    struct command *c = command_find(q, id);
    if (!c || !c->answered) {
        if (q->state == QMP_DEAD) {
            return err_set(err, q->error.code, "%s", q->error.text);
        }
        ovs_assert(c);
        return EINPROGRESS;
    }

    int error = 0;
    if (!c->result) {
        error = err_set(err, EREMOTEIO, "QEMU: %s", c->refusal);
    } else if (result) {
        *result = c->result;
        c->result = NULL;
    }
    command_destroy(q, c);
    return error;
}

bool
qmp_was_unread(const struct qmp *q, uint64_t id)
{
    return q->state == QMP_DEAD && q->unread && id == q->last_id;
}

void
qmp_forget(struct qmp *q, uint64_t id)
{
    struct command *c = command_find(q, id);
    if (c && c->answered) {
        command_destroy(q, c);
    } else if (c) {
        c->forgotten = true;
    }
}

bool
qmp_next_event(struct qmp *q, struct qmp_event *event)
{
    if (ovs_list_is_empty(&q->events)) {
        return false;
    }
    struct event *e = CONTAINER_OF(ovs_list_pop_front(&q->events),
                                   struct event, node);
    q->n_events--;
    *event = e->event;
    free(e);
    return true;
}

void
qmp_event_destroy(struct qmp_event *event)
{
    free(event->name);
    json_destroy(event->data);
}

void
qmp_feed(struct qmp *q, const char *data, size_t n)
{
    while (n && q->state != QMP_DEAD) {
        if (!q->parser) {
            if (isspace((unsigned char) *data)) {
                data++;
                n--;
                continue;
            }
            q->parser = json_parser_create(0);
            q->n_message = 0;
        }

        size_t used = json_parser_feed(q->parser, data, n);
        data += used;
        n -= used;
        q->n_message += used;
        if (json_parser_is_done(q->parser)) {
            struct json *message = json_parser_finish(q->parser);
            q->parser = NULL;
            qmp_receive(q, message);
            json_destroy(message);
        } else if (q->n_message > QMP_MAX_MESSAGE) {
            qmp_fail(q, EMSGSIZE, "QEMU sent more than %d bytes at once",
                     QMP_MAX_MESSAGE);
        }
    }
}

char *
qmp_steal_output(struct qmp *q)
{
    return ds_steal_cstr(&q->output);
}

/* Ends the session.  The first reason is the one that counts. */
static void
qmp_fail(struct qmp *q, int code, const char *format, ...)
{
    if (q->state == QMP_DEAD) {
        return;
    }
    va_list args;
    va_start(args, format);
    char *text = xvasprintf(format, args);
    va_end(args);
    err_set(&q->error, code, "QMP: %s", text);
    free(text);

    q->state = QMP_DEAD;
    qmp_disconnect(q);
}

static const struct json *
member(const struct json *object, const char *name, enum json_type type)
{
    const struct json *json = shash_find_data(json_object(object), name);
    return json && json->type == type ? json : NULL;
}

static void
qmp_receive_greeting(struct qmp *q, const struct json *message)
{
    if (!member(message, "QMP", JSON_OBJECT)) {
        qmp_fail(q, EPROTO, "whoever listens there is not a QEMU");
        return;
    }

    /* Ahead of whatever has been queued meanwhile. */
    struct ds later = q->output;
    ds_init(&q->output);
    qmp_put(q, HELLO_ID, "qmp_capabilities", NULL);
    q->state = QMP_NEGOTIATING;
    struct passed *p;
    LIST_FOR_EACH (p, node, &q->passed) {
        p->at += q->output.length;
    }
    ds_put_buffer(&q->output, later.string, later.length);
    ds_destroy(&later);
    qmp_flush(q);
}

static void
qmp_receive_event(struct qmp *q, const struct json *message)
{
    const struct json *name = member(message, "event", JSON_STRING);
    const struct json *time = member(message, "timestamp", JSON_OBJECT);
    if (!name || !time) {
        qmp_fail(q, EPROTO, "malformed event");
        return;
    }
    if (q->n_events >= QMP_MAX_EVENTS) {
        qmp_fail(q, ENOBUFS, "%d events wait already", QMP_MAX_EVENTS);
        return;
    }

    const struct json *seconds = member(time, "seconds", JSON_INTEGER);
    const struct json *us = member(time, "microseconds", JSON_INTEGER);
    struct event *e = xzalloc(sizeof *e);
    e->event.name = xstrdup(json_string(name));
    e->event.data = json_nullable_clone(member(message, "data", JSON_OBJECT));
    if (seconds && us && json_integer(seconds) > 0
        && json_integer(seconds) < LLONG_MAX / 2000000
        && json_integer(us) >= 0 && json_integer(us) < 1000000) {
        e->event.timestamp_us = json_integer(seconds) * 1000000LL
                                + json_integer(us);
    }
    ovs_list_push_back(&q->events, &e->node);
    q->n_events++;
}

static void
qmp_receive_reply(struct qmp *q, const struct json *message)
{
    const struct json *id = member(message, "id", JSON_INTEGER);
    const struct json *result = shash_find_data(json_object(message),
                                                "return");
    const struct json *error = member(message, "error", JSON_OBJECT);
    if (!result == !error) {
        qmp_fail(q, EPROTO, "neither event nor reply");
        return;
    }
    if (q->state == QMP_NEGOTIATING && id && json_integer(id) == HELLO_ID
        && result) {
        q->state = QMP_READY;
        qmp_flush(q);
        return;
    }

    struct command *c = id ? command_find(q, json_integer(id)) : NULL;
    if (!c || c->answered) {
        qmp_fail(q, EPROTO, "reply to a command that was not sent");
        return;
    }
    c->answered = true;
    if (c->forgotten) {
        command_destroy(q, c);
    } else if (result) {
        c->result = json_clone(result);
    } else {
        const struct json *desc = member(error, "desc", JSON_STRING);
        c->refusal = xstrdup(desc ? json_string(desc) : "refused");
    }
}

static void
qmp_receive(struct qmp *q, const struct json *message)
{
    if (message->type != JSON_OBJECT) {
        qmp_fail(q, EPROTO, "not an object: %.100s",
                 message->type == JSON_STRING ? json_string(message)
                 : json_type_to_string(message->type));
    } else if (q->state == QMP_GREETING) {
        qmp_receive_greeting(q, message);
    } else if (shash_find(json_object(message), "event")) {
        qmp_receive_event(q, message);
    } else {
        qmp_receive_reply(q, message);
    }
}
