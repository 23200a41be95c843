/* Eastron SDM630-Modbus: three-phase meter. Input registers hold float32, high word first;
 * addresses are those of the maker's "SDM630 Modbus Smart Meter Modbus Protocol Implementation"
 * (parameters 30001..30083 stand at 0..82), the serial number is a uint32 at holding register
 * FC00h. The meter has no register for make or model. Import is positive. */
#include <stdlib.h>
#include <string.h>

#include "simulate/fields.h"
#include "simulate/home.h"

enum {
    EASTRON_VOLTAGE = 0,
    EASTRON_CURRENT = 6,
    EASTRON_POWER = 12,
    EASTRON_APPARENT = 18,
    EASTRON_REACTIVE = 24,
    EASTRON_FACTOR = 30,
    EASTRON_ANGLE = 36,
    EASTRON_MEAN_VOLTAGE = 42,
    EASTRON_MEAN_CURRENT = 46,
    EASTRON_SUM_CURRENT = 48,
    EASTRON_TOTAL_POWER = 52,
    EASTRON_TOTAL_APPARENT = 56,
    EASTRON_TOTAL_REACTIVE = 60,
    EASTRON_TOTAL_FACTOR = 62,
    EASTRON_TOTAL_ANGLE = 66,
    EASTRON_FREQUENCY = 70,
    EASTRON_IMPORT = 72,
    EASTRON_EXPORT = 74,
    EASTRON_TOTAL_ENERGY = 342,
    EASTRON_SERIAL = 0xfc00,
    EASTRON_INPUT_COUNT = 344
};

static const char *const measured_names[] = {"grid", "load", "charging", "battery", "pv", NULL};

static const struct schema fields[] = {
    SIM_COMMON_FIELDS,
    {.key = "measures",
     .kind = SCHEMA_ENUM,
     .one_of = measured_names,
     .help = "what it is wired to; grid unless said"},
    {.key = "noise",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 1000,
     .help = "W, on each phase at most"},
    {.key = NULL},
};

static enum err eastron_configure(struct sim_device *device, const json_t *settings) {
    device->has_meter = true;
    device->meter.noise_w = tree_number(settings, "noise", 0);
    const char *measures = tree_string(settings, "measures", "grid");
    for (int i = 0; measured_names[i]; i++)
        if (strcmp(measured_names[i], measures) == 0)
            device->meter.measures = (enum sim_measured)i;
    static const uint16_t exist[][2] = {{0, 44}, {46, 4}, {52, 2}, {56, 2},
                                        {60, 4}, {66, 2}, {70, 6}, {EASTRON_TOTAL_ENERGY, 2}};
    struct sim_image *image = &device->image;
    enum err err = sim_image_init(image, EASTRON_SERIAL, 2, 0, EASTRON_INPUT_COUNT);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof exist / sizeof exist[0]; i++)
        sim_image_add(image, SIM_INPUT, exist[i][0], exist[i][1], SIM_READ);
    sim_image_add(image, SIM_HOLDING, EASTRON_SERIAL, 2, SIM_READ);
    return ERR_OK;
}

static bool eastron_serial_fits(const char *serial) {
    return sim_serial_is_number(serial, UINT32_MAX);
}

static void eastron_identify(struct sim_device *device) {
    sim_put_32(&device->image, SIM_HOLDING, EASTRON_SERIAL, strtod(device->serial, NULL));
}

static void eastron_refresh(const struct sim_home *home, struct sim_device *device) {
    struct sim_image *image = &device->image;
    struct sim_power power = sim_device_reading(home, device);
    double sum_a = 0;
    for (uint16_t i = 0; i < SIM_PHASES; i++) {
        uint16_t at = (uint16_t)(2 * i);
        double current_a = abs(power.phase[i]) / home->voltage;
        sum_a += current_a;
        sim_put_float(image, SIM_INPUT, EASTRON_VOLTAGE + at, home->voltage);
        sim_put_float(image, SIM_INPUT, EASTRON_CURRENT + at, current_a);
        sim_put_float(image, SIM_INPUT, EASTRON_POWER + at, power.phase[i]);
        sim_put_float(image, SIM_INPUT, EASTRON_APPARENT + at, abs(power.phase[i]));
        /* The factor carries the direction: negative is reverse current. */
        sim_put_float(image, SIM_INPUT, EASTRON_FACTOR + at, power.phase[i] < 0 ? -1 : 1);
    }
    sim_put_float(image, SIM_INPUT, EASTRON_MEAN_VOLTAGE, home->voltage);
    sim_put_float(image, SIM_INPUT, EASTRON_MEAN_CURRENT, sum_a / SIM_PHASES);
    sim_put_float(image, SIM_INPUT, EASTRON_SUM_CURRENT, sum_a);
    sim_put_float(image, SIM_INPUT, EASTRON_TOTAL_POWER, power.total);
    sim_put_float(image, SIM_INPUT, EASTRON_TOTAL_APPARENT, abs(power.total));
    sim_put_float(image, SIM_INPUT, EASTRON_TOTAL_FACTOR, power.total < 0 ? -1 : 1);
    sim_put_float(image, SIM_INPUT, EASTRON_FREQUENCY, 50);
    double import_kwh = home->import_wh[device->meter.measures] / 1000;
    double export_kwh = home->export_wh[device->meter.measures] / 1000;
    sim_put_float(image, SIM_INPUT, EASTRON_IMPORT, import_kwh);
    sim_put_float(image, SIM_INPUT, EASTRON_EXPORT, export_kwh);
    sim_put_float(image, SIM_INPUT, EASTRON_TOTAL_ENERGY, import_kwh + export_kwh);
}

const struct sim_make sim_make_eastron = {
    .name = "eastron_sdm630",
    .fields = fields,
    .configure = eastron_configure,
    .serial_fits = eastron_serial_fits,
    .identify = eastron_identify,
    .refresh = eastron_refresh,
};
