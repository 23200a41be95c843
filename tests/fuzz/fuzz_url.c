/* URLs: of links, of what hooks may reach, of webhooks; and serial lines. What is accepted means
 * the same host when it is written out again, and a device reaches itself. The first line is the
 * URL, the second an entry of what may be reached. */
#include "fuzz.h"

#include "io/reach.h"
#include "io/url.h"
#include "link/rtu_settings.h"
#include "link/wire.h"

static void check_url(const char *text) {
    struct url url, again;
    char form[URL_MAXIMUM + 400];
    if (url_parse(text, &url))
        return;
    must(url.host[0] && strlen(url.host) < URL_HOST_SIZE && url.port <= 65535);
    must(url.rest >= text && url.rest <= text + strlen(text));
    must(!*url.rest || strchr("/?#", *url.rest));
    for (const char *at = url.host; *at; at++)
        must(*at > ' ' && *at < 0x7f && !strchr("/?#@\\%", *at) && !(*at >= 'A' && *at <= 'Z'));
    bool six = url.kind == URL_IPV6;
    char port[16] = "";
    if (url.port)
        snprintf(port, sizeof port, ":%u", url.port);
    snprintf(form, sizeof form, "%s://%s%s%s%s%s%s%s", url.scheme, url.user, url.user[0] ? "@" : "",
             six ? "[" : "", url.host, six ? "]" : "", port, url.rest);
    if (strlen(form) > URL_MAXIMUM)
        return; /* a default port was added */
    must(!url_parse(form, &again));
    must(strcmp(url.host, again.host) == 0 && url.port == again.port && url.kind == again.kind &&
         strcmp(url.user, again.user) == 0 && strcmp(url.rest, again.rest) == 0);
    if (url.kind != URL_NAME)
        must(memcmp(url.address, again.address, url.kind == URL_IPV4 ? 4 : 16) == 0);
}

static void check_reach(const char *url, const char *entry) {
    struct url parsed;
    char why[300] = "";
    const char *const allowed[] = {entry};
    bool right = url_parse(url, &parsed) == NULL;
    if (right && parsed.port)
        must(reach_allows(url, url, NULL, 0, why, sizeof why));
    if (reach_allows(url, NULL, allowed, 1, why, sizeof why))
        must(right && reach_entry_valid(entry, why, sizeof why));
    else
        must(why[0]);
    must(!reach_allows(url, NULL, NULL, 0, why, sizeof why));
}

static void check_wire(const char *text) {
    struct rtu_settings settings;
    char why[300] = "";
    enum link_kind kind = wire_kind(text);
    if (!wire_url_valid(text, why, sizeof why))
        must(why[0]);
    else
        must(kind != LINK_KIND_COUNT);
    if (rtu_settings_parse(text, &settings, why, sizeof why)) {
        must(kind == LINK_SERIAL && settings.device[0] == '/');
        must(settings.baud > 0 && strchr("NEO", settings.parity) &&
             (settings.stop_bits == 1 || settings.stop_bits == 2));
        must(rtu_character_us(&settings) > 0 && rtu_silence_us(&settings) > 0);
    }
    if (kind == LINK_MQTT) {
        char broker[URL_MAXIMUM];
        wire_broker_url(text, "", broker, sizeof broker);
        must(wire_topic(text));
    } else if (kind == LINK_LINE) {
        char line[URL_MAXIMUM];
        wire_line_url(text, line, sizeof line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct url url;
    char *text = feed_line(&feed), *entry = feed_line(&feed);
    check_url(text);
    check_reach(text, entry);
    check_wire(text);
    if (!url_parse_host(entry, &url))
        must(url.host[0]);
    free(text), free(entry);
    return 0;
}
