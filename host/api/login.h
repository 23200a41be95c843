/* What a browser shows: its cookies, and where a page comes from. Pure, any thread.
 *
 * Two cookies. `derd_session` is the session's secret (sessions.h). `derd_browser` names a browser
 * that was let in before, for as long as the password stands: it opens nothing, but counts its own
 * wrong passwords (guesses.h), so that others cannot make it wait. It is 128 random bits and a code
 * over them that only who has the password's mark can make; nothing is kept for it. */
#ifndef DERD_API_LOGIN_H
#define DERD_API_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "store/store_passwords.h"

#define COOKIE_SESSION    "derd_session"
#define COOKIE_BROWSER    "derd_browser"
#define BROWSER_TEXT_SIZE 44 /* 43 characters of base64url, NUL */

/* The value of a cookie in a Cookie header (RFC 6265, 4.2.1). False: it is not there, or longer
 * than `size` - 1; `header` may be NULL. */
bool cookie_find(const char *header, const char *name, char *value, size_t size);

/* Whether a request comes from a page of ours, as far as the browser says: `origin` NULL: it does
 * not say. "http://host:8080" and "https://host" are those of Host "host:8080" and "host". */
bool origin_right(const char *origin, const char *host);

void browser_make(const struct password *password, char text[BROWSER_TEXT_SIZE]);
bool browser_known(const struct password *password, const char *text);

#endif
