#include "script/ladder.h"

bool ladder_may_call(const struct rung *rung, struct mono now) {
    return now.ms >= rung->until.ms;
}

void ladder_passed(struct rung *rung) {
    rung->failures = 0;
    rung->wait_ms = 0;
    rung->until.ms = 0;
}

static void wait_longer(struct rung *rung, struct mono now) {
    rung->wait_ms = rung->wait_ms ? 2 * rung->wait_ms : LADDER_WAIT_FIRST_MS;
    if (rung->wait_ms > LADDER_WAIT_LAST_MS)
        rung->wait_ms = LADDER_WAIT_LAST_MS;
    rung->until.ms = now.ms + rung->wait_ms;
}

enum ladder_step ladder_failed(struct ladder *ladder, struct rung *rung, bool spoiled,
                               struct mono now) {
    if (rung->build != ladder->builds)
        rung->failures = 0; /* what failed before did so on another build */
    rung->build = ladder->builds;
    rung->failures++;
    wait_longer(rung, now);
    if (rung->failures < LADDER_FAILURES && !spoiled)
        return LADDER_WAIT;
    struct mono oldest = ladder->rebuilt[LADDER_REBUILDS - 2];
    if (oldest.ms && now.ms - oldest.ms < LADDER_WINDOW_MS)
        return LADDER_QUARANTINE;
    for (int i = LADDER_REBUILDS - 1; i > 0; i--)
        ladder->rebuilt[i] = ladder->rebuilt[i - 1];
    ladder->rebuilt[0] = now;
    ladder->builds++;
    return LADDER_REBUILD;
}
