#include <config.h>

#include "api/http.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fatal-signal.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "unicode.h"
#include "util.h"

#include "api/api-private.h"
#include "api/fields.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/stream.h"

#define BACKLOG 64
#define PEM_MAX 65536           /* Bytes. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* A server's connections that began with the same certificate. */
struct http_daemon {
    struct ovs_list node;       /* In struct http_server's 'daemons'. */
    struct MHD_Daemon *mhd;
    char *key, *certificate;    /* In PEM; null: no TLS. */
};

struct http_server {
    struct api *api;
    struct ovs_list daemons;    /* The first listens; others end. */
    char *unix_path;            /* Null: TCP. */
};

/* What belongs to a request on its way; 'request' is first. */
struct exchange {
    struct request request;
    struct http_server *server;
    struct MHD_Connection *connection;
    struct ds body;
    bool too_big;
    bool dispatched;
    bool suspended;
};

struct stream_reader {
    struct stream *stream;
    struct MHD_Connection *connection;
};

static enum MHD_Result send_answer(struct exchange *);

/* Compares in a time that tells nothing about where they differ. */
static bool
tokens_equal(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    unsigned char diff = a_len != b_len;

    for (size_t i = 0; i < a_len; i++) {
        diff |= a[i] ^ b[b_len ? i % b_len : 0];
    }
    return !diff;
}

static bool
is_authorized(const struct exchange *exchange)
{
    const struct http_server *server = exchange->server;

    if (server->unix_path) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct ucred peer;
        socklen_t len = sizeof peer;

        if (info && !getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED,
                                &peer, &len)
            && (peer.uid == 0 || peer.uid == geteuid())) {
            return true;
        }
    }

    const char *header = MHD_lookup_connection_value(
        exchange->connection, MHD_HEADER_KIND, "Authorization");
    const char *token = server->api->token;
    return (header && token && token[0]
            && !strncasecmp(header, "Bearer ", 7)
            && tokens_equal(header + 7, token));
}

static const char *
header(const struct exchange *exchange, const char *name)
{
    const char *value = MHD_lookup_connection_value(
        exchange->connection, MHD_HEADER_KIND, name);

    return value ? value : "";
}

static const char *
query(const struct exchange *exchange, const char *name)
{
    const char *value = MHD_lookup_connection_value(
        exchange->connection, MHD_GET_ARGUMENT_KIND, name);

    return value ? value : "";
}

/* Parses the body, which must be an object if there is one.  Returns false
 * if the request is answered already. */
static bool
parse_body(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    const char *text = ds_cstr(&exchange->body);

    if (exchange->too_big) {
        request_problem(request, 413, "the request has more than %d bytes",
                        REQUEST_MAX_BODY);
        return false;
    }
    if (!exchange->body.length) {
        return true;
    }
    if (strlen(text) != exchange->body.length) {
        request_problem(request, 400, "the request has a null byte");
        return false;
    }

    char *error = utf8_validate(text, NULL);
    if (error) {
        free(error);
        request_problem(request, 400, "the request is not UTF-8");
        return false;
    }

    struct json *json = json_from_string(text);
    if (json->type != JSON_OBJECT) {
        request_problem(request, 400, "the request is not a JSON object%s%s",
                        json->type == JSON_STRING ? ": " : "",
                        json->type == JSON_STRING ? json_string(json) : "");
        json_destroy(json);
        return false;
    }
    request->body = json;
    if (!fields_depth_is_at_most(json, REQUEST_MAX_DEPTH)) {
        request_problem(request, 400, "the request is nested deeper than %d",
                        REQUEST_MAX_DEPTH);
        return false;
    }
    return true;
}

static void
dispatch(struct exchange *exchange)
{
    struct request *request = &exchange->request;

    exchange->dispatched = true;
    request->wall_now = request->api->wall_now;
    request->wants_stream = !!strstr(header(exchange, "Accept"),
                                     "text/event-stream");
    request->force = !strcmp(query(exchange, "force"), "true");
    request->limit = MAX(atoll(query(exchange, "limit")), 0);
    if (!is_authorized(exchange)) {
        request_problem(request, 401, exchange->server->unix_path
                        ? "only root may use this socket without a token"
                        : "send the manager's token: \"Authorization: Bearer "
                          "TOKEN\"");
    } else if (parse_body(exchange)) {
        routes_dispatch(request);
    }
}

static enum MHD_Result
handle_access(void *server_, struct MHD_Connection *connection,
              const char *url, const char *method,
              const char *version OVS_UNUSED, const char *data, size_t *size,
              void **cookie)
{
    struct http_server *server = server_;
    struct exchange *exchange = *cookie;

    if (!exchange) {
        *cookie = exchange = xzalloc(sizeof *exchange);
        request_init(&exchange->request, server->api);
        exchange->server = server;
        exchange->connection = connection;
        exchange->request.connection = exchange;
        exchange->request.method = xstrdup(method);
        exchange->request.path = xstrdup(url);
        ds_init(&exchange->body);
        return MHD_YES;
    }
    if (*size) {
        if (exchange->body.length + *size > REQUEST_MAX_BODY) {
            exchange->too_big = true;
        } else {
            ds_put_buffer(&exchange->body, data, *size);
        }
        *size = 0;
        return MHD_YES;
    }
    if (!exchange->dispatched) {
        dispatch(exchange);
        if (!exchange->request.status && !exchange->request.stream) {
            exchange->suspended = true;
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    return send_answer(exchange);
}

static void
handle_completed(void *server OVS_UNUSED,
                 struct MHD_Connection *connection OVS_UNUSED, void **cookie,
                 enum MHD_RequestTerminationCode code OVS_UNUSED)
{
    struct exchange *exchange = *cookie;

    if (exchange) {
        request_finish(&exchange->request);
        ds_destroy(&exchange->body);
        free(exchange);
        *cookie = NULL;
    }
}

void
http_resume(struct request *request)
{
    struct exchange *exchange = request->connection;

    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(exchange->connection);
    }
}

/* Event streams. */

static void
resume_stream(void *reader_)
{
    struct stream_reader *reader = reader_;

    MHD_resume_connection(reader->connection);
}

static ssize_t
read_stream(void *reader_, uint64_t pos OVS_UNUSED, char *buf, size_t size)
{
    struct stream_reader *reader = reader_;
    ssize_t n = stream_read(reader->stream, buf, size);

    if (n < 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (!n) {
        MHD_suspend_connection(reader->connection);
    }
    return n;
}

static void
free_stream(void *reader_)
{
    struct stream_reader *reader = reader_;

    stream_destroy(reader->stream);
    free(reader);
}

static struct MHD_Response *
stream_response(struct exchange *exchange)
{
    struct stream_reader *reader = xzalloc(sizeof *reader);

    reader->connection = exchange->connection;
    reader->stream = stream_create(exchange->server->api, resume_stream,
                                   reader);
    if (!reader->stream) {
        free(reader);
        request_problem(&exchange->request, 503, "%d clients follow the "
                        "events already", STREAMS_MAX);
        return NULL;
    }
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096,
                                             read_stream, reader,
                                             free_stream);
}

static struct MHD_Response *
json_response(const struct request *request)
{
    char *text = xstrdup("");

    if (request->reply) {
        free(text);
        text = json_to_string(request->reply, JSSF_SORT);
    }
    return MHD_create_response_from_buffer(strlen(text), text,
                                           MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result
send_answer(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    struct MHD_Response *response = NULL;
    const char *type = "text/event-stream";

    if (request->stream) {
        response = stream_response(exchange);
    }
    if (!response) {
        response = json_response(request);
        type = (request->status >= 400 ? "application/problem+json"
                : "application/json");
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (request->location) {
        MHD_add_response_header(response, "Location", request->location);
    }
    if (request->allow) {
        MHD_add_response_header(response, "Allow", request->allow);
    }
    if (request->status == 401) {
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    }

    enum MHD_Result result = MHD_queue_response(
        exchange->connection, request->status ? request->status : 200,
        response);
    MHD_destroy_response(response);
    return result;
}

/* Servers. */

static void
daemon_destroy(struct http_daemon *daemon)
{
    if (daemon->mhd) {
        MHD_stop_daemon(daemon->mhd);
    }
    free(daemon->key);
    free(daemon->certificate);
    free(daemon);
}

static int
read_pem(const char *file, char **text, struct err *err)
{
    char *buf = xmalloc(PEM_MAX);
    FILE *stream = fopen(file, "re");
    size_t n = stream ? fread(buf, 1, PEM_MAX, stream) : 0;
    int error = !stream || ferror(stream) ? errno : n == PEM_MAX ? EFBIG : 0;

    if (stream) {
        fclose(stream);
    }
    if (error) {
        err_set(err, error, "%s: %s", file, ovs_strerror(error));
    } else {
        *text = xmemdup0(buf, n);
    }
    free(buf);
    return error;
}

/* Lets 'server' answer who connects to 'fd', which it takes over in any
 * case. */
static int
start_daemon(struct http_server *server, int fd, const struct tls_files *tls,
             struct err *err)
{
    struct http_daemon *daemon = xzalloc(sizeof *daemon);
    struct MHD_OptionItem options[] = {
        { MHD_OPTION_END, 0, NULL }, { MHD_OPTION_END, 0, NULL },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, PRIORITIES },
        { MHD_OPTION_END, 0, NULL },
    };
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    int error = 0;

    if (tls) {
        error = read_pem(tls->private_key, &daemon->key, err);
        error = error ? error : read_pem(tls->certificate,
                                         &daemon->certificate, err);
        options[0] = (struct MHD_OptionItem) {
            MHD_OPTION_HTTPS_MEM_KEY, 0, daemon->key
        };
        options[1] = (struct MHD_OptionItem) {
            MHD_OPTION_HTTPS_MEM_CERT, 0, daemon->certificate
        };
        flags |= MHD_USE_TLS;
    }
    if (!error) {
        daemon->mhd = MHD_start_daemon(
            flags, 0, NULL, NULL, handle_access, server,
            MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_NOTIFY_COMPLETED, handle_completed, server,
            MHD_OPTION_CONNECTION_LIMIT, HTTP_MAX_CONNECTIONS,
            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_S,
            MHD_OPTION_ARRAY, options,
            MHD_OPTION_END);
        error = daemon->mhd ? 0 : err_set(err, ENOMEM, "the HTTP server does "
                                          "not start");
    }
    if (error) {
        close(fd);
        daemon_destroy(daemon);
        return error;
    }
    ovs_list_push_front(&server->daemons, &daemon->node);
    return 0;
}

static int
server_create(struct api *api, int fd, const char *unix_path,
              const struct tls_files *tls, struct http_server **out,
              struct err *err)
{
    struct http_server *server = xzalloc(sizeof *server);

    server->api = api;
    ovs_list_init(&server->daemons);

    int error = start_daemon(server, fd, tls, err);
    if (error) {
        free(server);
        return error;
    }
    server->unix_path = nullable_xstrdup(unix_path);
    *out = server;
    return 0;
}

static struct http_daemon *
listening_daemon(const struct http_server *server)
{
    return CONTAINER_OF(ovs_list_front(&server->daemons), struct http_daemon,
                        node);
}

int
http_renew_tls(struct http_server *server, const struct tls_files *tls,
               struct err *err)
{
    struct http_daemon *old = listening_daemon(server);

    if (!old->certificate) {
        return 0;
    }

    const union MHD_DaemonInfo *info
        = MHD_get_daemon_info(old->mhd, MHD_DAEMON_INFO_LISTEN_FD);
    int fd = fcntl(info->listen_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return err_set(err, errno, "the HTTP server's socket: %s",
                       ovs_strerror(errno));
    }
    int error = start_daemon(server, fd, tls, err);
    if (!error) {
        close(MHD_quiesce_daemon(old->mhd));
    }
    return error;
}

/* Does anybody accept connections there? */
static bool
somebody_listens(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bool listens = (fd >= 0
                    && (!connect(fd, (const struct sockaddr *) sun,
                                 sizeof *sun) || errno == EAGAIN));

    close(fd);
    return listens;
}

int
http_open_unix(struct api *api, const char *path, struct http_server **out,
               struct err *err)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof sun.sun_path) {
        return err_set(err, ENAMETOOLONG, "%s: the path of a socket has at "
                       "most %"PRIuSIZE" bytes", path,
                       sizeof sun.sun_path - 1);
    }
    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    if (somebody_listens(&sun)) {
        return err_set(err, EADDRINUSE, "%s: another manager listens there",
                       path);
    }

    struct stat st;
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode)) {
        unlink(path);
    }

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t old_mask = umask(0177);
    int error = (fd < 0 || bind(fd, (struct sockaddr *) &sun, sizeof sun)
                 || listen(fd, BACKLOG) ? errno : 0);
    umask(old_mask);
    if (error) {
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, error, "cannot listen on %s: %s", path,
                       ovs_strerror(error));
    }
    fatal_signal_add_file_to_unlink(path);
    return server_create(api, fd, path, NULL, out, err);
}

/* Serves a TCP socket, without TLS only if nobody else can listen in. */
static int
open_listener(struct api *api, int fd, const struct tls_files *tls,
              struct http_server **out, struct err *err)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    bool is_local = false;

    if (!getsockname(fd, (struct sockaddr *) &ss, &len)) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *) &ss;

        is_local = (ss.ss_family == AF_INET
                    ? ss_get_address(&ss).s6_addr[12] == 127
                    : ss.ss_family == AF_INET6
                    && IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr));
    }
    if (!tls_is_on(tls) && !is_local) {
        close(fd);
        return err_set(err, EACCES, "HTTP without TLS is for this machine "
                       "only: listen on 127.0.0.1, or with \"private-key\" "
                       "and \"certificate\"");
    }
    return server_create(api, fd, NULL, tls_is_on(tls) ? tls : NULL, out,
                         err);
}

int
http_open_tcp(struct api *api, const char *where, const struct tls_files *tls,
              struct http_server **out, struct err *err)
{
    struct sockaddr_storage ss;
    int yes = 1;

    if (!inet_parse_active(where, -1, &ss, false, NULL)) {
        return err_set(err, EINVAL, "cannot listen on %s: it is not "
                       "ADDRESS:PORT", where);
    }
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    0);
    if (fd >= 0
        && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes)
        && !bind(fd, (struct sockaddr *) &ss, ss_length(&ss))
        && !listen(fd, BACKLOG)) {
        return open_listener(api, fd, tls, out, err);
    }

    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    return err_set(err, error, "cannot listen on %s: %s", where,
                   error == EADDRINUSE ? "the port is in use; choose another "
                   "one with --listen" : ovs_strerror(error));
}

int
http_open_fd(struct api *api, int fd, const struct tls_files *tls,
             struct http_server **out, struct err *err)
{
    int listens = 0;
    socklen_t len = sizeof listens;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len)
        || !listens || set_nonblocking(fd)
        || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return err_set(err, ENOTSOCK, "file descriptor %d is not a socket "
                       "that listens", fd);
    }
    return open_listener(api, fd, tls, out, err);
}

void
http_close(struct http_server *server)
{
    if (server) {
        struct http_daemon *daemon;

        LIST_FOR_EACH_SAFE (daemon, node, &server->daemons) {
            daemon_destroy(daemon);
        }
        if (server->unix_path) {
            fatal_signal_unlink_file_now(server->unix_path);
            free(server->unix_path);
        }
        free(server);
    }
}

/* Has the last connection with an old certificate ended? */
static bool
is_over(const struct http_server *server, const struct http_daemon *daemon)
{
    return (daemon != listening_daemon(server)
            && !MHD_get_daemon_info(daemon->mhd,
                                    MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
            ->num_connections);
}

void
http_run(struct http_server *server)
{
    struct http_daemon *daemon;

    LIST_FOR_EACH_SAFE (daemon, node, &server->daemons) {
        MHD_run(daemon->mhd);
        if (is_over(server, daemon)) {
            ovs_list_remove(&daemon->node);
            daemon_destroy(daemon);
        }
    }
}

void
http_wait(struct http_server *server)
{
    struct http_daemon *daemon;

    LIST_FOR_EACH (daemon, node, &server->daemons) {
        const union MHD_DaemonInfo *info
            = MHD_get_daemon_info(daemon->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        MHD_UNSIGNED_LONG_LONG timeout;

        poll_fd_wait(info->epoll_fd, POLLIN);
        if (MHD_get_timeout(daemon->mhd, &timeout) == MHD_YES) {
            poll_timer_wait(timeout);
        }
    }
}
