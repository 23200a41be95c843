/* The floor of the REST benchmark: the HTTP library that the host stands on, set as the host sets
 * it, answering every request with the same bytes from memory. One thread for each connection, one
 * write for each answer; nothing is looked at.
 *
 *   rest_floor ADDRESS:PORT THREADS FILE
 *
 * The body is what FILE holds, the head as long as the host's. Prints "ready" when it listens; ends
 * when its standard input does. */
#include <civetweb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char head[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: %zu\r\n"
    "X-Request-Id: 00000000-00000000\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'\r\n"
    "Connection: keep-alive\r\n"
    "ETag: \"00000000000000000000000000000000\"\r\n\r\n";

struct answer {
    char *bytes;
    size_t length;
};

static int on_request(struct mg_connection *connection) {
    const struct answer *answer = mg_get_request_info(connection)->user_data;
    (void)mg_write(connection, answer->bytes, answer->length);
    return 200;
}

static bool load(struct answer *answer, const char *path) {
    struct stat status;
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &status) != 0)
        return false;
    size_t body = (size_t)status.st_size;
    answer->bytes = malloc(sizeof head + 32 + body);
    if (!answer->bytes)
        return false;
    answer->length = (size_t)snprintf(answer->bytes, sizeof head + 32, head, body);
    bool whole = fread(answer->bytes + answer->length, 1, body, file) == body;
    answer->length += body;
    (void)fclose(file);
    return whole;
}

int main(int count, char **arguments) {
    static struct answer answer;
    char waste;
    if (count != 4 || !load(&answer, arguments[3])) {
        fprintf(stderr, "rest_floor ADDRESS:PORT THREADS FILE\n");
        return 2;
    }
    /* Those of the host's (start_server in host/api/api.c) that an answer from memory can feel; who
     * changes one there changes it here. Its others only close what this floor does not ask for. */
    const char *options[] = {"listening_ports",
                             arguments[1],
                             "num_threads",
                             arguments[2],
                             "tcp_nodelay",
                             "1",
                             "max_request_size",
                             "16384",
                             "connection_queue",
                             "1024",
                             "listen_backlog",
                             "1024",
                             "request_timeout_ms",
                             "5000",
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             "1500",
                             "linger_timeout_ms",
                             "-2",
                             "decode_url",
                             "no",
                             NULL};
    const struct mg_callbacks callbacks = {.begin_request = on_request};
    struct mg_init_data init = {
        .callbacks = &callbacks, .user_data = &answer, .configuration_options = options};
    mg_init_library(0);
    struct mg_context *context = mg_start2(&init, NULL);
    if (!context) {
        fprintf(stderr, "rest_floor: it cannot listen on %s\n", arguments[1]);
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &waste, 1) > 0)
        ;
    mg_stop(context);
    mg_exit_library();
    free(answer.bytes);
    return 0;
}
