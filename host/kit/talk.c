#include "kit/talk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kit/talk_mqtt.h"

#define CONNECTIONS   16
#define INPUT_MAXIMUM 65536
#define HEARD_MAXIMUM 200 /* then the oldest are forgotten: what is kept would look like growth */
#define HUGE_BYTES    (600UL * 1024)
#define BEAT_MS       50 /* between two publications of all topics */

struct client {
    int socket; /* -1: free */
    size_t length;
    struct mqtt_peer mqtt;
    char input[INPUT_MAXIMUM + 1];
};

struct talk {
    enum link_kind kind;
    int socket; /* listens, or of UDP; -1: refuses */
    int stop[2];
    uint16_t port;
    bool running;
    pthread_t thread;
    struct client *clients[CONNECTIONS]; /* of the thread, under the lock */
    pthread_mutex_t lock;                /* of all below */
    json_t *answers, *heard;
    size_t forgotten; /* of `heard`, from its start */
    enum talk_fault fault;
    uint64_t requests;
};

static const char page[] = "<!DOCTYPE html><html><body><h1>It works</h1></body></html>";

/* --- the table -----------------------------------------------------------------------------------
 */

static void hear(struct talk *talk, const char *what, const char *body, size_t length) {
    json_t *text = json_stringn(body, length);
    if (!text)
        text = json_string("?"); /* no UTF-8 */
    json_array_append_new(talk->heard, json_pack("[so]", what, text));
    if (json_array_size(talk->heard) > HEARD_MAXIMUM) {
        json_array_remove(talk->heard, 0);
        talk->forgotten++;
    }
    talk->requests++;
}

/* The answer to exactly this, or to the longest start of it that has a "*" behind. */
static const json_t *look_up(const struct talk *talk, const char *what) {
    const json_t *found = json_object_get(talk->answers, what), *answer;
    const char *key;
    size_t longest = 0;
    if (found)
        return found;
    json_object_foreach(talk->answers, key, answer) {
        size_t length = strlen(key);
        if (length > longest && key[length - 1] == '*' && strncmp(key, what, length - 1) == 0) {
            longest = length;
            found = answer;
        }
    }
    return found;
}

static void send_all(int socket, const void *data, size_t length) {
    const char *at = data;
    while (length > 0) {
        ssize_t sent = send(socket, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        length -= (size_t)sent;
    }
}

static void drop(struct client *client) {
    if (client->socket >= 0)
        close(client->socket);
    client->socket = -1;
    client->length = 0;
    client->mqtt = (struct mqtt_peer){0};
}

/* --- HTTP ----------------------------------------------------------------------------------------
 */

static void answer_http(struct talk *talk, struct client *client, int status, const char *type,
                        const char *body, size_t length) {
    char head[300];
    int size = snprintf(
        head, sizeof head, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
        status, type, length, status == 401 ? "WWW-Authenticate: Basic realm=\"x\"\r\n" : "");
    send_all(client->socket, head, (size_t)size);
    if (talk->fault == TALK_TRUNCATED) {
        send_all(client->socket, body, length / 2);
        drop(client);
        return;
    }
    send_all(client->socket, body, length);
}

static void misbehave_http(struct talk *talk, struct client *client) {
    char *huge;
    switch (talk->fault) {
    case TALK_EMPTY:
        answer_http(talk, client, 200, "application/json", "", 0);
        break;
    case TALK_HTML:
        answer_http(talk, client, 200, "text/html", page, strlen(page));
        break;
    case TALK_ERROR:
        answer_http(talk, client, 500, "text/plain", "no", 2);
        break;
    case TALK_FORBIDDEN:
        answer_http(talk, client, 401, "text/plain", "no", 2);
        break;
    case TALK_HUGE:
        huge = malloc(HUGE_BYTES);
        if (huge) {
            memset(huge, ' ', HUGE_BYTES);
            answer_http(talk, client, 200, "application/json", huge, HUGE_BYTES);
        }
        free(huge);
        drop(client);
        break;
    case TALK_GARBAGE:
        send_all(client->socket, "\x16\x03\x01 nonsense\r\n\r\n", 15);
        drop(client);
        break;
    case TALK_FINE:
    case TALK_SILENT:
    case TALK_TRUNCATED:
        break;
    }
}

static void serve_http(struct talk *talk, struct client *client, const char *line, const char *body,
                       size_t length) {
    char whole[2200];
    hear(talk, line, body, length);
    if (talk->fault != TALK_FINE && talk->fault != TALK_TRUNCATED) {
        misbehave_http(talk, client);
        return;
    }
    snprintf(whole, sizeof whole, "%s %.*s", line, (int)(length < 1000 ? length : 1000), body);
    const json_t *answer = length ? look_up(talk, whole) : NULL;
    if (!answer)
        answer = look_up(talk, line);
    if (!answer) {
        answer_http(talk, client, 404, "text/plain", "not here", 8);
        return;
    }
    const json_t *status = json_object_get(answer, "status");
    const char *type = json_string_value(json_object_get(answer, "type"));
    const json_t *text = json_object_get(answer, "body");
    answer_http(talk, client, status ? (int)json_integer_value(status) : 200,
                type ? type : "application/json", text ? json_string_value(text) : "",
                text ? json_string_length(text) : 0);
}

/* One whole request at the start of the input; its length, or 0. */
static size_t take_http(struct talk *talk, struct client *client) {
    char line[2000];
    char *end = strstr(client->input, "\r\n\r\n");
    if (!end)
        return 0;
    size_t head = (size_t)(end - client->input) + 4, body = 0;
    const char *field = strcasestr(client->input, "\r\nContent-Length:");
    if (field && field < end)
        body = strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
    if (body > INPUT_MAXIMUM || client->length < head + body)
        return 0;
    size_t size = strcspn(client->input, "\r");
    const char *version = memmem(client->input, size, " HTTP/", 6);
    snprintf(line, sizeof line, "%.*s", (int)(version ? version - client->input : (long)size),
             client->input);
    serve_http(talk, client, line, client->input + head, body);
    return head + body;
}

/* --- lines ---------------------------------------------------------------------------------------
 */

static size_t take_line(struct talk *talk, struct client *client) {
    char text[2000];
    const char *end = memchr(client->input, '\n', client->length);
    const char *mark = end ? end : memchr(client->input, '\r', client->length);
    if (!mark)
        return 0;
    size_t size = (size_t)(mark - client->input);
    size_t length = size > 0 && client->input[size - 1] == '\r' ? size - 1 : size;
    snprintf(text, sizeof text, "%.*s", (int)length, client->input);
    hear(talk, text, "", 0);
    const json_t *answer = look_up(talk, text);
    const char *says = json_string_value(answer);
    if (talk->fault == TALK_EMPTY)
        says = "\r\n";
    if (talk->fault == TALK_HTML || talk->fault == TALK_GARBAGE)
        says = "<html>";
    if (talk->fault == TALK_SILENT || !says || !says[0])
        return size + 1;
    send_all(client->socket, says, talk->fault == TALK_TRUNCATED ? strlen(says) / 2 : strlen(says));
    if (talk->fault == TALK_TRUNCATED)
        drop(client);
    else if (says[strlen(says) - 1] != '\n')
        send_all(client->socket, "\r\n", 2);
    return size + 1;
}

/* --- UDP -----------------------------------------------------------------------------------------
 */

static void serve_udp(struct talk *talk) {
    char text[2049];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got = recvfrom(talk->socket, text, sizeof text - 1, 0, (struct sockaddr *)&from, &size);
    if (got < 0)
        return;
    text[got] = '\0';
    hear(talk, text, "", 0);
    const char *says = json_string_value(look_up(talk, text));
    size_t length = says ? strlen(says) : 0;
    if (talk->fault == TALK_SILENT || !says)
        return;
    if (talk->fault == TALK_EMPTY)
        length = 0;
    if (talk->fault == TALK_TRUNCATED)
        length /= 2;
    if (talk->fault == TALK_HTML || talk->fault == TALK_GARBAGE) {
        says = page;
        length = strlen(page);
    }
    if (length > 0 || talk->fault == TALK_EMPTY)
        (void)!sendto(talk->socket, says, length, MSG_NOSIGNAL, (struct sockaddr *)&from, size);
}

/* --- MQTT ----------------------------------------------------------------------------------------
 */

static void published(void *context, const char *topic, const char *payload, size_t length) {
    hear(context, topic, payload, length);
}

static void say(void *context, const void *data, size_t length) {
    send_all(((struct client *)context)->socket, data, length);
}

static size_t take_mqtt(struct talk *talk, struct client *client) {
    size_t used =
        mqtt_peer_take(&client->mqtt, client->input, client->length, published, talk, say, client);
    if (used == MQTT_PEER_WRONG)
        drop(client);
    return used == MQTT_PEER_WRONG ? 0 : used;
}

static void beat(struct talk *talk) {
    const char *topic;
    json_t *payload;
    if (talk->kind != LINK_MQTT || talk->fault == TALK_SILENT)
        return;
    json_object_foreach(talk->answers, topic, payload) {
        const char *says = json_string_value(payload);
        size_t length = says ? strlen(says) : 0;
        if (talk->fault == TALK_EMPTY)
            length = 0;
        if (talk->fault == TALK_TRUNCATED)
            length /= 2;
        if (talk->fault == TALK_HTML || talk->fault == TALK_GARBAGE) {
            says = page;
            length = strlen(page);
        }
        for (int i = 0; i < CONNECTIONS; i++)
            if (talk->clients[i]->socket >= 0)
                mqtt_peer_publish(&talk->clients[i]->mqtt, topic, says, length, say,
                                  talk->clients[i]);
    }
}

/* --- the thread ----------------------------------------------------------------------------------
 */

static void serve_client(struct talk *talk, struct client *client) {
    ssize_t got =
        recv(client->socket, client->input + client->length, INPUT_MAXIMUM - client->length, 0);
    if (got <= 0) {
        drop(client);
        return;
    }
    client->length += (size_t)got;
    while (client->socket >= 0 && client->length > 0) {
        client->input[client->length] = '\0';
        size_t used = talk->kind == LINK_HTTP   ? take_http(talk, client)
                      : talk->kind == LINK_MQTT ? take_mqtt(talk, client)
                                                : take_line(talk, client);
        if (used == 0 || client->socket < 0)
            return;
        memmove(client->input, client->input + used, client->length - used);
        client->length -= used;
    }
}

static void accept_client(struct talk *talk) {
    int accepted = accept(talk->socket, NULL, NULL);
    for (int i = 0; accepted >= 0 && i < CONNECTIONS; i++)
        if (talk->clients[i]->socket < 0) {
            talk->clients[i]->socket = accepted;
            return;
        }
    if (accepted >= 0)
        close(accepted);
}

static void *run(void *context) {
    struct talk *talk = context;
    for (;;) {
        struct pollfd watched[CONNECTIONS + 2];
        pthread_mutex_lock(&talk->lock);
        watched[0] = (struct pollfd){talk->stop[0], POLLIN, 0};
        watched[1] = (struct pollfd){talk->socket, POLLIN, 0};
        for (int i = 0; i < CONNECTIONS; i++)
            watched[i + 2] = (struct pollfd){talk->clients[i]->socket, POLLIN, 0};
        pthread_mutex_unlock(&talk->lock);
        int ready = poll(watched, CONNECTIONS + 2, BEAT_MS);
        pthread_mutex_lock(&talk->lock);
        if (ready <= 0)
            beat(talk);
        for (int i = 0; ready > 0 && i < CONNECTIONS; i++)
            if (watched[i + 2].revents && talk->clients[i]->socket == watched[i + 2].fd)
                serve_client(talk, talk->clients[i]);
        if (ready > 0 && watched[1].revents && talk->socket == watched[1].fd) {
            if (talk->kind == LINK_UDP)
                serve_udp(talk);
            else
                accept_client(talk);
        }
        pthread_mutex_unlock(&talk->lock);
        if (ready > 0 && watched[0].revents) {
            char byte;
            if (read(talk->stop[0], &byte, 1) == 1 && byte == 'x')
                return NULL;
        }
    }
}

/* --- life ----------------------------------------------------------------------------------------
 */

static bool open_socket(struct talk *talk) {
    int type = talk->kind == LINK_UDP ? SOCK_DGRAM : SOCK_STREAM;
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(talk->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    talk->socket = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (talk->socket < 0)
        return false;
    if (type == SOCK_STREAM)
        setsockopt(talk->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(talk->socket, (struct sockaddr *)&address, size) == 0 &&
        (type == SOCK_DGRAM || listen(talk->socket, CONNECTIONS) == 0) &&
        getsockname(talk->socket, (struct sockaddr *)&address, &size) == 0) {
        talk->port = ntohs(address.sin_port);
        return true;
    }
    close(talk->socket);
    talk->socket = -1;
    return false;
}

struct talk *talk_start(enum link_kind kind, uint16_t *port) {
    struct talk *talk = calloc(1, sizeof *talk);
    bool ok = talk != NULL;
    if (!talk)
        return NULL;
    talk->kind = kind;
    talk->socket = talk->stop[0] = talk->stop[1] = -1;
    talk->answers = json_object();
    talk->heard = json_array();
    pthread_mutex_init(&talk->lock, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        talk->clients[i] = calloc(1, sizeof(struct client));
        ok = ok && talk->clients[i];
        if (talk->clients[i])
            talk->clients[i]->socket = -1;
    }
    ok = ok && open_socket(talk) && pipe(talk->stop) == 0 &&
         pthread_create(&talk->thread, NULL, run, talk) == 0;
    talk->running = ok;
    if (!ok) {
        talk_stop(talk);
        return NULL;
    }
    *port = talk->port;
    return talk;
}

static void wake(struct talk *talk, char byte) {
    (void)!write(talk->stop[1], &byte, 1);
}

void talk_stop(struct talk *talk) {
    if (!talk)
        return;
    if (talk->running) {
        wake(talk, 'x');
        pthread_join(talk->thread, NULL);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        if (talk->clients[i])
            drop(talk->clients[i]);
        free(talk->clients[i]);
    }
    if (talk->socket >= 0)
        close(talk->socket);
    if (talk->stop[0] >= 0) {
        close(talk->stop[0]);
        close(talk->stop[1]);
    }
    pthread_mutex_destroy(&talk->lock);
    json_decref(talk->answers);
    json_decref(talk->heard);
    free(talk);
}

void talk_serve(struct talk *talk, const json_t *answers) {
    pthread_mutex_lock(&talk->lock);
    json_decref(talk->answers);
    talk->answers = json_deep_copy(answers);
    pthread_mutex_unlock(&talk->lock);
}

void talk_fault(struct talk *talk, enum talk_fault fault) {
    pthread_mutex_lock(&talk->lock);
    talk->fault = fault;
    pthread_mutex_unlock(&talk->lock);
}

enum err talk_listen(struct talk *talk, bool listens) {
    bool ok = true;
    pthread_mutex_lock(&talk->lock);
    if (listens && talk->socket < 0) {
        ok = open_socket(talk);
    } else if (!listens && talk->socket >= 0) {
        close(talk->socket);
        talk->socket = -1;
        for (int i = 0; i < CONNECTIONS; i++)
            drop(talk->clients[i]);
    }
    pthread_mutex_unlock(&talk->lock);
    wake(talk, 'w');
    return ok ? ERR_OK : ERR_IO;
}

json_t *talk_heard(struct talk *talk, size_t from) {
    json_t *list = json_array();
    pthread_mutex_lock(&talk->lock);
    size_t start = from > talk->forgotten ? from - talk->forgotten : 0;
    for (size_t i = start; i < json_array_size(talk->heard); i++)
        json_array_append(list, json_array_get(talk->heard, i));
    json_t *copy = json_deep_copy(list); /* reference counts are the thread's too */
    json_decref(list);
    pthread_mutex_unlock(&talk->lock);
    return copy;
}

uint64_t talk_requests(struct talk *talk) {
    pthread_mutex_lock(&talk->lock);
    uint64_t requests = talk->requests;
    pthread_mutex_unlock(&talk->lock);
    return requests;
}
