#include "api/rates.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/recent.h"

#define BUCKETS 2048 /* tokens are at most 1024, logins far fewer */

struct bucket {
    double left; /* requests, 0 to burst */
    struct mono at;
};

struct rates {
    double rate, burst;
    pthread_mutex_t lock; /* of what follows */
    struct recent *names;
    struct bucket buckets[BUCKETS];
};

struct rates *rates_new(double rate, double burst) {
    struct rates *rates = calloc(1, sizeof *rates);
    if (!rates)
        return NULL;
    rates->rate = rate;
    rates->burst = burst;
    rates->names = recent_new(BUCKETS);
    if (!rates->names) {
        free(rates);
        return NULL;
    }
    pthread_mutex_init(&rates->lock, NULL);
    return rates;
}

void rates_free(struct rates *rates) {
    if (!rates)
        return;
    pthread_mutex_destroy(&rates->lock);
    recent_free(rates->names);
    free(rates);
}

/* Threads read the clock before they come here, so `now` may be a little before the last one. */
static void fill(const struct rates *rates, struct bucket *bucket, struct mono now) {
    if (now.ms <= bucket->at.ms)
        return;
    bucket->left += (double)(now.ms - bucket->at.ms) / 1e3 * rates->rate;
    bucket->left = fmin(bucket->left, rates->burst);
    bucket->at = now;
}

bool rates_take(struct rates *rates, const char *who, struct mono now, int *wait_s) {
    bool fresh;
    pthread_mutex_lock(&rates->lock);
    struct bucket *bucket = &rates->buckets[recent_see(rates->names, who, strlen(who), &fresh)];
    if (fresh)
        *bucket = (struct bucket){rates->burst, now};
    fill(rates, bucket, now);
    bool may = bucket->left >= 1;
    *wait_s = may ? 0 : (int)ceil((1 - bucket->left) / rates->rate);
    if (may)
        bucket->left -= 1;
    else if (*wait_s < 1)
        *wait_s = 1;
    pthread_mutex_unlock(&rates->lock);
    return may;
}
