/* What the site file says of HTTP: http = { ... }. Where the two listeners listen, what one client
 * may ask for, which proxies are believed, and where webhooks may be sent to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/guesses.h"
#include "api/rates.h"
#include "base/address.h"
#include "base/luadata.h"
#include "base/text.h"
#include "io/reach.h"
#include "site_internal.h"

#define DEFAULT_LISTEN  "127.0.0.1:8080"
#define DEFAULT_SERVICE "127.0.0.1:8079"

static const struct schema allow_item = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 255};
static const struct schema webhooks_fields[] = {
    {.key = "allow",
     .kind = SCHEMA_ARRAY,
     .item = &allow_item,
     .maximum = 64,
     .help = "addresses, ranges and hosts inside that webhooks may be sent to: \"10.0.0.0/8\""},
    {.key = "retryAfter",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.05,
     .maximum = 3600,
     .help = "s until the first retry, doubled each time; 5 when left out"},
    {.key = "giveUpAfter",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.1,
     .maximum = 7 * 86400,
     .help = "s until a webhook that only fails is disabled; a day when left out"},
    {0},
};

const struct schema site_http_fields[] = {
    {.key = "listen",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = 79,
     .help = "address:port, 127.0.0.1:8080 when left out"},
    {.key = "service",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = 79,
     .help = "address:port of /health, /ready and /metrics without a token, " DEFAULT_SERVICE
             " when left out; \"off\": none"},
    {.key = "threads", .kind = SCHEMA_INTEGER, .minimum = 4, .maximum = 1024},
    {.key = "streams",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = 512,
     .help = "most event streams at a time; at most half of the threads"},
    {.key = "proxies",
     .kind = SCHEMA_ARRAY,
     .item = &allow_item,
     .maximum = PROXIES_MAXIMUM,
     .help = "addresses and ranges of the proxies in front, whose X-Forwarded-For is believed: "
             "\"127.0.0.1\""},
    {.key = "rate",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.1,
     .maximum = RATE_MAXIMUM,
     .help = "requests a second that one token may make, 100 when left out"},
    {.key = "burst",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = RATE_MAXIMUM,
     .help = "requests that it may make at once, 200 when left out"},
    {.key = "guesses",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = GUESSES_FREE_MAXIMUM,
     .help = "wrong tokens or passwords from one address before it must wait, 5 when left out"},
    {.key = "webhooks", .kind = SCHEMA_OBJECT, .fields = webhooks_fields},
    {0},
};

static void check_listen(const struct site *site, struct report *report) {
    struct sockaddr_in address;
    if (!address_parse(site->listen, &address))
        report_add(report, "http.listen",
                   "expected an IPv4 address and a port like \"127.0.0.1:8080\", got \"%s\"",
                   site->listen);
}

void site_read_http(struct site *site, struct report *report) {
    const json_t *http = json_object_get(site->tree, "http");
    text_copy(site->listen, sizeof site->listen, tree_string(http, "listen", DEFAULT_LISTEN));
    site->threads = (int)tree_integer(http, "threads", 64);
    site->streams = (int)tree_integer(http, "streams", 0);
    site->rate = tree_number(http, "rate", RATE_DEFAULT);
    site->burst = tree_number(http, "burst", BURST_DEFAULT);
    site->guesses = (int)tree_integer(http, "guesses", GUESSES_FREE_DEFAULT);
    check_listen(site, report);
}

void site_read_webhooks(struct site *site, struct report *report) {
    const json_t *webhooks = json_object_get(json_object_get(site->tree, "http"), "webhooks");
    const json_t *allow = json_object_get(webhooks, "allow");
    site->webhooks.retry_ms = (int64_t)(tree_number(webhooks, "retryAfter", 0) * 1e3);
    site->webhooks.give_up_ms = (int64_t)(tree_number(webhooks, "giveUpAfter", 0) * 1e3);
    site->webhooks.allow = calloc(json_array_size(allow) + 1, sizeof *site->webhooks.allow);
    if (!site->webhooks.allow)
        report_add(report, "http.webhooks.allow", SITE_NO_MEMORY);
    for (size_t i = 0; site->webhooks.allow && i < json_array_size(allow); i++) {
        const char *entry = json_string_value(json_array_get(allow, i));
        char why[240];
        char where[64];
        snprintf(where, sizeof where, "http.webhooks.allow[%zu]", i + 1);
        if (entry && !reach_entry_valid(entry, why, sizeof why))
            report_add(report, where, "%s", why);
        else if (entry)
            site->webhooks.allow[site->webhooks.allow_count++] = entry;
    }
}

void site_read_service(struct site *site, struct report *report) {
    const json_t *http = json_object_get(site->tree, "http");
    struct sockaddr_in address;
    text_copy(site->service, sizeof site->service, tree_string(http, "service", DEFAULT_SERVICE));
    if (strcmp(site->service, "off") == 0)
        site->service[0] = '\0';
    else if (!address_parse(site->service, &address))
        report_add(report, "http.service",
                   "expected an IPv4 address and a port like \"127.0.0.1:8079\", or \"off\", got "
                   "\"%s\"",
                   site->service);
}

void site_read_proxies(struct site *site, struct report *report) {
    const json_t *proxies = json_object_get(json_object_get(site->tree, "http"), "proxies");
    for (size_t i = 0; i < json_array_size(proxies) && i < PROXIES_MAXIMUM; i++) {
        const char *entry = json_string_value(json_array_get(proxies, i));
        const char *mistake = entry ? proxies_add(&site->proxies, entry) : NULL;
        char where[64];
        snprintf(where, sizeof where, "http.proxies[%zu]", i + 1);
        if (mistake)
            report_add(report, where,
                       "expected the address of a proxy like \"127.0.0.1\", or a range like "
                       "\"10.1.0.0/16\", got \"%.60s\": %s",
                       entry, mistake);
    }
}
