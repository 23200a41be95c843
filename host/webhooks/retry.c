#include "webhooks/retry.h"

#define ASKED_MOST_MS (INT64_C(3600) * 1000)

int64_t retry_wait_ms(int64_t first_ms, unsigned failures, uint32_t chance, int64_t asked_ms) {
    int64_t wait_ms = first_ms;
    for (unsigned i = 1; i < failures && wait_ms < RETRY_MOST_MS; i++)
        wait_ms *= 2;
    if (wait_ms > RETRY_MOST_MS)
        wait_ms = RETRY_MOST_MS;
    wait_ms -= wait_ms / 4 * (int64_t)(chance % 1024) / 1024;
    int64_t asked = asked_ms > ASKED_MOST_MS ? ASKED_MOST_MS : asked_ms;
    return asked > wait_ms ? asked : wait_ms;
}
