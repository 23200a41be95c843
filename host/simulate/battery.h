/* A battery behind an inverter. On its own it regulates what the grid meter sees to 0; a command
 * may force a power or narrow the range in which it does so. Its state of charge integrates the
 * power exactly, with a loss in each direction, and never leaves its bounds. Pure. */
#ifndef DERD_SIMULATE_BATTERY_H
#define DERD_SIMULATE_BATTERY_H

#include <stdbool.h>
#include <stdint.h>

#include "simulate/lag.h"

struct sim_battery {
    double capacity_wh;
    double efficiency; /* of one direction */
    double max_charge_w;
    double max_discharge_w;
    double soc_pct;
    double min_soc_pct;
    double max_soc_pct;
    bool forced; /* forced_w instead of regulating the grid */
    double forced_w;
    double least_w, most_w; /* range commanded from outside; charging positive */
    struct sim_lag lag;

    int32_t power_w; /* charging positive */
    double charge_wh, discharge_wh;
};

/* `grid_w`: what the meter would show if the battery stayed as it is. `share`: how many batteries
 * regulate the same grid. `inverter_least_w`..`inverter_most_w`: what the inverter has room for. */
void sim_battery_step(struct sim_battery *battery, int32_t grid_w, int share,
                      double inverter_least_w, double inverter_most_w, double step_s);

#endif
