/* What a device hangs on, by the URL of its link: a Modbus wire that machines share (link.h), or an
 * address that hooks talk to. Pure, but for what engine.h says of struct wire. */
#ifndef DERD_WIRE_H
#define DERD_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "driver.h"

/* LINK_KIND_COUNT: of none. */
enum link_kind wire_kind(const char *url);
bool wire_is_modbus(enum link_kind kind);
/* True when `url` has the form of its kind; else what was expected. */
bool wire_url_valid(const char *url, char *why, size_t why_size);

/* "line://host:port" as the client of lines calls it. */
void wire_line_url(const char *url, char *text, size_t size);
/* The broker of "mqtt://host[:port]/topic" with a user, "" for none; and the topic, "" for none. */
void wire_broker_url(const char *url, const char *user, char *text, size_t size);
const char *wire_topic(const char *url);

#endif
