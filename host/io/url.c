/* What the host of a URL may look like is decided by what inet_aton(), getaddrinfo() and browsers
 * make of odd forms: whatever one of them would take for another address is refused here. */
#include "io/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void lower(char *text) {
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* Four decimal numbers without leading zeros: the one form that all parsers read alike. */
static bool ipv4_parse(const char *text, uint8_t address[4]) {
    for (int i = 0; i < 4; i++) {
        size_t length = strspn(text, DIGITS);
        if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
            return false;
        unsigned long value = strtoul(text, NULL, 10);
        if (value > 255)
            return false;
        address[i] = (uint8_t)value;
        text += length;
        if (*text++ != (i < 3 ? '.' : '\0'))
            return false;
    }
    return true;
}

/* "0x7f", "127" and "0177" at the end of a host make some parsers read all of it as a number. */
static bool ends_in_number(const char *host) {
    const char *last = strrchr(host, '.');
    last = last ? last + 1 : host;
    if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
        return last[2 + strspn(last + 2, DIGITS "abcdefABCDEF")] == '\0';
    return last[strspn(last, DIGITS)] == '\0';
}

static bool name_valid(const char *host) {
    for (const char *at = host;; at++) {
        size_t label = strspn(at, LETTERS DIGITS "-_");
        if (label == 0 || label > 63)
            return false;
        at += label;
        if (*at == '\0')
            return true;
        if (*at != '.')
            return false;
    }
}

static const char *set_ipv6(struct url *url) {
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (inet_pton(AF_INET6, url->host, url->address) != 1)
        return "what stands in brackets is no IPv6 address (a zone behind it is not taken)";
    url->kind = URL_IPV6;
    if (memcmp(url->address, mapped, sizeof mapped) == 0) {
        memmove(url->address, url->address + sizeof mapped, 4);
        memset(url->address + 4, 0, 12);
        url->kind = URL_IPV4;
    }
    inet_ntop(url->kind == URL_IPV4 ? AF_INET : AF_INET6, url->address, url->host,
              sizeof url->host);
    return NULL;
}

/* url->host as written, without brackets: which kind it is, and its one form. */
static const char *set_host(struct url *url, bool bracketed) {
    if (bracketed)
        return set_ipv6(url);
    size_t length = strlen(url->host);
    bool dot = length > 1 && url->host[length - 1] == '.';
    if (dot)
        url->host[length - 1] = '\0';
    if (ends_in_number(url->host)) {
        if (dot || !ipv4_parse(url->host, url->address))
            return "the host looks like an address, but is not four decimal numbers from 0 to 255";
        url->kind = URL_IPV4;
        return NULL;
    }
    if (!name_valid(url->host))
        return "the host is neither a name nor an address (IPv6 stands in brackets: [fd00::1])";
    lower(url->host);
    url->kind = URL_NAME;
    return NULL;
}

static const char *set_port(const char *text, size_t length, struct url *url) {
    char digits[6];
    static const char mistake[] = "the port is not a number from 1 to 65535";
    if (length == 0 || length > 5 || text[0] == '0')
        return mistake;
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (strspn(digits, DIGITS) != length)
        return mistake;
    url->port = (unsigned)strtoul(digits, NULL, 10);
    return url->port > 65535 ? mistake : NULL;
}

/* "host", "host:port", "[ipv6]" or "[ipv6]:port", of `length` bytes. */
static const char *set_host_and_port(const char *text, size_t length, struct url *url) {
    bool bracketed = length > 0 && *text == '[';
    const char *start = text + bracketed, *end = text + length;
    const char *stop = memchr(start, bracketed ? ']' : ':', (size_t)(end - start));
    if (bracketed && !stop)
        return "the ] after the IPv6 address is missing";
    if (!stop)
        stop = end;
    size_t host_length = (size_t)(stop - start);
    if (host_length == 0)
        return "the host is missing";
    if (host_length >= sizeof url->host)
        return "the host is longer than a name may be";
    memcpy(url->host, start, host_length);
    url->host[host_length] = '\0';
    stop += bracketed;
    const char *mistake = set_host(url, bracketed);
    if (mistake || stop == end)
        return mistake;
    if (*stop != ':')
        return "something stands between the host and its port";
    return set_port(stop + 1, (size_t)(end - stop - 1), url);
}

static const char *check_bytes(const char *text) {
    size_t length = 0;
    for (const char *at = text; *at; at++, length++) {
        if (*at <= ' ' || *at > '~')
            return "it holds white space, control characters or bytes beyond ASCII (names are "
                   "written as xn--..., other bytes as %41)";
        if (*at == '\\')
            return "it holds a \\, which some programs read as /";
    }
    return length > URL_MAXIMUM ? "it is longer than 2048 bytes" : NULL;
}

static const char *set_user(const char *text, size_t length, struct url *url) {
    if (strncmp(url->scheme, "mqtt", 4) != 0)
        return "user and password do not belong into it, they are settings of their own";
    if (length == 0 || length >= sizeof url->user)
        return "the user before the @ has 1 to 63 characters";
    memcpy(url->user, text, length);
    url->user[length] = '\0';
    if (strchr(url->user, ':'))
        return "the password does not belong into it, it is a setting of its own";
    if (strspn(url->user, LETTERS DIGITS "-._~!$&'()*+,;=") != length)
        return "the user before the @ may hold letters, digits and -._~!$&'()*+,;=";
    return NULL;
}

static unsigned default_port(const char *scheme) {
    static const struct {
        const char *scheme;
        unsigned port;
    } defaults[] = {{"http", 80}, {"https", 443}, {"mqtt", 1883}, {"mqtts", 8883}};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        if (strcmp(scheme, defaults[i].scheme) == 0)
            return defaults[i].port;
    return 0;
}

const char *url_parse(const char *text, struct url *url) {
    *url = (struct url){.rest = ""};
    const char *mistake = check_bytes(text);
    if (mistake)
        return mistake;
    size_t scheme = strspn(text, LETTERS);
    if (scheme == 0 || scheme >= sizeof url->scheme || strncmp(text + scheme, "://", 3) != 0)
        return "it does not begin with a scheme and ://";
    memcpy(url->scheme, text, scheme);
    url->scheme[scheme] = '\0';
    lower(url->scheme);
    const char *start = text + scheme + 3;
    size_t length = strcspn(start, "/?#");
    url->rest = start + length;
    if (memchr(start, '%', length))
        return "host and port hold no % (a zone or an encoded character)";
    const char *at = memchr(start, '@', length);
    if (at) {
        mistake = set_user(start, (size_t)(at - start), url);
        if (mistake)
            return mistake;
        length -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    url->port = default_port(url->scheme);
    return set_host_and_port(start, length, url);
}

const char *url_parse_host(const char *text, struct url *url) {
    *url = (struct url){.rest = ""};
    const char *mistake = check_bytes(text);
    if (mistake)
        return mistake;
    const char *colon = strchr(text, ':');
    if (*text == '[' || !colon || !strchr(colon + 1, ':'))
        return set_host_and_port(text, strlen(text), url);
    if (strlen(text) >= sizeof url->host)
        return "the host is longer than a name may be";
    snprintf(url->host, sizeof url->host, "%s", text);
    return set_ipv6(url);
}

const char *url_shown(const char *text, char shown[URL_SHOWN_SIZE]) {
    const char *mark = strstr(text, "://"), *at = strrchr(text, '@');
    size_t scheme = mark && (!at || mark < at) ? (size_t)(mark + 3 - text) : 0;
    if (at)
        snprintf(shown, URL_SHOWN_SIZE, "%.*s...%s", (int)(scheme < 12 ? scheme : 12), text, at);
    else
        snprintf(shown, URL_SHOWN_SIZE, "%s", text);
    return shown;
}
