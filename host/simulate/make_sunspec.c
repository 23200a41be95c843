/* A SunSpec inverter with PV and, on wish, storage: models 1, 103 (or 113, the float form), 120,
 * 123 and 124 from base 40000 on, laid out as in the SunSpec model definitions (github.com/sunspec/
 * models, json/model_N.json); offsets below count from a model's ID register. W is positive when
 * the inverter produces. A limit (123) and a storage command (124) end by themselves when their
 * revert time runs out. The windows, ramps, power factor and reactive power of 123 are not
 * implemented and read so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/fields.h"
#include "simulate/home.h"

#define SUNSPEC_BASE   40000
#define MODEL_COMMON   (SUNSPEC_BASE + 2)
#define MODEL_INVERTER (MODEL_COMMON + 68)
#define INT_LENGTH     50
#define FLOAT_LENGTH   60

#define NOT_UINT16   0xffff
#define NOT_INT16    0x8000
#define PERCENT_ONE  100.0 /* raw 100 is 1 % at scale factor -2 */
#define PERCENT_FULL 10000

enum { /* model 123 */
       CONN_RVRT = 3,
       CONN = 4,
       LIMIT = 5,
       LIMIT_RVRT = 7,
       LIMIT_ENA = 9,
       LIMIT_SF = 23,
       CONTROLS_SIZE = 26,
       NAMEPLATE_SIZE = 28
};

enum { /* model 124 */
       STORAGE_MAX = 2,
       STORAGE_MODE = 5,
       STORAGE_RESERVE = 7,
       STORAGE_SOC = 8,
       STORAGE_STATE = 11,
       STORAGE_OUT = 12,
       STORAGE_IN = 13,
       STORAGE_RVRT = 15,
       STORAGE_GRID = 17,
       STORAGE_SIZE = 26
};

static const struct schema storage_fields[] = {SIM_BATTERY_FIELDS, {.key = NULL}};

static const struct schema fields[] = {
    SIM_COMMON_FIELDS,
    SIM_LAG_FIELDS,
    {.key = "ratedPower",
     .kind = SCHEMA_NUMBER,
     .required = true,
     .minimum = 100,
     .maximum = 300000,
     .help = "W"},
    {.key = "peakPower",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 500000,
     .help = "W, of the panels; ratedPower unless said"},
    {.key = "manufacturer", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 32},
    {.key = "model", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 32},
    {.key = "firmware", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 16},
    {.key = "float", .kind = SCHEMA_BOOLEAN, .help = "model 113 in place of 103"},
    {.key = "storage", .kind = SCHEMA_OBJECT, .fields = storage_fields},
    {.key = NULL},
};

static uint16_t model_nameplate(const struct sim_device *device) {
    return MODEL_INVERTER + 2 + (device->floats ? FLOAT_LENGTH : INT_LENGTH);
}

static uint16_t model_controls(const struct sim_device *device) {
    return (uint16_t)(model_nameplate(device) + NAMEPLATE_SIZE);
}

static uint16_t model_storage(const struct sim_device *device) {
    return (uint16_t)(model_controls(device) + CONTROLS_SIZE);
}

static void put(struct sim_device *device, int address, double value) {
    sim_put_16(&device->image, SIM_HOLDING, (uint16_t)address, value);
}

static uint16_t get(const struct sim_device *device, int address) {
    return sim_get_16(&device->image, SIM_HOLDING, (uint16_t)address);
}

/* Power of ten of powers: what does not fit 16 bits is told in tens of watts. */
static int power_factor(const struct sim_device *device) {
    return device->pv.rated_w > 30000 ? 1 : 0;
}

static void put_header(struct sim_device *device, int address, int model, int length) {
    put(device, address, model);
    put(device, address + 1, length);
}

static void put_common(struct sim_device *device, const json_t *settings) {
    struct sim_image *image = &device->image;
    sim_put_text(image, SIM_HOLDING, SUNSPEC_BASE, 2, "SunS");
    put_header(device, MODEL_COMMON, 1, 66);
    sim_put_text(image, SIM_HOLDING, MODEL_COMMON + 2, 16,
                 tree_string(settings, "manufacturer", "Fronius"));
    sim_put_text(image, SIM_HOLDING, MODEL_COMMON + 18, 16,
                 tree_string(settings, "model", "Symo 8.2-3-M"));
    sim_put_text(image, SIM_HOLDING, MODEL_COMMON + 42, 8,
                 tree_string(settings, "firmware", "3.24.1-3"));
    put(device, MODEL_COMMON + 66, device->unit);
    put(device, MODEL_COMMON + 67, NOT_INT16);
}

static void put_nameplate(struct sim_device *device) {
    int model = model_nameplate(device);
    double scale = pow(10, power_factor(device));
    put_header(device, model, 120, NAMEPLATE_SIZE - 2);
    put(device, model + 2, device->has_battery ? 82 : 4); /* PV_STOR or PV */
    put(device, model + 3, device->pv.rated_w / scale);
    put(device, model + 4, power_factor(device));
    put(device, model + 5, device->pv.rated_w / scale);
    put(device, model + 6, power_factor(device));
    for (int i = 7; i <= 10; i++)
        put(device, model + i, 0); /* no reactive power */
    put(device, model + 12, device->pv.rated_w / (SIM_PHASES * 230.0) * 10);
    put(device, model + 13, -1);
    for (int i = 14; i <= 17; i++)
        put(device, model + i, 100); /* cos phi 1 */
    put(device, model + 18, -2);
    for (int i = 19; i < NAMEPLATE_SIZE; i++)
        put(device, model + i, i % 2 == 0 ? NOT_INT16 : NOT_UINT16);
    if (!device->has_battery) {
        put(device, model + 27, NOT_INT16);
        return;
    }
    put(device, model + 19, device->battery.capacity_wh / 10);
    put(device, model + 20, 1);
    put(device, model + 23, device->battery.max_charge_w);
    put(device, model + 24, 0);
    put(device, model + 25, device->battery.max_discharge_w);
    put(device, model + 26, 0);
}

static void put_controls(struct sim_device *device) {
    int model = model_controls(device);
    put_header(device, model, 123, CONTROLS_SIZE - 2);
    put(device, model + CONN, 1);
    put(device, model + LIMIT, PERCENT_FULL);
    put(device, model + LIMIT_SF, -2);
    put(device, model + 24, -2);
    put(device, model + 25, NOT_INT16);
}

static void put_storage(struct sim_device *device) {
    int model = model_storage(device);
    put_header(device, model, 124, STORAGE_SIZE - 2);
    put(device, model + STORAGE_MAX, device->battery.max_charge_w);
    put(device, model + 3, 100); /* gradients: at once */
    put(device, model + 4, 100);
    put(device, model + 6, NOT_UINT16);
    put(device, model + STORAGE_RESERVE, device->battery.min_soc_pct * PERCENT_ONE);
    put(device, model + 9, NOT_UINT16);
    put(device, model + STORAGE_OUT, PERCENT_FULL);
    put(device, model + STORAGE_IN, PERCENT_FULL);
    put(device, model + STORAGE_GRID, 1);
    static const int factors[] = {0, 0, NOT_INT16, -2, -2, NOT_INT16, -1, -2};
    for (int i = 0; i < 8; i++)
        put(device, model + 18 + i, factors[i]);
}

static enum err sunspec_configure(struct sim_device *device, const json_t *settings) {
    struct sim_pv *pv = &device->pv;
    double lag_s = tree_number(settings, "lag", 1);
    double delay_s = tree_number(settings, "delay", 0);
    device->has_pv = true;
    device->floats = tree_boolean(settings, "float", false);
    pv->rated_w = tree_number(settings, "ratedPower", 0);
    pv->peak_w = tree_number(settings, "peakPower", pv->rated_w);
    pv->limit_w = pv->rated_w;
    pv->connected = true;
    sim_lag_init(&pv->lag, lag_s, delay_s, 1, pv->rated_w);
    const json_t *storage = json_object_get(settings, "storage");
    if (storage) {
        device->has_battery = true;
        sim_battery_configure(&device->battery, storage, lag_s, delay_s);
    }
    int end = device->has_battery ? model_storage(device) + STORAGE_SIZE : model_storage(device);
    struct sim_image *image = &device->image;
    enum err err = sim_image_init(image, SUNSPEC_BASE, (uint16_t)(end + 2 - SUNSPEC_BASE), 0, 0);
    if (err)
        return err;
    sim_image_add(image, SIM_HOLDING, SUNSPEC_BASE, (uint16_t)(end + 2 - SUNSPEC_BASE), SIM_READ);
    sim_image_add(image, SIM_HOLDING, (uint16_t)(model_controls(device) + 2), 21,
                  SIM_READ | SIM_WRITE);
    put_common(device, settings);
    put_header(device, MODEL_INVERTER, device->floats ? 113 : 103,
               device->floats ? FLOAT_LENGTH : INT_LENGTH);
    put_nameplate(device);
    put_controls(device);
    if (device->has_battery) {
        put_storage(device);
        int model = model_storage(device);
        sim_image_add(image, SIM_HOLDING, (uint16_t)(model + STORAGE_MODE), 1,
                      SIM_READ | SIM_WRITE);
        sim_image_add(image, SIM_HOLDING, (uint16_t)(model + STORAGE_RESERVE), 1,
                      SIM_READ | SIM_WRITE);
        sim_image_add(image, SIM_HOLDING, (uint16_t)(model + STORAGE_OUT), 6, SIM_READ | SIM_WRITE);
    }
    put_header(device, end, 0xffff, 0);
    return ERR_OK;
}

static bool sunspec_serial_fits(const char *serial) {
    return strlen(serial) <= 32;
}

static void sunspec_identify(struct sim_device *device) {
    sim_put_text(&device->image, SIM_HOLDING, MODEL_COMMON + 50, 16, device->serial);
}

static int inverter_state(const struct sim_device *device) {
    const struct sim_pv *pv = &device->pv;
    if (!pv->connected)
        return 1; /* OFF */
    if (pv->available_w < 1 && device->battery.power_w == 0)
        return 2;                                                         /* SLEEPING */
    return -pv->power_w + 2 < fmin(pv->available_w, pv->rated_w) ? 5 : 4; /* THROTTLED or MPPT */
}

static void refresh_ints(const struct sim_home *home, struct sim_device *device, double ac_w) {
    int model = MODEL_INVERTER;
    double phase_a = fabs(ac_w) / SIM_PHASES / home->voltage;
    double scale = pow(10, power_factor(device));
    double dc_w = -device->pv.power_w;
    put(device, model + 2, phase_a * SIM_PHASES * 10);
    for (int i = 0; i < SIM_PHASES; i++) {
        put(device, model + 3 + i, phase_a * 10);
        put(device, model + 7 + i, home->voltage * sqrt(3) * 10);
        put(device, model + 10 + i, home->voltage * 10);
    }
    put(device, model + 6, -1);
    put(device, model + 13, -1);
    put(device, model + 14, ac_w / scale);
    put(device, model + 15, power_factor(device));
    put(device, model + 16, 5000);
    put(device, model + 17, -2);
    put(device, model + 18, fabs(ac_w) / scale);
    put(device, model + 19, power_factor(device));
    put(device, model + 20, 0);
    put(device, model + 21, 0);
    put(device, model + 22, 100);
    put(device, model + 23, 0);
    sim_put_32(&device->image, SIM_HOLDING, (uint16_t)(model + 24), device->pv.energy_wh);
    put(device, model + 26, 0);
    put(device, model + 27, dc_w / 600 * 10);
    put(device, model + 28, -1);
    put(device, model + 29, 6000);
    put(device, model + 30, -1);
    put(device, model + 31, dc_w / scale);
    put(device, model + 32, power_factor(device));
    put(device, model + 33, 350);
    for (int i = 34; i <= 36; i++)
        put(device, model + i, NOT_INT16);
    put(device, model + 37, -1);
    put(device, model + 38, inverter_state(device));
    put(device, model + 39, NOT_UINT16);
}

static void put_float(struct sim_device *device, int address, double value) {
    sim_put_float(&device->image, SIM_HOLDING, (uint16_t)address, value);
}

static void refresh_floats(const struct sim_home *home, struct sim_device *device, double ac_w) {
    int model = MODEL_INVERTER;
    double phase_a = fabs(ac_w) / SIM_PHASES / home->voltage;
    double dc_w = -device->pv.power_w;
    put_float(device, model + 2, phase_a * SIM_PHASES);
    for (int i = 0; i < SIM_PHASES; i++) {
        put_float(device, model + 4 + 2 * i, phase_a);
        put_float(device, model + 10 + 2 * i, home->voltage * sqrt(3));
        put_float(device, model + 16 + 2 * i, home->voltage);
        put_float(device, model + 42 + 2 * i, NAN);
    }
    put_float(device, model + 22, ac_w);
    put_float(device, model + 24, 50);
    put_float(device, model + 26, fabs(ac_w));
    put_float(device, model + 28, 0);
    put_float(device, model + 30, 100);
    put_float(device, model + 32, device->pv.energy_wh);
    put_float(device, model + 34, dc_w / 600);
    put_float(device, model + 36, 600);
    put_float(device, model + 38, dc_w);
    put_float(device, model + 40, 35);
    put(device, model + 48, inverter_state(device));
    put(device, model + 49, NOT_UINT16);
}

static int storage_state(const struct sim_battery *battery) {
    if (battery->power_w < 0)
        return 3; /* DISCHARGING */
    if (battery->power_w > 0)
        return 4; /* CHARGING */
    if (battery->soc_pct <= battery->min_soc_pct)
        return 2;                                            /* EMPTY */
    return battery->soc_pct >= battery->max_soc_pct ? 5 : 6; /* FULL or HOLDING */
}

static void sunspec_refresh(const struct sim_home *home, struct sim_device *device) {
    double ac_w = -(double)device->pv.power_w - device->battery.power_w;
    if (device->floats)
        refresh_floats(home, device, ac_w);
    else
        refresh_ints(home, device, ac_w);
    int model = model_controls(device);
    static const uint8_t missing[] = {2, 6, 8, 11, 12, 13, 18, 19, 20, 21};
    for (size_t i = 0; i < sizeof missing; i++)
        put(device, model + missing[i], NOT_UINT16);
    put(device, model + 10, 100); /* cos phi 1, off */
    put(device, model + 14, 0);
    for (int i = 15; i <= 17; i++)
        put(device, model + i, NOT_INT16);
    put(device, model + 22, 0);
    if (!device->has_battery)
        return;
    model = model_storage(device);
    put(device, model + STORAGE_SOC, device->battery.soc_pct * PERCENT_ONE);
    put(device, model + 10, 4000);
    put(device, model + STORAGE_STATE, storage_state(&device->battery));
    put(device, model + 14, NOT_UINT16);
    put(device, model + 16, NOT_UINT16);
}

static int check_controls(int offset, uint16_t value) {
    if ((offset == CONN || offset == LIMIT_ENA) && value > 1)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    if (offset == LIMIT && value > PERCENT_FULL)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    return 0;
}

static int check_storage(int offset, uint16_t value) {
    if (offset == STORAGE_MODE && value > 3)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    if ((offset == STORAGE_IN || offset == STORAGE_OUT) && abs((int16_t)value) > PERCENT_FULL)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    if (offset == STORAGE_RESERVE && value > PERCENT_FULL)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    if (offset == STORAGE_GRID && value > 1)
        return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    return 0;
}

static int sunspec_check(const struct sim_device *device, uint16_t address, uint16_t count,
                         const uint16_t *words) {
    for (int i = 0; i < count; i++) {
        int at = address + i;
        int refused = at < model_storage(device)
                          ? check_controls(at - model_controls(device), words[i])
                          : check_storage(at - model_storage(device), words[i]);
        if (refused)
            return refused;
    }
    return 0;
}

/* Registers of both control models into the physics. */
static void sunspec_follow(struct sim_device *device) {
    int model = model_controls(device);
    device->pv.connected = get(device, model + CONN) == 1;
    device->pv.limit_w = get(device, model + LIMIT_ENA) == 1
                             ? device->pv.rated_w * get(device, model + LIMIT) / PERCENT_FULL
                             : device->pv.rated_w;
    if (!device->has_battery)
        return;
    struct sim_battery *battery = &device->battery;
    model = model_storage(device);
    uint16_t mode = get(device, model + STORAGE_MODE);
    double in = (int16_t)get(device, model + STORAGE_IN) / (double)PERCENT_FULL;
    double out = (int16_t)get(device, model + STORAGE_OUT) / (double)PERCENT_FULL;
    /* A negative rate of one direction is a least power in the other. */
    battery->most_w = battery->max_charge_w;
    battery->least_w = -battery->max_discharge_w;
    if (mode & 1)
        battery->most_w = in * (in < 0 ? battery->max_discharge_w : battery->max_charge_w);
    if (mode & 2)
        battery->least_w = -out * (out < 0 ? battery->max_charge_w : battery->max_discharge_w);
    battery->min_soc_pct = get(device, model + STORAGE_RESERVE) / PERCENT_ONE;
}

static void sunspec_tick(struct sim_device *device, double step_s) {
    struct sim_timers *timers = &device->timers;
    int controls = model_controls(device);
    bool ended = false;
    if (timers->limit_s > 0 && (timers->limit_s -= step_s) <= 0) {
        put(device, controls + LIMIT_ENA, 0);
        ended = true;
    }
    if (timers->connect_s > 0 && (timers->connect_s -= step_s) <= 0) {
        put(device, controls + CONN, 1);
        ended = true;
    }
    if (timers->storage_s > 0 && (timers->storage_s -= step_s) <= 0) {
        put(device, model_storage(device) + STORAGE_MODE, 0);
        ended = true;
    }
    if (ended)
        sunspec_follow(device);
}

static bool touches(uint16_t address, uint16_t count, int first, int last) {
    return address <= last && address + count > first;
}

static void sunspec_apply(struct sim_device *device, uint16_t address, uint16_t count) {
    struct sim_timers *timers = &device->timers;
    int model = model_controls(device);
    if (touches(address, count, model + LIMIT, model + LIMIT_ENA))
        timers->limit_s = get(device, model + LIMIT_ENA) ? get(device, model + LIMIT_RVRT) : 0;
    if (touches(address, count, model + 2, model + CONN))
        timers->connect_s = get(device, model + CONN) ? 0 : get(device, model + CONN_RVRT);
    model = model_storage(device);
    if (device->has_battery && touches(address, count, model + STORAGE_MODE, model + STORAGE_RVRT))
        timers->storage_s =
            get(device, model + STORAGE_MODE) ? get(device, model + STORAGE_RVRT) : 0;
    sunspec_follow(device);
}

const struct sim_make sim_make_sunspec = {
    .name = "sunspec_inverter",
    .fields = fields,
    .configure = sunspec_configure,
    .serial_fits = sunspec_serial_fits,
    .identify = sunspec_identify,
    .tick = sunspec_tick,
    .refresh = sunspec_refresh,
    .check = sunspec_check,
    .apply = sunspec_apply,
};
