/* Is a new generation of a driver worse than the one before it? Each machine keeps what went wrong
 * in its newest polls, by kind. For the first PROBATION_POLLS polls of each machine, at most
 * PROBATION_MS, the rates of the new generation are held against those of the old one; when one
 * kind went wrong more often by over PROBATION_WORSE, the new generation is to be rolled back. A
 * fault that the old one had too says nothing against the new one. Pure. */
#ifndef DERD_PROBATION_H
#define DERD_PROBATION_H

#include <stdbool.h>
#include <stdint.h>

#define PROBATION_POLLS 10
#define PROBATION_MS    60000
#define PROBATION_WORSE 0.20
#define PROBATION_TICKS 3 /* of a policy's instance, all without an error */

enum fault {
    FAULT_HOOK,       /* a hook failed, or may not be called */
    FAULT_IMPOSSIBLE, /* a value outside what is possible */
    FAULT_REFUSED,    /* the device refuses registers */
    FAULT_OFFLINE,    /* no answer, or an answer of another device */
    FAULT_COUNT
};

struct history { /* of one machine since its generation came; zeroed at first */
    unsigned polls;
    uint32_t faults[FAULT_COUNT]; /* one bit per poll, the newest is bit 0 */
};

struct tally {
    unsigned polls;
    unsigned faults[FAULT_COUNT];
};

enum probation { PROBATION_GOES_ON, PROBATION_PASSED, PROBATION_FAILED };

/* `faults`: bit of each enum fault that the poll had. */
void history_add(struct history *history, unsigned faults);
/* Adds its newest polls, at most `most` of them, up to 32. */
void tally_add(struct tally *tally, const struct history *history, unsigned most);
/* `machines`: how many the new generation has; `unproven`: those of them with fewer than
 * PROBATION_POLLS polls. */
enum probation probation_judge(const struct tally *before, const struct tally *since,
                               unsigned machines, unsigned unproven, int64_t elapsed_ms);

#endif
