#include "kit/talk_mqtt.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum packet {
    CONNECT = 1,
    PUBLISH = 3,
    SUBSCRIBE = 8,
    UNSUBSCRIBE = 10,
    PINGREQ = 12,
    DISCONNECT = 14
};

static size_t word_at(const uint8_t *at) {
    return (size_t)at[0] << 8 | at[1];
}

/* Section 4.7: "+" is one level, "#" all that follow. */
static bool matches(const char *filter, const char *topic) {
    for (;;) {
        size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");
        if (filter[0] == '#')
            return true;
        if (!(f == 1 && filter[0] == '+') && (f != t || strncmp(filter, topic, f) != 0))
            return false;
        if (!filter[f] || !topic[t])
            return filter[f] == topic[t] || strcmp(filter + f, "/#") == 0;
        filter += f + 1;
        topic += t + 1;
    }
}

static bool take_publish(uint8_t flags, const uint8_t *body, size_t length, mqtt_peer_heard *heard,
                         void *heard_context, mqtt_peer_say *say, void *say_context) {
    char topic[300];
    int qos = flags >> 1 & 3;
    size_t size = length >= 2 ? word_at(body) : SIZE_MAX;
    size_t head = 2 + size + (qos > 0 ? 2 : 0);
    if (size >= sizeof topic || head > length || qos > 1)
        return false;
    snprintf(topic, sizeof topic, "%.*s", (int)size, (const char *)body + 2);
    heard(heard_context, topic, (const char *)body + head, length - head);
    if (qos == 1) {
        const uint8_t ack[] = {0x40, 2, body[2 + size], body[3 + size]};
        say(say_context, ack, sizeof ack);
    }
    return true;
}

static bool take_subscribe(struct mqtt_peer *peer, const uint8_t *body, size_t length,
                           mqtt_peer_say *say, void *say_context) {
    uint8_t ack[4 + MQTT_PEER_FILTERS] = {0x90, 2, body[0], body[1]};
    size_t at = 2, count = 0;
    while (at + 3 <= length && count < MQTT_PEER_FILTERS) {
        size_t size = word_at(body + at);
        if (at + 2 + size + 1 > length)
            return false;
        if (peer->filter_count < MQTT_PEER_FILTERS)
            snprintf(peer->filters[peer->filter_count++], sizeof peer->filters[0], "%.*s",
                     (int)size, (const char *)body + at + 2);
        ack[4 + count++] = 0;
        at += 3 + size;
    }
    ack[1] = (uint8_t)(2 + count);
    say(say_context, ack, 4 + count);
    return true;
}

size_t mqtt_peer_take(struct mqtt_peer *peer, const char *data, size_t length,
                      mqtt_peer_heard *heard, void *heard_context, mqtt_peer_say *say,
                      void *say_context) {
    static const uint8_t connack[] = {0x20, 2, 0, 0}, pong[] = {0xD0, 0};
    const uint8_t *bytes = (const uint8_t *)data;
    size_t rest = 0, head = 1;
    do { /* section 2.2.3: seven bits in each byte, the low ones first */
        if (head >= length)
            return 0;
        if (head > 4)
            return MQTT_PEER_WRONG;
        rest |= (size_t)(bytes[head] & 127) << (7 * (head - 1));
    } while (bytes[head++] & 128);
    if (length < head + rest)
        return rest > 60000 ? MQTT_PEER_WRONG : 0;
    const uint8_t *body = bytes + head;
    bool ok = true;
    switch (bytes[0] >> 4) {
    case CONNECT:
        peer->connected = true;
        say(say_context, connack, sizeof connack);
        break;
    case PUBLISH:
        ok = take_publish(bytes[0], body, rest, heard, heard_context, say, say_context);
        break;
    case SUBSCRIBE:
        ok = rest >= 5 && take_subscribe(peer, body, rest, say, say_context);
        break;
    case UNSUBSCRIBE: {
        const uint8_t ack[] = {0xB0, 2, rest >= 2 ? body[0] : 0, rest >= 2 ? body[1] : 0};
        say(say_context, ack, sizeof ack);
        break;
    }
    case PINGREQ:
        say(say_context, pong, sizeof pong);
        break;
    case DISCONNECT:
        ok = false;
        break;
    default:
        break; /* acknowledgements */
    }
    return ok ? head + rest : MQTT_PEER_WRONG;
}

void mqtt_peer_publish(const struct mqtt_peer *peer, const char *topic, const char *payload,
                       size_t length, mqtt_peer_say *say, void *context) {
    size_t size = strlen(topic), rest = 2 + size + length, used = 1;
    bool due = false;
    for (size_t i = 0; i < peer->filter_count; i++)
        due = due || matches(peer->filters[i], topic);
    uint8_t *packet = due && size < 300 ? malloc(8 + rest) : NULL;
    if (!packet)
        return;
    packet[0] = PUBLISH << 4;
    for (size_t left = rest; left > 0 || used == 1; left >>= 7)
        packet[used++] = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
    packet[used++] = (uint8_t)(size >> 8);
    packet[used++] = (uint8_t)size;
    memcpy(packet + used, topic, size); // NOLINT(bugprone-not-null-terminated-result): of a packet
    memcpy(packet + used + size, payload, length);
    say(context, packet, used + size + length);
    free(packet);
}
