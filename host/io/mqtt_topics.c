/* Subscriptions, and the last message of each topic that they keep.
 *
 * libmosquitto calls back while it holds a lock, so what it has read is only noted and heard when
 * it has returned. What callers' code unsubscribes while it hears is buried after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/mqtt_internal.h"

bool mqtt_topic_valid(const char *topic) {
    size_t length = strlen(topic);
    return length > 0 && length <= MQTT_TOPIC_MAXIMUM &&
           mosquitto_validate_utf8(topic, (int)length) == MOSQ_ERR_SUCCESS &&
           mosquitto_pub_topic_check(topic) == MOSQ_ERR_SUCCESS;
}

bool mqtt_filter_valid(const char *filter) {
    size_t length = strlen(filter);
    return length > 0 && length <= MQTT_TOPIC_MAXIMUM &&
           mosquitto_validate_utf8(filter, (int)length) == MOSQ_ERR_SUCCESS &&
           mosquitto_sub_topic_check(filter) == MOSQ_ERR_SUCCESS;
}

/* ---- what is kept ---- */

static struct mqtt_kept **find(struct mqtt_subscription *subscription, const char *topic) {
    for (size_t i = 0; i < subscription->count; i++)
        if (strcmp(subscription->kept[i]->message.topic, topic) == 0)
            return &subscription->kept[i];
    return NULL;
}

static struct mqtt_kept *kept_new(const struct mosquitto_message *message) {
    size_t topic = strlen(message->topic) + 1, length = (size_t)message->payloadlen;
    struct mqtt_kept *kept = malloc(sizeof *kept + topic + length + 1);
    if (!kept)
        return NULL;
    char *at = (char *)(kept + 1);
    memcpy(at, message->topic, topic);
    if (length)
        memcpy(at + topic, message->payload, length);
    at[topic + length] = '\0';
    kept->bytes = topic + length + 1;
    kept->message = (struct mqtt_message){.at = clock_mono(),
                                          .retained = message->retain,
                                          .topic = at,
                                          .payload = (const uint8_t *)at + topic,
                                          .length = length};
    return kept;
}

/* A retained message says what was, not what is: it does not replace what was heard live over this
 * connection, and does not make younger what it repeats. */
static bool changes_nothing(const struct mqtt_connection *connection, const struct mqtt_kept *old,
                            const struct mosquitto_message *message) {
    if (!message->retain || !old)
        return false;
    bool live = !old->message.retained && old->message.at.ms >= connection->figures.up_since.ms;
    return live || (old->message.length == (size_t)message->payloadlen &&
                    memcmp(old->message.payload, message->payload, old->message.length) == 0);
}

/* The message as it is kept; NULL: it changes nothing, or there is no room. */
static const struct mqtt_message *keep(struct mqtt_subscription *subscription,
                                       const struct mosquitto_message *message) {
    struct mqtt_connection *connection = subscription->connection;
    struct mqtt_kept **place = find(subscription, message->topic), *old = place ? *place : NULL;
    if (changes_nothing(connection, old, message))
        return NULL;
    struct mqtt_kept *kept = kept_new(message);
    size_t bytes = subscription->bytes - (old ? old->bytes : 0) + (kept ? kept->bytes : 0);
    if (!kept || bytes > MQTT_BYTES_MAXIMUM ||
        (!place && subscription->count == MQTT_TOPICS_MAXIMUM)) {
        free(kept);
        connection->figures.dropped++;
        return NULL;
    }
    if (!place)
        place = &subscription->kept[subscription->count++];
    free(old);
    *place = kept;
    subscription->bytes = bytes;
    subscription->newest = kept;
    return &kept->message;
}

/* ---- what arrives ---- */

static void arrival_free(struct mqtt_arrival *arrival) {
    mosquitto_message_free_contents(&arrival->message);
    free(arrival);
}

void mqtt_arrived(struct mqtt_connection *connection, const struct mosquitto_message *message) {
    size_t length = (size_t)message->payloadlen, topic = strlen(message->topic);
    connection->figures.received++;
    bool fits = length <= MQTT_PAYLOAD_MAXIMUM && topic <= MQTT_TOPIC_MAXIMUM &&
                connection->arrived < MQTT_ARRIVALS_MAXIMUM &&
                connection->arrived_bytes + length + topic <= MQTT_ARRIVED_MAXIMUM;
    struct mqtt_arrival *arrival = fits ? calloc(1, sizeof *arrival) : NULL;
    if (!arrival || mosquitto_message_copy(&arrival->message, message) != MOSQ_ERR_SUCCESS) {
        free(arrival);
        connection->figures.dropped++;
        return;
    }
    STAILQ_INSERT_TAIL(&connection->arrivals, arrival, entry);
    connection->arrived++;
    connection->arrived_bytes += length + topic;
}

static void hear(struct mqtt_connection *connection, const struct mosquitto_message *message) {
    for (struct mqtt_subscription *at = TAILQ_FIRST(&connection->subscriptions); at;
         at = connection->cursor) {
        bool matches = false;
        connection->cursor = TAILQ_NEXT(at, entry);
        if (mosquitto_topic_matches_sub(at->filter, message->topic, &matches) != MOSQ_ERR_SUCCESS ||
            !matches)
            continue;
        const struct mqtt_message *kept = keep(at, message);
        if (kept && at->heard)
            at->heard(at, kept, at->owner);
    }
    connection->cursor = NULL;
}

void mqtt_hear_all(struct mqtt_connection *connection) {
    connection->hearing = true;
    for (struct mqtt_arrival *at; (at = STAILQ_FIRST(&connection->arrivals));) {
        STAILQ_REMOVE_HEAD(&connection->arrivals, entry);
        hear(connection, &at->message);
        arrival_free(at);
    }
    connection->hearing = false;
    connection->arrived = connection->arrived_bytes = 0;
    mqtt_bury(connection);
}

void mqtt_arrivals_free(struct mqtt_connection *connection) {
    for (struct mqtt_arrival *at; (at = STAILQ_FIRST(&connection->arrivals));) {
        STAILQ_REMOVE_HEAD(&connection->arrivals, entry);
        arrival_free(at);
    }
    connection->arrived = connection->arrived_bytes = 0;
}

/* ---- subscriptions ---- */

static void ask(struct mqtt_subscription *subscription) {
    struct mqtt_connection *connection = subscription->connection;
    const struct mqtt_subscription *at;
    int qos = subscription->qos;
    TAILQ_FOREACH(at, &connection->subscriptions, entry)
    if (strcmp(at->filter, subscription->filter) == 0 && at->qos > qos)
        qos = at->qos;
    subscription->standing = MQTT_ASKED;
    if (mosquitto_subscribe(connection->mosquitto, &subscription->mid, subscription->filter, qos) !=
        MOSQ_ERR_SUCCESS)
        connection->broken = true;
}

void mqtt_subscribe_all(struct mqtt_connection *connection) {
    struct mqtt_subscription *at;
    TAILQ_FOREACH(at, &connection->subscriptions, entry)
    ask(at);
}

void mqtt_answered(struct mqtt_connection *connection, int mid, bool granted) {
    struct mqtt_subscription *at;
    TAILQ_FOREACH(at, &connection->subscriptions, entry) {
        if (at->mid != mid || at->standing != MQTT_ASKED)
            continue;
        at->standing = granted ? MQTT_GRANTED : MQTT_REFUSED;
        if (!granted)
            log_warning(connection->text,
                        "the broker refuses the subscription to \"%s\": may this "
                        "user read it?",
                        at->filter);
    }
}

struct mqtt_subscription *mqtt_subscribe(struct mqtt_client *client, const char *filter, int qos,
                                         mqtt_heard *heard, void *owner) {
    struct mqtt_connection *connection = client->connection;
    bool valid = mqtt_filter_valid(filter) && (qos == 0 || qos == 1);
    struct mqtt_subscription *subscription = valid ? calloc(1, sizeof *subscription) : NULL;
    if (!subscription) {
        snprintf(client->why, sizeof client->why, "%s",
                 valid
                     ? "out of memory"
                     : "expected a filter like \"a/b\", \"a/+/c\" or \"a/#\" of at most 256 bytes, "
                       "and QoS 0 or 1");
        return NULL;
    }
    subscription->client = client;
    subscription->connection = connection;
    snprintf(subscription->filter, sizeof subscription->filter, "%s", filter);
    subscription->qos = qos;
    subscription->heard = heard;
    subscription->owner = owner;
    TAILQ_INSERT_TAIL(&connection->subscriptions, subscription, entry);
    if (connection->state == MQTT_UP) {
        ask(subscription);
        mqtt_connection_watch(connection);
    }
    mqtt_connection_arm(connection, false);
    return subscription;
}

static bool asked_by_another(const struct mqtt_subscription *subscription) {
    const struct mqtt_subscription *at;
    TAILQ_FOREACH(at, &subscription->connection->subscriptions, entry)
    if (at != subscription && strcmp(at->filter, subscription->filter) == 0)
        return true;
    return false;
}

void mqtt_unsubscribe(struct mqtt_subscription *subscription) {
    if (!subscription)
        return;
    struct mqtt_connection *connection = subscription->connection;
    if (connection->cursor == subscription)
        connection->cursor = TAILQ_NEXT(subscription, entry);
    if (connection->state == MQTT_UP && !asked_by_another(subscription) &&
        mosquitto_unsubscribe(connection->mosquitto, NULL, subscription->filter) !=
            MOSQ_ERR_SUCCESS)
        connection->broken = true;
    TAILQ_REMOVE(&connection->subscriptions, subscription, entry);
    TAILQ_INSERT_TAIL(&connection->gone, subscription, entry);
    if (!connection->hearing)
        mqtt_bury(connection);
    if (connection->state == MQTT_UP)
        mqtt_connection_watch(connection);
    mqtt_connection_arm(connection, false);
}

void mqtt_unsubscribe_all(struct mqtt_connection *connection, const struct mqtt_client *client) {
    struct mqtt_subscription *next;
    for (struct mqtt_subscription *at = TAILQ_FIRST(&connection->subscriptions); at; at = next) {
        next = TAILQ_NEXT(at, entry);
        if (!client || at->client == client)
            mqtt_unsubscribe(at);
    }
}

void mqtt_bury(struct mqtt_connection *connection) {
    for (struct mqtt_subscription *at; (at = TAILQ_FIRST(&connection->gone));) {
        TAILQ_REMOVE(&connection->gone, at, entry);
        for (size_t i = 0; i < at->count; i++)
            free(at->kept[i]);
        free(at);
    }
}

enum mqtt_standing mqtt_standing(const struct mqtt_subscription *subscription) {
    return subscription->connection->state == MQTT_UP ? subscription->standing : MQTT_ASKED;
}

const struct mqtt_message *mqtt_last(const struct mqtt_subscription *subscription,
                                     const char *topic) {
    if (!topic)
        return subscription->newest ? &subscription->newest->message : NULL;
    for (size_t i = 0; i < subscription->count; i++)
        if (strcmp(subscription->kept[i]->message.topic, topic) == 0)
            return &subscription->kept[i]->message;
    return NULL;
}

const struct mqtt_message *mqtt_each(const struct mqtt_subscription *subscription, size_t index) {
    return index < subscription->count ? &subscription->kept[index]->message : NULL;
}
