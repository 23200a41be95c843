#include "api/porter.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/login.h"

#define AT_HASH_MAXIMUM 3 /* one that hashes and two that wait: the API's threads are few */

struct porter *porter_new(const struct api_settings *settings) {
    struct porter *porter = calloc(1, sizeof *porter);
    if (!porter)
        return NULL;
    porter->rates = rates_new(settings->rate > 0 ? settings->rate : RATE_DEFAULT,
                              settings->burst > 0 ? settings->burst : BURST_DEFAULT);
    porter->guesses = guesses_new(settings->guesses > 0 ? settings->guesses : GUESSES_FREE_DEFAULT);
    porter->sessions = sessions_new();
    pthread_mutex_init(&porter->hashing, NULL);
    if (porter->rates && porter->guesses && porter->sessions)
        return porter;
    porter_free(porter);
    return NULL;
}

void porter_free(struct porter *porter) {
    if (!porter)
        return;
    rates_free(porter->rates);
    guesses_free(porter->guesses);
    sessions_free(porter->sessions);
    pthread_mutex_destroy(&porter->hashing);
    free(porter);
}

bool porter_rate(struct exchange *x) {
    int wait_s;
    if (rates_take(x->porter->rates, x->token.id, x->now.mono, &wait_s))
        return true;
    exchange_too_many(
        x, wait_s,
        "\"%s\" asks too often: ask again in %d s. An event stream (/v1/events) tells "
        "what changes without asking; http.rate and http.burst in the site file say "
        "how often one token may ask.",
        x->token.name, wait_s);
    return false;
}

int porter_wrong_token(struct exchange *x) {
    char account[ACCOUNT_KEY_SIZE];
    int wait_s;
    const char *blank = strchr(x->request.authorization, ' ');
    const char *text = blank ? blank + strspn(blank, " ") : "";
    bool named = store_token_named(x->settings->store, text, account);
    const struct guess guess = {
        .kind = GUESS_TOKEN, .address = x->remote.address, .account = named ? account : NULL};
    (void)guesses_try(x->porter->guesses, &guess, clock_mono(), &wait_s);
    return wait_s;
}

/* --- sessions --------------------------------------------------------------------------------- */

/* What the password allows, as a token that no text belongs to. */
static void stand_in(struct exchange *x, const struct password *password) {
    x->token = (struct token){.max_priority = password->max_priority,
                              .scopes = password->scopes,
                              .created_at = password->set_at};
    memcpy(x->token.id, x->session.id, sizeof x->token.id);
    memcpy(x->token.account, password->account, sizeof x->token.account);
    snprintf(x->token.name, sizeof x->token.name, "%s", password->account);
}

enum gate_token porter_session(struct exchange *x) {
    char secret[SESSION_SECRET_SIZE];
    struct password password;
    if (!cookie_find(x->request.cookie, COOKIE_SESSION, secret, sizeof secret))
        return GATE_NONE;
    if (!sessions_find(x->porter->sessions, secret, clock_mono(), &x->session))
        return GATE_LOGGED_OUT;
    x->by_session = store_password_find(x->settings->store, x->session.account, &password) &&
                    sodium_memcmp(password.mark, x->session.mark, sizeof password.mark) == 0;
    if (x->by_session)
        stand_in(x, &password);
    else
        sessions_close(x->porter->sessions, x->session.id);
    sodium_memzero(&password, sizeof password);
    return x->by_session ? GATE_KNOWN : GATE_LOGGED_OUT;
}

void porter_forget_cookie(struct exchange *x) {
    exchange_header(x, "Set-Cookie",
                    COOKIE_SESSION "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
}

bool porter_same_origin(struct exchange *x) {
    if (origin_right(x->request.origin, x->request.host))
        return true;
    exchange_problem(
        x, 403,
        "This request comes from a page of %.100s, not from one of this host, which is "
        "%.100s here (a proxy in front must pass the header Host on as it is).",
        x->request.origin, x->request.host);
    return false;
}

bool porter_from_page(struct exchange *x) {
    char secret[SESSION_SECRET_SIZE];
    bool changes = x->request.method != METHOD_GET && x->request.method != METHOD_HEAD;
    if (!x->by_session || !changes)
        return true;
    if (!porter_same_origin(x))
        return false;
    if (x->request.csrf_token &&
        cookie_find(x->request.cookie, COOKIE_SESSION, secret, sizeof secret) &&
        session_csrf_right(secret, x->request.csrf_token))
        return true;
    exchange_problem(x, 403,
                     "A change that rests on a login needs the header X-CSRF-Token, and %s; GET "
                     "/v1/session tells the right one. With a token (Authorization) it is not "
                     "needed.",
                     x->request.csrf_token ? "this one is not that of this login"
                                           : "there is none");
    return false;
}

enum err porter_check(struct porter *porter, const char *hash, const char *text) {
    enum err result = ERR_FULL;
    if (atomic_fetch_add(&porter->at_hash, 1) < AT_HASH_MAXIMUM) {
        pthread_mutex_lock(&porter->hashing);
        result = password_check(hash, text);
        pthread_mutex_unlock(&porter->hashing);
    }
    atomic_fetch_sub(&porter->at_hash, 1);
    return result;
}
