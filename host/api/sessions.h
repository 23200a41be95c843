/* Sessions: browsers that have logged in with a password. What a browser keeps is a cookie of 256
 * random bits, of which only a hash stands here, in memory: after a restart people log in again. A
 * session ends when nobody asked for SESSION_IDLE_S, SESSION_LONGEST_S after its begin, when it is
 * closed, and when the password that opened it is not the one that stands (its mark, see
 * store/store_passwords.h; the caller looks).
 *
 * At most SESSIONS_MAXIMUM, and SESSIONS_PER_ACCOUNT of one account; the one not used for longest
 * makes way. Time is given by the caller. Any thread. */
#ifndef DERD_API_SESSIONS_H
#define DERD_API_SESSIONS_H

#include "base/err.h"
#include "store/store_passwords.h"

#define SESSIONS_MAXIMUM     64
#define SESSIONS_PER_ACCOUNT 16
#define SESSION_IDLE_S       3600
#define SESSION_LONGEST_S    86400
#define SESSION_ID_SIZE      16 /* like a token's, but begins with "-", which none of those does */
#define SESSION_SECRET_SIZE  44 /* 43 characters of base64url, NUL */
#define SESSION_CSRF_SIZE    33

struct session {
    char id[SESSION_ID_SIZE];       /* no secret */
    char account[ACCOUNT_KEY_SIZE]; /* key */
    unsigned char mark[PASSWORD_MARK_BYTES];
    struct mono opened_at, used_at;
};

struct sessions;

struct sessions *sessions_new(void); /* NULL without memory */
void sessions_free(struct sessions *sessions);
/* Opens one for who gave this password. */
void sessions_open(struct sessions *sessions, const struct password *password, struct mono now,
                   char secret[SESSION_SECRET_SIZE], struct session *session);
/* The session of a cookie's text, which is now used. False: there is none (any more). */
bool sessions_find(struct sessions *sessions, const char *secret, struct mono now,
                   struct session *session);
void sessions_close(struct sessions *sessions, const char *id);

/* What a page of ours sends as X-CSRF-Token with each change: made from the cookie's text, which
 * only we see, so it needs no memory and ends with the session. */
void session_csrf(const char *secret, char csrf[SESSION_CSRF_SIZE]);
/* The same, compared in constant time. */
bool session_csrf_right(const char *secret, const char *given);

#endif
