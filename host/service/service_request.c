#include "service/service_request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TOKEN_MARKS "!#$%&'*+-.^_`|~" /* RFC 9110 section 5.6.2, beside letters and digits */

size_t service_head_end(const char *data, size_t length, size_t *scanned) {
    size_t from = *scanned > 3 ? *scanned - 3 : 0;
    const char *end = length > from ? memmem(data + from, length - from, "\r\n\r\n", 4) : NULL;
    *scanned = length;
    return end ? (size_t)(end - data) + 4 : 0;
}

static bool refuse(struct problem *problem, int status, const char *detail) {
    problem->status = status;
    snprintf(problem->detail, sizeof problem->detail, "%s", detail);
    return false;
}

static bool is_token(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && (c == 0 || !strchr(TOKEN_MARKS, c)))
            return false;
    }
    return length > 0;
}

/* No control characters but CR LF pairs and, inside of lines, tabs. */
static bool is_text(const char *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        bool ends = c == '\r' && i + 1 < length && data[i + 1] == '\n';
        if (ends)
            i++;
        else if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* "GET /health HTTP/1.1", ended by NUL. */
static bool split_first_line(char *line, struct request_head *head, struct problem *problem) {
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strchr(version + 1, ' ') || !is_token(line, (size_t)(target - line)))
        return refuse(problem, 400, "The request line must be METHOD /path HTTP/1.1.");
    *target++ = *version++ = '\0';
    if (target[0] != '/')
        return refuse(problem, 400, "The target must be a path that begins with a slash.");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return refuse(problem, 505, "HTTP 1.1 and 1.0 are spoken here.");
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    head->method = line;
    head->path = target;
    head->query = query;
    head->version = version + strlen("HTTP/");
    return true;
}

/* "Host: a", ended by NUL. */
static bool split_header(char *line, struct request_header *header) {
    char *colon = strchr(line, ':');
    if (!colon || !is_token(line, (size_t)(colon - line)))
        return false;
    *colon++ = '\0';
    colon += strspn(colon, " \t");
    size_t length = strlen(colon);
    while (length > 0 && (colon[length - 1] == ' ' || colon[length - 1] == '\t'))
        colon[--length] = '\0';
    *header = (struct request_header){.name = line, .value = colon};
    return true;
}

bool service_request_parse(char *data, size_t length, struct service_head *out,
                           struct request *request, struct problem *problem) {
    memset(request, 0, sizeof *request);
    out->head = (struct request_head){.headers = out->headers};
    if (!is_text(data, length))
        return refuse(problem, 400,
                      "The request's head holds bytes that are not text, or lines "
                      "that do not end with CR LF.");
    /* Each line in turn; the head ends with an empty one. */
    for (char *line = data, *end; (end = strstr(line, "\r\n")) != line; line = end + 2) {
        *end = '\0';
        if (line == data) {
            if (!split_first_line(line, &out->head, problem))
                return false;
            continue;
        }
        if (out->head.header_count == SERVICE_HEADERS)
            return refuse(problem, 431, "The request has too many header lines.");
        if (!split_header(line, &out->headers[out->head.header_count++]))
            return refuse(problem, 400,
                          "A header line must be NAME: VALUE, with no blank before "
                          "the colon.");
    }
    if (!out->head.method)
        return refuse(problem, 400, "The request line must be METHOD /path HTTP/1.1.");
    return request_parse(request, &out->head, problem);
}

bool service_host_is_local(const struct service_head *head) {
    char name[INET6_ADDRSTRLEN + 2] = "";
    struct in_addr address;
    for (size_t i = 0; i < head->head.header_count; i++)
        if (strcasecmp(head->headers[i].name, "Host") == 0) {
            const char *host = head->headers[i].value;
            size_t length = strcspn(host, ":");
            if (length < sizeof name)
                snprintf(name, sizeof name, "%.*s", (int)length, host);
        }
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1;
}
