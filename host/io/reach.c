#include "io/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/url.h"

struct range { /* of addresses */
    enum url_host kind;
    uint8_t address[16];
    unsigned bits; /* that count, from the left */
};

/* "192.168.1.0/24", "fd00::/8"; what is wrong as a constant text, or NULL. */
static const char *range_parse(const char *entry, struct range *range) {
    char host[64];
    struct url url;
    const char *slash = strchr(entry, '/');
    size_t length = (size_t)(slash - entry), digits = strspn(slash + 1, "0123456789");
    if (length >= sizeof host || *entry == '[')
        return "before the / stands an address, without brackets and port";
    memcpy(host, entry, length);
    host[length] = '\0';
    const char *mistake = url_parse_host(host, &url);
    if (mistake)
        return mistake;
    if (url.kind == URL_NAME || url.port)
        return "before the / stands an address, without brackets and port";
    if (url.kind == URL_IPV4 && strchr(host, ':'))
        return "a range of IPv4 addresses is written in IPv4";
    if (digits == 0 || digits > 3 || slash[1 + digits])
        return "after the / stands the number of bits that count";
    range->kind = url.kind;
    memcpy(range->address, url.address, sizeof range->address);
    range->bits = (unsigned)strtoul(slash + 1, NULL, 10);
    return range->bits > (url.kind == URL_IPV4 ? 32 : 128) ? "more bits count than the address has"
                                                           : NULL;
}

static bool range_holds(const struct range *range, const struct url *url) {
    if (url->kind != range->kind)
        return false;
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(range->address, url->address, whole) != 0)
        return false;
    return rest == 0 || ((range->address[whole] ^ url->address[whole]) >> (8 - rest)) == 0;
}

/* Both hosts are in their one form. */
static bool same_host(const struct url *a, const struct url *b) {
    return a->kind == b->kind && strcmp(a->host, b->host) == 0;
}

static bool entry_holds(const char *entry, const struct url *url) {
    struct range range;
    struct url host;
    if (strchr(entry, '/'))
        return !range_parse(entry, &range) && range_holds(&range, url);
    return !url_parse_host(entry, &host) && same_host(&host, url) &&
           (host.port == 0 || host.port == url->port);
}

bool reach_allows(const char *url, const char *own, const char *const *allowed, size_t count,
                  char *why, size_t why_size) {
    struct url target, device;
    const char *mistake = url_parse(url, &target);
    if (!mistake && target.port == 0)
        mistake = "the port is missing";
    if (mistake) {
        snprintf(why, why_size, "expected the URL of a host that may be reached: %s", mistake);
        return false;
    }
    bool known = own && !url_parse(own, &device) && device.port != 0;
    if (known && same_host(&device, &target) && device.port == target.port)
        return true;
    for (size_t i = 0; i < count; i++)
        if (entry_holds(allowed[i], &target))
            return true;
    snprintf(
        why, why_size,
        "%.80s port %u may not be reached: a script talks to its device%s%.80s and to the hosts "
        "that the device is allowed beside it",
        target.host, target.port, known ? ", " : "", known ? device.host : "");
    return false;
}

bool reach_entry_valid(const char *entry, char *why, size_t why_size) {
    struct range range;
    struct url host;
    const char *mistake =
        strchr(entry, '/') ? range_parse(entry, &range) : url_parse_host(entry, &host);
    if (mistake)
        snprintf(why, why_size,
                 "expected \"host\", \"host:port\" or a range like \"192.168.1.0/24\", got "
                 "\"%.60s\": %s",
                 entry, mistake);
    return !mistake;
}
