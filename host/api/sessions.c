#include "api/sessions.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_BYTES  32
#define HASH_BYTES    32
#define CSRF_BYTES    24
#define ID_CHARACTERS 12
#define CSRF_PURPOSE  "derd csrf"

_Static_assert(sodium_base64_ENCODED_LEN(SECRET_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   SESSION_SECRET_SIZE,
               "a secret fits");
_Static_assert(sodium_base64_ENCODED_LEN(CSRF_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   SESSION_CSRF_SIZE,
               "a CSRF token fits");

struct seat {
    struct session session; /* id "": empty */
    unsigned char hash[HASH_BYTES];
};

struct sessions {
    pthread_mutex_t lock;
    struct seat seats[SESSIONS_MAXIMUM];
};

struct sessions *sessions_new(void) {
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions)
        pthread_mutex_init(&sessions->lock, NULL);
    return sessions;
}

void sessions_free(struct sessions *sessions) {
    if (!sessions)
        return;
    pthread_mutex_destroy(&sessions->lock);
    sodium_memzero(sessions->seats, sizeof sessions->seats);
    free(sessions);
}

static void hash_make(const char *secret, unsigned char hash[HASH_BYTES]) {
    crypto_generichash(hash, HASH_BYTES, (const unsigned char *)secret, strlen(secret), NULL, 0);
}

/* --- under the lock --------------------------------------------------------------------------- */

static bool ended(const struct session *session, struct mono now) {
    return now.ms - session->used_at.ms >= SESSION_IDLE_S * INT64_C(1000) ||
           now.ms - session->opened_at.ms >= SESSION_LONGEST_S * INT64_C(1000);
}

static void clear_ended(struct sessions *sessions, struct mono now) {
    for (size_t i = 0; i < SESSIONS_MAXIMUM; i++)
        if (sessions->seats[i].session.id[0] && ended(&sessions->seats[i].session, now))
            sessions->seats[i] = (struct seat){0};
}

/* An empty seat; where there is none, or the account has all that it may have, the one not used for
 * longest. */
static struct seat *seat_for(struct sessions *sessions, const char *account) {
    struct seat *empty = NULL, *oldest = NULL, *own = NULL;
    size_t count = 0;
    for (size_t i = 0; i < SESSIONS_MAXIMUM; i++) {
        struct seat *seat = &sessions->seats[i];
        if (!seat->session.id[0]) {
            empty = seat;
            continue;
        }
        if (!oldest || seat->session.used_at.ms < oldest->session.used_at.ms)
            oldest = seat;
        if (strcmp(seat->session.account, account) != 0)
            continue;
        count++;
        if (!own || seat->session.used_at.ms < own->session.used_at.ms)
            own = seat;
    }
    if (count >= SESSIONS_PER_ACCOUNT)
        return own;
    return empty ? empty : oldest;
}

/* --- life ------------------------------------------------------------------------------------- */

static void id_make(char id[SESSION_ID_SIZE]) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char bytes[ID_CHARACTERS];
    randombytes_buf(bytes, sizeof bytes);
    id[0] = '-';
    for (size_t i = 0; i < ID_CHARACTERS; i++)
        id[1 + i] = alphabet[bytes[i] & 31];
    id[1 + ID_CHARACTERS] = '\0';
}

void sessions_open(struct sessions *sessions, const struct password *password, struct mono now,
                   char secret[SESSION_SECRET_SIZE], struct session *session) {
    unsigned char bytes[SECRET_BYTES];
    *session = (struct session){.opened_at = now, .used_at = now};
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2base64(secret, SESSION_SECRET_SIZE, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
    id_make(session->id);
    memcpy(session->account, password->account, sizeof session->account);
    memcpy(session->mark, password->mark, sizeof session->mark);
    pthread_mutex_lock(&sessions->lock);
    clear_ended(sessions, now);
    struct seat *seat = seat_for(sessions, password->account);
    seat->session = *session;
    hash_make(secret, seat->hash);
    pthread_mutex_unlock(&sessions->lock);
}

bool sessions_find(struct sessions *sessions, const char *secret, struct mono now,
                   struct session *session) {
    unsigned char hash[HASH_BYTES];
    struct seat *found = NULL;
    if (strnlen(secret, SESSION_SECRET_SIZE) != SESSION_SECRET_SIZE - 1)
        return false;
    hash_make(secret, hash);
    pthread_mutex_lock(&sessions->lock);
    clear_ended(sessions, now);
    for (size_t i = 0; i < SESSIONS_MAXIMUM; i++) /* to the end, found or not */
        if (sessions->seats[i].session.id[0] &&
            sodium_memcmp(hash, sessions->seats[i].hash, HASH_BYTES) == 0)
            found = &sessions->seats[i];
    if (found) {
        if (now.ms > found->session.used_at.ms)
            found->session.used_at = now;
        *session = found->session;
    }
    pthread_mutex_unlock(&sessions->lock);
    return found != NULL;
}

void sessions_close(struct sessions *sessions, const char *id) {
    pthread_mutex_lock(&sessions->lock);
    for (size_t i = 0; i < SESSIONS_MAXIMUM; i++)
        if (strcmp(sessions->seats[i].session.id, id) == 0)
            sessions->seats[i] = (struct seat){0};
    pthread_mutex_unlock(&sessions->lock);
}

/* --- CSRF ------------------------------------------------------------------------------------- */

void session_csrf(const char *secret, char csrf[SESSION_CSRF_SIZE]) {
    unsigned char bytes[CSRF_BYTES];
    crypto_generichash(bytes, sizeof bytes, (const unsigned char *)CSRF_PURPOSE,
                       sizeof CSRF_PURPOSE - 1, (const unsigned char *)secret, strlen(secret));
    sodium_bin2base64(csrf, SESSION_CSRF_SIZE, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool session_csrf_right(const char *secret, const char *given) {
    char csrf[SESSION_CSRF_SIZE];
    session_csrf(secret, csrf);
    return strnlen(given, SESSION_CSRF_SIZE) == SESSION_CSRF_SIZE - 1 &&
           sodium_memcmp(csrf, given, SESSION_CSRF_SIZE - 1) == 0;
}
