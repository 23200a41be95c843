/* Where webhooks may be sent to: an address that carries another one is as special as that one, and
 * nothing of this machine or its network is public. The input is 16 bytes of address, then a URL.
 */
#include "fuzz.h"

#include <netinet/in.h>

#include "webhooks/reachable.h"

static const char *special4(const uint8_t *bytes) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    memcpy(&four.sin_addr, bytes, 4);
    return address_special((struct sockaddr *)&four);
}

static const char *special6(const uint8_t *bytes) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    memcpy(&six.sin6_addr, bytes, 16);
    return address_special((struct sockaddr *)&six);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    uint8_t bytes[16] = {0}, carried[16];
    char why[400] = "";
    if (size < 16)
        return -1;
    memcpy(bytes, data, 16);
    const char *four = special4(bytes), *six = special6(bytes);
    bool local = bytes[0] == 127 || bytes[0] == 10 || bytes[0] == 0 || bytes[0] >= 224 ||
                 (bytes[0] == 192 && bytes[1] == 168) || (bytes[0] == 169 && bytes[1] == 254) ||
                 (bytes[0] == 172 && bytes[1] >> 4 == 1);
    must(!local || four);
    must(bytes[0] >> 5 == 1 || six || memcmp(bytes, mapped, 12) == 0 ||
         memcmp(bytes, nat64, 12) == 0 || memcmp(bytes, (uint8_t[12]){0}, 12) == 0);
    memcpy(carried, mapped, 12);
    memcpy(carried + 12, bytes, 4);
    must((special6(carried) != NULL) == (four != NULL));
    memcpy(carried, nat64, 12);
    must((special6(carried) != NULL) == (four != NULL));

    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, bytes, 4);
    char *url = text_copy(data + 16, size - 16);
    const struct reachable nothing = {NULL, 0};
    const char *const entries[] = {"10.0.0.0/8", "meter.local", "fd00::/8"};
    const struct reachable some = {entries, 3};
    must(!four || !address_reachable((struct sockaddr *)&to, url, &nothing, why, sizeof why));
    if (address_reachable((struct sockaddr *)&to, url, &some, why, sizeof why))
        must(!four || bytes[0] == 10 || strcasestr(url, "meter.local"));
    else
        must(why[0]);
    free(url);
    return 0;
}
