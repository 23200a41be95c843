/* The head of an HTTP request: lines as civetweb leaves them in its buffer (terminated in place),
 * refused when they are ambiguous, taken apart, and routed. The input is the head as sent. */
#include "fuzz.h"

#include <ctype.h>

#include "api/request.h"
#include "api/route.h"

#define BUFFER (2 * REQUEST_HEADER_MAXIMUM)

static char *skip_to(char **at, const char *ends) {
    char *word = *at;
    *at += strcspn(*at, ends);
    if (**at)
        *(*at)++ = '\0';
    return word;
}

/* As civetweb 1.15 does it: parse_http_headers() and parse_http_request(). */
static size_t read_lines(char *at, struct request_header *headers) {
    size_t count = 0;
    for (; count < REQUEST_HEADER_COUNT && *at >= 33 && *at <= 126; count++) {
        char *name = at;
        while (*at != ':' && *at >= 33 && *at <= 126)
            at++;
        if (*at != ':') {
            while (*at == ' ')
                *at++ = '\0';
            if (*at != ':')
                break;
        }
        *at++ = '\0';
        while (*at == ' ')
            at++;
        headers[count] = (struct request_header){name, at};
        at += strcspn(at, "\r\n");
        if (*at == '\r') {
            *at++ = '\0';
            if (*at != '\n')
                return count;
        }
        if (*at)
            *at++ = '\0';
        if (*at == '\r')
            return count + 1;
    }
    return count;
}

static bool same_word(const char *a, const char *b) {
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

/* What was decoded, encoded anew and taken apart again, is the same. */
static void check_target(const struct request *request, const struct request_head *head) {
    static const char hex[] = "0123456789ABCDEF";
    static char path[4 * REQUEST_TARGET_MAXIMUM];
    static struct request again;
    struct problem problem = {0};
    size_t length = 0;
    must(request->segment_count >= 1 && request->segment_count <= REQUEST_SEGMENTS);
    for (size_t i = 0; i < request->segment_count; i++) {
        const char *at = request->segments[i];
        must(at >= request->text && at < request->text + sizeof request->text);
        must(!strchr(at, '/') && strcmp(at, ".") != 0 && strcmp(at, "..") != 0);
        path[length++] = '/';
        for (; *at; at++) {
            unsigned char c = (unsigned char)*at;
            must(c >= ' ' && c != 0x7f);
            if (isalnum(c)) {
                path[length++] = (char)c;
                continue;
            }
            path[length++] = '%';
            path[length++] = hex[c >> 4];
            path[length++] = hex[c & 15];
        }
    }
    path[length] = '\0';
    if (length > REQUEST_TARGET_MAXIMUM)
        return;
    struct request_header host = {"Host", "a"};
    struct request_head plain = {.method = head->method,
                                 .version = "1.1",
                                 .path = path,
                                 .headers = &host,
                                 .header_count = 1};
    memset(&again, 0, sizeof again);
    must(request_parse(&again, &plain, &problem));
    must(again.segment_count == request->segment_count);
    for (size_t i = 0; i < again.segment_count; i++)
        must(same_word(again.segments[i], request->segments[i]));
}

static void check_route(const struct request *request) {
    static struct exchange x;
    const struct route *route = NULL;
    char allow[ROUTE_ALLOW_SIZE] = "";
    struct problem problem = {0};
    memset(&x, 0, sizeof x);
    x.request = *request;
    enum route_result result = route_find(&x, &route, allow);
    must((result == ROUTE_FOUND) == (route != NULL) || result == ROUTE_METHOD);
    must(result != ROUTE_METHOD || allow[0]);
    if (result != ROUTE_FOUND)
        return;
    if (!request_query_known(request, route->query, &problem))
        must(problem.status == 400 && request->query_count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct request request;
    struct request_header headers[REQUEST_HEADER_COUNT];
    struct problem problem = {0};
    if (size >= BUFFER - 4 || memchr(data, 0, size))
        return -1;
    char *text = calloc(1, BUFFER);
    must(text);
    memcpy(text, data, size);
    char *at = text;
    char *line = skip_to(&at, "\n");
    size_t end = strlen(line);
    if (end > 0 && line[end - 1] == '\r')
        line[end - 1] = '\0';
    char *word = line;
    struct request_head head = {.method = skip_to(&word, " ")};
    head.path = skip_to(&word, " ");
    head.version = strncmp(word, "HTTP/", 5) == 0 ? word + 5 : "1.1";
    char *query = strchr(head.path, '?');
    if (query)
        *query++ = '\0';
    head.query = query;
    head.headers = headers;
    head.header_count = read_lines(at, headers);
    bool whole = request_lines_whole(&head);
    memset(&request, 0, sizeof request);
    if (request_parse(&request, &head, &problem)) {
        must(request.query_count <= REQUEST_QUERIES && request.body_length >= 0 &&
             request.body_length <= REQUEST_BODY_MAXIMUM);
        for (size_t i = 0; i < request.query_count; i++)
            must(same_word(request_query(&request, request.queries[i].name),
                           request.queries[i].value));
        if (whole)
            check_target(&request, &head);
        check_route(&request);
    } else {
        must(problem.status >= 400 && problem.status < 500 && problem.detail[0]);
    }
    free(text);
    return 0;
}
