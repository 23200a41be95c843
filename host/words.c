#include "words.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/likeness.h"

struct words {
    struct words *next;         /* of the same bucket */
    uint32_t references;        /* under the lock */
    uint16_t key_at, reason_at; /* in `text`, behind the creator */
    uint64_t hash;
    char text[];
};

/* The one state of the program that hangs on nothing: constraints are released by whichever thread
 * looked at them last. Buckets are a power of two, at least as many as there are words. */
static struct {
    pthread_mutex_t lock;
    struct words **buckets;
    size_t bucket_count, count;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define BUCKETS_FIRST 64

/* Who may set constraints chooses these texts, and might choose such as all fall into one bucket.
 */
static uint64_t seed;

static void make_seed(void) {
    randombytes_buf(&seed, sizeof seed);
}

/* More buckets; without memory the lists become longer. */
static void grow(void) {
    size_t bucket_count = all.bucket_count ? all.bucket_count * 2 : BUCKETS_FIRST;
    struct words **buckets = calloc(bucket_count, sizeof(struct words *));
    if (!buckets)
        return;
    for (size_t i = 0; i < all.bucket_count; i++)
        for (struct words *words = all.buckets[i], *next; words; words = next) {
            struct words **bucket = &buckets[words->hash & (bucket_count - 1)];
            next = words->next;
            words->next = *bucket;
            *bucket = words;
        }
    free(all.buckets);
    all.buckets = buckets;
    all.bucket_count = bucket_count;
}

static struct words *make(uint64_t hash, const char *created_by, size_t created_by_size,
                          const char *policy_key, size_t key_size, const char *reason,
                          size_t reason_size) {
    struct words *words = malloc(sizeof *words + created_by_size + key_size + reason_size);
    if (!words)
        return NULL;
    *words = (struct words){.references = 1,
                            .hash = hash,
                            .key_at = (uint16_t)created_by_size,
                            .reason_at = (uint16_t)(created_by_size + key_size)};
    memcpy(words->text, created_by, created_by_size);
    memcpy(words->text + words->key_at, policy_key, key_size);
    memcpy(words->text + words->reason_at, reason, reason_size);
    struct words **bucket = &all.buckets[hash & (all.bucket_count - 1)];
    words->next = *bucket;
    *bucket = words;
    all.count++;
    return words;
}

static bool is_same(const struct words *words, const char *created_by, const char *policy_key,
                    const char *reason) {
    return strcmp(words->text, created_by) == 0 &&
           strcmp(words->text + words->key_at, policy_key) == 0 &&
           strcmp(words->text + words->reason_at, reason) == 0;
}

struct words *words_of(const char *created_by, const char *policy_key, const char *reason) {
    size_t created_by_size = strlen(created_by) + 1;
    size_t key_size = strlen(policy_key) + 1;
    size_t reason_size = strlen(reason) + 1;
    if (created_by_size + key_size > UINT16_MAX)
        return NULL;
    static pthread_once_t seeded = PTHREAD_ONCE_INIT;
    pthread_once(&seeded, make_seed);
    uint64_t hash = hash_bytes(seed, created_by, created_by_size);
    hash = hash_bytes(hash_bytes(hash, policy_key, key_size), reason, reason_size);
    pthread_mutex_lock(&all.lock);
    if (all.count >= all.bucket_count)
        grow();
    struct words *words = all.bucket_count ? all.buckets[hash & (all.bucket_count - 1)] : NULL;
    while (words && (words->hash != hash || !is_same(words, created_by, policy_key, reason)))
        words = words->next;
    if (words)
        words->references++;
    else if (all.bucket_count)
        words = make(hash, created_by, created_by_size, policy_key, key_size, reason, reason_size);
    pthread_mutex_unlock(&all.lock);
    return words;
}

void words_release(struct words *words) {
    if (!words)
        return;
    pthread_mutex_lock(&all.lock);
    bool last = --words->references == 0;
    if (last) {
        struct words **at = &all.buckets[words->hash & (all.bucket_count - 1)];
        while (*at != words)
            at = &(*at)->next;
        *at = words->next;
        if (--all.count == 0) {
            free(all.buckets);
            all.buckets = NULL;
            all.bucket_count = 0;
        }
    }
    pthread_mutex_unlock(&all.lock);
    if (last)
        free(words);
}

const char *words_created_by(const struct words *words) {
    return words->text;
}

const char *words_policy_key(const struct words *words) {
    return words->text + words->key_at;
}

const char *words_reason(const struct words *words) {
    return words->text + words->reason_at;
}

size_t words_count(void) {
    pthread_mutex_lock(&all.lock);
    size_t count = all.count;
    pthread_mutex_unlock(&all.lock);
    return count;
}
