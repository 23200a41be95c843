/* ABB Terra AC wallbox: "Terra AC Charger Modbus Communication" v1.11. Registers 4000h..4024h are
 * read (function 3 or 4), 4100h..4109h are commands and write-only. Whatever is read keeps the
 * communication alive; when nothing is for the time-out, the fallback current applies, or, without
 * one, the station goes to error and stops. */
#include <math.h>
#include <stdlib.h>

#include "simulate/fields.h"
#include "simulate/home.h"

enum {
    TERRA_SERIAL = 16384,   /* uint64 */
    TERRA_FIRMWARE = 16388, /* uint32 */
    TERRA_MOST_CURRENT = 16390,
    TERRA_ERROR = 16392,
    TERRA_LOCK = 16394,
    TERRA_STATE = 16396, /* bits 8..14; bit 15: below the commanded current */
    TERRA_CURRENT_LIMIT = 16398,
    TERRA_CURRENT = 16400, /* three, mA */
    TERRA_VOLTAGE = 16406, /* three, 0.1 V */
    TERRA_POWER = 16412,
    TERRA_SESSION = 16414,
    TERRA_TIMEOUT = 16416, /* uint16 */
    TERRA_TOLD_LIMIT = 16418,
    TERRA_FALLBACK = 16420, /* uint16, A */
    TERRA_SET_LIMIT = 16640,
    TERRA_SET_LOCK = 16643,
    TERRA_SET_STOP = 16645,
    TERRA_SET_TIMEOUT = 16646,
    TERRA_SET_FALLBACK = 16649,
    TERRA_READ_COUNT = 37,
    TERRA_COUNT = 266
};

#define TERRA_NO_FALLBACK   0xff
#define TERRA_LEAST_TIMEOUT 10

static const struct schema car_fields[] = {
    {.key = "plugged", .kind = SCHEMA_BOOLEAN, .help = "true unless said"},
    {.key = "phases", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 3, .help = "1 or 3"},
    {.key = "maxCurrent",
     .kind = SCHEMA_NUMBER,
     .minimum = SIM_LEAST_CURRENT,
     .maximum = 80,
     .help = "A, the most that the car takes on each phase"},
    {.key = "currentStep",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 6,
     .help = "A, steps in which the car draws; 0: any current"},
    {.key = "capacity",
     .kind = SCHEMA_NUMBER,
     .required = true,
     .minimum = 100,
     .maximum = 1000000,
     .help = "Wh"},
    {.key = "stateOfCharge", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 100},
    {.key = "startDelay",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 600,
     .help = "s, from the offer until the car begins to draw"},
    {.key = "efficiency", .kind = SCHEMA_NUMBER, .minimum = 0.5, .maximum = 1},
    {.key = "arrives", .kind = SCHEMA_STRING, .help = "\"17:30\" by the simulated clock"},
    {.key = "leaves", .kind = SCHEMA_STRING, .help = "\"07:30\" by the simulated clock"},
    {.key = NULL},
};

static const struct schema fields[] = {
    SIM_COMMON_FIELDS,
    SIM_LAG_FIELDS,
    {.key = "phases", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 3, .help = "1 or 3"},
    {.key = "maxCurrent",
     .kind = SCHEMA_NUMBER,
     .minimum = SIM_LEAST_CURRENT,
     .maximum = 80,
     .help = "A, set by the installer"},
    {.key = "currentLimit",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 80,
     .help = "A, until it is told another; maxCurrent unless said"},
    {.key = "standby", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 100, .help = "W"},
    {.key = "timeout",
     .kind = SCHEMA_INTEGER,
     .minimum = TERRA_LEAST_TIMEOUT,
     .maximum = 65535,
     .help = "s without a read; 60 unless said"},
    {.key = "fallbackCurrent",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = 80,
     .help = "A after the time-out; none unless said"},
    {.key = "car", .kind = SCHEMA_OBJECT, .fields = car_fields},
    {.key = NULL},
};

static void car_configure(struct sim_car *car, const json_t *settings, int phases) {
    car->plugged = settings && tree_boolean(settings, "plugged", true);
    car->phases = tree_integer(settings, "phases", phases) == 1 ? 1 : SIM_PHASES;
    car->max_current = tree_number(settings, "maxCurrent", 16);
    car->current_step = tree_number(settings, "currentStep", 0.1);
    car->capacity_wh = tree_number(settings, "capacity", 60000);
    car->soc_pct = tree_number(settings, "stateOfCharge", 40);
    car->start_delay_s = tree_number(settings, "startDelay", 3);
    car->efficiency = tree_number(settings, "efficiency", 0.9);
    const char *arrives = tree_string(settings, "arrives", NULL);
    const char *leaves = tree_string(settings, "leaves", NULL);
    car->timed = arrives && leaves && sim_time_parse(arrives, &car->arrives_s) &&
                 sim_time_parse(leaves, &car->leaves_s);
}

static enum err terra_configure(struct sim_device *device, const json_t *settings) {
    struct sim_station *station = &device->station;
    device->has_station = true;
    station->phases = tree_integer(settings, "phases", 3) == 1 ? 1 : SIM_PHASES;
    station->max_current = tree_number(settings, "maxCurrent", 16);
    station->limit_a = tree_number(settings, "currentLimit", station->max_current);
    station->standby_w = (int32_t)tree_number(settings, "standby", 4);
    car_configure(&station->car, json_object_get(settings, "car"), station->phases);
    sim_lag_init(&station->lag, tree_number(settings, "lag", 1), tree_number(settings, "delay", 0),
                 0.05, 0);
    device->timers.watchdog_s = (double)tree_integer(settings, "timeout", 60);
    device->timers.fallback_a = tree_number(settings, "fallbackCurrent", NAN);

    struct sim_image *image = &device->image;
    enum err err = sim_image_init(image, TERRA_SERIAL, TERRA_COUNT, TERRA_SERIAL, TERRA_READ_COUNT);
    if (err)
        return err;
    static const enum sim_table tables[] = {SIM_HOLDING, SIM_INPUT};
    for (int i = 0; i < 2; i++) {
        sim_image_add(image, tables[i], TERRA_SERIAL, TERRA_TIMEOUT + 1 - TERRA_SERIAL, SIM_READ);
        sim_image_add(image, tables[i], TERRA_TOLD_LIMIT, 3, SIM_READ);
        /* 1.8.21, a byte for each part; its packing is the simulator's choice. */
        sim_put_32(image, tables[i], TERRA_FIRMWARE, 0x01081500);
    }
    sim_image_add(image, SIM_HOLDING, TERRA_SET_LIMIT, 2, SIM_WRITE);
    sim_image_add(image, SIM_HOLDING, TERRA_SET_LOCK, 1, SIM_WRITE);
    sim_image_add(image, SIM_HOLDING, TERRA_SET_STOP, 2, SIM_WRITE);
    sim_image_add(image, SIM_HOLDING, TERRA_SET_FALLBACK, 1, SIM_WRITE);
    return ERR_OK;
}

static bool terra_serial_fits(const char *serial) {
    return sim_serial_is_number(serial, UINT64_MAX);
}

static void terra_identify(struct sim_device *device) {
    uint64_t serial = strtoull(device->serial, NULL, 10);
    sim_put_64(&device->image, SIM_HOLDING, TERRA_SERIAL, serial);
    sim_put_64(&device->image, SIM_INPUT, TERRA_SERIAL, serial);
}

static void terra_tick(struct sim_device *device, double step_s) {
    struct sim_timers *timers = &device->timers;
    timers->unread_s += step_s;
    bool lost = timers->unread_s > timers->watchdog_s;
    device->station.failed = lost && isnan(timers->fallback_a);
    if (lost && !isnan(timers->fallback_a))
        device->station.limit_a = timers->fallback_a;
}

/* (raw >> 8) & 0x7f of the state register. */
static int terra_state(enum sim_station_state state) {
    switch (state) {
    case SIM_STATION_IDLE:
        return 0; /* A */
    case SIM_STATION_STOPPED:
        return 1; /* B1: waits for authorization */
    case SIM_STATION_READY:
        return 2; /* B2: power is offered */
    case SIM_STATION_PAUSED:
        return 3; /* C1: the car is ready, no power is offered */
    case SIM_STATION_CHARGING:
        return 4; /* C2 */
    case SIM_STATION_ERROR:
        break;
    }
    return 5;
}

static void terra_refresh_table(const struct sim_home *home, struct sim_device *device,
                                enum sim_table table) {
    const struct sim_station *station = &device->station;
    struct sim_image *image = &device->image;
    double limit_a = fmin(station->limit_a, station->max_current);
    bool below = station->drawn_a > 0 && station->drawn_a < station->offered_a - 0.5;
    sim_put_32(image, table, TERRA_MOST_CURRENT, station->max_current * 1000);
    sim_put_32(image, table, TERRA_ERROR, 0);
    sim_put_32(image, table, TERRA_LOCK, station->car.plugged ? 0x111 : 0);
    sim_put_32(image, table, TERRA_STATE, terra_state(station->state) << 8 | (below ? 0x8000 : 0));
    sim_put_32(image, table, TERRA_CURRENT_LIMIT, limit_a * 1000);
    for (uint16_t i = 0; i < SIM_PHASES; i++) {
        bool used = i < sim_station_used_phases(station);
        uint16_t at = (uint16_t)(2 * i);
        sim_put_32(image, table, TERRA_CURRENT + at, used ? station->drawn_a * 1000 : 0);
        sim_put_32(image, table, TERRA_VOLTAGE + at, i < station->phases ? home->voltage * 10 : 0);
    }
    sim_put_32(image, table, TERRA_POWER, station->power.total - station->standby_w);
    sim_put_32(image, table, TERRA_SESSION, station->session_wh);
    sim_put_16(image, table, TERRA_TIMEOUT, device->timers.watchdog_s);
    sim_put_32(image, table, TERRA_TOLD_LIMIT, station->limit_a * 1000);
    sim_put_16(image, table, TERRA_FALLBACK,
               isnan(device->timers.fallback_a) ? TERRA_NO_FALLBACK : device->timers.fallback_a);
}

static void terra_refresh(const struct sim_home *home, struct sim_device *device) {
    terra_refresh_table(home, device, SIM_HOLDING);
    terra_refresh_table(home, device, SIM_INPUT);
}

static int terra_check(const struct sim_device *device, uint16_t address, uint16_t count,
                       const uint16_t *words) {
    (void)device;
    /* Half of the limit alone would be another limit. */
    if (address == TERRA_SET_LIMIT + 1 || (address == TERRA_SET_LIMIT && count == 1))
        return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
    for (int i = 0; i < count; i++) {
        int at = address + i;
        if ((at == TERRA_SET_LOCK || at == TERRA_SET_STOP) && words[i] > 1)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
        if (at == TERRA_SET_TIMEOUT && words[i] < TERRA_LEAST_TIMEOUT)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    }
    return 0;
}

static void terra_apply(struct sim_device *device, uint16_t address, uint16_t count) {
    const struct sim_image *image = &device->image;
    for (int i = 0; i < count; i++) {
        uint16_t at = (uint16_t)(address + i);
        uint16_t value = sim_get_16(image, SIM_HOLDING, at);
        if (at == TERRA_SET_LIMIT)
            device->station.limit_a = sim_get_32(image, SIM_HOLDING, at) / 1000.0;
        else if (at == TERRA_SET_STOP)
            device->station.stopped = value == 1;
        else if (at == TERRA_SET_TIMEOUT)
            device->timers.watchdog_s = value;
        else if (at == TERRA_SET_FALLBACK)
            device->timers.fallback_a = value == TERRA_NO_FALLBACK ? NAN : value;
    }
}

const struct sim_make sim_make_terra = {
    .name = "abb_terra_ac",
    .fields = fields,
    .configure = terra_configure,
    .serial_fits = terra_serial_fits,
    .identify = terra_identify,
    .tick = terra_tick,
    .refresh = terra_refresh,
    .check = terra_check,
    .apply = terra_apply,
};
