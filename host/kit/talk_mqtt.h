/* The broker's side of MQTT 3.1.1 for the simulated device (talk.c): it lets everybody in, hears
 * what is published and sends what is due. No sessions, no retained messages, no QoS 2.
 *
 * Source: MQTT Version 3.1.1, OASIS Standard, chapters 2 and 3. */
#ifndef DERD_KIT_TALK_MQTT_H
#define DERD_KIT_TALK_MQTT_H

#include <stdbool.h>
#include <stddef.h>

#define MQTT_PEER_WRONG   ((size_t)-1)
#define MQTT_PEER_FILTERS 16

struct mqtt_peer { /* one connection */
    bool connected;
    char filters[MQTT_PEER_FILTERS][128];
    size_t filter_count;
};

typedef void mqtt_peer_heard(void *context, const char *topic, const char *payload, size_t length);
typedef void mqtt_peer_say(void *context, const void *data, size_t length);

/* Takes one packet off `data`; its length, 0 when it is not whole yet, MQTT_PEER_WRONG. */
size_t mqtt_peer_take(struct mqtt_peer *peer, const char *data, size_t length,
                      mqtt_peer_heard *heard, void *heard_context, mqtt_peer_say *say,
                      void *say_context);
/* Sends it with QoS 0 if the connection has asked for such a topic. */
void mqtt_peer_publish(const struct mqtt_peer *peer, const char *topic, const char *payload,
                       size_t length, mqtt_peer_say *say, void *context);

#endif
