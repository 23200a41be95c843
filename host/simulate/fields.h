/* Fields of the home file that several makes share. */
#ifndef DERD_SIMULATE_FIELDS_H
#define DERD_SIMULATE_FIELDS_H

#include "base/schema.h"

/* clang-format off */
#define SIM_COMMON_FIELDS                                                                          \
    {.key = "make", .kind = SCHEMA_STRING, .required = true},                                      \
    {.key = "name", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 39,                            \
     .help = "what the controls call it"},                                                         \
    {.key = "listener", .kind = SCHEMA_STRING, .help = "name of a listener"},                      \
    {.key = "unit", .kind = SCHEMA_INTEGER, .required = true, .minimum = 1, .maximum = 247,        \
     .help = "Modbus unit id"},                                                                    \
    {.key = "serial", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 32}
#define SIM_LAG_FIELDS                                                                             \
    {.key = "lag", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 600,                            \
     .help = "s, time constant with which it follows a set point"},                                \
    {.key = "delay", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 60,                           \
     .help = "s, before it begins to follow"}
#define SIM_BATTERY_FIELDS                                                                         \
    {.key = "capacity", .kind = SCHEMA_NUMBER, .required = true, .minimum = 100,                   \
     .maximum = 650000, .help = "Wh"},                                                             \
    {.key = "stateOfCharge", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 100,                  \
     .help = "percent at the start"},                                                              \
    {.key = "minStateOfCharge", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 100,               \
     .help = "percent"},                                                                           \
    {.key = "maxStateOfCharge", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 100,               \
     .help = "percent"},                                                                           \
    {.key = "maxChargePower", .kind = SCHEMA_NUMBER, .required = true, .minimum = 0,               \
     .maximum = 30000, .help = "W"},                                                               \
    {.key = "maxDischargePower", .kind = SCHEMA_NUMBER, .required = true, .minimum = 0,            \
     .maximum = 30000, .help = "W"},                                                               \
    {.key = "efficiency", .kind = SCHEMA_NUMBER, .minimum = 0.5, .maximum = 1,                     \
     .help = "of one direction, 0.5 to 1"}
/* clang-format on */

struct sim_battery;
/* From settings that hold SIM_BATTERY_FIELDS. */
void sim_battery_configure(struct sim_battery *battery, const json_t *settings, double lag_s,
                           double delay_s);
/* True for a text of decimal digits whose value is at most `most`. */
bool sim_serial_is_number(const char *serial, unsigned long long most);
/* "17:30" as the second of the day. */
bool sim_time_parse(const char *text, double *second);

#endif
