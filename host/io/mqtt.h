/* An MQTT client (3.1.1): one connection to one broker, shared by all who open the same URL of one
 * struct io. The contract of all clients stands in io/io.h.
 *
 * It connects while somebody has it open, again after a back-off with jitter when it goes, and
 * subscribes again by itself. The session is clean each time: the broker keeps nothing for us, and
 * what was not acknowledged when the connection went is told ERR_CLOSED and never sent again, so
 * that an old command does not arrive late.
 *
 * A subscription keeps the last message of each topic with the time of its arrival. Nothing makes a
 * value younger than it is: what came before a reconnect keeps its time, and so does a retained
 * message that repeats what is known. A retained message that is new was sent at an unknown moment
 * before; `retained` says so. It never takes the place of what was heard live over this connection.
 *
 * Limits: libmosquitto reads a message whole before it can be dropped as too large, so the broker's
 * own limit (message_size_limit of mosquitto) bounds the memory that one takes for a moment. */
#ifndef DERD_IO_MQTT_H
#define DERD_IO_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "io/io.h"
#include "io/tls.h"

#define MQTT_TOPIC_MAXIMUM 256 /* bytes */
#define MQTT_PAYLOAD_MAXIMUM                                                                       \
    ((size_t)64 * 1024)         /* a larger one that arrives is dropped and counted */
#define MQTT_TOPICS_MAXIMUM 256 /* kept by one subscription */
#define MQTT_BYTES_MAXIMUM                                                                         \
    ((size_t)256 * 1024)       /* topics and payloads that one subscription keeps */
#define MQTT_FLIGHT_MAXIMUM 64 /* publications under way at one connection */

struct mqtt_settings {     /* 0 or NULL: the default; texts are copied at open */
    const char *password;  /* of the user in the URL */
    const char *client_id; /* default: "derd-" and random letters, once per connection object */
    int keepalive_s;       /* default 30, 5 to 600 */
    int64_t connect_timeout_ms; /* name, TCP, TLS and CONNACK; default 5000 */
    int64_t backoff_min_ms;     /* default 1000 */
    int64_t backoff_max_ms;     /* default 30000 */
    struct tls_settings tls;    /* mqtts */
};

struct mqtt_message {
    struct mono at; /* see above */
    bool retained;
    const char *topic;
    const uint8_t *payload; /* a NUL stands behind it */
    size_t length;
};

enum mqtt_standing { MQTT_ASKED, MQTT_GRANTED, MQTT_REFUSED };

struct mqtt_client; /* one user of a connection */
struct mqtt_publication;
struct mqtt_subscription;

/* A message arrived, after it was kept; not called for a retained one that changes nothing. From
 * the loop; may do anything, also unsubscribe and close. `message` is valid until it returns. */
typedef void mqtt_heard(struct mqtt_subscription *subscription, const struct mqtt_message *message,
                        void *owner);

/* ERR_OK: QoS 0: handed to the system; QoS 1: the broker has acknowledged it. ERR_TIMEOUT costs the
 * connection, so that it does not arrive late. */
typedef void mqtt_done(struct mqtt_publication *publication, enum err result, const char *why);

struct mqtt_publication { /* memory of the caller; see io/io.h */
    const char *topic;    /* without wildcards */
    const void *payload;  /* at most MQTT_PAYLOAD_MAXIMUM bytes; NULL: empty */
    size_t length;
    int qos; /* 0 or 1 */
    bool retain;
    int64_t timeout_ms; /* default 5000, at most 120000 */
    mqtt_done *done;
    void *owner;
    /* the client's */
    struct mqtt_client *client;
    struct mqtt_job *job;
};

struct mqtt_figures { /* of the connection that the client shares */
    bool up;
    uint64_t connects, received, published, dropped; /* dropped: too large, or no room to keep */
    struct mono up_since;                            /* while up */
    char last_error[IO_WHY_SIZE];
};

/* `url`: "mqtt://[user@]host[:port]" or "mqtts://...", nothing behind; see io/url.h. Whoever opens
 * the same URL shares the connection: one with another password, client id or TLS settings is
 * refused with a sentence that says so; times are those of the first. `settings` may be NULL. */
struct mqtt_client *mqtt_open(struct io *io, const char *url, const struct mqtt_settings *settings,
                              char *why, size_t why_size);
/* Ends this user's subscriptions and publications; the last one out ends the connection. */
void mqtt_close(struct mqtt_client *client);
bool mqtt_is_up(const struct mqtt_client *client);

/* `filter`: a topic, or with the wildcards "+" and "#". QoS 0 or 1. `heard` may be NULL. NULL and
 * mqtt_why() when the filter is none, or memory is refused. Lives until mqtt_unsubscribe() or
 * mqtt_close(). Also while the connection is down. */
struct mqtt_subscription *mqtt_subscribe(struct mqtt_client *client, const char *filter, int qos,
                                         mqtt_heard *heard, void *owner);
void mqtt_unsubscribe(struct mqtt_subscription *subscription);
/* What the broker says to it over the connection that is up. */
enum mqtt_standing mqtt_standing(const struct mqtt_subscription *subscription);
/* The last message of that topic; of the topic that arrived last when NULL. NULL: none yet. Valid
 * until the next turn of the loop or unsubscribe. */
const struct mqtt_message *mqtt_last(const struct mqtt_subscription *subscription,
                                     const char *topic);
/* One after the other, in the order in which topics were first heard: from 0 until NULL. */
const struct mqtt_message *mqtt_each(const struct mqtt_subscription *subscription, size_t index);

/* ERR_CLOSED when the connection is not up: nothing is kept for later. */
must_check enum err mqtt_submit(struct mqtt_client *client, struct mqtt_publication *publication);
void mqtt_cancel(struct mqtt_publication *publication);
const char *mqtt_why(const struct mqtt_client *client);
const char *mqtt_url(const struct mqtt_client *client);
const struct mqtt_figures *mqtt_figures(const struct mqtt_client *client);
bool mqtt_url_valid(const char *url, char *why, size_t why_size); /* pure */
bool mqtt_topic_valid(const char *topic);                         /* without wildcards. Pure */
bool mqtt_filter_valid(const char *filter);                       /* pure */

#endif
