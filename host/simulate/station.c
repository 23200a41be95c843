#include "simulate/station.h"

#include <math.h>

struct sim_power sim_power_split(int32_t total, int phases) {
    struct sim_power power = {.total = total};
    int32_t share = total / phases;
    for (int i = 0; i < phases; i++)
        power.phase[i] = share;
    power.phase[0] += total - share * phases;
    return power;
}

struct sim_power sim_power_add(struct sim_power a, struct sim_power b) {
    for (int i = 0; i < SIM_PHASES; i++)
        a.phase[i] += b.phase[i];
    a.total += b.total;
    return a;
}

int sim_station_used_phases(const struct sim_station *station) {
    return station->car.phases < station->phases ? station->car.phases : station->phases;
}

/* What the car takes of `offered`: at most its own maximum, less when nearly full, in its steps.
 * A full car takes nothing, and no car takes less than 6 A. */
static double car_wants(const struct sim_car *car, double offered) {
    if (car->soc_pct >= 100)
        return 0;
    double most = car->max_current;
    if (car->soc_pct > SIM_TAPER_FROM_PCT)
        most *= (100 - car->soc_pct) / (100 - SIM_TAPER_FROM_PCT);
    if (most < SIM_LEAST_CURRENT)
        most = SIM_LEAST_CURRENT;
    double wanted = offered < most ? offered : most;
    if (car->current_step > 0)
        wanted = floor(wanted / car->current_step + 1e-6) * car->current_step;
    return wanted < SIM_LEAST_CURRENT ? SIM_LEAST_CURRENT : wanted;
}

static void station_offer(struct sim_station *station, double step_s) {
    double limit =
        station->limit_a < station->max_current ? station->limit_a : station->max_current;
    bool offer =
        station->car.plugged && !station->stopped && !station->failed && limit >= SIM_LEAST_CURRENT;
    station->waited_s = offer && station->offered_a > 0 ? station->waited_s + step_s : 0;
    station->offered_a = offer ? limit : 0;
}

static enum sim_station_state station_state(const struct sim_station *station) {
    if (station->failed)
        return SIM_STATION_ERROR;
    if (!station->car.plugged)
        return SIM_STATION_IDLE;
    if (station->stopped)
        return SIM_STATION_STOPPED;
    if (station->drawn_a > 0)
        return SIM_STATION_CHARGING;
    if (station->offered_a > 0)
        return SIM_STATION_READY;
    return station->car.soc_pct >= 100 ? SIM_STATION_READY : SIM_STATION_PAUSED;
}

void sim_station_step(struct sim_station *station, double voltage, double step_s) {
    struct sim_car *car = &station->car;
    station_offer(station, step_s);
    double wanted = 0;
    if (station->offered_a > 0 && station->waited_s >= car->start_delay_s)
        wanted = car_wants(car, station->offered_a);
    station->drawn_a = sim_lag_step(&station->lag, wanted, step_s);
    /* A contactor opens at once when the cable is pulled. */
    if (!car->plugged) {
        station->lag.output = station->drawn_a = 0;
        station->session_wh = 0;
    }
    int phases = sim_station_used_phases(station);
    int32_t per_phase = (int32_t)lround(station->drawn_a * voltage);
    struct sim_power power = {.total = per_phase * phases};
    for (int i = 0; i < phases; i++)
        power.phase[i] = per_phase;
    double charged_wh = power.total * step_s / 3600;
    station->session_wh += charged_wh;
    car->soc_pct += charged_wh * car->efficiency / car->capacity_wh * 100;
    if (car->soc_pct > 100)
        car->soc_pct = 100;
    power.phase[0] += station->standby_w;
    power.total += station->standby_w;
    station->energy_wh += power.total * step_s / 3600;
    station->power = power;
    station->state = station_state(station);
}
