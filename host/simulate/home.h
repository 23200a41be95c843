/* The simulated home: devices, sun, load and the physics that binds them. At the end of every step
 *     grid = load + charging + battery + PV
 * in whole watts, in total and on each phase: import positive, export negative, production
 * negative, battery charging positive. Sun, load and the hours of cars run on a clock of their own
 * that may be fast; everything electrical runs in real time. What meters show may carry noise, the
 * truth in here never does.
 *
 * sim_home_* functions other than init and free want the lock; there is one for home and images. */
#ifndef DERD_SIMULATE_HOME_H
#define DERD_SIMULATE_HOME_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/report.h"
#include "base/schema.h"
#include "simulate/battery.h"
#include "simulate/image.h"
#include "simulate/lag.h"
#include "simulate/station.h"

#define SIM_MAX_DEVICES   500
#define SIM_MAX_LISTENERS 16
#define SIM_NAME_SIZE     40
#define SIM_SERIAL_SIZE   33
#define SIM_MAX_WRITES    1000 /* remembered for each device; older ones are dropped and counted */
#define SIM_WRITE_WORDS   8    /* remembered of each; longer ones show their first words */

struct sim_home;
struct sim_device;

/* What the sun offers is shared among the PV devices by their peak power. */
struct sim_pv {
    double rated_w; /* of the inverter */
    double peak_w;  /* of its panels; 0: none */
    double limit_w; /* commanded */
    bool connected;
    struct sim_lag lag;

    double available_w;
    int32_t power_w; /* production is negative */
    double energy_wh;
};

enum sim_measured { SIM_GRID, SIM_LOAD, SIM_CHARGING, SIM_BATTERY, SIM_PV, SIM_MEASURED_COUNT };

struct sim_meter {
    enum sim_measured measures;
    double noise_w; /* per phase, at most */
};

/* What runs out by itself. */
struct sim_timers {
    double limit_s;   /* until a PV limit ends; 0: none runs */
    double storage_s; /* until a storage command ends */
    double connect_s; /* until a disconnection ends */
    double unread_s;  /* since the last read */
    double watchdog_s;
    double fallback_a; /* NAN: none, the station fails instead */
};

struct sim_write {
    uint64_t sequence; /* counts over all devices, from 1 */
    bool refused;
    uint16_t address, count;
    uint16_t words[SIM_WRITE_WORDS];
};

/* One make: its settings in the home file, its registers, and how they and the physics meet. */
struct sim_make {
    const char *name;
    const struct schema *fields;
    /* Settings into the device's physical parts, and its image laid out. */
    enum err (*configure)(struct sim_device *device, const json_t *settings);
    bool (*serial_fits)(const char *serial);
    /* The serial number into its registers. */
    void (*identify)(struct sim_device *device);
    /* Timers that run out. */
    void (*tick)(struct sim_device *device, double step_s);
    /* Physics into registers. */
    void (*refresh)(const struct sim_home *home, struct sim_device *device);
    /* 0, or the exception for a write that the make refuses; the registers exist. */
    int (*check)(const struct sim_device *device, uint16_t address, uint16_t count,
                 const uint16_t *words);
    /* Registers that were written into the physics. */
    void (*apply)(struct sim_device *device, uint16_t address, uint16_t count);
};

struct sim_device {
    const struct sim_make *make;
    char name[SIM_NAME_SIZE];
    char serial[SIM_SERIAL_SIZE];
    int listener; /* index */
    uint8_t unit;
    bool has_meter, has_pv, has_battery, has_station;
    bool floats;        /* sunspec: model 113 in place of 103 */
    bool plain_battery; /* sungrow: battery power without sign, as older firmware has it */
    struct sim_meter meter;
    struct sim_pv pv;
    struct sim_battery battery;
    struct sim_station station;
    struct sim_timers timers;
    struct sim_image image;
    struct sim_power noise; /* of its meter in this step, W */

    bool silent;
    bool frozen;
    int exception; /* 0: none */
    struct sim_write *writes;
    size_t write_count;
    uint64_t writes_dropped;
};

struct sim_profile { /* sun or load */
    bool constant;
    double constant_w;
    double base_w;   /* load */
    double peak_w;   /* sun: at its highest; load: of appliances on top of the base */
    double unrest;   /* clouds, 0..1 */
    bool overridden; /* by hand */
    double override_w;
};

struct sim_listener {
    char name[SIM_NAME_SIZE];
    uint16_t port; /* 0: any */
};

struct sim_home {
    pthread_mutex_t lock;
    double speed;
    double start_s; /* second of the day */
    double step_s;
    double voltage;
    uint64_t seed;
    struct sim_profile sun, load;
    struct sim_listener listeners[SIM_MAX_LISTENERS];
    size_t listener_count;
    struct sim_device *devices;
    size_t device_count;
    int latency_ms;
    uint64_t write_sequence;

    uint64_t steps;
    struct sim_power now[SIM_MEASURED_COUNT]; /* the truth after the last step */
    double import_wh[SIM_MEASURED_COUNT], export_wh[SIM_MEASURED_COUNT];
};

must_check enum err sim_home_init(struct sim_home *home);
void sim_home_free(struct sim_home *home);
/* One step of home->step_s. */
void sim_home_step(struct sim_home *home);
double sim_home_day_s(const struct sim_home *home); /* second of the simulated day */
/* By name, or by unit number where only one listener has it; NULL otherwise. */
struct sim_device *sim_home_find(struct sim_home *home, const char *name);
/* Remembers a write and, unless refused, lets it act. The registers hold the new values. */
void sim_device_note(struct sim_home *home, struct sim_device *device, uint16_t address,
                     uint16_t count, const uint16_t *words, bool refused);
/* What its meter reads, with noise. */
struct sim_power sim_device_reading(const struct sim_home *home, const struct sim_device *device);

/* The makes, ended by NULL. */
extern const struct sim_make sim_make_eastron;
extern const struct sim_make sim_make_sunspec;
extern const struct sim_make sim_make_sungrow;
extern const struct sim_make sim_make_terra;
const struct sim_make *const *sim_makes(void);

#endif
