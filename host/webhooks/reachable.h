/* Which addresses webhooks may be sent to. Whoever has a token chooses the URL, so the host must
 * not become a way into the network that it stands in: addresses that are not public are refused
 * unless the site file allows them. What is looked at is the address that is connected to, after
 * its name was resolved; a name that changes its address in between gains nothing. Pure. */
#ifndef DERD_WEBHOOKS_REACHABLE_H
#define DERD_WEBHOOKS_REACHABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct reachable { /* http.webhooks.allow of the site file */
    const char *const *entries;
    size_t count;
};

/* Why the address is none that anyone on the Internet has ("a loopback address"), or NULL. Of an
 * IPv6 address that carries an IPv4 one, that counts. A family other than the two is special. */
const char *address_special(const struct sockaddr *address);
/* Whether `url`, whose name has resolved to `address`, may be connected to: it is public, or the
 * list has the URL's host or the address. Else `why` says what to do. */
bool address_reachable(const struct sockaddr *address, const char *url,
                       const struct reachable *reachable, char *why, size_t why_size);

#endif
