#ifndef API_API_PRIVATE_H
#define API_API_PRIVATE_H 1

/* What the files of api/ share. */

#include <stddef.h>

#include "openvswitch/list.h"

#include "api/api.h"

struct http_server;

#define API_MAX_SERVERS 3

struct api {
    struct store *store;
    struct http_server *servers[API_MAX_SERVERS];
    size_t n_servers;
    char *token;
    long long now, wall_now;    /* Of this turn. */

    struct ovs_list waiting;    /* Requests that wait for the store. */
    struct ovs_list streams;    /* Of "struct stream"s. */
    size_t n_streams;
    long long next_keepalive;
};

#endif /* api/api-private.h */
