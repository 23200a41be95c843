#include "io/reach.h"

#include <stdio.h>
#include <string.h>

#include "io/network.h"
#include "io/url.h"

/* Both hosts are in their one form. */
static bool same_host(const struct url *a, const struct url *b) {
    return a->kind == b->kind && strcmp(a->host, b->host) == 0;
}

static bool entry_holds(const char *entry, const struct url *url) {
    struct network network;
    struct url host;
    if (strchr(entry, '/'))
        return !network_parse(entry, &network) && network_holds(&network, url);
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
    struct network network;
    struct url host;
    const char *mistake =
        strchr(entry, '/') ? network_parse(entry, &network) : url_parse_host(entry, &host);
    if (mistake)
        snprintf(why, why_size,
                 "expected \"host\", \"host:port\" or a range like \"192.168.1.0/24\", got "
                 "\"%.60s\": %s",
                 entry, mistake);
    return !mistake;
}
