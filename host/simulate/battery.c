#include "simulate/battery.h"

#include <math.h>

static double clamp(double value, double least, double most) {
    if (value > most)
        value = most;
    return value < least ? least : value;
}

/* The most that the cells take or give in this step without leaving their bounds. */
static double most_charge_w(const struct sim_battery *battery, double step_s) {
    double room_wh = (battery->max_soc_pct - battery->soc_pct) / 100 * battery->capacity_wh;
    double most = room_wh / battery->efficiency * 3600 / step_s;
    return clamp(most, 0, battery->max_charge_w);
}

static double most_discharge_w(const struct sim_battery *battery, double step_s) {
    double left_wh = (battery->soc_pct - battery->min_soc_pct) / 100 * battery->capacity_wh;
    double most = left_wh * battery->efficiency * 3600 / step_s;
    return clamp(most, 0, battery->max_discharge_w);
}

static void battery_integrate(struct sim_battery *battery, double step_s) {
    double moved_wh = battery->power_w * step_s / 3600;
    if (moved_wh >= 0) {
        battery->charge_wh += moved_wh;
        moved_wh *= battery->efficiency;
    } else {
        battery->discharge_wh -= moved_wh;
        moved_wh /= battery->efficiency;
    }
    battery->soc_pct = clamp(battery->soc_pct + moved_wh / battery->capacity_wh * 100, 0, 100);
}

void sim_battery_step(struct sim_battery *battery, int32_t grid_w, int share,
                      double inverter_least_w, double inverter_most_w, double step_s) {
    double least = -most_discharge_w(battery, step_s);
    double most = most_charge_w(battery, step_s);
    double wanted = battery->forced ? battery->forced_w
                                    : battery->power_w - (double)grid_w / (share > 0 ? share : 1);
    wanted = clamp(wanted, battery->least_w, battery->most_w);
    wanted = clamp(wanted, fmax(least, inverter_least_w), fmin(most, inverter_most_w));
    double power = sim_lag_step(&battery->lag, wanted, step_s);
    /* Cells and inverter stop at their bounds at once, whatever was under way. */
    power = clamp(power, fmax(least, inverter_least_w), fmin(most, inverter_most_w));
    battery->lag.output = power;
    battery->power_w = (int32_t)power;
    battery_integrate(battery, step_s);
}
