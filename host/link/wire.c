#include "link/wire.h"

#include <stdio.h>
#include <string.h>

#include "io/http.h"
#include "io/line.h"
#include "io/mqtt.h"
#include "io/udp.h"
#include "io/url.h"
#include "link/link.h"

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

void wire_line_url(const char *url, char *text, size_t size) {
    snprintf(text, size, "tcp://%s", url + strlen("line://"));
}

static const char *behind_scheme(const char *url) {
    const char *mark = strstr(url, "://");
    return mark ? mark + 3 : url;
}

const char *wire_topic(const char *url) {
    const char *slash = strchr(behind_scheme(url), '/');
    return slash ? slash + 1 : "";
}

void wire_broker_url(const char *url, const char *user, char *text, size_t size) {
    const char *host = behind_scheme(url);
    snprintf(text, size, "%.*s%s%s%.*s", (int)(host - url), url, user, user[0] ? "@" : "",
             (int)strcspn(host, "/"), host);
}

static bool mqtt_link_valid(const char *url, char *why, size_t why_size) {
    char broker[260];
    const char *topic = wire_topic(url);
    wire_broker_url(url, "", broker, sizeof broker);
    if (!mqtt_url_valid(broker, why, why_size))
        return false;
    if (!topic[0] || (mqtt_topic_valid(topic) && topic[strlen(topic) - 1] != '/'))
        return true;
    snprintf(why, why_size, "\"%.60s\" is no topic: expected mqtt://broker/the/device's/topic",
             topic);
    return false;
}

bool wire_url_valid(const char *url, char *why, size_t why_size) {
    char text[200], shown[URL_SHOWN_SIZE];
    switch (wire_kind(url)) {
    case LINK_TCP:
    case LINK_SERIAL:
        return link_url_valid(url, why, why_size);
    case LINK_HTTP:
        return http_url_valid(url, why, why_size);
    case LINK_UDP:
        return udp_url_valid(url, why, why_size);
    case LINK_LINE:
        wire_line_url(url, text, sizeof text);
        return line_url_valid(text, why, why_size);
    case LINK_MQTT:
        return mqtt_link_valid(url, why, why_size);
    case LINK_KIND_COUNT:
        break;
    }
    snprintf(why, why_size,
             "expected a link like tcp://192.168.1.20:502, rtu:///dev/ttyUSB0, "
             "http://192.168.1.21, udp://192.168.1.22:7090, line://192.168.1.23:23 or "
             "mqtt://192.168.1.2/meter, got \"%s\"",
             url_shown(url, shown));
    return false;
}
