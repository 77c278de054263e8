#ifndef API_HTTP_H
#define API_HTTP_H 1

/* HTTP over libmicrohttpd, in the poll loop: becomes requests, which go to
 * routes_dispatch(), and takes back their answers. */

#include "base/err.h"
#include "base/tls.h"

struct api;
struct http_server;
struct request;

#define HTTP_MAX_CONNECTIONS 256
#define HTTP_TIMEOUT_S 60

/* Listens on a socket of the file system; an old one is replaced unless
 * somebody listens on it. */
int http_open_unix(struct api *, const char *path, struct http_server **,
                   struct err *);

/* Listens on "ADDRESS:PORT", for HTTPS with the key and certificate in 'tls';
 * without them for HTTP, on loopback addresses only, else EACCES. */
int http_open_tcp(struct api *, const char *where, const struct tls_files *,
                  struct http_server **, struct err *);

/* Takes over a TCP socket that listens already, as who starts us may give. */
int http_open_fd(struct api *, int fd, const struct tls_files *,
                 struct http_server **, struct err *);
void http_close(struct http_server *);

/* Takes what is in the files now for new connections. */
int http_renew_tls(struct http_server *, const struct tls_files *,
                   struct err *);

void http_run(struct http_server *);
void http_wait(struct http_server *);

/* 'request', which waited, has its answer now. */
void http_resume(struct request *);

#endif /* api/http.h */
