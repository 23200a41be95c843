#include "telemetry/counter.h"

/* True when a counter can have come from one reading to the other. */
static bool plausible(double from_wh, int64_t from_ms, double to_wh, int64_t to_ms, double most_w) {
    double hours = (double)(to_ms - from_ms) / 3600e3;
    return to_wh >= from_wh - COUNTER_BACK_WH &&
           to_wh <= from_wh + most_w * hours + COUNTER_SLACK_WH;
}

static void believe(struct counter *counter, double value_wh, int64_t read_ms) {
    if (!counter->known || value_wh > counter->last)
        counter->last = value_wh;
    counter->known = true;
    counter->last_ms = read_ms;
    counter->candidates = 0;
}

static void hold(struct counter *counter, double value_wh, int64_t read_ms, double most_w) {
    bool goes_on = counter->candidates > 0 &&
                   plausible(counter->candidate, counter->candidate_ms, value_wh, read_ms, most_w);
    if (!goes_on) {
        counter->candidates = 0;
        counter->first_candidate = value_wh;
    }
    counter->candidates++;
    counter->candidate = value_wh;
    counter->candidate_ms = read_ms;
}

bool counter_take(struct counter *counter, double value_wh, int64_t read_ms, double most_w,
                  double *delta_wh, unsigned *marks) {
    if (counter->read_ms && read_ms <= counter->read_ms)
        return false;
    counter->read_ms = read_ms;
    if (!counter->known) {
        believe(counter, value_wh, read_ms);
        return true;
    }
    if (plausible(counter->last, counter->last_ms, value_wh, read_ms, most_w)) {
        if (counter->candidates)
            *marks |= COUNTER_GLITCH;
        if (value_wh > counter->last)
            *delta_wh += value_wh - counter->last;
        believe(counter, value_wh, read_ms);
        return true;
    }
    hold(counter, value_wh, read_ms, most_w);
    if (counter->candidates < COUNTER_CONFIRM)
        return false;
    *marks |= counter->first_candidate < counter->last ? COUNTER_RESET : COUNTER_LEAP;
    if (value_wh > counter->first_candidate)
        *delta_wh += value_wh - counter->first_candidate;
    counter->known = false;
    believe(counter, value_wh, read_ms);
    return true;
}
