/* The clients of one machine, over which its hooks talk to the device: opened by the machine's link
 * when first needed, with the secrets of its site entry, which scripts never see. Other addresses
 * only as the site allows (io/reach.h). Engine thread. */
#ifndef DERD_CLIENTS_H
#define DERD_CLIENTS_H

#include <stddef.h>

#include "io/http.h"
#include "io/line.h"
#include "io/mqtt.h"
#include "io/udp.h"

#define CLIENTS_OTHERS        4 /* HTTP addresses beside the device's own */
#define CLIENTS_SUBSCRIPTIONS 32

struct machine;

struct clients { /* NULL: not open */
    struct http_client *http;
    struct http_client *others[CLIENTS_OTHERS];
    struct udp_client *udp;
    struct line_client *line;
    struct mqtt_client *mqtt;
    struct {
        struct mqtt_subscription *subscription;
        char filter[MQTT_TOPIC_MAXIMUM + 1];
    } topics[CLIENTS_SUBSCRIPTIONS];
    size_t topic_count;
};

/* What must hear from the start is opened: subscriptions, a fixed local port. */
void clients_begin(struct machine *machine);
/* Ends what is under way; none of it is told. */
void clients_close(struct machine *machine);

/* NULL with a sentence in `why`. For `url` of another address than the device's, *path is what
 * stands behind that address. */
struct http_client *clients_http(struct machine *machine, const char *url, const char **path,
                                 char *why, size_t why_size);
struct udp_client *clients_udp(struct machine *machine, char *why, size_t why_size);
struct line_client *clients_line(struct machine *machine, char *why, size_t why_size);
struct mqtt_client *clients_mqtt(struct machine *machine, char *why, size_t why_size);
/* The subscription that hears `filter`, made if there is none. */
struct mqtt_subscription *clients_subscribe(struct machine *machine, const char *filter, char *why,
                                            size_t why_size);
/* `topic` as the broker knows it: "{}" in it is the link's topic, which else stands before it.
 * False when it is none. */
bool clients_topic(const struct machine *machine, const char *topic, char *full, size_t size);

#endif
