#include "flexibility.h"

#include <math.h>
#include <sched.h>
#include <string.h>

/* The order that makes it safe, without fences (thread sanitizer knows none): a word is stored with
 * release after the odd sequence and loaded with acquire before the second look at the sequence. A
 * reader that got a new word therefore sees the odd sequence, or a later one, and tries again. */

#define TRIES_BEFORE_YIELD 64

void live_init(struct live *live) {
    struct flexibility unknown = {.connection = CONNECTION_CONNECTING,
                                  .bound_min = -POWER_UNBOUNDED,
                                  .bound_max = POWER_UNBOUNDED};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        unknown.values[i] = NAN;
    atomic_init(&live->sequence, 0);
    for (size_t i = 0; i < FLEXIBILITY_WORDS; i++)
        atomic_init(&live->words[i], 0);
    live_publish(live, &unknown);
}

void live_publish(struct live *live, const struct flexibility *flexibility) {
    uint64_t words[FLEXIBILITY_WORDS] = {0};
    memcpy(words, flexibility, sizeof *flexibility);
    unsigned sequence = atomic_load_explicit(&live->sequence, memory_order_relaxed);
    atomic_store_explicit(&live->sequence, sequence + 1, memory_order_relaxed);
    for (size_t i = 0; i < FLEXIBILITY_WORDS; i++)
        atomic_store_explicit(&live->words[i], words[i], memory_order_release);
    atomic_store_explicit(&live->sequence, sequence + 2, memory_order_release);
}

void live_read(const struct live *live, struct flexibility *flexibility) {
    uint64_t words[FLEXIBILITY_WORDS];
    for (int tries = 1;; tries++) {
        unsigned before = atomic_load_explicit(&live->sequence, memory_order_acquire);
        if (before % 2 == 0) {
            for (size_t i = 0; i < FLEXIBILITY_WORDS; i++)
                words[i] = atomic_load_explicit(&live->words[i], memory_order_acquire);
            if (atomic_load_explicit(&live->sequence, memory_order_relaxed) == before)
                break;
        }
        /* The writer lost the processor while inside: let it have it back. */
        if (tries % TRIES_BEFORE_YIELD == 0)
            sched_yield();
    }
    memcpy(flexibility, words, sizeof *flexibility);
}

const char *command_state_name(enum command_state state) {
    static const char *const names[] = {
        [COMMAND_NONE] = "none",
        [COMMAND_OBSERVED] = "observed",
        [COMMAND_PENDING] = "pending",
        [COMMAND_SENT] = "sent",
        [COMMAND_CONFIRMED] = "confirmed",
        [COMMAND_REJECTED] = "rejected",
        [COMMAND_UNSUPPORTED] = "unsupported",
        [COMMAND_UNREACHABLE] = "unreachable",
        [COMMAND_DIVERGING] = "diverging",
    };
    return names[state];
}

const char *watchdog_state_name(enum watchdog_state state) {
    static const char *const names[] = {
        [WATCHDOG_UNKNOWN] = "unknown",
        [WATCHDOG_NONE] = "none",
        [WATCHDOG_UNARMED] = "unarmed",
        [WATCHDOG_ARMED] = "armed",
    };
    return names[state];
}

const char *following_name(enum following following) {
    static const char *const names[] = {
        [FOLLOWING_UNKNOWN] = "unknown",
        [FOLLOWING_WITHIN] = "within",
        [FOLLOWING_BELOW] = "below",
        [FOLLOWING_ABOVE] = "above",
    };
    return names[following];
}
