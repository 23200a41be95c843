/* What a broker sends: topics and payloads into subscriptions that keep the last of each. First
 * line: a filter; then messages, each a line with the topic and one with the payload. */
#include "fuzz.h"

#include "io/mqtt_internal.h"

static size_t heard_bytes;

static void heard(struct mqtt_subscription *subscription, const struct mqtt_message *message,
                  void *owner) {
    (void)owner;
    must(subscription->count <= MQTT_TOPICS_MAXIMUM && subscription->bytes <= MQTT_BYTES_MAXIMUM);
    must(((const char *)message->payload)[message->length] == '\0');
    must(mqtt_last(subscription, message->topic) == message &&
         mqtt_last(subscription, NULL) == message);
    heard_bytes += message->length;
}

static struct mqtt_subscription *subscribe(struct mqtt_connection *connection, const char *filter) {
    struct mqtt_subscription *subscription = calloc(1, sizeof *subscription);
    must(subscription);
    subscription->connection = connection;
    subscription->heard = heard;
    snprintf(subscription->filter, sizeof subscription->filter, "%s", filter);
    TAILQ_INSERT_TAIL(&connection->subscriptions, subscription, entry);
    return subscription;
}

/* What is in bytes is what the topics and payloads make. */
static void check_kept(const struct mqtt_subscription *subscription) {
    size_t bytes = 0;
    for (size_t i = 0; i < subscription->count; i++) {
        const struct mqtt_message *message = mqtt_each(subscription, i);
        must(message && mqtt_last(subscription, message->topic) == message);
        bytes += strlen(message->topic) + message->length + 2;
    }
    must(!mqtt_each(subscription, subscription->count));
    must(bytes == subscription->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct mqtt_connection connection = {.text = "mqtt://broker"};
    char *filter = feed_line(&feed);
    TAILQ_INIT(&connection.subscriptions);
    TAILQ_INIT(&connection.gone);
    STAILQ_INIT(&connection.arrivals);
    struct mqtt_subscription *all = subscribe(&connection, "#");
    struct mqtt_subscription *some =
        mqtt_filter_valid(filter) ? subscribe(&connection, filter) : NULL;
    while (feed.size > 0) {
        char *topic = feed_line(&feed), *payload = feed_line(&feed);
        const struct mosquitto_message message = {.topic = topic,
                                                  .payload = payload,
                                                  .payloadlen = (int)strlen(payload),
                                                  .retain = payload[0] == 'r'};
        if (mqtt_topic_valid(topic)) /* others libmosquitto does not let through */
            mqtt_arrived(&connection, &message);
        if (payload[0] == 'h')
            mqtt_hear_all(&connection);
        free(topic), free(payload);
    }
    mqtt_hear_all(&connection);
    check_kept(all);
    if (some)
        check_kept(some);
    must(connection.arrived == 0 && connection.arrived_bytes == 0);
    while (!TAILQ_EMPTY(&connection.subscriptions)) {
        struct mqtt_subscription *at = TAILQ_FIRST(&connection.subscriptions);
        TAILQ_REMOVE(&connection.subscriptions, at, entry);
        TAILQ_INSERT_TAIL(&connection.gone, at, entry);
    }
    mqtt_bury(&connection);
    free(filter);
    return 0;
}
