#include "flexibility.h"

#include <assert.h>
#include <math.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/warm.h"

/* The order that makes it safe, without fences (thread sanitizer knows none): a word is stored with
 * release after the odd sequence and loaded with acquire before the second look at the sequence. A
 * reader that got a new word therefore sees the odd sequence, or a later one, and tries again. */

#define TRIES_BEFORE_YIELD 64

#define HEAD_WORDS ((offsetof(struct flexibility, values) + 7) / 8) /* all but the quantities */
#define MOST_WORDS (HEAD_WORDS + (size_t)3 * POINT_NUMBER_COUNT)

struct live {
    uint64_t quantities;
    size_t count;         /* of `words` */
    atomic_uint sequence; /* odd while the writer is inside */
    _Atomic uint64_t words[];
};

static void pack_head(const struct flexibility *flexibility, uint64_t words[HEAD_WORDS]) {
    words[HEAD_WORDS - 1] = 0;
    memcpy(words, flexibility, offsetof(struct flexibility, values));
}

static size_t pack(const struct live *live, const struct flexibility *flexibility,
                   uint64_t words[MOST_WORDS]) {
    size_t used = HEAD_WORDS;
    pack_head(flexibility, words);
    for (uint64_t left = live->quantities; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        memcpy(&words[used++], &flexibility->values[i], sizeof *words);
        memcpy(&words[used++], &flexibility->updated_ms[i], sizeof *words);
        memcpy(&words[used++], &flexibility->invalid_ms[i], sizeof *words);
    }
    return used;
}

static void unpack(const struct live *live, const uint64_t words[MOST_WORDS],
                   struct flexibility *flexibility) {
    size_t used = HEAD_WORDS;
    memcpy(flexibility, words, offsetof(struct flexibility, values));
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        flexibility->values[i] = NAN;
        flexibility->updated_ms[i] = flexibility->invalid_ms[i] = 0;
        if (live->quantities >> i & 1) {
            memcpy(&flexibility->values[i], &words[used++], sizeof *words);
            memcpy(&flexibility->updated_ms[i], &words[used++], sizeof *words);
            memcpy(&flexibility->invalid_ms[i], &words[used++], sizeof *words);
        }
    }
}

struct live *live_new(uint64_t quantities) {
    struct flexibility unknown = {.connection = CONNECTION_CONNECTING,
                                  .bound_min = -POWER_UNBOUNDED,
                                  .bound_max = POWER_UNBOUNDED};
    size_t count = HEAD_WORDS;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        unknown.values[i] = NAN;
        count += quantities >> i & 1 ? 3 : 0;
    }
    struct live *live = malloc(sizeof *live + count * sizeof *live->words);
    if (!live)
        return NULL;
    live->quantities = quantities;
    live->count = count;
    atomic_init(&live->sequence, 0);
    for (size_t i = 0; i < count; i++)
        atomic_init(&live->words[i], 0);
    live_publish(live, &unknown);
    return live;
}

void live_free(struct live *live) {
    free(live);
}

void live_warm(const struct live *live) {
    warm(live, sizeof *live + live->count * sizeof *live->words);
}

static void publish_words(struct live *live, const uint64_t *words, size_t count) {
    unsigned sequence = atomic_load_explicit(&live->sequence, memory_order_relaxed);
    atomic_store_explicit(&live->sequence, sequence + 1, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&live->words[i], words[i], memory_order_release);
    atomic_store_explicit(&live->sequence, sequence + 2, memory_order_release);
}

void live_publish(struct live *live, const struct flexibility *flexibility) {
    uint64_t words[MOST_WORDS];
    publish_words(live, words, pack(live, flexibility, words));
}

void live_publish_head(struct live *live, const struct flexibility *flexibility) {
    static_assert(offsetof(struct flexibility, updated_at) % 8 == 0 &&
                      offsetof(struct flexibility, invalid_at) % 8 == 0,
                  "each is one word");
    static const size_t kept[] = {offsetof(struct flexibility, updated_at) / 8,
                                  offsetof(struct flexibility, invalid_at) / 8};
    uint64_t words[HEAD_WORDS];
    pack_head(flexibility, words);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        words[kept[i]] = atomic_load_explicit(&live->words[kept[i]], memory_order_relaxed);
    publish_words(live, words, HEAD_WORDS);
}

void live_read(const struct live *live, struct flexibility *flexibility) {
    uint64_t words[MOST_WORDS];
    for (int tries = 1;; tries++) {
        unsigned before = atomic_load_explicit(&live->sequence, memory_order_acquire);
        if (before % 2 == 0) {
            for (size_t i = 0; i < live->count; i++)
                words[i] = atomic_load_explicit(&live->words[i], memory_order_acquire);
            if (atomic_load_explicit(&live->sequence, memory_order_relaxed) == before)
                break;
        }
        /* The writer lost the processor while inside: let it have it back. */
        if (tries % TRIES_BEFORE_YIELD == 0)
            sched_yield();
    }
    unpack(live, words, flexibility);
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
