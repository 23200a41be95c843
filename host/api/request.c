#include "api/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool refuse(struct problem *problem, int status, const char *format, ...) printf_like(3, 4);

/* Always false, so that a check can end with it. */
static bool refuse(struct problem *problem, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    problem->status = status;
    vsnprintf(problem->detail, sizeof problem->detail, format, arguments);
    va_end(arguments);
    return false;
}

static enum method method_parse(const char *name) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return (enum method)i;
    return METHOD_OTHER;
}

/* --- header lines ---------------------------------------------------------------------------- */

bool request_lines_whole(const struct request_head *head) {
    const char *end = head->version + strlen(head->version); /* the line's CR, now NUL */
    for (size_t i = 0; i < head->header_count; i++) {
        const struct request_header *header = &head->headers[i];
        const char *colon = header->name + strlen(header->name);
        if (header->name != end + 2)
            return false; /* the line before ended with a lone LF, or blank lines were skipped */
        if (colon[1] == '\0' && header->value != colon + 1)
            return false; /* "Name : value": the blank and the colon are both NUL now */
        end = header->value + strlen(header->value);
    }
    /* After the last line comes the empty one, of which civetweb leaves the CR. Both bytes are
     * inside its buffer: the whole head is shorter than REQUEST_HEADER_MAXIMUM, half of it. */
    return head->header_count == 0 || (end[1] == '\0' && end[2] == '\r');
}

/* Value of the header `name`; *count says how often it is there. */
static const char *header_find(const struct request_head *head, const char *name, size_t *count) {
    const char *value = NULL;
    const char first = (char)(name[0] | 0x20); /* a letter, in any case */
    *count = 0;
    for (size_t i = 0; i < head->header_count; i++)
        if ((head->headers[i].name[0] | 0x20) == first &&
            strcasecmp(head->headers[i].name, name) == 0) {
            if (!value)
                value = head->headers[i].value;
            (*count)++;
        }
    return value;
}

/* True when `list`, parted by commas, has the word `token` (any case). */
static bool has_token(const char *list, const char *token) {
    size_t length = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t word = strcspn(list, ", \t");
        if (word == length && strncasecmp(list, token, length) == 0)
            return true;
        list += word;
    }
    return false;
}

static bool check_sizes(const struct request_head *head, struct problem *problem) {
    size_t target = strlen(head->path) + (head->query ? strlen(head->query) + 1 : 0);
    if (target > REQUEST_TARGET_MAXIMUM)
        return refuse(problem, 414, "The URI has %zu bytes; at most %d are taken.", target,
                      REQUEST_TARGET_MAXIMUM);
    size_t total = target + strlen(head->method) + strlen(head->version);
    for (size_t i = 0; i < head->header_count; i++)
        total += strlen(head->headers[i].name) + strlen(head->headers[i].value) + 4;
    if (total > REQUEST_HEADER_MAXIMUM)
        return refuse(problem, 431, "The request's head has more than %d bytes.",
                      REQUEST_HEADER_MAXIMUM);
    if (head->header_count >= REQUEST_HEADER_COUNT)
        return refuse(problem, 431, "The request has %d header lines or more.",
                      REQUEST_HEADER_COUNT);
    return true;
}

/* Digits only: "+5", "5, 5" and "5x" are read in different ways by different programs. */
static bool parse_length(const char *text, int64_t *length) {
    if (!text[0] || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text))
        return false;
    *length = strtoll(text, NULL, 10);
    return true;
}

static bool check_length(struct request *request, const struct request_head *head,
                         struct problem *problem) {
    size_t lengths;
    size_t encodings;
    const char *length = header_find(head, "Content-Length", &lengths);
    (void)header_find(head, "Transfer-Encoding", &encodings);
    if (encodings && lengths)
        return refuse(problem, 400,
                      "The request has both Transfer-Encoding and Content-Length; send "
                      "Content-Length alone.");
    if (encodings)
        return refuse(problem, 411,
                      "Transfer-Encoding is not taken; send the body with Content-Length.");
    if (lengths > 1)
        return refuse(problem, 400, "Content-Length is there %zu times; send it once.", lengths);
    if (length && !parse_length(length, &request->body_length))
        return refuse(problem, 400, "Content-Length must be a number of bytes.");
    bool takes_body = request->method == METHOD_POST || request->method == METHOD_PUT ||
                      request->method == METHOD_PATCH;
    if (!takes_body && request->body_length > 0)
        return refuse(problem, 400, "%s takes no body; send it without one.", head->method);
    if (request->body_length > REQUEST_BODY_MAXIMUM)
        return refuse(problem, 413, "The body has %lld bytes; at most %d are taken.",
                      (long long)request->body_length, REQUEST_BODY_MAXIMUM);
    return true;
}

static bool check_host(const struct request_head *head, struct problem *problem) {
    size_t count;
    const char *host = header_find(head, "Host", &count);
    if (count != 1 || !host[0])
        return refuse(problem, 400,
                      "The header Host must be there exactly once, it is there %zu "
                      "times or empty.",
                      count);
    if (strpbrk(host, " ,/@\\?#"))
        return refuse(problem, 400,
                      "The header Host must be a name or address with an optional "
                      "port.");
    return true;
}

static bool media_is(const char *type, size_t length, const char *media) {
    return length == strlen(media) && strncasecmp(type, media, length) == 0;
}

/* Headers that must not be there twice since they decide something, and what they say. */
static bool read_headers(struct request *request, const struct request_head *head,
                         struct problem *problem) {
    size_t count;
    const char *type = NULL;
    const struct {
        const char *name;
        const char **value;
    } single[] = {{"Authorization", &request->authorization},
                  {"If-Match", &request->if_match},
                  {"If-None-Match", &request->if_none_match},
                  {"Idempotency-Key", &request->idempotency_key},
                  {"Last-Event-ID", &request->last_event_id},
                  {"X-Request-Id", &request->request_id},
                  {"Cookie", &request->cookie},
                  {"Origin", &request->origin},
                  {"X-CSRF-Token", &request->csrf_token},
                  {"Host", &request->host},
                  {"Content-Type", &type}};
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        *single[i].value = header_find(head, single[i].name, &count);
        if (count > 1)
            return refuse(problem, 400, "%s is there %zu times; send it once.", single[i].name,
                          count);
    }
    request->accept = header_find(head, "Accept", &count);
    size_t word = type ? strcspn(type, "; \t") : 0;
    request->json_body =
        type &&
        (media_is(type, word, "application/json") ||
         (request->method == METHOD_PATCH && media_is(type, word, "application/merge-patch+json")));
    request->lua_body = type && media_is(type, word, "text/x-lua");
    const char *expect = header_find(head, "Expect", &count);
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return refuse(problem, 417, "Expect may only say 100-continue.");
    request->expect_continue = expect != NULL && strcmp(head->version, "1.0") != 0;
    request->takes_chunks = strcmp(head->version, "1.0") != 0;
    const char *connection = header_find(head, "Connection", &count);
    request->keep_alive = connection ? has_token(connection, "keep-alive") &&
                                           !has_token(connection, "close") &&
                                           !has_token(connection, "upgrade")
                                     : strcmp(head->version, "1.1") == 0;
    return true;
}

/* --- target ---------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes `length` bytes to *to, ends them with NUL and moves *to on. False for a bad encoding, a
 * control character or a byte that must be encoded. */
static bool percent_decode(const char *from, size_t length, bool plus_is_blank, char **to) {
    for (size_t i = 0; i < length; i++) {
        int c = (unsigned char)from[i];
        if (c <= ' ' || c >= 0x7f)
            return false;
        if (c == '+' && plus_is_blank)
            c = ' ';
        if (c == '%') {
            if (length - i < 3)
                return false;
            int hi = hex_digit(from[i + 1]);
            int lo = hex_digit(from[i + 2]);
            if (hi < 0 || lo < 0)
                return false;
            c = hi * 16 + lo;
            i += 2;
            if (c < ' ' || c == 0x7f)
                return false;
        }
        *(*to)++ = (char)c;
    }
    *(*to)++ = '\0';
    return true;
}

static bool parse_path(struct request *request, const char *path, char **to,
                       struct problem *problem) {
    if (path[0] != '/')
        return refuse(problem, 400, "The path must begin with a slash.");
    while (*path == '/') {
        path++;
        size_t length = strcspn(path, "/");
        if (request->segment_count == REQUEST_SEGMENTS)
            return refuse(problem, 404, "There is nothing at a path of more than %d steps.",
                          REQUEST_SEGMENTS);
        char *segment = *to;
        if (!percent_decode(path, length, false, to))
            return refuse(problem, 400,
                          "The path holds a control character or a bad percent-encoding.");
        if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 || strchr(segment, '/'))
            return refuse(problem, 400,
                          "The path must not hold '.', '..' or an encoded slash as "
                          "a step.");
        request->segments[request->segment_count++] = segment;
        path += length;
    }
    return true;
}

static bool parse_query(struct request *request, const char *query, char **to,
                        struct problem *problem) {
    while (query && *query) {
        size_t length = strcspn(query, "&");
        size_t name_length = strcspn(query, "=&");
        if (request->query_count == REQUEST_QUERIES)
            return refuse(problem, 400, "The query has more than %d parameters.", REQUEST_QUERIES);
        char *name = *to;
        bool ok = percent_decode(query, name_length, true, to);
        char *value = *to;
        size_t skip = name_length < length ? name_length + 1 : length;
        if (!ok || !percent_decode(query + skip, length - skip, true, to))
            return refuse(problem, 400,
                          "The query holds a control character or a bad percent-encoding.");
        if (request_query(request, name))
            return refuse(problem, 400, "The query has a parameter twice; send each once.");
        request->queries[request->query_count].name = name;
        request->queries[request->query_count].value = value;
        request->query_count++;
        query += length;
        if (*query == '&')
            query++;
    }
    return true;
}

bool request_parse(struct request *request, const struct request_head *head,
                   struct problem *problem) {
    /* Each step writes its decoded bytes and a NUL: never more than it and its mark had. */
    request->method = method_parse(head->method);
    char *to = request->text;
    return check_sizes(head, problem) && check_host(head, problem) &&
           check_length(request, head, problem) && read_headers(request, head, problem) &&
           parse_path(request, head->path, &to, problem) &&
           parse_query(request, head->query, &to, problem);
}

const char *request_query(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->queries[i].name, name) == 0)
            return request->queries[i].value;
    return NULL;
}

static bool word_in(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t step = strcspn(at, " ");
        if (step == length && strncmp(at, word, length) == 0)
            return true;
        at += step;
    }
    return false;
}

bool request_query_known(const struct request *request, const char *known,
                         struct problem *problem) {
    for (size_t i = 0; i < request->query_count; i++) {
        const char *name = request->queries[i].name;
        if (word_in(known, name))
            continue;
        if (!known[0])
            return refuse(problem, 400, "This path takes no query parameter, got \"%.60s\".", name);
        return refuse(problem, 400, "There is no query parameter \"%.60s\" here; known: %s.", name,
                      known);
    }
    return true;
}
