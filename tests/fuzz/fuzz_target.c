/* Paths and queries: the first line is a method, the second a path, the third a query; then what
 * Accept, If-Match and Authorization say. */
#include "fuzz.h"

#include "api/accept.h"
#include "api/precondition.h"
#include "api/route.h"
#include "api/series.h"

#define NOW INT64_C(1795795200000)

static void check_series(const struct request *request) {
    static struct exchange x;
    for (int levels = 0; levels < 2; levels++) {
        struct series_query query;
        struct report report;
        report_init(&report);
        memset(&x, 0, sizeof x);
        x.request = *request;
        x.now.wall.ms = NOW;
        series_read(&x, levels, &query, &report);
        if (report_empty(&report)) {
            must(query.from_ms < query.to_ms);
            must(query.limit >= 0 && query.limit <= SERIES_LIMIT_MAXIMUM);
            must(query.level >= LEVEL_RAW && query.level < LEVEL_COUNT);
        }
        for (size_t i = 0; i < report.count; i++) /* they are of parameters that were sent */
            must(request_query(request, report.items[i].where) ||
                 strcmp(report.items[i].where, "from") == 0);
        report_free(&report);
    }
}

static void check_accept(const char *accept) {
    static const char *const offers[] = {"application/json", "application/x-ndjson", "text/csv"};
    must(accept_choose(accept, offers, 3) <= 3);
    must(accept_choose(accept, offers, 0) == 0);
}

/* A list that has our tag in it is met, whatever else is in it. */
static void check_tags(const char *list) {
    for (int way = 0; way < 4; way++) {
        enum tags found = tags_look(list, "v1", way & 1, way & 2);
        if (found == TAGS_MALFORMED || found == TAGS_ANY || !list[0])
            continue;
        size_t size = strlen(list) + 16;
        char *longer = malloc(size);
        must(longer);
        snprintf(longer, size, "%s, \"v1\"", list);
        must(tags_look(longer, "v1", way & 1, way & 2) == TAGS_MATCH);
        free(longer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct request request;
    static struct exchange x;
    struct problem problem = {0};
    struct feed feed = {data, size};
    char *method = feed_line(&feed), *path = feed_line(&feed), *query = feed_line(&feed);
    char *accept = feed_line(&feed), *tags = feed_line(&feed);
    const struct request_header headers[] = {{"Host", "a"}, {"Accept", accept}};
    const struct request_head head = {.method = method,
                                      .version = "1.1",
                                      .path = path,
                                      .query = query,
                                      .headers = headers,
                                      .header_count = 2};
    memset(&request, 0, sizeof request);
    if (request_parse(&request, &head, &problem)) {
        const struct route *route = NULL;
        char allow[ROUTE_ALLOW_SIZE] = "";
        memset(&x, 0, sizeof x);
        x.request = request;
        if (route_find(&x, &route, allow) == ROUTE_FOUND) {
            must(route && (route->method == request.method ||
                           (request.method == METHOD_HEAD && route->method == METHOD_GET)));
            if (request_query_known(&request, route->query, &problem) && request.query_count > 0)
                must(route->query[0]);
        }
        check_series(&request);
    }
    check_accept(accept);
    check_tags(tags);
    free(method), free(path), free(query), free(accept), free(tags);
    return 0;
}
