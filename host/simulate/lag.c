#include "simulate/lag.h"

#include <math.h>
#include <string.h>

void sim_lag_init(struct sim_lag *lag, double tau_s, double delay_s, double snap, double output) {
    memset(lag, 0, sizeof *lag);
    lag->tau_s = tau_s;
    lag->delay_s = delay_s;
    lag->snap = snap;
    lag->output = output;
}

/* The target that arrives now, after its delay; before the first arrives, nothing changes. */
static double lag_arrived(struct sim_lag *lag, double target, double step_s) {
    int slots = (int)lround(lag->delay_s / step_s);
    if (slots <= 0)
        return target;
    if (slots > SIM_DELAY_SLOTS)
        slots = SIM_DELAY_SLOTS;
    double arrived = lag->filled < slots ? lag->output : lag->waiting[lag->next];
    lag->waiting[lag->next] = target;
    lag->next = (lag->next + 1) % slots;
    if (lag->filled < slots)
        lag->filled++;
    return arrived;
}

double sim_lag_step(struct sim_lag *lag, double target, double step_s) {
    double arrived = lag_arrived(lag, target, step_s);
    if (lag->tau_s > 0)
        lag->output += (arrived - lag->output) * (1 - exp(-step_s / lag->tau_s));
    else
        lag->output = arrived;
    if (fabs(arrived - lag->output) <= lag->snap)
        lag->output = arrived;
    return lag->output;
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t mix(uint64_t value) {
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

double sim_chance(uint64_t seed, uint64_t stream, uint64_t counter) {
    return (double)(mix(mix(mix(seed) ^ stream) ^ counter) >> 11) * 0x1p-53;
}

double sim_drift(uint64_t seed, uint64_t stream, double position) {
    double whole = floor(position);
    double part = position - whole;
    double before = sim_chance(seed, stream, (uint64_t)(int64_t)whole);
    double after = sim_chance(seed, stream, (uint64_t)(int64_t)whole + 1);
    return before + (after - before) * part * part * (3 - 2 * part);
}
