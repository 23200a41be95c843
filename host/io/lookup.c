/* Names become addresses on libuv's worker threads. A lookup that runs cannot be stopped; it lives
 * in memory of its own and what it finds after a cancel is nobody's. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/room.h"

struct lookup {
    uv_getaddrinfo_t request;
    struct io *io;
    lookup_done *done; /* NULL: cancelled */
    void *owner;
};

bool addresses_of(const struct url *url, struct addresses *addresses) {
    *addresses = (struct addresses){0};
    union address *address = addresses->list;
    if (url->kind == URL_IPV4) {
        address->ipv4.sin_family = AF_INET;
        address->ipv4.sin_port = htons((uint16_t)url->port);
        memcpy(&address->ipv4.sin_addr, url->address, 4);
    } else if (url->kind == URL_IPV6) {
        address->ipv6.sin6_family = AF_INET6;
        address->ipv6.sin6_port = htons((uint16_t)url->port);
        memcpy(&address->ipv6.sin6_addr, url->address, 16);
    } else {
        return false;
    }
    addresses->count = 1;
    return true;
}

bool address_same_host(const union address *a, const union address *b) {
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->ipv4.sin_addr.s_addr == b->ipv4.sin_addr.s_addr;
    return memcmp(&a->ipv6.sin6_addr, &b->ipv6.sin6_addr, sizeof a->ipv6.sin6_addr) == 0;
}

bool address_same_port(const union address *a, const union address *b) {
    return a->any.sa_family == AF_INET ? a->ipv4.sin_port == b->ipv4.sin_port
                                       : a->ipv6.sin6_port == b->ipv6.sin6_port;
}

static void take(struct addresses *addresses, const struct addrinfo *info) {
    for (; info && addresses->count < ADDRESSES_MAXIMUM; info = info->ai_next) {
        union address *address = &addresses->list[addresses->count];
        if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
            info->ai_addrlen > sizeof *address)
            continue;
        memcpy(address, info->ai_addr, info->ai_addrlen);
        addresses->count++;
    }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *info) {
    struct lookup *lookup = request->data;
    struct addresses addresses = {0};
    take(&addresses, info);
    uv_freeaddrinfo(info);
    if (status == 0 && addresses.count == 0)
        status = UV_EAI_NODATA;
    lookup->io->live--;
    if (lookup->done)
        lookup->done(lookup->owner, status, &addresses);
    free(lookup);
}

struct lookup *lookup_start(struct io *io, const struct url *url, int family, lookup_done *done,
                            void *owner) {
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return NULL;
    lookup->request.data = lookup;
    lookup->io = io;
    lookup->done = done;
    lookup->owner = owner;
    char port[8];
    snprintf(port, sizeof port, "%u", url->port);
    const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    if (uv_getaddrinfo(io->loop, &lookup->request, on_looked_up, url->host, port, &hints) < 0) {
        free(lookup);
        return NULL;
    }
    io->live++;
    return lookup;
}

void lookup_cancel(struct lookup *lookup) {
    if (!lookup)
        return;
    lookup->done = NULL;
    uv_cancel((uv_req_t *)&lookup->request);
}
