#include "script/probation.h"

#define LEAST_FAULTS 2 /* one lost answer is no evidence */

void history_add(struct history *history, unsigned faults) {
    history->polls++;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        history->faults[i] = history->faults[i] << 1 | (faults >> i & 1);
}

void tally_add(struct tally *tally, const struct history *history, unsigned most) {
    unsigned polls = history->polls < most ? history->polls : most;
    if (polls > 32)
        polls = 32;
    tally->polls += polls;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        for (unsigned bit = 0; bit < polls; bit++)
            tally->faults[i] += history->faults[i] >> bit & 1;
}

enum probation probation_judge(const struct tally *before, const struct tally *since,
                               unsigned machines, unsigned unproven, int64_t elapsed_ms) {
    bool over = unproven == 0 || elapsed_ms >= PROBATION_MS;
    /* Before its end it has failed only when no further poll can save it. */
    unsigned polls = over ? since->polls : machines * PROBATION_POLLS;
    if (polls < since->polls)
        polls = since->polls;
    for (int i = 0; i < FAULT_COUNT && polls; i++) {
        double old_rate = before->polls ? (double)before->faults[i] / before->polls : 0;
        double new_rate = (double)since->faults[i] / polls;
        if (since->faults[i] >= LEAST_FAULTS && new_rate - old_rate > PROBATION_WORSE)
            return PROBATION_FAILED;
    }
    return over ? PROBATION_PASSED : PROBATION_GOES_ON;
}
