#include "simulate/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/luadata.h"
#include "simulate/fields.h"

#define PATH_SIZE 200

static const struct schema sun_fields[] = {
    {.key = "peak",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 1e6,
     .help = "W at its highest"},
    {.key = "clouds", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 1, .help = "0: none"},
    {.key = "constant", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 1e6, .help = "W, always"},
    {.key = NULL},
};

static const struct schema load_fields[] = {
    {.key = "base", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 1e6, .help = "W"},
    {.key = "peaks",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 1e6,
     .help = "W, of appliances at most, on top of the base"},
    {.key = "constant", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 1e6, .help = "W, always"},
    {.key = NULL},
};

static const struct schema listener_fields[] = {
    {.key = "name", .kind = SCHEMA_STRING, .required = true, .minimum = 1, .maximum = 39},
    {.key = "port",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = 65535,
     .help = "0: any free one"},
    {.key = NULL},
};

static const struct schema listener_item = {.kind = SCHEMA_OBJECT, .fields = listener_fields};
static const struct schema device_item = {.kind = SCHEMA_ANY};

static const struct schema home_fields[] = {
    {.key = "speed",
     .kind = SCHEMA_NUMBER,
     .minimum = 0,
     .maximum = 3600,
     .help = "how fast sun, load and the hours of cars run; 1: as the clock"},
    {.key = "start", .kind = SCHEMA_STRING, .help = "time of day at the start, \"10:30\""},
    {.key = "seed", .kind = SCHEMA_INTEGER, .minimum = 0, .maximum = 2147483647},
    {.key = "step", .kind = SCHEMA_NUMBER, .minimum = 0.02, .maximum = 1, .help = "s"},
    {.key = "voltage", .kind = SCHEMA_NUMBER, .minimum = 100, .maximum = 260, .help = "V"},
    {.key = "listeners",
     .kind = SCHEMA_ARRAY,
     .item = &listener_item,
     .minimum = 1,
     .maximum = SIM_MAX_LISTENERS},
    {.key = "sun", .kind = SCHEMA_OBJECT, .fields = sun_fields},
    {.key = "load", .kind = SCHEMA_OBJECT, .fields = load_fields},
    {.key = "devices",
     .kind = SCHEMA_ARRAY,
     .required = true,
     .item = &device_item,
     .minimum = 1,
     .maximum = SIM_MAX_DEVICES},
    {.key = NULL},
};

static const struct schema home_schema = {.kind = SCHEMA_OBJECT, .fields = home_fields};

bool sim_time_parse(const char *text, double *second) {
    if (strlen(text) != 5 || text[2] != ':')
        return false;
    for (int i = 0; i < 5; i++)
        if (i != 2 && !isdigit((unsigned char)text[i]))
            return false;
    int hour = (text[0] - '0') * 10 + text[1] - '0';
    int minute = (text[3] - '0') * 10 + text[4] - '0';
    if (hour > 23 || minute > 59)
        return false;
    *second = hour * 3600.0 + minute * 60.0;
    return true;
}

bool sim_serial_is_number(const char *serial, unsigned long long most) {
    if (!isdigit((unsigned char)serial[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(serial, &end, 10);
    return !*end && errno == 0 && value <= most;
}

void sim_battery_configure(struct sim_battery *battery, const json_t *settings, double lag_s,
                           double delay_s) {
    battery->capacity_wh = tree_number(settings, "capacity", 10000);
    battery->efficiency = tree_number(settings, "efficiency", 0.95);
    battery->max_charge_w = tree_number(settings, "maxChargePower", 0);
    battery->max_discharge_w = tree_number(settings, "maxDischargePower", 0);
    battery->soc_pct = tree_number(settings, "stateOfCharge", 50);
    battery->min_soc_pct = tree_number(settings, "minStateOfCharge", 5);
    battery->max_soc_pct = tree_number(settings, "maxStateOfCharge", 100);
    battery->most_w = battery->max_charge_w;
    battery->least_w = -battery->max_discharge_w;
    sim_lag_init(&battery->lag, lag_s, delay_s, 1, 0);
}

static void set_name(char name[SIM_NAME_SIZE], const char *text) {
    snprintf(name, SIM_NAME_SIZE, "%s", text);
}

/* Both forms at once would leave open which one holds. */
static void check_profile(const json_t *profile, const char *where, const char *other,
                          struct report *report) {
    if (json_object_get(profile, "constant") && json_object_get(profile, other))
        report_add(report, where, "has both constant and %s: give one of them", other);
}

static void load_profiles(struct sim_home *home, const json_t *tree, struct report *report) {
    const json_t *sun = json_object_get(tree, "sun");
    const json_t *load = json_object_get(tree, "load");
    check_profile(sun, "sun", "peak", report);
    check_profile(load, "load", "base", report);
    home->sun.constant = json_object_get(sun, "constant") != NULL;
    home->sun.constant_w = tree_number(sun, "constant", 0);
    home->sun.peak_w = tree_number(sun, "peak", 8000);
    home->sun.unrest = tree_number(sun, "clouds", 0);
    home->load.constant = json_object_get(load, "constant") != NULL;
    home->load.constant_w = tree_number(load, "constant", 0);
    home->load.base_w = tree_number(load, "base", 350);
    home->load.peak_w = tree_number(load, "peaks", 0);
}

static void load_listeners(struct sim_home *home, const json_t *tree, struct report *report) {
    const json_t *listeners = json_object_get(tree, "listeners");
    size_t count = json_array_size(listeners);
    for (size_t i = 0; i < count && i < SIM_MAX_LISTENERS; i++) {
        const json_t *listener = json_array_get(listeners, i);
        struct sim_listener *added = &home->listeners[home->listener_count++];
        set_name(added->name, tree_string(listener, "name", ""));
        added->port = (uint16_t)tree_integer(listener, "port", 0);
        for (size_t j = 0; j < i; j++)
            if (strcmp(home->listeners[j].name, added->name) == 0)
                report_add(report, "listeners", "two of them are called %s", added->name);
    }
    if (!count) {
        set_name(home->listeners[0].name, "home");
        home->listener_count = 1;
    }
}

static const struct sim_make *find_make(const char *name) {
    for (const struct sim_make *const *make = sim_makes(); *make; make++)
        if (strcmp((*make)->name, name) == 0)
            return *make;
    return NULL;
}

static int find_listener(const struct sim_home *home, const char *name) {
    for (size_t i = 0; i < home->listener_count; i++)
        if (strcmp(home->listeners[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Times of a car, and a charging station's phases: what the table of fields cannot say. */
static void check_station(const json_t *settings, const char *where, struct report *report) {
    const json_t *car = json_object_get(settings, "car");
    static const char *const times[] = {"arrives", "leaves"};
    double second;
    for (int i = 0; i < 2; i++) {
        const char *time = tree_string(car, times[i], NULL);
        if (time && !sim_time_parse(time, &second))
            report_add(report, where, "car.%s: expected a time of day such as \"17:30\", got %s",
                       times[i], time);
    }
    if (!json_object_get(car, "arrives") != !json_object_get(car, "leaves"))
        report_add(report, where, "car: arrives and leaves are given together or not at all");
    if (tree_integer(settings, "phases", 3) == 2 || tree_integer(car, "phases", 3) == 2)
        report_add(report, where, "phases: expected 1 or 3, got 2");
}

static void check_unique(const struct sim_home *home, const struct sim_device *device,
                         const char *where, struct report *report) {
    for (size_t i = 0; i < home->device_count; i++) {
        const struct sim_device *other = &home->devices[i];
        if (other->listener == device->listener && other->unit == device->unit)
            report_add(report, where, "unit %d of this listener is taken by %s", device->unit,
                       other->name);
        if (strcmp(other->name, device->name) == 0)
            report_add(report, where, "another device is called %s: give each a name",
                       device->name);
    }
}

static void default_serial(struct sim_device *device) {
    bool text = !device->make->serial_fits("A");
    snprintf(device->serial, sizeof device->serial, "%s2311%02d%04d", text ? "" : "A",
             device->listener, device->unit);
}

/* The make of a device whose fields have passed their check, or NULL with mistakes. */
static const struct sim_make *check_device(const json_t *settings, const char *where,
                                           struct report *report) {
    const char *name = json_string_value(json_object_get(settings, "make"));
    const struct sim_make *make = name ? find_make(name) : NULL;
    if (make) {
        const struct schema schema = {.kind = SCHEMA_OBJECT, .fields = make->fields};
        return schema_check(&schema, settings, where, PATH_LUA, report) ? make : NULL;
    }
    struct buf known;
    buf_init(&known, 200);
    for (const struct sim_make *const *each = sim_makes(); *each; each++)
        buf_format(&known, " %s", (*each)->name);
    report_add(report, where, "make: expected one of%s", buf_string(&known));
    buf_free(&known);
    return NULL;
}

static void load_device(struct sim_home *home, const struct sim_make *make, const json_t *settings,
                        const char *where, struct report *report) {
    check_station(settings, where, report);
    struct sim_device *device = &home->devices[home->device_count];
    device->make = make;
    device->unit = (uint8_t)tree_integer(settings, "unit", 1);
    const char *listener = tree_string(settings, "listener", home->listeners[0].name);
    device->listener = find_listener(home, listener);
    if (device->listener < 0)
        report_add(report, where, "listener: there is none called %s", listener);
    char name[SIM_NAME_SIZE];
    snprintf(name, sizeof name, "%s-%d", make->name, device->unit);
    set_name(device->name, tree_string(settings, "name", name));
    default_serial(device);
    const char *serial = tree_string(settings, "serial", device->serial);
    if (make->serial_fits(serial))
        snprintf(device->serial, sizeof device->serial, "%s", serial);
    else
        report_add(report, where, "serial: %s does not fit the registers of this make", serial);
    check_unique(home, device, where, report);
    home->device_count++; /* from here on sim_home_free() frees what it holds */
    if (make->configure(device, settings))
        report_add(report, where, "there is not enough memory");
    else
        make->identify(device);
}

static void load_settings(struct sim_home *home, const json_t *tree, struct report *report) {
    home->speed = tree_number(tree, "speed", 1);
    home->step_s = tree_number(tree, "step", 0.1);
    home->voltage = tree_number(tree, "voltage", 230);
    home->seed = (uint64_t)tree_integer(tree, "seed", 1);
    const char *start = tree_string(tree, "start", "12:00");
    if (!sim_time_parse(start, &home->start_s))
        report_add(report, "start", "expected a time of day such as \"10:30\", got %s", start);
    load_profiles(home, tree, report);
    load_listeners(home, tree, report);
}

bool sim_config_load(struct sim_home *home, const char *name, const char *text, size_t length,
                     struct report *report) {
    size_t before = report->total;
    json_t *tree = luadata_load(name, text, length, report);
    if (!tree)
        return false;
    bool whole = schema_check(&home_schema, tree, "", PATH_LUA, report);
    if (whole)
        load_settings(home, tree, report);
    /* Devices are checked even where the rest is wrong, so that all mistakes come at once. */
    const json_t *devices = json_object_get(tree, "devices");
    for (size_t i = 0; i < json_array_size(devices) && i < SIM_MAX_DEVICES; i++) {
        struct buf where;
        buf_init(&where, PATH_SIZE);
        path_key(&where, "devices", PATH_LUA);
        path_index(&where, i, PATH_LUA);
        const json_t *settings = json_array_get(devices, i);
        const struct sim_make *make = check_device(settings, buf_string(&where), report);
        if (make && whole)
            load_device(home, make, settings, buf_string(&where), report);
        buf_free(&where);
    }
    json_decref(tree);
    return report->total == before;
}
