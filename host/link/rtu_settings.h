/* How a serial line is set: the link text of a site file as plain values.
 *
 *   rtu:///dev/ttyUSB0?baud=9600&parity=none&stop=1&mode=rs232
 *
 * What is left out: 9600 baud, no parity, one stop bit (8N1), and the port's direction left alone
 * (mode=rs232). `mode=rs485` asks the kernel to switch the direction of a port of the board; USB
 * adapters do that by themselves. Pure. */
#ifndef DERD_RTU_SETTINGS_H
#define DERD_RTU_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTU_SCHEME      "rtu://"
#define RTU_DEVICE_SIZE 108

/* Modbus over Serial Line V1.02, section 2.2: 0 is the broadcast, 248 and up are reserved. */
#define RTU_UNIT_FIRST 1
#define RTU_UNIT_LAST  247

struct rtu_settings {
    char device[RTU_DEVICE_SIZE]; /* "/dev/ttyUSB0" */
    int baud;
    char parity;   /* 'N', 'E', 'O' */
    int stop_bits; /* 1 or 2 */
    bool rs485;
};

/* False with all mistakes in `why`, as many as there is room for. */
bool rtu_settings_parse(const char *url, struct rtu_settings *settings, char *why, size_t why_size);

/* Microseconds that one character takes: start, 8 data, parity, stop bits. */
int64_t rtu_character_us(const struct rtu_settings *settings);
/* The silence between two frames: 3.5 characters, and a fixed 1750 us above 19200 baud (Modbus over
 * Serial Line V1.02, section 2.5.1.1). */
int64_t rtu_silence_us(const struct rtu_settings *settings);

#endif
