/* A charging station with a car. The station offers amperes per phase; the car takes what it can of
 * them, in its own steps, on its own phases, after its own delay, less above 80 % state of charge.
 * Below 6 A nothing may be offered (IEC 61851-1): the station pauses. Pure. */
#ifndef DERD_SIMULATE_STATION_H
#define DERD_SIMULATE_STATION_H

#include <stdbool.h>
#include <stdint.h>

#include "simulate/lag.h"

#define SIM_PHASES         3
#define SIM_LEAST_CURRENT  6.0 /* A: the least duty cycle of the control pilot says 6 A */
#define SIM_TAPER_FROM_PCT 80.0

struct sim_power { /* W, import positive; the total is always the sum of the phases */
    int32_t phase[SIM_PHASES];
    int32_t total;
};

/* `total` over the first `phases` phases; what does not divide goes to the first. */
struct sim_power sim_power_split(int32_t total, int phases);
struct sim_power sim_power_add(struct sim_power a, struct sim_power b);

struct sim_car {
    bool plugged;
    int phases; /* 1 or 3 */
    double max_current;
    double current_step; /* A; 0: any current */
    double capacity_wh;
    double soc_pct;
    double start_delay_s;
    double efficiency; /* from the cable into the battery */
    bool timed;        /* arrives and leaves by the simulated clock */
    double arrives_s;  /* second of the day */
    double leaves_s;
};

enum sim_station_state {
    SIM_STATION_IDLE,     /* no car */
    SIM_STATION_STOPPED,  /* car, but the session was stopped */
    SIM_STATION_PAUSED,   /* the car would, the station offers nothing */
    SIM_STATION_READY,    /* power is offered, the car takes none (yet, or it is full) */
    SIM_STATION_CHARGING, /* current flows */
    SIM_STATION_ERROR
};

struct sim_station {
    int phases;
    double max_current;
    double limit_a; /* what it was told, A per phase */
    bool stopped;
    bool failed;
    int32_t standby_w;
    struct sim_car car;
    struct sim_lag lag;

    double offered_a; /* 0: paused */
    double waited_s;  /* since power was offered */
    double drawn_a;   /* per phase that the car uses */
    enum sim_station_state state;
    struct sim_power power; /* with standby draw */
    double energy_wh;       /* lifetime */
    double session_wh;
};

int sim_station_used_phases(const struct sim_station *station);
void sim_station_step(struct sim_station *station, double voltage, double step_s);

#endif
