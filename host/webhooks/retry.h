/* When a delivery that failed is tried again: the wait doubles each time up to four hours, and is
 * spread by a quarter so that many do not come at once. Pure. */
#ifndef DERD_WEBHOOKS_RETRY_H
#define DERD_WEBHOOKS_RETRY_H

#include <stdint.h>

#define RETRY_MOST_MS (INT64_C(4) * 3600 * 1000)

/* After `failures` (1 or more) in a row. `chance`: any random number. `asked_ms`: what the receiver
 * asked for (Retry-After), 0: nothing; taken up to an hour. */
int64_t retry_wait_ms(int64_t first_ms, unsigned failures, uint32_t chance, int64_t asked_ms);

#endif
