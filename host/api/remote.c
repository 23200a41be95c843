#include "api/remote.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

const char *proxies_add(struct proxies *proxies, const char *entry) {
    struct network network;
    if (proxies->count == PROXIES_MAXIMUM)
        return "these are more proxies than are taken";
    const char *mistake = network_parse(entry, &network);
    if (mistake)
        return mistake;
    if (network.bits < (network.kind == URL_IPV4 ? PROXIES_BITS_IPV4 : PROXIES_BITS_IPV6))
        return "the range is so wide that nearly everyone could forge an address: name the proxies "
               "themselves";
    proxies->networks[proxies->count++] = network;
    return NULL;
}

bool proxies_hold(const struct proxies *proxies, const struct url *host) {
    for (size_t i = 0; i < proxies->count; i++)
        if (network_holds(&proxies->networks[i], host))
            return true;
    return false;
}

/* An address, with a port or without; "%eth0", names and "unknown" are none. */
static bool address_parse(const char *text, size_t length, struct url *host) {
    char copy[REMOTE_SIZE + sizeof "[]:65535"];
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return !url_parse_host(copy, host) && host->kind != URL_NAME &&
           strlen(host->host) < REMOTE_SIZE;
}

static void take(struct remote *remote, const struct url *host) {
    memcpy(remote->address, host->host, strlen(host->host) + 1);
}

/* The last element of the list that ends at `*end`, without blanks; *end moves to its comma, or
 * becomes NULL at the first. */
static const char *last_element(const char *list, const char **end, size_t *length) {
    const char *start = *end, *stop = *end;
    while (start > list && start[-1] != ',')
        start--;
    *end = start > list ? start - 1 : NULL;
    start += strspn(start, BLANKS); /* at most to the comma, or to the end */
    while (stop > start && strchr(BLANKS, stop[-1]))
        stop--;
    *length = (size_t)(stop - start);
    return start;
}

/* Walks one header line from its right end. True when the walk is over: the client was found, or
 * what stands there is no address. */
static bool walk_line(struct remote *remote, const char *list, const struct proxies *proxies,
                      int *hops) {
    for (const char *end = list + strlen(list); end;) {
        struct url host;
        size_t length;
        const char *element = last_element(list, &end, &length);
        if (length == 0) /* RFC 9110, 5.6.1: empty elements of a list say nothing */
            continue;
        if (++*hops > REMOTE_HOPS || !address_parse(element, length, &host))
            return true;
        take(remote, &host);
        if (!proxies_hold(proxies, &host))
            return true;
    }
    return false;
}

static void read_forwarded(struct remote *remote, const struct proxies *proxies,
                           const struct request_head *head) {
    int hops = 0;
    for (size_t i = head->header_count; i-- > 0;)
        if (strcasecmp(head->headers[i].name, "X-Forwarded-For") == 0 &&
            walk_line(remote, head->headers[i].value, proxies, &hops))
            return;
}

/* Of the proxy that is connected: the last word. Anything but "https" is not secure. */
static void read_proto(struct remote *remote, const struct request_head *head) {
    for (size_t i = head->header_count; i-- > 0;)
        if (strcasecmp(head->headers[i].name, "X-Forwarded-Proto") == 0) {
            const char *value = head->headers[i].value, *end = value + strlen(value);
            size_t length;
            const char *word = last_element(value, &end, &length);
            remote->secure = length == 5 && strncasecmp(word, "https", 5) == 0;
            return;
        }
}

void remote_find(struct remote *remote, const char *peer, const struct proxies *proxies,
                 const struct request_head *head) {
    struct url host;
    struct in_addr ipv4;
    *remote = (struct remote){0};
    if (peer && proxies->count == 0 && inet_pton(AF_INET, peer, &ipv4) == 1) { /* the usual one */
        memcpy(remote->address, peer, strlen(peer) + 1);
        return;
    }
    if (!peer || !address_parse(peer, strlen(peer), &host))
        return;
    take(remote, &host);
    remote->proxied = proxies_hold(proxies, &host);
    if (!remote->proxied)
        return;
    read_forwarded(remote, proxies, head);
    read_proto(remote, head);
}
