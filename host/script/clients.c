#include "script/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device.h"
#include "io/reach.h"
#include "io/url.h"
#include "link/wire.h"
#include "machine.h"

/* The parts of a machine share one link: the secrets are those of the first. */
static const struct site_access *site_of(const struct machine *machine) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            return site_device_access(machine->parts[i]->site);
    return NULL;
}

/* Those of the machine, the first time made; NULL without memory. */
static struct clients *clients_of(struct machine *machine, char *why, size_t why_size) {
    if (!machine->clients)
        machine->clients = calloc(1, sizeof *machine->clients);
    if (!machine->clients)
        snprintf(why, why_size, "there is no memory for it");
    return machine->clients;
}

static struct tls_settings tls_of(const struct site_access *site) {
    return (struct tls_settings){.ca_file = site->ca_file[0] ? site->ca_file : NULL,
                                 .pin = site->pinned_key[0] ? site->pinned_key : NULL};
}

/* --- HTTP ----------------------------------------------------------------------------------------
 */

static struct http_client *open_http(struct machine *machine, const char *url, bool own, char *why,
                                     size_t why_size) {
    static const enum http_auth auths[] = {[LINK_AUTH_NONE] = HTTP_AUTH_NONE,
                                           [LINK_AUTH_BASIC] = HTTP_AUTH_BASIC,
                                           [LINK_AUTH_DIGEST] = HTTP_AUTH_DIGEST,
                                           [LINK_AUTH_BEARER] = HTTP_AUTH_BEARER};
    const struct driver *driver = machine_driver(machine);
    const struct site_access *site = site_of(machine);
    struct http_settings settings = {.connect_timeout_ms = driver->timeout_ms};
    if (site)
        settings.tls = tls_of(site);
    /* Without a secret in the site file the device is asked as it is: it may want none. */
    if (own && site && site->secret[0]) {
        settings.auth = auths[driver->io.auth];
        settings.user = site->username;
        settings.password = site->secret;
    }
    return http_open(machine->engine->io, url, &settings, why, why_size);
}

static struct http_client *other_http(struct machine *machine, const char *url, const char **path,
                                      char *why, size_t why_size) {
    const struct site_access *site = site_of(machine);
    struct clients *clients = machine->clients;
    char base[320];
    struct url parsed;
    if (!reach_allows(url, machine->wire->url, site ? site->reach : NULL,
                      site ? site->reach_count : 0, why, why_size))
        return NULL;
    const char *wrong = url_parse(url, &parsed);
    if (wrong || parsed.rest - url >= (ptrdiff_t)sizeof base) {
        snprintf(why, why_size, "%s", wrong ? wrong : "the address is too long");
        return NULL;
    }
    snprintf(base, sizeof base, "%.*s", (int)(parsed.rest - url), url);
    *path = parsed.rest;
    for (int i = 0; i < CLIENTS_OTHERS; i++) {
        if (!clients->others[i])
            clients->others[i] = open_http(machine, base, false, why, why_size);
        if (!clients->others[i] || strcmp(http_url(clients->others[i]), base) == 0)
            return clients->others[i];
    }
    snprintf(why, why_size, "at most %d addresses beside the device's own", CLIENTS_OTHERS);
    return NULL;
}

struct http_client *clients_http(struct machine *machine, const char *url, const char **path,
                                 char *why, size_t why_size) {
    struct clients *clients = clients_of(machine, why, why_size);
    *path = url;
    if (!clients)
        return NULL;
    if (wire_kind(url) == LINK_HTTP)
        return other_http(machine, url, path, why, why_size);
    if (machine->wire->kind != LINK_HTTP) {
        snprintf(why, why_size, "dev.http is for http:// and https:// links; this device's is %s",
                 machine->wire->url);
        return NULL;
    }
    if (!clients->http)
        clients->http = open_http(machine, machine->wire->url, true, why, why_size);
    return clients->http;
}

/* --- UDP and lines -------------------------------------------------------------------------------
 */

static bool is_kind(const struct machine *machine, enum link_kind kind, const char *room, char *why,
                    size_t why_size) {
    if (machine->wire->kind == kind)
        return true;
    snprintf(why, why_size, "dev.%s is for %s:// links; this device's is %s", room, room,
             machine->wire->url);
    return false;
}

struct udp_client *clients_udp(struct machine *machine, char *why, size_t why_size) {
    const struct driver *driver = machine_driver(machine);
    struct udp_settings settings = {.pause_ms = driver->pause_ms};
    if (!is_kind(machine, LINK_UDP, "udp", why, why_size))
        return NULL;
    if (!machine->engine->any_local_port)
        settings.local_port = driver->io.local_port;
    struct clients *clients = clients_of(machine, why, why_size);
    if (!clients)
        return NULL;
    if (!clients->udp)
        clients->udp = udp_open(machine->engine->io, machine->wire->url, &settings, why, why_size);
    return clients->udp;
}

struct line_client *clients_line(struct machine *machine, char *why, size_t why_size) {
    const struct driver *driver = machine_driver(machine);
    const struct line_settings settings = {.end = driver->io.line_end,
                                           .length = LINE_LENGTH_MAXIMUM,
                                           .connect_timeout_ms = driver->timeout_ms};
    char url[180];
    if (!is_kind(machine, LINK_LINE, "line", why, why_size))
        return NULL;
    wire_line_url(machine->wire->url, url, sizeof url);
    struct clients *clients = clients_of(machine, why, why_size);
    if (!clients)
        return NULL;
    if (!clients->line)
        clients->line = line_open(machine->engine->io, url, &settings, why, why_size);
    return clients->line;
}

/* --- MQTT ----------------------------------------------------------------------------------------
 */

struct mqtt_client *clients_mqtt(struct machine *machine, char *why, size_t why_size) {
    const struct site_access *site = site_of(machine);
    struct mqtt_settings settings = {.keepalive_s = 0};
    char url[260];
    if (!is_kind(machine, LINK_MQTT, "mqtt", why, why_size))
        return NULL;
    if (site) {
        settings.tls = tls_of(site);
        settings.password = site->secret[0] ? site->secret : NULL;
    }
    wire_broker_url(machine->wire->url, site ? site->username : "", url, sizeof url);
    struct clients *clients = clients_of(machine, why, why_size);
    if (!clients)
        return NULL;
    if (!clients->mqtt)
        clients->mqtt = mqtt_open(machine->engine->io, url, &settings, why, why_size);
    return clients->mqtt;
}

bool clients_topic(const struct machine *machine, const char *topic, char *full, size_t size) {
    const char *own = wire_topic(machine->wire->url), *place = strstr(topic, "{}");
    int length;
    if (place)
        length = snprintf(full, size, "%.*s%s%s", (int)(place - topic), topic, own, place + 2);
    else
        length = snprintf(full, size, "%s%s%s", own, own[0] && topic[0] ? "/" : "", topic);
    return length > 0 && (size_t)length < size && !strstr(full, "{}");
}

static void heard(struct mqtt_subscription *subscription, const struct mqtt_message *message,
                  void *owner) {
    (void)subscription;
    if (!message->retained)
        machine_heard(owner);
}

struct mqtt_subscription *clients_subscribe(struct machine *machine, const char *filter, char *why,
                                            size_t why_size) {
    struct mqtt_client *client = clients_mqtt(machine, why, why_size);
    struct clients *clients = machine->clients;
    for (size_t i = 0; clients && i < clients->topic_count; i++)
        if (strcmp(clients->topics[i].filter, filter) == 0)
            return clients->topics[i].subscription;
    for (size_t i = 0; client && i < clients->topic_count;
         i++) /* one with a wildcard may hear it */
        if (mqtt_last(clients->topics[i].subscription, filter))
            return clients->topics[i].subscription;
    if (!client)
        return NULL;
    if (clients->topic_count == CLIENTS_SUBSCRIPTIONS) {
        snprintf(why, why_size, "a device may hear at most %d topics; subscribe to one with \"+\"",
                 CLIENTS_SUBSCRIPTIONS);
        return NULL;
    }
    struct mqtt_subscription *made = mqtt_subscribe(client, filter, 0, heard, machine);
    if (!made) {
        snprintf(why, why_size, "%s", mqtt_why(client));
        return NULL;
    }
    snprintf(clients->topics[clients->topic_count].filter, sizeof clients->topics[0].filter, "%s",
             filter);
    clients->topics[clients->topic_count++].subscription = made;
    return made;
}

/* --- life ----------------------------------------------------------------------------------------
 */

void clients_begin(struct machine *machine) {
    const struct driver_io *io = &machine_driver(machine)->io;
    char why[IO_WHY_SIZE] = "", full[MQTT_TOPIC_MAXIMUM + 1];
    if (machine->wire->kind == LINK_UDP)
        (void)clients_udp(machine, why, sizeof why);
    for (int i = 0; machine->wire->kind == LINK_MQTT && i < io->topic_count && !why[0]; i++) {
        if (!clients_topic(machine, io->topics[i], full, sizeof full))
            snprintf(why, sizeof why, "\"%s\" is no topic", io->topics[i]);
        else
            (void)clients_subscribe(machine, full, why, sizeof why);
    }
    if (why[0])
        log_warning(machine->wire->url, "%s", why);
}

void clients_close(struct machine *machine) {
    struct clients *clients = machine->clients;
    if (!clients)
        return;
    if (clients->http)
        http_close(clients->http);
    for (int i = 0; i < CLIENTS_OTHERS; i++)
        if (clients->others[i])
            http_close(clients->others[i]);
    if (clients->udp)
        udp_close(clients->udp);
    if (clients->line)
        line_close(clients->line);
    if (clients->mqtt)
        mqtt_close(clients->mqtt);
    free(clients);
    machine->clients = NULL;
}
