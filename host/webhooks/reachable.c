#include "webhooks/reachable.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "io/reach.h"
#include "io/url.h"

struct block {
    uint8_t start[16];
    unsigned bits;
    const char *what;
};

/* IANA, IPv4 Special-Purpose Address Registry (RFC 6890), and multicast (RFC 5771). */
static const struct block blocks4[] = {
    {{0}, 8, "an address of this network"},
    {{10}, 8, "a private address"},
    {{100, 64}, 10, "a shared address"},
    {{127}, 8, "a loopback address"},
    {{169, 254}, 16, "a link-local address"},
    {{172, 16}, 12, "a private address"},
    {{192, 0, 0}, 24, "a special address"},
    {{192, 0, 2}, 24, "a documentation address"},
    {{192, 88, 99}, 24, "a relay address"},
    {{192, 168}, 16, "a private address"},
    {{198, 18}, 15, "a benchmarking address"},
    {{198, 51, 100}, 24, "a documentation address"},
    {{203, 0, 113}, 24, "a documentation address"},
    {{224}, 4, "a multicast address"},
    {{240}, 4, "a reserved address"},
};

/* IPv6: only 2000::/3 is given out; within it, IANA's IPv6 Special-Purpose Address Registry. */
static const struct block blocks6[] = {
    {{0x20, 0x01, 0x00}, 23, "a special address"}, /* Teredo, ORCHID, benchmarking, ... */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "a documentation address"},
    {{0x20, 0x02}, 16, "a relay address"},
    {{0x3f, 0xff, 0x00}, 20, "a documentation address"},
};

/* Of what is outside of 2000::/3, those that deserve a name. */
static const struct block named6[] = {
    {{0xfc}, 7, "a private address"},
    {{0xfe, 0x80}, 10, "a link-local address"},
    {{0xff}, 8, "a multicast address"},
};

/* Prefixes that an IPv4 address stands behind: mapped, compatible, NAT64 (RFC 6052). */
static const struct block carriers[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, ""},
    {{0, 0x64, 0xff, 0x9b}, 96, ""},
};

static bool within(const uint8_t *address, const struct block *block) {
    unsigned whole = block->bits / 8;
    unsigned rest = block->bits % 8;
    return memcmp(address, block->start, whole) == 0 &&
           (rest == 0 || (address[whole] ^ block->start[whole]) >> (8 - rest) == 0);
}

static const char *find(const uint8_t *address, const struct block *blocks, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (within(address, &blocks[i]))
            return blocks[i].what;
    return NULL;
}

#define FIND(address, blocks) find((address), (blocks), sizeof(blocks) / sizeof *(blocks))

static const char *special6(const uint8_t *address) {
    static const uint8_t loopback[16] = {[15] = 1};
    const char *what;
    if (memcmp(address, loopback, sizeof loopback) == 0)
        return "a loopback address";
    if (FIND(address, carriers))
        return FIND(address + 12, blocks4);
    if (address[0] >> 5 == 1)
        return FIND(address, blocks6);
    what = FIND(address, named6);
    return what ? what : "a special address";
}

const char *address_special(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        uint8_t bytes[16] = {0};
        memcpy(&four, address, sizeof four);
        memcpy(bytes, &four.sin_addr, 4);
        return FIND(bytes, blocks4);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return special6(six.sin6_addr.s6_addr);
    }
    return "no Internet address";
}

/* "http://127.0.0.1:80/", as reach.h takes it; `shown` without the rest. */
static void address_url(const struct sockaddr *address, char *url, size_t size,
                        char shown[INET6_ADDRSTRLEN]) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        inet_ntop(AF_INET, &four.sin_addr, shown, INET6_ADDRSTRLEN);
        snprintf(url, size, "http://%s:%u/", shown, (unsigned)ntohs(four.sin_port));
    } else {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        inet_ntop(AF_INET6, &six.sin6_addr, shown, INET6_ADDRSTRLEN);
        snprintf(url, size, "http://[%s]:%u/", shown, (unsigned)ntohs(six.sin6_port));
    }
}

/* A name may be allowed wherever it leads; an address in a URL is nothing but itself. */
static bool name_allowed(const char *text, const struct reachable *reachable) {
    struct url url;
    char ignored[240];
    return !url_parse(text, &url) && url.kind == URL_NAME &&
           reach_allows(text, NULL, reachable->entries, reachable->count, ignored, sizeof ignored);
}

bool address_reachable(const struct sockaddr *address, const char *url,
                       const struct reachable *reachable, char *why, size_t why_size) {
    char shown[INET6_ADDRSTRLEN] = "?";
    char of_address[INET6_ADDRSTRLEN + 24];
    char ignored[240];
    const char *special = address_special(address);
    if (!special)
        return true;
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
        address_url(address, of_address, sizeof of_address, shown);
        if (name_allowed(url, reachable) || reach_allows(of_address, NULL, reachable->entries,
                                                         reachable->count, ignored, sizeof ignored))
            return true;
    }
    snprintf(why, why_size,
             "%s is %s; to allow it, name it in the site file: http = { webhooks = { allow = { "
             "\"%s\" } } }",
             shown, special, shown);
    return false;
}
