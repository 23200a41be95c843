/* Users of connections, and their publications. */
#include "io/mqtt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/mqtt_internal.h"

#define TIMEOUT_MS 5000

/* ---- publications ---- */

static void finish(struct mqtt_connection *connection, struct mqtt_job *job, enum err result,
                   const char *why) {
    TAILQ_REMOVE(&connection->flying, job, entry);
    job->result = result;
    snprintf(job->why, sizeof job->why, "%s", why);
    TAILQ_INSERT_TAIL(&connection->finished, job, entry);
}

void mqtt_jobs_fail(struct mqtt_connection *connection, const char *why) {
    for (struct mqtt_job *job; (job = TAILQ_FIRST(&connection->flying));)
        finish(connection, job, ERR_CLOSED, why);
}

/* What is not through in time would arrive late: the connection is given up with it. */
void mqtt_jobs_expire(struct mqtt_connection *connection) {
    uint64_t now = uv_now(connection->io->loop);
    char why[IO_WHY_SIZE];
    struct mqtt_job *next;
    for (struct mqtt_job *job = TAILQ_FIRST(&connection->flying); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (job->deadline_ms > now)
            continue;
        snprintf(why, sizeof why, "the broker %.80s port %u has not taken it in time",
                 connection->url.host, connection->url.port);
        finish(connection, job, ERR_TIMEOUT, why);
        connection->broken = true;
    }
}

void mqtt_jobs_tell(struct mqtt_connection *connection) {
    for (struct mqtt_job *job; (job = TAILQ_FIRST(&connection->finished));) {
        TAILQ_REMOVE(&connection->finished, job, entry);
        struct mqtt_publication *publication = job->publication;
        if (publication) {
            publication->job = NULL;
            publication->done(publication, job->result, job->why);
        }
        free(job);
    }
}

void mqtt_job_sent(struct mqtt_connection *connection, int mid) {
    struct mqtt_job *job;
    TAILQ_FOREACH(job, &connection->flying, entry)
    if (job->mid == mid)
        break;
    if (job)
        finish(connection, job, ERR_OK, "");
    mqtt_connection_arm(connection, false);
}

/* What is wrong with the publication, or NULL. */
static const char *mistake_of(const struct mqtt_client *client,
                              const struct mqtt_publication *publication, enum err *err) {
    const struct mqtt_connection *connection = client->connection;
    *err = ERR_CONFLICT;
    if (publication->job)
        return "the publication is under way already";
    *err = ERR_FORMAT;
    if (!publication->topic || !mqtt_topic_valid(publication->topic))
        return "expected a topic of 1 to 256 bytes of UTF-8 without + and #";
    *err = ERR_RANGE;
    if (publication->qos != 0 && publication->qos != 1)
        return "expected QoS 0 or 1";
    if (publication->payload && publication->length > MQTT_PAYLOAD_MAXIMUM)
        return "expected a payload of at most 64 KiB";
    *err = ERR_FULL;
    size_t flying = 0;
    const struct mqtt_job *job;
    TAILQ_FOREACH(job, &connection->flying, entry)
    flying++;
    if (flying >= MQTT_FLIGHT_MAXIMUM)
        return "64 publications are under way already";
    *err = ERR_CLOSED;
    return NULL;
}

enum err mqtt_submit(struct mqtt_client *client, struct mqtt_publication *publication) {
    struct mqtt_connection *connection = client->connection;
    enum err err = ERR_OK;
    const char *mistake = mistake_of(client, publication, &err);
    if (mistake || connection->state != MQTT_UP || connection->broken) {
        snprintf(client->why, sizeof client->why, "%s%s%s",
                 mistake ? mistake : "the broker is not connected", mistake ? "" : ": ",
                 mistake ? "" : connection->figures.last_error);
        return err;
    }
    struct mqtt_job *job = calloc(1, sizeof *job);
    if (!job) {
        snprintf(client->why, sizeof client->why, "out of memory");
        return ERR_MEMORY;
    }
    job->publication = publication;
    job->deadline_ms = room_now_ms() + (uint64_t)room_time(publication->timeout_ms, TIMEOUT_MS,
                                                           OPERATION_TIMEOUT_MAXIMUM_MS);
    publication->job = job;
    publication->client = client;
    TAILQ_INSERT_TAIL(&connection->flying, job, entry);
    connection->figures.published++;
    int length = publication->payload ? (int)publication->length : 0;
    /* libmosquitto may report it as sent before this returns; `mid` is set before that. */
    if (mosquitto_publish(connection->mosquitto, &job->mid, publication->topic, length,
                          publication->payload, publication->qos,
                          publication->retain) != MOSQ_ERR_SUCCESS)
        connection->broken = true; /* and with it this one fails, at the next turn */
    mqtt_connection_watch(connection);
    mqtt_connection_arm(connection, false);
    return ERR_OK;
}

/* The job stays behind as nobody's: what it has sent is still to be acknowledged. */
void mqtt_cancel(struct mqtt_publication *publication) {
    if (!publication->job)
        return;
    publication->job->publication = NULL;
    publication->job = NULL;
}

/* ---- users ---- */

struct mqtt_client *mqtt_open(struct io *io, const char *url, const struct mqtt_settings *settings,
                              char *why, size_t why_size) {
    const struct mqtt_settings usual = {0};
    if (!mqtt_url_valid(url, why, why_size))
        return NULL;
    struct mqtt_client *client = calloc(1, sizeof *client);
    if (client)
        client->text = strdup(url);
    if (!client || !client->text) {
        snprintf(why, why_size, "out of memory");
        free(client);
        return NULL;
    }
    client->connection = mqtt_connection_get(io, url, settings ? settings : &usual, why, why_size);
    if (!client->connection) {
        free(client->text);
        free(client);
        return NULL;
    }
    LIST_INSERT_HEAD(&client->connection->clients, client, entry);
    mqtt_connection_arm(client->connection, false);
    return client;
}

static void cancel_all(struct mqtt_jobs *list, const struct mqtt_client *client) {
    const struct mqtt_job *job;
    TAILQ_FOREACH(job, list, entry)
    if (job->publication && job->publication->client == client)
        mqtt_cancel(job->publication);
}

void mqtt_close(struct mqtt_client *client) {
    if (!client)
        return;
    struct mqtt_connection *connection = client->connection;
    cancel_all(&connection->flying, client);
    cancel_all(&connection->finished, client);
    mqtt_unsubscribe_all(connection, client);
    LIST_REMOVE(client, entry);
    free(client->text);
    free(client);
    if (LIST_EMPTY(&connection->clients))
        mqtt_connection_end(connection);
}

bool mqtt_is_up(const struct mqtt_client *client) {
    return client->connection->figures.up;
}

const char *mqtt_why(const struct mqtt_client *client) {
    return client->why;
}

const char *mqtt_url(const struct mqtt_client *client) {
    return client->text;
}

const struct mqtt_figures *mqtt_figures(const struct mqtt_client *client) {
    return &client->connection->figures;
}

bool mqtt_url_valid(const char *text, char *why, size_t why_size) {
    struct url url;
    char shown[URL_SHOWN_SIZE];
    const char *mistake = url_parse(text, &url);
    if (!mistake && strcmp(url.scheme, "mqtt") != 0 && strcmp(url.scheme, "mqtts") != 0)
        mistake = "the scheme is neither mqtt nor mqtts";
    if (!mistake && *url.rest)
        mistake = "nothing stands behind host and port (topics are named elsewhere)";
    if (mistake)
        snprintf(why, why_size, "expected mqtt://[user@]host[:port] or mqtts://..., got \"%s\": %s",
                 url_shown(text, shown), mistake);
    return !mistake;
}
