#include "api/problem.h"

#include <stddef.h>
#include <stdio.h>

static const struct {
    int status;
    const char *title;
    const char *type; /* last part of the problem's URN */
} kinds[] = {
    {200, "OK", ""},
    {201, "Created", ""},
    {202, "Accepted", ""},
    {204, "No Content", ""},
    {304, "Not Modified", ""},
    {400, "Bad Request", "bad-request"},
    {401, "Unauthorized", "unauthorized"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not-found"},
    {405, "Method Not Allowed", "method-not-allowed"},
    {406, "Not Acceptable", "not-acceptable"},
    {408, "Request Timeout", "request-timeout"},
    {409, "Conflict", "conflict"},
    {411, "Length Required", "length-required"},
    {412, "Precondition Failed", "precondition-failed"},
    {413, "Content Too Large", "content-too-large"},
    {414, "URI Too Long", "uri-too-long"},
    {415, "Unsupported Media Type", "unsupported-media-type"},
    {417, "Expectation Failed", "expectation-failed"},
    {421, "Misdirected Request", "misdirected"},
    {422, "Unprocessable Content", "invalid"},
    {429, "Too Many Requests", "too-many-requests"},
    {431, "Request Header Fields Too Large", "header-too-large"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "not-implemented"},
    {503, "Service Unavailable", "unavailable"},
    {505, "HTTP Version Not Supported", "http-version"},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *problem_title(int status) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].status == status)
            return kinds[i].title;
    return "Error";
}

static const char *problem_type(int status) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].status == status)
            return kinds[i].type;
    return "error";
}

void problem_put(const struct problem *problem, struct json *json) {
    char urn[64];
    snprintf(urn, sizeof urn, "urn:derd:problem:%s", problem_type(problem->status));
    json_put_string(json, "type", urn);
    json_put_string(json, "title", problem_title(problem->status));
    json_put_integer(json, "status", problem->status);
    json_put_string(json, "detail", problem->detail);
    if (problem->instance)
        json_put_string(json, "instance", problem->instance);
    if (problem->request_id)
        json_put_string(json, "requestId", problem->request_id);
    if (!problem->report)
        return;
    json_key(json, "errors");
    json_array_open(json);
    for (size_t i = 0; i < problem->report->count; i++) {
        json_object_open(json);
        json_put_string(json, "pointer", problem->report->items[i].where);
        json_put_string(json, "detail", problem->report->items[i].text);
        json_object_close(json);
    }
    json_array_close(json);
    if (problem->report->total > problem->report->count)
        json_put_integer(json, "furtherErrors",
                         (int64_t)(problem->report->total - problem->report->count));
}

void problem_write(const struct problem *problem, struct buf *out) {
    struct json json;
    json_start(&json, out);
    json_object_open(&json);
    problem_put(problem, &json);
    json_object_close(&json);
}
