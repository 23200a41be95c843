/* The parts of MQTT among themselves: mqtt.c (users, publications), mqtt_connection.c (one broker:
 * connecting, libmosquitto on the loop), mqtt_topics.c (subscriptions and what they keep). */
#ifndef DERD_IO_MQTT_INTERNAL_H
#define DERD_IO_MQTT_INTERNAL_H

#include <mosquitto.h>
#include <sys/queue.h>

#include "io/mqtt.h"
#include "io/room.h"

struct mqtt_job { /* one publication under way; flying -> finished */
    TAILQ_ENTRY(mqtt_job) entry;
    struct mqtt_publication *publication; /* NULL: cancelled */
    uint64_t deadline_ms;
    int mid;
    enum err result;
    char why[IO_WHY_SIZE];
};

TAILQ_HEAD(mqtt_jobs, mqtt_job);

struct mqtt_kept { /* the last message of one topic; topic and payload stand behind it */
    struct mqtt_message message;
    size_t bytes;
};

struct mqtt_subscription {
    TAILQ_ENTRY(mqtt_subscription) entry;
    struct mqtt_client *client;
    struct mqtt_connection *connection;
    char filter[MQTT_TOPIC_MAXIMUM + 1];
    int qos, mid;
    enum mqtt_standing standing;
    mqtt_heard *heard;
    void *owner;
    struct mqtt_kept *kept[MQTT_TOPICS_MAXIMUM];
    size_t count, bytes;
    const struct mqtt_kept *newest;
};

TAILQ_HEAD(mqtt_subscriptions, mqtt_subscription);

struct mqtt_client {
    LIST_ENTRY(mqtt_client) entry;
    struct mqtt_connection *connection;
    char *text;
    char why[IO_WHY_SIZE];
};

LIST_HEAD(mqtt_clients, mqtt_client);

struct mqtt_arrival { /* a message that libmosquitto has just read */
    STAILQ_ENTRY(mqtt_arrival) entry;
    struct mosquitto_message message;
};

STAILQ_HEAD(mqtt_arrivals, mqtt_arrival);

#define MQTT_ARRIVALS_MAXIMUM 1024
#define MQTT_ARRIVED_MAXIMUM  ((size_t)1024 * 1024) /* bytes */

enum mqtt_state { MQTT_WAITING, MQTT_RESOLVING, MQTT_CONNECTING, MQTT_UP };

struct mqtt_poll;
struct ssl_ctx_st;

struct mqtt_connection {
    struct mqtt_connection *next; /* in io->connections */
    struct io *io;
    struct url url;
    char *text, *password, *ca_file, *pin;
    char *client_id_given, client_id[65];
    int keepalive_s;
    int64_t connect_timeout_ms, backoff_min_ms, backoff_max_ms, backoff_ms;
    enum mqtt_state state;
    uint64_t connect_by_ms, retry_ms, misc_ms, up_ms; /* each in its state */
    struct lookup *lookup;
    struct addresses addresses;
    size_t next_address;
    struct mosquitto *mosquitto; /* one for each attempt to connect */
    struct mqtt_poll *poll;
    struct ssl_ctx_st *tls;
    struct tls_seen seen;
    bool wired;  /* the TCP connection is there */
    bool broken; /* it is to be given up at the next turn */
    int connack; /* what the broker said; -1: nothing yet */
    struct mqtt_arrivals arrivals;
    size_t arrived, arrived_bytes; /* in `arrivals` */
    uv_timer_t turn;
    unsigned handles; /* of libuv that are not closed */
    struct mqtt_clients clients;
    struct mqtt_subscriptions subscriptions, gone; /* gone: to be freed when nothing runs */
    struct mqtt_subscription *cursor;              /* the next one that hears a message */
    struct mqtt_jobs flying, finished;
    struct mqtt_figures figures;
    bool silent;                  /* a failure was logged, until the next success */
    bool turning, hearing, ended; /* hearing: callers' code hears a message */
};

/* ---- mqtt_connection.c ---- */

/* The connection of that URL, new or shared. NULL with a sentence. */
struct mqtt_connection *mqtt_connection_get(struct io *io, const char *text,
                                            const struct mqtt_settings *settings, char *why,
                                            size_t why_size);
/* Nobody has it open any more. */
void mqtt_connection_end(struct mqtt_connection *connection);
/* Something has changed that the timer must know. */
void mqtt_connection_arm(struct mqtt_connection *connection, bool again);
/* libmosquitto may want to write now, or not any more. */
void mqtt_connection_watch(struct mqtt_connection *connection);

/* ---- mqtt.c ---- */

void mqtt_jobs_fail(struct mqtt_connection *connection, const char *why);
void mqtt_jobs_expire(struct mqtt_connection *connection);
void mqtt_jobs_tell(struct mqtt_connection *connection);
void mqtt_job_sent(struct mqtt_connection *connection, int mid);

/* ---- mqtt_topics.c ---- */

void mqtt_subscribe_all(struct mqtt_connection *connection);
void mqtt_answered(struct mqtt_connection *connection, int mid, bool granted);
/* Called by libmosquitto: keeps a copy until it has returned. */
void mqtt_arrived(struct mqtt_connection *connection, const struct mosquitto_message *message);
/* Callers' code hears what has arrived; it may end the connection. */
void mqtt_hear_all(struct mqtt_connection *connection);
void mqtt_arrivals_free(struct mqtt_connection *connection);
/* All of one client, or of all when NULL. */
void mqtt_unsubscribe_all(struct mqtt_connection *connection, const struct mqtt_client *client);
void mqtt_bury(struct mqtt_connection *connection);

#endif
