/* Sungrow SH..RT hybrid: PV, battery and the grid's meter in one machine, "Communication Protocol
 * of Residential Hybrid Inverter" V1.0.23 to V1.1.x, cross-read with the register lists of evcc
 * (templates, sungrow-hybrid) and of mkaiser/Sungrow-SHx-Inverter-Modbus-Home-Assistant. Addresses
 * are those on the wire: the document's numbers less 1. Values of 32 bits stand low word first.
 * Feed-in is positive at 13009, import at 5600. In self-consumption (EMS mode 0) the battery
 * regulates the grid to 0; in forced mode (2) it follows the command. Firmware before October 2024
 * gave battery power (13021) without sign, direction in the bits of 13000; `batteryPower` says
 * which. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/fields.h"
#include "simulate/home.h"

enum {
    SUNGROW_ARM = 4953, /* 15 registers of text: firmware */
    SUNGROW_SERIAL = 4989,
    SUNGROW_TYPE = 4999,
    SUNGROW_RATED = 5000, /* 100 W */
    SUNGROW_TEMPERATURE = 5007,
    SUNGROW_MPPT = 5010, /* V, A of two trackers, 0.1 */
    SUNGROW_PV_POWER = 5016,
    SUNGROW_VOLTAGE = 5018, /* three, 0.1 V */
    SUNGROW_REACTIVE = 5032,
    SUNGROW_FACTOR = 5034,
    SUNGROW_BATTERY_POWER_32 = 5213, /* charging positive */
    SUNGROW_FREQUENCY = 5241,        /* 0.01 Hz */
    SUNGROW_METER = 5600,            /* total, then three phases */
    SUNGROW_CAPACITY = 5638,         /* 0.01 kWh */
    SUNGROW_RUNNING = 12999,
    SUNGROW_FLOW = 13000,
    SUNGROW_PV_ENERGY = 13002, /* 0.1 kWh */
    SUNGROW_LOAD = 13007,
    SUNGROW_EXPORT = 13009,
    SUNGROW_BATTERY_VOLTAGE = 13019,
    SUNGROW_BATTERY_CURRENT = 13020,
    SUNGROW_BATTERY_POWER = 13021,
    SUNGROW_SOC = 13022,
    SUNGROW_HEALTH = 13023,
    SUNGROW_BATTERY_TEMPERATURE = 13024,
    SUNGROW_DISCHARGE_ENERGY = 13026,
    SUNGROW_CURRENT = 13030, /* three, 0.1 A */
    SUNGROW_AC_POWER = 13033,
    SUNGROW_IMPORT_ENERGY = 13036,
    SUNGROW_CHARGE_ENERGY = 13040,
    SUNGROW_EXPORT_ENERGY = 13045,

    SUNGROW_MODE = 13049,
    SUNGROW_COMMAND = 13050,
    SUNGROW_POWER = 13051,
    SUNGROW_MAX_SOC = 13057, /* 0.1 % */
    SUNGROW_MIN_SOC = 13058,
    SUNGROW_MAX_CHARGE = 33046, /* 10 W */
    SUNGROW_MAX_DISCHARGE = 33047
};

enum {
    MODE_SELF = 0,
    MODE_FORCED = 2,
    COMMAND_CHARGE = 0xaa,
    COMMAND_DISCHARGE = 0xbb,
    COMMAND_STOP = 0xcc
};

enum { /* bits of SUNGROW_FLOW */
       FLOW_PV = 0x01,
       FLOW_CHARGING = 0x02,
       FLOW_DISCHARGING = 0x04,
       FLOW_LOAD = 0x08,
       FLOW_EXPORT = 0x10,
       FLOW_IMPORT = 0x20
};

#define BATTERY_VOLTAGE 256.0

static const char *const sign_names[] = {"signed", "magnitude", NULL};

static const struct schema fields[] = {
    SIM_COMMON_FIELDS,
    SIM_LAG_FIELDS,
    SIM_BATTERY_FIELDS,
    {.key = "ratedPower",
     .kind = SCHEMA_NUMBER,
     .required = true,
     .minimum = 5000,
     .maximum = 10000,
     .help = "W: 5000, 6000, 8000 or 10000"},
    {.key = "peakPower",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 20000,
     .help = "W, of its own panels; none unless said"},
    {.key = "batteryPower",
     .kind = SCHEMA_ENUM,
     .one_of = sign_names,
     .help = "form of register 13021; signed unless said"},
    {.key = NULL},
};

/* Device type codes of the SH5.0RT, SH6.0RT, SH8.0RT and SH10RT. */
static int type_code(double rated_w) {
    return rated_w < 5500 ? 0x0e00 : rated_w < 7000 ? 0x0e01 : rated_w < 9000 ? 0x0e02 : 0x0e03;
}

static enum err sungrow_lay_out(struct sim_device *device) {
    static const uint16_t exist[][2] = {
        {SUNGROW_ARM, 15},
        {SUNGROW_SERIAL, 12},
        {SUNGROW_TEMPERATURE, 1},
        {SUNGROW_MPPT, 4},
        {SUNGROW_PV_POWER, 5},
        {SUNGROW_REACTIVE, 3},
        {SUNGROW_BATTERY_POWER_32, 2},
        {SUNGROW_FREQUENCY, 1},
        {SUNGROW_METER, 8},
        {SUNGROW_CAPACITY, 1},
        {SUNGROW_RUNNING, 2},
        {SUNGROW_PV_ENERGY, 2},
        {SUNGROW_LOAD, 4},
        {SUNGROW_BATTERY_VOLTAGE, 6},
        {SUNGROW_DISCHARGE_ENERGY, 2},
        {SUNGROW_CURRENT, 5},
        {SUNGROW_IMPORT_ENERGY, 2},
        {SUNGROW_CHARGE_ENERGY, 2},
        {SUNGROW_EXPORT_ENERGY, 2},
    };
    struct sim_image *image = &device->image;
    enum err err = sim_image_init(image, SUNGROW_MODE, SUNGROW_MAX_DISCHARGE + 1 - SUNGROW_MODE,
                                  SUNGROW_ARM, SUNGROW_EXPORT_ENERGY + 2 - SUNGROW_ARM);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof exist / sizeof exist[0]; i++)
        sim_image_add(image, SIM_INPUT, exist[i][0], exist[i][1], SIM_READ);
    sim_image_add(image, SIM_HOLDING, SUNGROW_MODE, 3, SIM_READ | SIM_WRITE);
    sim_image_add(image, SIM_HOLDING, SUNGROW_MAX_SOC, 2, SIM_READ | SIM_WRITE);
    sim_image_add(image, SIM_HOLDING, SUNGROW_MAX_CHARGE, 2, SIM_READ | SIM_WRITE);
    return ERR_OK;
}

static enum err sungrow_configure(struct sim_device *device, const json_t *settings) {
    double lag_s = tree_number(settings, "lag", 1);
    double delay_s = tree_number(settings, "delay", 0);
    device->has_battery = true;
    device->plain_battery = strcmp(tree_string(settings, "batteryPower", "signed"), "signed") != 0;
    sim_battery_configure(&device->battery, settings, lag_s, delay_s);
    struct sim_pv *pv = &device->pv;
    pv->rated_w = tree_number(settings, "ratedPower", 0);
    pv->peak_w = tree_number(settings, "peakPower", 0);
    pv->limit_w = pv->rated_w;
    pv->connected = true;
    device->has_pv = pv->peak_w > 0;
    sim_lag_init(&pv->lag, lag_s, delay_s, 1, pv->rated_w);
    enum err err = sungrow_lay_out(device);
    if (err)
        return err;
    struct sim_image *image = &device->image;
    const struct sim_battery *battery = &device->battery;
    sim_put_text(image, SIM_INPUT, SUNGROW_ARM, 15, "SAPPHIRE-H_01011.95.03");
    sim_put_16(image, SIM_INPUT, SUNGROW_TYPE, type_code(pv->rated_w));
    sim_put_16(image, SIM_INPUT, SUNGROW_RATED, pv->rated_w / 100);
    sim_put_16(image, SIM_HOLDING, SUNGROW_MODE, MODE_SELF);
    sim_put_16(image, SIM_HOLDING, SUNGROW_COMMAND, COMMAND_STOP);
    sim_put_16(image, SIM_HOLDING, SUNGROW_MAX_SOC, battery->max_soc_pct * 10);
    sim_put_16(image, SIM_HOLDING, SUNGROW_MIN_SOC, battery->min_soc_pct * 10);
    sim_put_16(image, SIM_HOLDING, SUNGROW_MAX_CHARGE, battery->max_charge_w / 10);
    sim_put_16(image, SIM_HOLDING, SUNGROW_MAX_DISCHARGE, battery->max_discharge_w / 10);
    return ERR_OK;
}

static bool sungrow_serial_fits(const char *serial) {
    return strlen(serial) <= 20;
}

static void sungrow_identify(struct sim_device *device) {
    sim_put_text(&device->image, SIM_INPUT, SUNGROW_SERIAL, 10, device->serial);
}

static void put_16(struct sim_device *device, uint16_t address, double value) {
    sim_put_16(&device->image, SIM_INPUT, address, value);
}

static void put_32(struct sim_device *device, uint16_t address, double value) {
    sim_put_32_swapped(&device->image, SIM_INPUT, address, value);
}

static int flow_bits(const struct sim_device *device, int32_t grid_w, int32_t load_w) {
    int32_t battery_w = device->battery.power_w;
    return (device->pv.power_w < 0 ? FLOW_PV : 0) | (battery_w > 0 ? FLOW_CHARGING : 0) |
           (battery_w < 0 ? FLOW_DISCHARGING : 0) | (load_w > 0 ? FLOW_LOAD : 0) |
           (grid_w < 0 ? FLOW_EXPORT : 0) | (grid_w > 0 ? FLOW_IMPORT : 0);
}

static void refresh_battery(struct sim_device *device) {
    const struct sim_battery *battery = &device->battery;
    put_32(device, SUNGROW_BATTERY_POWER_32, battery->power_w);
    put_16(device, SUNGROW_CAPACITY, battery->capacity_wh / 10);
    put_16(device, SUNGROW_BATTERY_VOLTAGE, BATTERY_VOLTAGE * 10);
    put_16(device, SUNGROW_BATTERY_CURRENT, battery->power_w / BATTERY_VOLTAGE * 10);
    put_16(device, SUNGROW_BATTERY_POWER,
           device->plain_battery ? abs(battery->power_w) : battery->power_w);
    put_16(device, SUNGROW_SOC, battery->soc_pct * 10);
    put_16(device, SUNGROW_HEALTH, 990);
    put_16(device, SUNGROW_BATTERY_TEMPERATURE, 250);
    put_32(device, SUNGROW_DISCHARGE_ENERGY, battery->discharge_wh / 100);
    put_32(device, SUNGROW_CHARGE_ENERGY, battery->charge_wh / 100);
}

static void sungrow_refresh(const struct sim_home *home, struct sim_device *device) {
    const struct sim_power *grid = &home->now[SIM_GRID];
    int32_t pv_w = -device->pv.power_w;
    int32_t ac_w = pv_w - device->battery.power_w;
    int32_t load_w = grid->total + ac_w;
    put_16(device, SUNGROW_TEMPERATURE, 350);
    put_16(device, SUNGROW_MPPT, 6000);
    put_16(device, SUNGROW_MPPT + 1, pv_w / 600.0 * 10);
    put_32(device, SUNGROW_PV_POWER, pv_w);
    put_16(device, SUNGROW_FACTOR, 1000);
    put_16(device, SUNGROW_FREQUENCY, 5000);
    put_32(device, SUNGROW_METER, grid->total);
    for (uint16_t i = 0; i < SIM_PHASES; i++) {
        put_16(device, (uint16_t)(SUNGROW_VOLTAGE + i), home->voltage * 10);
        put_32(device, (uint16_t)(SUNGROW_METER + 2 + 2 * i), grid->phase[i]);
        put_16(device, (uint16_t)(SUNGROW_CURRENT + i), ac_w / (SIM_PHASES * home->voltage) * 10);
    }
    put_16(device, SUNGROW_RUNNING, 0x0040);
    put_16(device, SUNGROW_FLOW, flow_bits(device, grid->total, load_w));
    put_32(device, SUNGROW_PV_ENERGY, device->pv.energy_wh / 100);
    put_32(device, SUNGROW_LOAD, load_w);
    put_32(device, SUNGROW_EXPORT, -grid->total);
    put_32(device, SUNGROW_AC_POWER, ac_w);
    put_32(device, SUNGROW_IMPORT_ENERGY, home->import_wh[SIM_GRID] / 100);
    put_32(device, SUNGROW_EXPORT_ENERGY, home->export_wh[SIM_GRID] / 100);
    refresh_battery(device);
}

static int sungrow_check(const struct sim_device *device, uint16_t address, uint16_t count,
                         const uint16_t *words) {
    (void)device;
    for (int i = 0; i < count; i++) {
        uint16_t value = words[i];
        bool fits = true;
        switch (address + i) {
        case SUNGROW_MODE:
            fits = value == MODE_SELF || value == MODE_FORCED;
            break;
        case SUNGROW_COMMAND:
            fits = value == COMMAND_CHARGE || value == COMMAND_DISCHARGE || value == COMMAND_STOP;
            break;
        case SUNGROW_MAX_SOC:
        case SUNGROW_MIN_SOC:
            fits = value <= 1000;
            break;
        default:
            break;
        }
        if (!fits)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
    }
    return 0;
}

static void sungrow_apply(struct sim_device *device, uint16_t address, uint16_t count) {
    (void)address;
    (void)count;
    const struct sim_image *image = &device->image;
    struct sim_battery *battery = &device->battery;
    uint16_t command = sim_get_16(image, SIM_HOLDING, SUNGROW_COMMAND);
    double power_w = sim_get_16(image, SIM_HOLDING, SUNGROW_POWER);
    battery->forced = sim_get_16(image, SIM_HOLDING, SUNGROW_MODE) == MODE_FORCED;
    battery->forced_w = command == COMMAND_CHARGE      ? power_w
                        : command == COMMAND_DISCHARGE ? -power_w
                                                       : 0;
    battery->most_w = sim_get_16(image, SIM_HOLDING, SUNGROW_MAX_CHARGE) * 10.0;
    battery->least_w = sim_get_16(image, SIM_HOLDING, SUNGROW_MAX_DISCHARGE) * -10.0;
    battery->max_soc_pct = sim_get_16(image, SIM_HOLDING, SUNGROW_MAX_SOC) / 10.0;
    battery->min_soc_pct = sim_get_16(image, SIM_HOLDING, SUNGROW_MIN_SOC) / 10.0;
}

const struct sim_make sim_make_sungrow = {
    .name = "sungrow_sh",
    .fields = fields,
    .configure = sungrow_configure,
    .serial_fits = sungrow_serial_fits,
    .identify = sungrow_identify,
    .refresh = sungrow_refresh,
    .check = sungrow_check,
    .apply = sungrow_apply,
};
