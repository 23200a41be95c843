#include "link/rtu_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define OPTION_SIZE   24
#define MISTAKES_SIZE 600 /* text of them all; what does not fit is left out */

/* The speeds that libmodbus can set: it takes any other for 9600 without a word. */
static bool baud_parse(const char *text, int *baud) {
    static const int known[] = {1200,  2400,   4800,   9600,   19200,  38400,
                                57600, 115200, 230400, 460800, 921600, 1000000};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", known[i]);
        if (strcmp(text, name) == 0) {
            *baud = known[i];
            return true;
        }
    }
    return false;
}

static bool parity_parse(const char *text, char *parity) {
    static const char *const names[] = {"none", "even", "odd"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *parity = "NEO"[i];
            return true;
        }
    return false;
}

enum { OPTION_BAUD, OPTION_PARITY, OPTION_STOP, OPTION_MODE, OPTION_COUNT };

static const struct {
    const char *name, *values;
} options[OPTION_COUNT] = {
    [OPTION_BAUD] = {"baud", "1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200 or more"},
    [OPTION_PARITY] = {"parity", "none, even or odd"},
    [OPTION_STOP] = {"stop", "1 or 2"},
    [OPTION_MODE] = {"mode", "rs232 or rs485"},
};

static bool option_take(int option, const char *value, struct rtu_settings *settings) {
    switch (option) {
    case OPTION_BAUD:
        return baud_parse(value, &settings->baud);
    case OPTION_PARITY:
        return parity_parse(value, &settings->parity);
    case OPTION_STOP:
        settings->stop_bits = value[0] - '0';
        return strcmp(value, "1") == 0 || strcmp(value, "2") == 0;
    default:
        settings->rs485 = strcmp(value, "rs485") == 0;
        return settings->rs485 || strcmp(value, "rs232") == 0;
    }
}

/* One "name=value"; `seen` has the options that came before. */
static void option_parse(const char *text, unsigned *seen, struct rtu_settings *settings,
                         struct buf *mistakes) {
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) != length || strncmp(text, options[i].name, length) != 0)
            continue;
        if (*seen & 1U << i)
            buf_format(mistakes, "; %s is given twice", options[i].name);
        *seen |= 1U << i;
        if (!equals || !option_take(i, equals + 1, settings))
            buf_format(mistakes, "; %s must be %s", options[i].name, options[i].values);
        return;
    }
    buf_format(mistakes, "; \"%s\" is none of baud, parity, stop, mode", text);
}

static void device_parse(const char *start, size_t length, struct rtu_settings *settings,
                         struct buf *mistakes) {
    snprintf(settings->device, sizeof settings->device, "%.*s", (int)length, start);
    if (length == 0 || start[0] != '/')
        buf_format(mistakes, "; the port must be a path such as /dev/ttyUSB0");
    else if (length >= RTU_DEVICE_SIZE)
        buf_format(mistakes, "; the port's path is longer than %d", RTU_DEVICE_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)start[i] <= ' ' || start[i] == '&') {
            buf_format(mistakes, "; the port's path has a blank or & in it");
            break;
        }
}

bool rtu_settings_parse(const char *url, struct rtu_settings *settings, char *why,
                        size_t why_size) {
    const char *device = url + strlen(RTU_SCHEME);
    struct buf mistakes;
    if (strncmp(url, RTU_SCHEME, strlen(RTU_SCHEME)) != 0) {
        snprintf(why, why_size, "expected rtu:///dev/ttyUSB0?baud=9600");
        return false;
    }
    size_t length = strcspn(device, "?");
    buf_init(&mistakes, MISTAKES_SIZE);
    *settings = (struct rtu_settings){.baud = 9600, .parity = 'N', .stop_bits = 1};
    device_parse(device, length, settings, &mistakes);
    unsigned seen = 0;
    const char *at = device + length;
    while (*at) { /* at the ? or & before an option */
        at++;
        size_t size = strcspn(at, "&");
        char option[OPTION_SIZE];
        snprintf(option, sizeof option, "%.*s", (int)size, at);
        option_parse(option, &seen, settings, &mistakes);
        at += size;
    }
    bool valid = mistakes.length == 0 && !mistakes.failed;
    if (!valid) /* the first "; " is left out */
        snprintf(why, why_size, "expected rtu:///dev/ttyUSB0?baud=9600: %s",
                 mistakes.length ? buf_string(&mistakes) + 2 : "out of memory");
    buf_free(&mistakes);
    return valid;
}

int64_t rtu_character_us(const struct rtu_settings *settings) {
    int64_t bits = 9 + (settings->parity != 'N') + settings->stop_bits;
    return (bits * 1000000 + settings->baud - 1) / settings->baud;
}

int64_t rtu_silence_us(const struct rtu_settings *settings) {
    if (settings->baud > 19200)
        return 1750;
    return (7 * rtu_character_us(settings) + 1) / 2;
}
