/* The porter looks at who comes, before anything is done for him: how often he may ask (rates.h),
 * whether he only guesses (guesses.h). One for the API; its parts have locks of their own. */
#ifndef DERD_API_PORTER_H
#define DERD_API_PORTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/exchange.h"
#include "api/gate.h"
#include "api/guesses.h"
#include "api/rates.h"
#include "api/sessions.h"

struct porter {
    struct rates *rates;
    struct guesses *guesses;
    struct sessions *sessions;
    pthread_mutex_t hashing; /* one password at a time */
    atomic_int at_hash;      /* threads that hash, or wait for it */
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

/* GATE_KNOWN: the cookie's session lives; x->session and x->token, which stands for it, are filled
 * in. GATE_NONE: there is no cookie. GATE_LOGGED_OUT. */
enum gate_token porter_session(struct exchange *x);
/* Tells the browser that its session is over. */
void porter_forget_cookie(struct exchange *x);
/* Whether a change that rests on a cookie comes from a page of ours: it has the header X-CSRF-Token
 * that belongs to the session, and no other Origin. Else false with 403. True for everything that
 * changes nothing or has a token. */
bool porter_from_page(struct exchange *x);
/* The second half of it alone. */
bool porter_same_origin(struct exchange *x);
/* password_check(), one at a time. ERR_FULL: too many wait for it already. */
must_check enum err porter_check(struct porter *porter, const char *hash, const char *text);

#endif
