/* The drivers that ship, read against register images written by hand from the makers' documents:
 * each row says what stands in the registers and what a person would read off the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "control.h"
#include "driver_text.h"

struct loaded {
    lua_State *L;
    struct driver *driver;
};

static struct loaded load(const char *name) {
    struct loaded loaded = {.L = driver_text_state()};
    struct report report;
    char path[512];
    size_t length;
    report_init(&report);
    snprintf(path, sizeof path, "%s/drivers/%s.lua", DERD_SOURCE_DIR, name);
    char *text = file_read(path, 1 << 20, &length, &report);
    if (text)
        loaded.driver = driver_text_compile(loaded.L, name, text, &report);
    driver_text_print(&report);
    assert_non_null(loaded.driver);
    free(text);
    report_free(&report);
    return loaded;
}

static void unload(struct loaded *loaded) {
    driver_release(loaded->driver);
    lua_close(loaded->L);
}

struct image { /* one point: where it stands, what stands there, what it means */
    const char *part;
    const char *name;
    uint16_t model;
    enum register_kind kind;
    uint16_t address;
    uint16_t words[8];
    double scale_factor;
    double value; /* NAN: not available */
};

static void check_image(const struct driver *driver, const struct image *image) {
    const struct point *point = driver_text_point(driver, image->part, image->name, image->model);
    double value;
    enum point_quality quality = point_decode(point, image->words, image->scale_factor, &value);
    if (point->kind != image->kind || point->address != image->address)
        fail_msg("%s is read at kind %d, address %d", image->name, point->kind, point->address);
    if (isnan(image->value)) {
        assert_int_equal(quality, POINT_NOT_AVAILABLE);
    } else if (quality != POINT_OK || fabs(value - image->value) > 1e-3) {
        fail_msg("%s is %.9g (quality %d), expected %.9g", image->name, value, quality,
                 image->value);
    }
}

static void check_images(const char *name, const struct image *images, size_t count) {
    struct loaded loaded = load(name);
    for (size_t i = 0; i < count; i++)
        check_image(loaded.driver, &images[i]);
    unload(&loaded);
}

#define CHECK_IMAGES(name, images) check_images(name, images, sizeof(images) / sizeof(images)[0])

/* Every published point of the part is in `images`: a new point needs its literal. */
static void check_complete(const char *name, const char *part, const struct image *images,
                           size_t count) {
    struct loaded loaded = load(name);
    int owner = driver_part_find(loaded.driver, part);
    for (int i = 0; i < loaded.driver->point_count; i++) {
        const struct point *point = &loaded.driver->points[i];
        bool seen =
            point->part != owner || point->id == POINT_NONE || point->id >= POINT_TEXT_FIRST;
        for (size_t j = 0; j < count && !seen; j++)
            seen = strcmp(images[j].name, point->name) == 0 && images[j].address == point->address;
        if (!seen)
            fail_msg("%s at %d has no literal", point->name, point->address);
    }
    unload(&loaded);
}

#define CHECK_COMPLETE(name, part, images)                                                         \
    check_complete(name, part, images, sizeof(images) / sizeof(images)[0])

static void assert_text(const struct driver *driver, const char *part, const char *name,
                        uint16_t address, const uint16_t *words, const char *expected) {
    char text[129];
    const struct point *point = driver_text_point(driver, part, name, 0);
    assert_int_equal(point->address, address);
    assert_int_equal(point_decode_text(point, words, text, sizeof text), POINT_OK);
    assert_string_equal(text, expected);
}

/* ---- Eastron ---- */

/* The first row is the worked example of the manual: 43 66 33 34 is 230.2 V. */
static const struct image eastron[] = {
    {"", "voltageL1", 0, REGISTER_INPUT, 0, {0x4366, 0x3334}, NAN, 230.2},
    {"", "voltageL2", 0, REGISTER_INPUT, 2, {0x4367, 0x8000}, NAN, 231.5},
    {"", "voltageL3", 0, REGISTER_INPUT, 4, {0x4365, 0xC000}, NAN, 229.75},
    {"", "currentL1", 0, REGISTER_INPUT, 6, {0x4128, 0x0000}, NAN, 10.5},
    {"", "currentL2", 0, REGISTER_INPUT, 8, {0x0000, 0x0000}, NAN, 0},
    {"", "currentL3", 0, REGISTER_INPUT, 10, {0xC050, 0x0000}, NAN, -3.25},
    {"", "activePowerL1", 0, REGISTER_INPUT, 12, {0x4516, 0xF000}, NAN, 2415},
    {"", "activePowerL2", 0, REGISTER_INPUT, 14, {0xC3FA, 0x0000}, NAN, -500},
    {"", "activePowerL3", 0, REGISTER_INPUT, 16, {0xC43A, 0xE000}, NAN, -747.5},
    {"", "activePower", 0, REGISTER_INPUT, 52, {0x4491, 0xF000}, NAN, 1167.5},
    {"", "apparentPower", 0, REGISTER_INPUT, 56, {0x4586, 0x6000}, NAN, 4300},
    {"", "reactivePower", 0, REGISTER_INPUT, 60, {0xC2F0, 0x0000}, NAN, -120},
    {"", "powerFactor", 0, REGISTER_INPUT, 62, {0x3F7A, 0xE148}, NAN, 0.98},
    {"", "frequency", 0, REGISTER_INPUT, 70, {0x4248, 0x147B}, NAN, 50.02},
    {"", "energyImport", 0, REGISTER_INPUT, 72, {0x449A, 0x5000}, NAN, 1234500},
    {"", "energyExport", 0, REGISTER_INPUT, 74, {0x4286, 0x8000}, NAN, 67250},
};

static void eastron_registers_mean_what_the_manual_says(void **state) {
    (void)state;
    CHECK_IMAGES("eastron_sdm", eastron);
    CHECK_COMPLETE("eastron_sdm", "", eastron);
}

static void eastron_power_is_positive_while_importing_and_is_one_read(void **state) {
    (void)state;
    struct loaded loaded = load("eastron_sdm");
    assert_int_equal(loaded.driver->parts[0].type, DEVICE_METER);
    assert_int_equal(loaded.driver->limits.max_words, 80); /* 40 parameters of two registers */
    for (int i = 0; i < loaded.driver->point_count; i++)
        if (loaded.driver->points[i].kind == REGISTER_INPUT)
            assert_int_equal(loaded.driver->points[i].period_ms, 1000);
    const uint16_t serial[] = {0x0131, 0x2D00};
    assert_text(loaded.driver, "", "serialNumber", 0xFC00, serial, "20000000");
    unload(&loaded);
}

/* ---- ABB ---- */

static const struct image abb[] = {
    {"", "maxCurrent", 0, REGISTER_HOLDING, 0x4006, {0x0000, 0x7D00}, NAN, 32},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x0000}, NAN, STATE_UNPLUGGED},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x0100}, NAN, STATE_READY},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x0200}, NAN, STATE_SUSPENDED},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x8300}, NAN, STATE_READY},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x8400}, NAN, STATE_CHARGING},
    {"", "state", 0, REGISTER_HOLDING, 0x400C, {0x0000, 0x0500}, NAN, STATE_UNKNOWN},
    {"", "currentLimit", 0, REGISTER_HOLDING, 0x400E, {0x0000, 0x3E80}, NAN, 16},
    {"", "currentL1", 0, REGISTER_HOLDING, 0x4010, {0x0000, 0x3A98}, NAN, 15},
    {"", "currentL2", 0, REGISTER_HOLDING, 0x4012, {0x0000, 0x0001}, NAN, 0.001},
    {"", "currentL3", 0, REGISTER_HOLDING, 0x4014, {0x0001, 0x0000}, NAN, 65.536},
    {"", "voltageL1", 0, REGISTER_HOLDING, 0x4016, {0x0000, 0x08FC}, NAN, 230},
    {"", "voltageL2", 0, REGISTER_HOLDING, 0x4018, {0x0000, 0x0905}, NAN, 230.9},
    {"", "voltageL3", 0, REGISTER_HOLDING, 0x401A, {0x0000, 0x0000}, NAN, 0},
    {"", "activePower", 0, REGISTER_HOLDING, 0x401C, {0x0000, 0x2B20}, NAN, 11040},
};

static void abb_registers_mean_what_the_document_says(void **state) {
    (void)state;
    CHECK_IMAGES("abb_terra_ac", abb);
    CHECK_COMPLETE("abb_terra_ac", "", abb);
}

static void abb_serial_number_is_the_example_of_the_document(void **state) {
    (void)state;
    struct loaded loaded = load("abb_terra_ac");
    const uint16_t serial[] = {0x5422, 0x0400, 0x4920, 0x0025}; /* TACW22-4-4920-T0025 */
    assert_text(loaded.driver, "", "serialNumber", 0x4000, serial, "6062412447667453989");
    unload(&loaded);
}

struct plan_bench {
    struct loaded loaded;
    double values[DRIVER_MAX_POINTS];
    double parameters[DRIVER_MAX_PARAMETERS];
    double quantities[POINT_NUMBER_COUNT];
    struct ranges allowed;
    struct decision decision;
    struct control_context context;
    struct plan plan;
};

static void plan_setup(struct plan_bench *bench, const char *name, const char *part, int32_t lo,
                       int32_t hi) {
    struct report report;
    report_init(&report);
    bench->loaded = load(name);
    for (int i = 0; i < DRIVER_MAX_POINTS; i++)
        bench->values[i] = NAN;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        bench->quantities[i] = NAN;
    assert_true(driver_parameters(bench->loaded.driver, NULL, "", bench->parameters, &report));
    report_free(&report);
    bench->allowed = ranges_of(lo, hi);
    bench->decision = (struct decision){.min = lo, .max = hi};
    bench->context = (struct control_context){.driver = bench->loaded.driver,
                                              .part = driver_part_find(bench->loaded.driver, part),
                                              .values = bench->values,
                                              .parameters = bench->parameters,
                                              .quantities = bench->quantities,
                                              .allowed = &bench->allowed,
                                              .anything_in_force = true};
}

static void plan_set(struct plan_bench *bench, int32_t set) {
    bench->decision.has_set = true;
    bench->decision.set = set;
    control_plan(&bench->context, &bench->decision, &bench->plan);
}

static void plan_bounds(struct plan_bench *bench, int32_t min, int32_t max) {
    bench->decision = (struct decision){.min = min, .max = max};
    control_plan(&bench->context, &bench->decision, &bench->plan);
}

static void set_value(struct plan_bench *bench, const char *part, const char *name, double value) {
    const struct point *point = driver_text_point(bench->loaded.driver, part, name, 0);
    bench->values[point - bench->loaded.driver->points] = value;
}

struct order { /* a write as it goes onto the wire */
    uint16_t address;
    uint8_t function;
    int count;
    uint16_t words[2];
};

static void assert_orders(const struct plan_bench *bench, const struct order *orders, int count) {
    if (bench->plan.unsupported)
        fail_msg("unsupported: %s", bench->plan.reason);
    assert_int_equal(bench->plan.write_count, count);
    for (int i = 0; i < count; i++) {
        const struct plan_write *write = &bench->plan.writes[i];
        const struct point *point = &bench->loaded.driver->points[write->point];
        assert_int_equal(point->address, orders[i].address);
        assert_int_equal(point->write_function, orders[i].function);
        assert_int_equal(write->count, orders[i].count);
        for (int j = 0; j < write->count; j++)
            assert_int_equal(write->words[j], orders[i].words[j]);
    }
}

#define ASSERT_ORDERS(bench, orders)                                                               \
    assert_orders(bench, orders, (int)(sizeof(orders) / sizeof(orders)[0]))

static void abb_arms_its_way_back_before_it_sets_the_current(void **state) {
    (void)state;
    struct plan_bench bench;
    plan_setup(&bench, "abb_terra_ac", "", 0, 11040);
    bench.quantities[POINT_VOLTAGE_L1] = 230;
    plan_set(&bench, 4140);
    const struct order charge[] = {{0x4106, 16, 1, {60}},
                                   {0x4109, 16, 1, {6}},
                                   {0x4100, 16, 2, {0x0000, 0x1770}}}; /* 6000 mA */
    ASSERT_ORDERS(&bench, charge);
    plan_set(&bench, 0);
    const struct order hold[] = {
        {0x4106, 16, 1, {60}}, {0x4109, 16, 1, {6}}, {0x4100, 16, 2, {0x0000, 0x0000}}};
    ASSERT_ORDERS(&bench, hold);
    unload(&bench.loaded);
}

static void abb_write_only_registers_are_never_read(void **state) {
    (void)state;
    struct loaded loaded = load("abb_terra_ac");
    for (int i = 0; i < loaded.driver->point_count; i++) {
        const struct point *point = &loaded.driver->points[i];
        if (point->address < 0x4100)
            continue;
        assert_int_equal(point->period_ms, POINT_NEVER);
        if (point->read_back) /* from where it can be read */
            assert_in_range(loaded.driver->points[point->read_back_point].address, 0x4000, 0x4024);
    }
    unload(&loaded);
}

static void abb_shows_its_limit_where_it_can_be_read(void **state) {
    (void)state;
    struct loaded loaded = load("abb_terra_ac");
    const struct point *limit = driver_text_point(loaded.driver, "", "_limit", 0);
    assert_true(limit->read_back);
    const struct point *shown = &loaded.driver->points[limit->read_back_point];
    assert_int_equal(shown->address, 0x4022);
    assert_int_equal(shown->period_ms, POINT_NEVER);
    const uint16_t six_amperes[] = {0x0000, 0x1770};
    assert_true(point_agrees(limit, six_amperes, NAN, shown, six_amperes, NAN));
    unload(&loaded);
}

/* ---- SunSpec ---- */

static const struct image sunspec_inverter[] = {
    {"inverter", "currentL1", 103, REGISTER_HOLDING, 3, {1234}, -2, 12.34},
    {"inverter", "currentL2", 103, REGISTER_HOLDING, 4, {1000}, -2, 10},
    {"inverter", "currentL3", 101, REGISTER_HOLDING, 5, {0xFFFF}, -2, NAN},
    {"inverter", "voltageL1", 103, REGISTER_HOLDING, 10, {2305}, -1, 230.5},
    {"inverter", "voltageL2", 103, REGISTER_HOLDING, 11, {2310}, -1, 231},
    {"inverter", "voltageL3", 102, REGISTER_HOLDING, 12, {0xFFFF}, -1, NAN},
    {"inverter", "activePower", 103, REGISTER_HOLDING, 14, {5000}, 0, -5000},
    {"inverter", "activePower", 103, REGISTER_HOLDING, 14, {0x8000}, 0, NAN},
    {"inverter", "activePower", 103, REGISTER_HOLDING, 14, {0xFFF6}, 1, 100},
    {"inverter", "frequency", 103, REGISTER_HOLDING, 16, {5001}, -2, 50.01},
    {"inverter", "apparentPower", 103, REGISTER_HOLDING, 18, {510}, 1, 5100},
    {"inverter", "reactivePower", 103, REGISTER_HOLDING, 20, {0xFFCE}, 0, 50},
    {"inverter", "energyExport", 103, REGISTER_HOLDING, 24, {0x00BC, 0x614E}, 0, 12345678},
    {"inverter", "energyExport", 103, REGISTER_HOLDING, 24, {0, 0}, 0, NAN},
    {"inverter", "dcPower", 103, REGISTER_HOLDING, 31, {5200}, 0, -5200},
    {"inverter", "temperature", 103, REGISTER_HOLDING, 33, {0xFFCE}, -1, -5},
    {"inverter", "state", 103, REGISTER_HOLDING, 38, {4}, NAN, STATE_PRODUCING},
    {"inverter", "state", 103, REGISTER_HOLDING, 38, {5}, NAN, STATE_THROTTLED},
    {"inverter", "state", 103, REGISTER_HOLDING, 38, {7}, NAN, STATE_ERROR},
    {"inverter", "state", 103, REGISTER_HOLDING, 38, {0xFFFF}, NAN, NAN},
    {"inverter", "currentL1", 113, REGISTER_HOLDING, 4, {0x4128, 0x0000}, NAN, 10.5},
    {"inverter", "currentL2", 113, REGISTER_HOLDING, 6, {0x4128, 0x0000}, NAN, 10.5},
    {"inverter", "currentL3", 111, REGISTER_HOLDING, 8, {0x7FC0, 0x0000}, NAN, NAN},
    {"inverter", "voltageL1", 113, REGISTER_HOLDING, 16, {0x4366, 0x3333}, NAN, 230.2},
    {"inverter", "voltageL2", 113, REGISTER_HOLDING, 18, {0x4367, 0x8000}, NAN, 231.5},
    {"inverter", "voltageL3", 113, REGISTER_HOLDING, 20, {0x4365, 0xC000}, NAN, 229.75},
    {"inverter", "activePower", 113, REGISTER_HOLDING, 22, {0x4516, 0xF000}, NAN, -2415},
    {"inverter", "frequency", 113, REGISTER_HOLDING, 24, {0x4248, 0x147B}, NAN, 50.02},
    {"inverter", "apparentPower", 113, REGISTER_HOLDING, 26, {0x4586, 0x6000}, NAN, 4300},
    {"inverter", "reactivePower", 113, REGISTER_HOLDING, 28, {0xC2F0, 0x0000}, NAN, 120},
    {"inverter", "energyExport", 113, REGISTER_HOLDING, 32, {0x449A, 0x5000}, NAN, 1234.5},
    {"inverter", "dcPower", 113, REGISTER_HOLDING, 38, {0x4516, 0xF000}, NAN, -2415},
    {"inverter", "temperature", 113, REGISTER_HOLDING, 40, {0x4128, 0x0000}, NAN, 10.5},
    {"inverter", "state", 113, REGISTER_HOLDING, 48, {1}, NAN, STATE_OFF},
    {"inverter", "ratedPower", 121, REGISTER_HOLDING, 2, {800}, 1, 8000},
    {"inverter", "ratedPower", 120, REGISTER_HOLDING, 3, {8000}, 0, 8000},
};

static const struct image sunspec_battery[] = {
    {"battery", "stateOfCharge", 124, REGISTER_HOLDING, 8, {5650}, -2, 56.5},
    {"battery", "dcVoltage", 124, REGISTER_HOLDING, 10, {4005}, -1, 400.5},
    {"battery", "state", 124, REGISTER_HOLDING, 11, {3}, NAN, STATE_DISCHARGING},
    {"battery", "state", 124, REGISTER_HOLDING, 11, {4}, NAN, STATE_CHARGING},
    {"battery", "state", 124, REGISTER_HOLDING, 11, {6}, NAN, STATE_READY},
    {"battery", "maxChargePower", 124, REGISTER_HOLDING, 2, {5000}, 0, 5000},
    {"battery", "maxDischargePower", 120, REGISTER_HOLDING, 25, {50}, 2, 5000},
    {"battery", "capacity", 120, REGISTER_HOLDING, 19, {1024}, 1, 10240},
};

static void sunspec_inverter_points_mean_what_the_models_say(void **state) {
    (void)state;
    CHECK_IMAGES("sunspec", sunspec_inverter);
    CHECK_COMPLETE("sunspec", "inverter", sunspec_inverter);
}

static void sunspec_storage_points_mean_what_the_models_say(void **state) {
    (void)state;
    CHECK_IMAGES("sunspec", sunspec_battery);
    CHECK_COMPLETE("sunspec", "battery", sunspec_battery);
}

static void sunspec_identity_is_that_of_model_1(void **state) {
    (void)state;
    struct loaded loaded = load("sunspec");
    const uint16_t maker[16] = {0x4672, 0x6F6E, 0x6975, 0x7300}; /* "Fronius" */
    assert_text(loaded.driver, "inverter", "manufacturer", 2, maker, "Fronius");
    assert_text(loaded.driver, "inverter", "model", 18, maker, "Fronius");
    assert_text(loaded.driver, "battery", "serialNumber", 50, maker, "Fronius");
    const uint16_t version[8] = {0x312E, 0x3200}; /* "1.2" */
    assert_text(loaded.driver, "inverter", "firmwareVersion", 42, version, "1.2");
    const struct point *serial = driver_text_point(loaded.driver, "inverter", "serialNumber", 1);
    assert_int_equal(serial->models[0], 1);
    assert_int_equal(loaded.driver->sunspec_bases[0], 40000);
    assert_int_equal(loaded.driver->sunspec_bases[1], 50000);
    assert_int_equal(loaded.driver->sunspec_bases[2], 0);
    unload(&loaded);
}

static void sunspec_scale_factors_stand_where_the_models_say(void **state) {
    (void)state;
    static const struct {
        const char *part, *name;
        uint16_t model, address;
    } rows[] = {
        {"inverter", "currentL1", 103, 6},         {"inverter", "voltageL1", 103, 13},
        {"inverter", "activePower", 103, 15},      {"inverter", "frequency", 103, 17},
        {"inverter", "apparentPower", 103, 19},    {"inverter", "reactivePower", 103, 21},
        {"inverter", "energyExport", 103, 26},     {"inverter", "dcPower", 103, 32},
        {"inverter", "temperature", 103, 37},      {"inverter", "ratedPower", 121, 22},
        {"inverter", "ratedPower", 120, 4},        {"inverter", "_wMaxLimPct", 123, 23},
        {"battery", "stateOfCharge", 124, 22},     {"battery", "dcVoltage", 124, 24},
        {"battery", "maxChargePower", 124, 18},    {"battery", "_inWRte", 124, 25},
        {"battery", "_outWRte", 124, 25},          {"battery", "capacity", 120, 20},
        {"battery", "maxDischargePower", 120, 26},
    };
    struct loaded loaded = load("sunspec");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct point *point =
            driver_text_point(loaded.driver, rows[i].part, rows[i].name, rows[i].model);
        assert_int_not_equal(point->scale_point, POINT_NONE);
        const struct point *factor = &loaded.driver->points[point->scale_point];
        assert_int_equal(factor->address, rows[i].address);
        assert_int_equal(factor->encoding, ENCODING_INT16);
        bool same_model = false;
        for (int j = 0; j < factor->model_count; j++)
            same_model = same_model || factor->models[j] == rows[i].model;
        assert_true(same_model);
    }
    unload(&loaded);
}

static void sunspec_limits_pv_with_model_123_and_enables_last(void **state) {
    (void)state;
    struct plan_bench bench;
    plan_setup(&bench, "sunspec", "inverter", -8000, 0);
    bench.quantities[POINT_RATED_POWER] = 8000;
    set_value(&bench, "inverter", "_wMaxLimPctSf", -2);
    plan_bounds(&bench, -5600, 0);
    const struct order limit[] = {{5, 16, 1, {7000}}, {7, 16, 1, {120}}, {9, 16, 1, {1}}};
    ASSERT_ORDERS(&bench, limit);
    plan_bounds(&bench, 0, 0);
    const struct order nothing[] = {{5, 16, 1, {0}}, {7, 16, 1, {120}}, {9, 16, 1, {1}}};
    ASSERT_ORDERS(&bench, nothing);
    plan_bounds(&bench, -8000, 0);
    const struct order release[] = {{9, 16, 1, {0}}};
    ASSERT_ORDERS(&bench, release);
    unload(&bench.loaded);
}

static void sunspec_orders_storage_with_model_124_and_the_mode_last(void **state) {
    (void)state;
    struct plan_bench bench;
    plan_setup(&bench, "sunspec", "battery", -5000, 4000);
    bench.quantities[POINT_MAX_CHARGE_POWER] = 4000;
    bench.quantities[POINT_MAX_DISCHARGE_POWER] = 5000;
    set_value(&bench, "battery", "_inOutWRteSf", -2);
    plan_set(&bench, 2000); /* InWRte 50 %, OutWRte -40 % */
    const struct order charge[] = {
        {13, 16, 1, {5000}}, {12, 16, 1, {0xF060}}, {15, 16, 1, {120}}, {5, 16, 1, {3}}};
    ASSERT_ORDERS(&bench, charge);
    assert_int_equal(bench.plan.target_w, 2000);
    plan_set(&bench, -2000); /* InWRte -50 %, OutWRte 40 % */
    const struct order discharge[] = {
        {12, 16, 1, {4000}}, {13, 16, 1, {0xEC78}}, {15, 16, 1, {120}}, {5, 16, 1, {3}}};
    ASSERT_ORDERS(&bench, discharge);
    assert_int_equal(bench.plan.target_w, -2000);
    plan_set(&bench, 0);
    const struct order hold[] = {
        {13, 16, 1, {0}}, {12, 16, 1, {0}}, {15, 16, 1, {120}}, {5, 16, 1, {3}}};
    ASSERT_ORDERS(&bench, hold);
    plan_bounds(&bench, 0, 1000);
    const struct order limit[] = {
        {13, 16, 1, {2500}}, {12, 16, 1, {0}}, {15, 16, 1, {120}}, {5, 16, 1, {3}}};
    ASSERT_ORDERS(&bench, limit);
    plan_bounds(&bench, -5000, 4000);
    const struct order release[] = {{5, 16, 1, {0}}};
    ASSERT_ORDERS(&bench, release);
    unload(&bench.loaded);
}

/* ---- Sungrow ---- */

static const struct image sungrow[] = {
    {"inverter", "_powerFlow", 0, REGISTER_INPUT, 13000, {0x0003}, NAN, 3},
    /* 5017-5018: 70000 W with the low word first */
    {"inverter", "activePower", 0, REGISTER_INPUT, 5016, {0x1170, 0x0001}, NAN, -70000},
    {"inverter", "ratedPower", 0, REGISTER_INPUT, 5000, {100}, NAN, 10000},
    {"inverter", "temperature", 0, REGISTER_INPUT, 5007, {0xFFFB}, NAN, -0.5},
    {"inverter", "voltageL1", 0, REGISTER_INPUT, 5018, {2321}, NAN, 232.1},
    {"inverter", "voltageL2", 0, REGISTER_INPUT, 5019, {2337}, NAN, 233.7},
    {"inverter", "voltageL3", 0, REGISTER_INPUT, 5020, {2341}, NAN, 234.1},
    {"inverter", "state", 0, REGISTER_INPUT, 12999, {0x0002}, NAN, STATE_OFF},
    {"inverter", "state", 0, REGISTER_INPUT, 12999, {0x0040}, NAN, STATE_RUNNING},
    {"inverter", "state", 0, REGISTER_INPUT, 12999, {0x0100}, NAN, STATE_ERROR},
    {"inverter", "state", 0, REGISTER_INPUT, 12999, {0x4000}, NAN, STATE_RUNNING},
    {"inverter", "energyExport", 0, REGISTER_INPUT, 13002, {0x86A0, 0x0001}, NAN, 10000000},
    {"battery", "activePower", 0, REGISTER_INPUT, 13021, {2500}, NAN, 2500},
    {"battery", "activePower", 0, REGISTER_INPUT, 13021, {0xF63C}, NAN, -2500},
    {"battery", "dcVoltage", 0, REGISTER_INPUT, 13019, {2563}, NAN, 256.3},
    {"battery", "stateOfCharge", 0, REGISTER_INPUT, 13022, {567}, NAN, 56.7},
    {"battery", "stateOfHealth", 0, REGISTER_INPUT, 13023, {990}, NAN, 99},
    {"battery", "temperature", 0, REGISTER_INPUT, 13024, {215}, NAN, 21.5},
    {"battery", "energyExport", 0, REGISTER_INPUT, 13026, {1219, 0}, NAN, 121900},
    {"battery", "energyImport", 0, REGISTER_INPUT, 13040, {1300, 0}, NAN, 130000},
    {"battery", "ratedPower", 0, REGISTER_INPUT, 5627, {106}, NAN, 10600},
    {"meter", "activePower", 0, REGISTER_INPUT, 13009, {1500, 0}, NAN, -1500},
    {"meter", "activePower", 0, REGISTER_INPUT, 13009, {0xFC18, 0xFFFF}, NAN, 1000},
    {"meter", "activePower", 0, REGISTER_INPUT, 13009, {0xFFFF, 0x7FFF}, NAN, NAN},
    {"meter", "energyImport", 0, REGISTER_INPUT, 13036, {12345, 0}, NAN, 1234500},
    {"meter", "energyExport", 0, REGISTER_INPUT, 13045, {0, 1}, NAN, 6553600},
};

static void sungrow_registers_mean_what_the_protocol_says(void **state) {
    (void)state;
    CHECK_IMAGES("sungrow_hybrid", sungrow);
    CHECK_COMPLETE("sungrow_hybrid", "inverter", sungrow);
    CHECK_COMPLETE("sungrow_hybrid", "battery", sungrow);
    CHECK_COMPLETE("sungrow_hybrid", "meter", sungrow);
}

static void sungrow_serial_number_is_shared_by_the_parts(void **state) {
    (void)state;
    struct loaded loaded = load("sungrow_hybrid");
    const uint16_t serial[10] = {0x4132, 0x3335, 0x3034, 0x3135, 0x3737, 0x3000};
    assert_text(loaded.driver, "battery", "serialNumber", 4989, serial, "A2350415770");
    assert_text(loaded.driver, "meter", "serialNumber", 4989, serial, "A2350415770");
    assert_true(loaded.driver->hook_values);
    assert_false(loaded.driver->hook_command);
    unload(&loaded);
}

/* hooks.values of the driver for one part; NAN: it says that the power is unknown. */
static double hooked_power(lua_State *L, const char *part, double raw, double flow) {
    double power = NAN;
    lua_getfield(L, -1, "hooks");
    lua_getfield(L, -1, "values");
    lua_newtable(L);
    lua_pushstring(L, part);
    lua_setfield(L, -2, "part");
    lua_newtable(L);
    if (!isnan(raw)) {
        lua_pushnumber(L, raw);
        lua_setfield(L, -2, "activePower");
    }
    if (!isnan(flow)) {
        lua_pushnumber(L, flow);
        lua_setfield(L, -2, "_powerFlow");
    }
    if (lua_pcall(L, 2, 1, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    assert_true(lua_istable(L, -1));
    int type = lua_getfield(L, -1, "activePower");
    if (type == LUA_TNUMBER)
        power = lua_tonumber(L, -1);
    else if (type == LUA_TNIL)
        power = INFINITY; /* no change */
    lua_pop(L, 3);
    return power;
}

static void sungrow_battery_power_takes_its_sign_from_the_power_flow(void **state) {
    (void)state;
    struct loaded loaded = load("sungrow_hybrid");
    const double charging = 0x02;
    const double discharging = 0x04;
    assert_true(hooked_power(loaded.L, "battery", 2500, charging) == 2500);
    assert_true(hooked_power(loaded.L, "battery", 2500, discharging) == -2500);
    /* newer firmware: signed already */
    assert_true(hooked_power(loaded.L, "battery", -2500, discharging) == -2500);
    assert_true(hooked_power(loaded.L, "battery", 2500, charging + 0x01) == 2500);
    assert_true(hooked_power(loaded.L, "battery", 12, 0x01) == 0);
    assert_true(isnan(hooked_power(loaded.L, "battery", 2500, charging + discharging)));
    assert_true(isnan(hooked_power(loaded.L, "battery", 2500, NAN)));
    assert_true(isnan(hooked_power(loaded.L, "battery", NAN, charging)));
    assert_true(isinf(hooked_power(loaded.L, "meter", 2500, discharging)));
    unload(&loaded);
}

static void sungrow_orders_switch_the_mode_last(void **state) {
    (void)state;
    struct plan_bench bench;
    plan_setup(&bench, "sungrow_hybrid", "battery", -10600, 10600);
    plan_set(&bench, 3000);
    const struct order charge[] = {
        {33046, 6, 1, {1060}}, {13051, 6, 1, {3000}}, {13050, 6, 1, {0xAA}}, {13049, 6, 1, {2}}};
    ASSERT_ORDERS(&bench, charge);
    assert_int_equal(bench.plan.target_w, 3000);
    plan_set(&bench, -3000);
    const struct order discharge[] = {
        {33047, 6, 1, {1060}}, {13051, 6, 1, {3000}}, {13050, 6, 1, {0xBB}}, {13049, 6, 1, {2}}};
    ASSERT_ORDERS(&bench, discharge);
    assert_int_equal(bench.plan.target_w, -3000);
    plan_set(&bench, 0);
    const struct order hold[] = {{13051, 6, 1, {0}}, {13050, 6, 1, {0xCC}}, {13049, 6, 1, {2}}};
    ASSERT_ORDERS(&bench, hold);
    plan_bounds(&bench, -2505, 1000);
    const struct order limit[] = {{33046, 6, 1, {100}},
                                  {33047, 6, 1, {250}},
                                  {13051, 6, 1, {0}},
                                  {13050, 6, 1, {0xCC}},
                                  {13049, 6, 1, {0}}};
    ASSERT_ORDERS(&bench, limit);
    plan_bounds(&bench, -2505, 0); /* 10 W is the least limit */
    ASSERT_ORDERS(&bench, hold);
    plan_bounds(&bench, -10600, 10600);
    const struct order release[] = {{33046, 6, 1, {1060}},
                                    {33047, 6, 1, {1060}},
                                    {13051, 6, 1, {0}},
                                    {13050, 6, 1, {0xCC}},
                                    {13049, 6, 1, {0}}};
    ASSERT_ORDERS(&bench, release);
    unload(&bench.loaded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eastron_registers_mean_what_the_manual_says),
        cmocka_unit_test(eastron_power_is_positive_while_importing_and_is_one_read),
        cmocka_unit_test(abb_registers_mean_what_the_document_says),
        cmocka_unit_test(abb_serial_number_is_the_example_of_the_document),
        cmocka_unit_test(abb_arms_its_way_back_before_it_sets_the_current),
        cmocka_unit_test(abb_write_only_registers_are_never_read),
        cmocka_unit_test(abb_shows_its_limit_where_it_can_be_read),
        cmocka_unit_test(sunspec_inverter_points_mean_what_the_models_say),
        cmocka_unit_test(sunspec_storage_points_mean_what_the_models_say),
        cmocka_unit_test(sunspec_identity_is_that_of_model_1),
        cmocka_unit_test(sunspec_scale_factors_stand_where_the_models_say),
        cmocka_unit_test(sunspec_limits_pv_with_model_123_and_enables_last),
        cmocka_unit_test(sunspec_orders_storage_with_model_124_and_the_mode_last),
        cmocka_unit_test(sungrow_registers_mean_what_the_protocol_says),
        cmocka_unit_test(sungrow_serial_number_is_shared_by_the_parts),
        cmocka_unit_test(sungrow_battery_power_takes_its_sign_from_the_power_flow),
        cmocka_unit_test(sungrow_orders_switch_the_mode_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
