/* How a device follows its set point: first it does nothing for `delay_s`, then it approaches with
 * the time constant `tau_s` (first order). Also the one source of chance in the simulated home: a
 * hash of a seed and a counter, so that the same seed always gives the same day. Pure. */
#ifndef DERD_SIMULATE_LAG_H
#define DERD_SIMULATE_LAG_H

#include <stdint.h>

#define SIM_DELAY_SLOTS 600 /* steps of delay at most: a minute at 100 ms */

struct sim_lag {
    double tau_s;
    double delay_s;
    double snap; /* nearer than this to its target the output is the target */
    double output;
    double waiting[SIM_DELAY_SLOTS]; /* targets that have not yet reached the device */
    int next;
    int filled;
};

void sim_lag_init(struct sim_lag *lag, double tau_s, double delay_s, double snap, double output);
/* One step of `step_s` toward `target`; gives the new output. */
double sim_lag_step(struct sim_lag *lag, double target, double step_s);

/* 0 <= result < 1, the same for the same arguments. */
double sim_chance(uint64_t seed, uint64_t stream, uint64_t counter);
/* A smooth curve through chances, one per whole `position`: 0 <= result < 1. */
double sim_drift(uint64_t seed, uint64_t stream, double position);

#endif
