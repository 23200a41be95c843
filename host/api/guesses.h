/* Guessing slowed: who gave wrong credentials must wait, longer each time, per address and per
 * account. What must wait is answered 429 at once; no thread is held.
 *
 * For each subject (an address; an account; a browser that was let in before) wrong answers are
 * counted. The first few are free: people mistype. Then the next try must wait 1 s, 2, 4, 8 ... up
 * to a bound; one wrong answer is forgiven every ten minutes, never by a right one (else somebody
 * with a password of his own would forgive himself). What is refused because it must wait is not
 * looked at and not counted.
 *
 * A try at a password is counted before it is looked at, and taken back when it was right: many at
 * the same moment get no more than one after the other would.
 *
 * Nobody is locked out by others:
 * - Another address is another subject. An account has more free tries than one address gets,
 *   however long it goes on: a single address never makes others wait. And an account's wait is at
 *   most a minute.
 * - With several addresses an account can be kept waiting for those whom nobody knows. Whoever was
 * let in before is known: his browser has a cookie of its own (api/login.h), and with it counts for
 *   himself alone, whatever his address and others do. (OWASP, "Slow Down Online Guessing Attacks
 *   with Device Cookies".)
 * - Tokens are 256 random bits, which nobody guesses at any speed: the right one always passes, so
 *   what others do cannot stop a program that renews its limits. Wrong ones are counted, and
 * answered 429 when there were too many.
 * - A new password begins with a clean sheet.
 *
 * Fixed tables; the oldest makes way. Accounts that have a password have places of their own, so
 * that made-up names cannot push them out. Time is given by the caller. Any thread. */
#ifndef DERD_API_GUESSES_H
#define DERD_API_GUESSES_H

#include <stdbool.h>

#include "base/clock.h"

#define GUESSES_FREE_DEFAULT   5 /* of an address, and of a known browser */
#define GUESSES_FREE_MAXIMUM   100000
#define GUESSES_ACCOUNT_FACTOR 4 /* an account has so many times as many */
#define GUESSES_FORGIVE_MS     INT64_C(600000)
#define GUESSES_ADDRESS_S      900 /* longest wait of an address, and of a known browser */
#define GUESSES_ACCOUNT_S      60  /* of an account */

enum guess_kind { GUESS_TOKEN, GUESS_PASSWORD, GUESS_KINDS };

struct guess {
    enum guess_kind kind;
    const char *address; /* as remote.h has it; of IPv6 the network (/64) counts */
    const char *account; /* key, or another name that stays with it; NULL: of none */
    bool made_up;        /* there is no such account */
    const char *browser; /* which known one it is; NULL: none. Then the other two do not count */
};

struct guesses;

/* `free_count`: wrong answers of an address that cost no wait, at least 1. NULL without memory. */
struct guesses *guesses_new(int free_count);
void guesses_free(struct guesses *guesses); /* NULL is fine */
/* Counts a try. False: it must wait for *wait_s seconds (at least 1), and was not counted. */
bool guesses_try(struct guesses *guesses, const struct guess *guess, struct mono now, int *wait_s);
/* The try was right after all, or was not looked at: takes it back. */
void guesses_pardon(struct guesses *guesses, const struct guess *guess, struct mono now);

#endif
