/* A range of addresses: "192.168.1.0/24", "fd00::/8", or one address alone. Pure. Addresses are
 * read by io/url.h and by nothing else, so that one written in two ways is one: an IPv4 address
 * inside IPv6 (::ffff:10.0.0.1) is the IPv4 one. */
#ifndef DERD_IO_NETWORK_H
#define DERD_IO_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "io/url.h"

struct network {
    enum url_host kind; /* URL_IPV4, URL_IPV6 */
    uint8_t address[16];
    unsigned bits; /* that count, from the left */
};

/* What is wrong as a constant text, or NULL. A port, a name or brackets are mistakes. */
const char *network_parse(const char *text, struct network *network);
/* Whether the host is an address within it; a name never is. */
bool network_holds(const struct network *network, const struct url *host);

#endif
