#include "io/network.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS_ONLY "before the / stands an address, without brackets and port"

/* "/24" after an address of `most` bits. */
static const char *bits_parse(const char *slash, unsigned most, unsigned *bits) {
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 3 || slash[1 + digits])
        return "after the / stands the number of bits that count";
    *bits = (unsigned)strtoul(slash + 1, NULL, 10);
    return *bits > most ? "more bits count than the address has" : NULL;
}

const char *network_parse(const char *text, struct network *network) {
    char host[64];
    struct url url;
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (length >= sizeof host || *text == '[')
        return ADDRESS_ONLY;
    memcpy(host, text, length);
    host[length] = '\0';
    const char *mistake = url_parse_host(host, &url);
    if (mistake)
        return mistake;
    if (url.kind == URL_NAME || url.port)
        return ADDRESS_ONLY;
    if (slash && url.kind == URL_IPV4 && strchr(host, ':'))
        return "a range of IPv4 addresses is written in IPv4";
    unsigned most = url.kind == URL_IPV4 ? 32 : 128;
    network->kind = url.kind;
    network->bits = most;
    memcpy(network->address, url.address, sizeof network->address);
    return slash ? bits_parse(slash, most, &network->bits) : NULL;
}

bool network_holds(const struct network *network, const struct url *host) {
    if (host->kind != network->kind || host->kind == URL_NAME)
        return false;
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, host->address, whole) != 0)
        return false;
    return rest == 0 || ((network->address[whole] ^ host->address[whole]) >> (8 - rest)) == 0;
}
