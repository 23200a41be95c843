#include "wire.h"

#include <stdio.h>
#include <string.h>

#include "link.h"

static const struct {
    const char *scheme;
    enum link_kind kind;
} schemes[] = {{"tcp://", LINK_TCP},    {"rtu://", LINK_SERIAL}, {"http://", LINK_HTTP},
               {"https://", LINK_HTTP}, {"udp://", LINK_UDP},    {"line://", LINK_LINE},
               {"mqtt://", LINK_MQTT},  {"mqtts://", LINK_MQTT}};

enum link_kind wire_kind(const char *url) {
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(url, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            return schemes[i].kind;
    return LINK_KIND_COUNT;
}

bool wire_is_modbus(enum link_kind kind) {
    return kind == LINK_TCP || kind == LINK_SERIAL;
}

bool wire_url_valid(const char *url, char *why, size_t why_size) {
    enum link_kind kind = wire_kind(url);
    if (wire_is_modbus(kind))
        return link_url_valid(url, why, why_size);
    if (kind != LINK_KIND_COUNT)
        return true;
    snprintf(
        why, why_size,
        "expected a link like tcp://192.168.1.20:502, rtu:///dev/ttyUSB0, http://192.168.1.21, "
        "udp://192.168.1.22:7090, line://192.168.1.23:23 or mqtt://192.168.1.2/meter, got "
        "\"%.40s\"",
        url);
    return false;
}
