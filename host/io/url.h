/* The address in a URL: scheme, user, host, port, and what follows. One strict parser for every
 * client and for io/reach.h, so that what is checked is what is connected to. Pure.
 *
 * Refused, because other parsers read them otherwise: white space and control characters, bytes
 * beyond ASCII (names are written as xn--...), "\", percent-encoding in user, host and port, IPv4
 * in any form but four decimal numbers without leading zeros (not 0x7f.1, 127.1, 2130706433,
 * 0177.0.0.1), an IPv6 zone ("%eth0"), a password after the user. */
#ifndef DERD_IO_URL_H
#define DERD_IO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_HOST_SIZE 254 /* RFC 1035: a name has at most 253 characters */
#define URL_USER_SIZE 64
#define URL_MAXIMUM   2048

enum url_host { URL_NAME, URL_IPV4, URL_IPV6 };

struct url {
    char scheme[8]; /* "http", in lower case, without "://" */
    char user[URL_USER_SIZE];
    /* In lower case, without brackets and without the dot at the end of a name; addresses in their
     * one canonical form. An IPv4 address written in IPv6 (::ffff:10.0.0.1) is URL_IPV4. */
    char host[URL_HOST_SIZE];
    enum url_host kind;
    uint8_t address[16]; /* of an address: 4 or 16 bytes, network order */
    unsigned port;       /* 0: none given and the scheme has no default */
    const char *rest;    /* within the text: "" or begins with '/', '?' or '#' */
};

/* What is wrong as a constant text, or NULL. Default ports: http 80, https 443, mqtt 1883, mqtts
 * 8883; other schemes have none. */
const char *url_parse(const char *text, struct url *url);
/* The same for "host", "host:port", "[ipv6]", "[ipv6]:port" and a bare IPv6 address: scheme "". */
const char *url_parse_host(const char *text, struct url *url);

#define URL_SHOWN_SIZE 61
/* The beginning of any text that was meant as a URL, for a sentence that tells what is wrong with
 * it: "..." in the place of what stands before an @, which may be a password. Gives `shown`. */
const char *url_shown(const char *text, char shown[URL_SHOWN_SIZE]);

#endif
