#include <config.h>

#include "lab/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

#include "base/json-get.h"

#define REPLY_MAX (64 * 1024 * 1024)
#define EVENT_MAX (1024 * 1024)
#define CONNECT_TIMEOUT_MS 5000L
#define REQUEST_TIMEOUT_MS 120000L

struct client {
    CURL *curl;
    char *socket;               /* Path of a unix socket, or null. */
    char *base;                 /* "http://localhost" */
    char *target;               /* For messages. */
    char *token;
    char *ca;                   /* File, or null: what the system has. */
    struct curl_slist *connect_to;      /* Where CLIENT_MANAGER is. */
};

/* Certificates have names and no addresses: asks for the manager's name at the
 * address in the URL. */
static void
name_manager(struct client *client)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    char address[sizeof(struct in6_addr)];

    if (client->ca
        && !curl_url_set(url, CURLUPART_URL, client->base, 0)
        && !curl_url_get(url, CURLUPART_HOST, &host, 0)
        && !curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)
        && (host[0] == '[' || inet_pton(AF_INET, host, address) == 1)) {
        char *map = xasprintf(CLIENT_MANAGER":%s:%s:%s", port, host, port);

        client->connect_to = curl_slist_append(NULL, map);
        free(map);
        free(client->base);
        client->base = xasprintf("https://"CLIENT_MANAGER":%s", port);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}

int
client_create(const char *target, const char *token, const char *ca,
              struct client **clientp, struct err *err)
{
    const char *path = strncmp(target, "unix:", 5) ? NULL : target + 5;

    if (!path && strncmp(target, "http://", 7)
        && strncmp(target, "https://", 8)) {
        return err_set(err, EINVAL, "\"%.100s\" is not unix:PATH, "
                       "http://HOST:PORT or https://HOST:PORT", target);
    }

    struct client *client = xzalloc(sizeof *client);
    client->curl = curl_easy_init();
    client->socket = nullable_xstrdup(path);
    client->base = xstrdup(path ? "http://localhost" : target);
    client->target = xstrdup(target);
    client->token = nullable_xstrdup(token);
    client->ca = ca && *ca ? xstrdup(ca) : NULL;

    size_t n = strlen(client->base);
    while (n && client->base[n - 1] == '/') {
        client->base[--n] = '\0';
    }
    if (!strncmp(client->base, "https://", 8)) {
        name_manager(client);
    }
    *clientp = client;
    return 0;
}

void
client_destroy(struct client *client)
{
    if (client) {
        curl_easy_cleanup(client->curl);
        free(client->socket);
        free(client->base);
        free(client->target);
        free(client->token);
        free(client->ca);
        curl_slist_free_all(client->connect_to);
        free(client);
    }
}

/* Sets what all requests have in common; returns their header lines. */
static struct curl_slist *
prepare(struct client *client, const char *method, const char *path,
        const char *accept)
{
    CURL *curl = client->curl;
    struct curl_slist *headers = NULL;
    char *url = xasprintf("%s/api/v1%s", client->base, path);

    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (client->socket) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    }
    if (client->ca) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);   /* Nobody else. */
    }
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, client->connect_to);
    headers = curl_slist_append(headers, accept);
    headers = curl_slist_append(headers, "Expect:");
    if (client->token) {
        char *line = xasprintf("Authorization: Bearer %s", client->token);
        headers = curl_slist_append(headers, line);
        free(line);
    }
    free(url);
    return headers;
}

static int
connection_error(const struct client *client, CURLcode code, struct err *err)
{
    int error = (code == CURLE_COULDNT_CONNECT ? ECONNREFUSED
                 : code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO);

    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        return err_set(err, EACCES, "whoever is at %s is not the manager: its "
                       "certificate names another, or is not of the CA in "
                       "WATARI_CA", client->target);
    }
    return err_set(err, error, "the manager at %s does not answer: %s",
                   client->target, curl_easy_strerror(code));
}

static const struct {
    long status;
    int error;
} errors[] = {
    { 401, EACCES }, { 403, EACCES }, { 404, ENOENT }, { 405, EOPNOTSUPP },
    { 409, EEXIST }, { 501, EOPNOTSUPP }, { 503, EAGAIN }, { 504, EAGAIN },
};

/* The error that a reply with 'status' and 'body' means. */
static int
status_error(long status, const struct json *body, struct err *err)
{
    const char *title = json_get_string(body, "title");
    const char *detail = json_get_string(body, "detail");
    int error = status < 500 ? EINVAL : EIO;

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (errors[i].status == status) {
            error = errors[i].error;
        }
    }
    if (detail) {
        return err_set(err, error, "%s", detail);
    }
    if (title) {
        return err_set(err, error, "%s", title);
    }
    return err_set(err, error, "the manager answered with status %ld",
                   status);
}

static size_t
collect(char *data, size_t size, size_t n, void *ds_)
{
    struct ds *ds = ds_;

    if (ds->length + size * n > REPLY_MAX) {
        return 0;
    }
    ds_put_buffer(ds, data, size * n);
    return size * n;
}

int
client_request(struct client *client, const char *method, const char *path,
               const struct json *body, struct json **replyp,
               struct err *err)
{
    struct ds text = DS_EMPTY_INITIALIZER;
    struct json *reply = NULL;
    CURL *curl = client->curl;
    char *sent = NULL;
    long status = 0;

    struct curl_slist *headers = prepare(client, method, path,
                                         "Accept: application/json");
    if (body) {
        sent = json_to_string(body, 0);
        headers = curl_slist_append(headers,
                                    "Content-Type: application/json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, sent);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) strlen(sent));
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, REQUEST_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);

    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    free(sent);

    int error = code ? connection_error(client, code, err) : 0;
    if (!error && text.length) {
        error = json_parse(text.string, text.length, &reply, err);
        error = error && status >= 400 ? 0 : error;
    }
    if (!error && status >= 400) {
        error = status_error(status, reply, err);
    }
    if (!error && replyp) {
        *replyp = reply;
        reply = NULL;
    }
    json_destroy(reply);
    ds_destroy(&text);
    return error;
}

/* An event stream that is being read: a line at a time (HTML standard,
 * section 9.2.6). */
struct stream {
    struct ds line, name, data;
    bool (*event)(const char *, const struct json *, void *);
    void *aux;
    bool ended;                 /* By 'event'. */
};

static void
dispatch(struct stream *s)
{
    struct json *json = NULL;

    if (s->data.length && !s->ended) {
        if (json_parse(s->data.string, s->data.length, &json, NULL)) {
            json = NULL;
        }
        s->ended = !s->event(s->name.length ? ds_cstr(&s->name) : "message",
                             json, s->aux);
        json_destroy(json);
    }
    ds_clear(&s->name);
    ds_clear(&s->data);
}

static void
take_line(struct stream *s)
{
    char *line = ds_cstr(&s->line);

    ds_chomp(&s->line, '\r');
    if (!s->line.length) {
        dispatch(s);
    } else if (!strncmp(line, "data:", 5)) {
        if (s->data.length) {
            ds_put_char(&s->data, '\n');
        }
        ds_put_cstr(&s->data, line + 5 + (line[5] == ' '));
    } else if (!strncmp(line, "event:", 6)) {
        ds_clear(&s->name);
        ds_put_cstr(&s->name, line + 6 + (line[6] == ' '));
    }
    ds_clear(&s->line);
}

static size_t
take_data(char *data, size_t size, size_t n, void *stream_)
{
    struct stream *s = stream_;

    for (size_t i = 0; i < size * n && !s->ended; i++) {
        if (data[i] == '\n') {
            take_line(s);
        } else {
            ds_put_char(&s->line, data[i]);
        }
    }
    return (s->ended || s->line.length + s->data.length > EVENT_MAX ? 0
            : size * n);
}

static int
tick(void *stream_, curl_off_t a OVS_UNUSED, curl_off_t b OVS_UNUSED,
     curl_off_t c OVS_UNUSED, curl_off_t d OVS_UNUSED)
{
    struct stream *s = stream_;

    s->ended = s->ended || !s->event(NULL, NULL, s->aux);
    return s->ended;
}

int
client_stream(struct client *client, const char *path,
              bool (*event)(const char *name, const struct json *data,
                            void *aux),
              void *aux, struct err *err)
{
    struct stream s = { .event = event, .aux = aux };
    CURL *curl = client->curl;
    long status = 0;

    struct curl_slist *headers = prepare(client, "GET", path,
                                         "Accept: text/event-stream");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &s);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, tick);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &s);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);

    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    ds_destroy(&s.line);
    ds_destroy(&s.name);
    ds_destroy(&s.data);
    if (s.ended) {
        return 0;
    }
    if (status >= 400) {
        return status_error(status, NULL, err);
    }
    if (code && code != CURLE_PARTIAL_FILE && code != CURLE_RECV_ERROR) {
        return connection_error(client, code, err);
    }
    return err_set(err, ECONNRESET, "the event stream of %s has ended",
                   client->target);
}
