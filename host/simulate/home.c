#include "simulate/home.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S          86400.0
#define SUNRISE_H      6.0
#define DAYLIGHT_H     14.0
#define CLOUD_PERIOD_S 600.0 /* simulated */
#define PEAK_PERIOD_S  900.0 /* simulated: how long an appliance runs */
#define PEAK_SHARE     0.3   /* of the periods have an appliance on */

enum { STREAM_CLOUD, STREAM_PEAK, STREAM_PEAK_SIZE, STREAM_NOISE };

const struct sim_make *const *sim_makes(void) {
    static const struct sim_make *const makes[] = {&sim_make_eastron, &sim_make_sunspec,
                                                   &sim_make_sungrow, &sim_make_terra, NULL};
    return makes;
}

enum err sim_home_init(struct sim_home *home) {
    memset(home, 0, sizeof *home);
    home->devices = calloc(SIM_MAX_DEVICES, sizeof *home->devices);
    if (!home->devices)
        return ERR_MEMORY;
    if (pthread_mutex_init(&home->lock, NULL)) {
        free(home->devices);
        home->devices = NULL;
        return ERR_MEMORY;
    }
    return ERR_OK;
}

void sim_home_free(struct sim_home *home) {
    if (!home->devices)
        return;
    for (size_t i = 0; i < home->device_count; i++) {
        sim_image_free(&home->devices[i].image);
        free(home->devices[i].writes);
    }
    free(home->devices);
    home->devices = NULL;
    pthread_mutex_destroy(&home->lock);
}

/* Seconds on the clock of sun, load and cars since its first midnight. */
static double home_clock_s(const struct sim_home *home) {
    return home->start_s + (double)home->steps * home->step_s * home->speed;
}

double sim_home_day_s(const struct sim_home *home) {
    return fmod(home_clock_s(home), DAY_S);
}

static double sun_w(const struct sim_home *home) {
    const struct sim_profile *sun = &home->sun;
    if (sun->overridden)
        return sun->override_w;
    if (sun->constant)
        return sun->constant_w;
    double daylight = (sim_home_day_s(home) / 3600 - SUNRISE_H) / DAYLIGHT_H;
    if (daylight <= 0 || daylight >= 1)
        return 0;
    double cloud = sim_drift(home->seed, STREAM_CLOUD, home_clock_s(home) / CLOUD_PERIOD_S);
    return sun->peak_w * sin(daylight * M_PI) * (1 - sun->unrest * cloud);
}

static double load_w(const struct sim_home *home) {
    const struct sim_profile *load = &home->load;
    if (load->overridden)
        return load->override_w;
    if (load->constant)
        return load->constant_w;
    uint64_t period = (uint64_t)(home_clock_s(home) / PEAK_PERIOD_S);
    double peak = 0;
    if (sim_chance(home->seed, STREAM_PEAK, period) < PEAK_SHARE)
        peak = load->peak_w * sim_chance(home->seed, STREAM_PEAK_SIZE, period);
    return load->base_w + peak;
}

static void pv_step(struct sim_pv *pv, double available_w, double step_s) {
    pv->available_w = available_w;
    double limit = sim_lag_step(&pv->lag, pv->connected ? pv->limit_w : 0, step_s);
    double produced = fmin(fmin(available_w, limit), pv->rated_w);
    pv->power_w = -(int32_t)fmax(produced, 0);
    pv->energy_wh -= pv->power_w * step_s / 3600;
}

static void home_step_pv(struct sim_home *home) {
    double peak_w = 0;
    for (size_t i = 0; i < home->device_count; i++)
        peak_w += home->devices[i].pv.peak_w;
    double sun = sun_w(home);
    struct sim_power *sum = &home->now[SIM_PV];
    *sum = (struct sim_power){0};
    for (size_t i = 0; i < home->device_count; i++) {
        struct sim_pv *pv = &home->devices[i].pv;
        if (!home->devices[i].has_pv)
            continue;
        pv_step(pv, peak_w > 0 ? sun * pv->peak_w / peak_w : 0, home->step_s);
        *sum = sim_power_add(*sum, sim_power_split(pv->power_w, SIM_PHASES));
    }
}

static void car_keep_hours(const struct sim_home *home, struct sim_car *car) {
    if (!car->timed)
        return;
    double now = sim_home_day_s(home);
    bool inside = car->arrives_s <= car->leaves_s ? now >= car->arrives_s && now < car->leaves_s
                                                  : now >= car->arrives_s || now < car->leaves_s;
    car->plugged = inside;
}

static void home_step_stations(struct sim_home *home) {
    struct sim_power *sum = &home->now[SIM_CHARGING];
    *sum = (struct sim_power){0};
    for (size_t i = 0; i < home->device_count; i++) {
        struct sim_station *station = &home->devices[i].station;
        if (!home->devices[i].has_station)
            continue;
        car_keep_hours(home, &station->car);
        sim_station_step(station, home->voltage, home->step_s);
        *sum = sim_power_add(*sum, station->power);
    }
}

static void home_step_batteries(struct sim_home *home) {
    int regulating = 0;
    int32_t battery_w = 0;
    for (size_t i = 0; i < home->device_count; i++)
        if (home->devices[i].has_battery) {
            regulating += !home->devices[i].battery.forced;
            battery_w += home->devices[i].battery.power_w;
        }
    int32_t grid_w = home->now[SIM_LOAD].total + home->now[SIM_CHARGING].total +
                     home->now[SIM_PV].total + battery_w;
    struct sim_power *sum = &home->now[SIM_BATTERY];
    *sum = (struct sim_power){0};
    for (size_t i = 0; i < home->device_count; i++) {
        struct sim_device *device = &home->devices[i];
        if (!device->has_battery)
            continue;
        /* The inverter carries PV and battery together, within its rating in each direction. */
        double rated_w = device->pv.rated_w;
        sim_battery_step(&device->battery, grid_w, regulating, -rated_w - device->pv.power_w,
                         rated_w - device->pv.power_w, home->step_s);
        *sum = sim_power_add(*sum, sim_power_split(device->battery.power_w, SIM_PHASES));
    }
}

static void home_count_energy(struct sim_home *home) {
    for (int i = 0; i < SIM_MEASURED_COUNT; i++) {
        double moved_wh = home->now[i].total * home->step_s / 3600;
        if (moved_wh >= 0)
            home->import_wh[i] += moved_wh;
        else
            home->export_wh[i] -= moved_wh;
    }
}

static void device_step_noise(const struct sim_home *home, struct sim_device *device,
                              size_t index) {
    device->noise = (struct sim_power){0};
    for (int i = 0; i < SIM_PHASES; i++) {
        double chance =
            sim_chance(home->seed, STREAM_NOISE + index * SIM_PHASES + (size_t)i, home->steps);
        device->noise.phase[i] = (int32_t)lround((2 * chance - 1) * device->meter.noise_w);
        device->noise.total += device->noise.phase[i];
    }
}

void sim_home_step(struct sim_home *home) {
    home->steps++;
    for (size_t i = 0; i < home->device_count; i++)
        if (home->devices[i].make->tick)
            home->devices[i].make->tick(&home->devices[i], home->step_s);
    home->now[SIM_LOAD] = sim_power_split((int32_t)lround(load_w(home)), SIM_PHASES);
    home_step_pv(home);
    home_step_stations(home);
    home_step_batteries(home);
    struct sim_power grid = home->now[SIM_LOAD];
    grid = sim_power_add(grid, home->now[SIM_CHARGING]);
    grid = sim_power_add(grid, home->now[SIM_BATTERY]);
    grid = sim_power_add(grid, home->now[SIM_PV]);
    home->now[SIM_GRID] = grid;
    home_count_energy(home);
    for (size_t i = 0; i < home->device_count; i++) {
        struct sim_device *device = &home->devices[i];
        device_step_noise(home, device, i);
        if (!device->frozen)
            device->make->refresh(home, device);
    }
}

struct sim_device *sim_home_find(struct sim_home *home, const char *name) {
    for (size_t i = 0; i < home->device_count; i++)
        if (strcmp(home->devices[i].name, name) == 0)
            return &home->devices[i];
    char *end;
    unsigned long unit = strtoul(name, &end, 10);
    struct sim_device *found = NULL;
    if (end == name || *end)
        return NULL;
    for (size_t i = 0; i < home->device_count; i++)
        if (home->devices[i].unit == unit) {
            if (found)
                return NULL;
            found = &home->devices[i];
        }
    return found;
}

void sim_device_note(struct sim_home *home, struct sim_device *device, uint16_t address,
                     uint16_t count, const uint16_t *words, bool refused) {
    struct sim_write note = {++home->write_sequence, refused, address, count, {0}};
    for (int i = 0; i < count && i < SIM_WRITE_WORDS; i++)
        note.words[i] = words[i];
    if (!device->writes)
        device->writes = calloc(SIM_MAX_WRITES, sizeof *device->writes);
    if (device->writes && device->write_count == SIM_MAX_WRITES) {
        memmove(device->writes, device->writes + 1, (SIM_MAX_WRITES - 1) * sizeof *device->writes);
        device->write_count--;
        device->writes_dropped++;
    }
    if (device->writes)
        device->writes[device->write_count++] = note;
    if (refused)
        return;
    if (device->make->apply)
        device->make->apply(device, address, count);
    if (!device->frozen)
        device->make->refresh(home, device);
}

struct sim_power sim_device_reading(const struct sim_home *home, const struct sim_device *device) {
    return sim_power_add(home->now[device->meter.measures], device->noise);
}
