#include "base/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

bool address_parse(const char *text, struct sockaddr_in *address) {
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    if (!colon || length >= sizeof host || !colon[1] || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    long port = strtol(colon + 1, NULL, 10);
    memcpy(host, text, length);
    host[length] = '\0';
    address->sin_port = htons((uint16_t)port);
    return port <= 65535 && inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

bool address_is_loopback(const struct sockaddr_in *address) {
    return ntohl(address->sin_addr.s_addr) >> 24 == 127;
}
