/* The porter looks at who comes, before anything is done for him: how often he may ask (rates.h),
 * whether he only guesses (guesses.h). One for the API; its parts have locks of their own. */
#ifndef DERD_API_PORTER_H
#define DERD_API_PORTER_H

#include <stdbool.h>

#include "api/exchange.h"
#include "api/guesses.h"
#include "api/rates.h"

struct porter {
    struct rates *rates;
    struct guesses *guesses;
};

/* NULL without memory. 0 in the settings: as rates.h and guesses.h have it. */
struct porter *porter_new(const struct api_settings *settings);
void porter_free(struct porter *porter); /* NULL is fine */

/* Takes one request of the token's; false with 429 when it asks too often. For requests that are
 * authenticated. */
bool porter_rate(struct exchange *x);
/* Counts the request's token, which is not known. How many seconds the next one must wait; 0: there
 * were not too many of them yet. */
int porter_wrong_token(struct exchange *x);

#endif
