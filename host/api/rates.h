/* How often one token, or one login, may ask: a bucket of `burst` requests each, which fills again
 * with `rate` requests a second. What is refused costs nothing, so that who is told to wait and
 * does so is served.
 *
 * As many buckets as there can be tokens and logins, so that none makes way while it matters. Time
 * is given by the caller. Any thread (a lock inside, held for a moment). */
#ifndef DERD_API_RATES_H
#define DERD_API_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define RATE_DEFAULT  100 /* requests a second: a page asks some 2, a program with 50 devices 50 */
#define BURST_DEFAULT 200
#define RATE_MAXIMUM  100000

struct rates;

/* `rate` in requests a second, above 0; `burst` requests, at least 1. NULL without memory. */
struct rates *rates_new(double rate, double burst);
void rates_free(struct rates *rates); /* NULL is fine */
/* Takes one request of `who` ("k3m5x7q2aaaa"). False: there is none left, the next one in *wait_s
 * seconds, at least 1. */
bool rates_take(struct rates *rates, const char *who, struct mono now, int *wait_s);

#endif
