/* Where a request comes from: the address of who is connected or, when that is a proxy which the
 * site file names (http.proxies), the address that this proxy says it has the request from. From
 * anyone else X-Forwarded-For and X-Forwarded-Proto are not even looked at: who could send them
 * could be anyone. Pure.
 *
 * Each proxy on the way adds the address of its peer at the right end of X-Forwarded-For. So the
 * list is read from there: what trusted proxies wrote is true, up to the first address that is not
 * a trusted proxy's, and that one is the client; what stands left of it the client itself may have
 * written. If all are proxies, it is the leftmost. Where a trusted proxy wrote something that is no
 * address ("unknown"), who is behind it cannot be told: the answer is that proxy's own address, and
 * the request is served. A port behind an address is left away. */
#ifndef DERD_API_REMOTE_H
#define DERD_API_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/request.h"
#include "io/network.h"

#define REMOTE_SIZE       46 /* INET6_ADDRSTRLEN: an address in its one form, NUL */
#define REMOTE_HOPS       16 /* of the list that are looked at; more proxies are no sensible way */
#define PROXIES_MAXIMUM   16
#define PROXIES_BITS_IPV4 8 /* a range of proxies that is wider would be nearly everyone */
#define PROXIES_BITS_IPV6 16

struct proxies { /* that are trusted */
    struct network networks[PROXIES_MAXIMUM];
    size_t count;
};

struct remote {
    char address[REMOTE_SIZE]; /* "": not known */
    bool proxied;              /* a trusted proxy is connected */
    bool secure;               /* the client speaks TLS: X-Forwarded-Proto of a trusted proxy */
};

/* Adds "127.0.0.1", "fd00::1" or "10.0.0.0/24". What is wrong as a constant text, or NULL. */
const char *proxies_add(struct proxies *proxies, const char *entry);
/* Whether this address is one of them. */
bool proxies_hold(const struct proxies *proxies, const struct url *host);
/* `peer`: the address that is connected, as text; NULL or no address: nothing is known. */
void remote_find(struct remote *remote, const char *peer, const struct proxies *proxies,
                 const struct request_head *head);

#endif
