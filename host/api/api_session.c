/* The session of a browser: log in with the name of an account and its password, see who one is,
 * log out. What a session is: sessions.h; how guessing at passwords is slowed: guesses.h. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/login.h"
#include "api/porter.h"
#include "base/log.h"
#include "base/schema.h"

#define BROWSER_KEPT_S "34560000" /* 400 days, the most that browsers keep a cookie */
#define RETRY_HASH_S   1
#define COOKIE_SIZE    200

/* --- showing ---------------------------------------------------------------------------------- */

static struct wall end_of(const struct exchange *x, const struct session *session) {
    int64_t left_ms = session->opened_at.ms + SESSION_LONGEST_S * INT64_C(1000) - clock_mono().ms;
    return (struct wall){x->now.wall.ms + left_ms};
}

/* Who asks, of x->token. `csrf` NULL: by a token. */
static void write_session(struct exchange *x, int status, const char *csrf) {
    struct json *json = exchange_json(x, status);
    json_object_open(json);
    json_put_string(json, "kind", csrf ? "session" : "token");
    json_put_string(json, "account", x->token.account);
    json_put_string(json, "name", csrf ? NULL : x->token.name);
    json_key(json, "scopes");
    json_array_open(json);
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        if (token_has(&x->token, (enum token_scope)i))
            json_write_string(json, token_scope_name((enum token_scope)i));
    json_array_close(json);
    json_put_integer(json, "maxPriority", x->token.max_priority);
    json_put_string(json, "csrfToken", csrf);
    json_put_time(json, "expiresAt", csrf ? end_of(x, &x->session) : x->token.expires_at);
    json_key(json, "idleTimeout");
    if (csrf)
        json_write_integer(json, SESSION_IDLE_S);
    else
        json_write_null(json);
    json_object_close(json);
}

void api_session_get(struct exchange *x) {
    char secret[SESSION_SECRET_SIZE], csrf[SESSION_CSRF_SIZE];
    bool cookie =
        x->by_session && cookie_find(x->request.cookie, COOKIE_SESSION, secret, sizeof secret);
    if (cookie)
        session_csrf(secret, csrf);
    write_session(x, 200, cookie ? csrf : NULL);
}

/* --- logging in ------------------------------------------------------------------------------- */

static const struct schema login_fields[] = {
    {.key = "account",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = ACCOUNT_KEY_SIZE - 1,
     .help = "key or id of the account"},
    {.key = "password",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = PASSWORD_MAXIMUM},
    {0},
};
static const struct schema login_body = {.kind = SCHEMA_OBJECT, .fields = login_fields};

struct login { /* a try */
    const char *account, *text;
    bool known; /* there is such an account with a password: */
    struct password password;
    char browser[BROWSER_TEXT_SIZE];
    char subject[2 * PASSWORD_MARK_BYTES + 1]; /* whom wrong passwords are counted against */
    struct guess guess;
};

static bool read_login(struct exchange *x, struct login *login) {
    struct report report;
    report_init(&report);
    bool right = schema_check(&login_body, x->tree, "", PATH_POINTER, &report);
    if (!right)
        exchange_problem_report(x, 422, &report, "Nobody can log in with this.");
    report_free(&report);
    login->account = tree_string(x->tree, "account", "");
    login->text = tree_string(x->tree, "password", "");
    return right;
}

/* Whose password it is to be, and against whom it counts when it is not. */
static void look_up(struct exchange *x, struct login *login) {
    struct account account;
    login->known = store_account_find(x->settings->store, login->account, &account) &&
                   store_password_find(x->settings->store, account.key, &login->password);
    if (login->known) /* a new password begins with a clean sheet */
        sodium_bin2hex(login->subject, sizeof login->subject, login->password.mark,
                       sizeof login->password.mark);
    bool browser =
        login->known &&
        cookie_find(x->request.cookie, COOKIE_BROWSER, login->browser, sizeof login->browser) &&
        browser_known(&login->password, login->browser);
    if (!browser)
        login->browser[0] = '\0';
    login->guess = (struct guess){.kind = GUESS_PASSWORD,
                                  .address = x->remote.address,
                                  .account = login->known ? login->subject : login->account,
                                  .made_up = !login->known,
                                  .browser = browser ? login->browser : NULL};
}

/* Whether the password is right; else false with an answer. */
static bool prove(struct exchange *x, const struct login *login) {
    struct guesses *guesses = x->porter->guesses;
    int wait_s;
    if (!guesses_try(guesses, &login->guess, clock_mono(), &wait_s)) {
        exchange_too_many(x, wait_s,
                          "Too many wrong passwords came from this address, or for this account; "
                          "this one was not looked at. Try again in %d s.",
                          wait_s);
        return false;
    }
    enum err result =
        porter_check(x->porter, login->known ? login->password.hash : NULL, login->text);
    if (result != ERR_REFUSED)
        guesses_pardon(guesses, &login->guess, clock_mono());
    if (result == ERR_OK)
        return true;
    if (result != ERR_REFUSED) {
        exchange_unavailable(x, RETRY_HASH_S,
                             result == ERR_FULL ? "Others are logging in; try again in a moment."
                                                : "The host is short of memory.");
        return false;
    }
    log_warning("api", "a wrong password for %s%s from %s (request %s)",
                login->known ? "account " : "an account that has none",
                login->known ? login->password.account : "", x->remote.address, x->request_id);
    exchange_problem(x, 401, "The account or the password is wrong.");
    exchange_header(x, "WWW-Authenticate", "Bearer realm=\"derd\"");
    return false;
}

static void give_cookies(struct exchange *x, const struct login *login, const char *secret) {
    char text[COOKIE_SIZE], browser[BROWSER_TEXT_SIZE];
    const char *secure = x->remote.secure ? "; Secure" : "";
    snprintf(text, sizeof text, COOKIE_SESSION "=%s; Path=/; HttpOnly; SameSite=Strict%s", secret,
             secure);
    exchange_header(x, "Set-Cookie", text);
    if (login->browser[0])
        memcpy(browser, login->browser, sizeof browser);
    else
        browser_make(&login->password, browser);
    snprintf(text, sizeof text,
             COOKIE_BROWSER "=%s; Path=/v1/session; Max-Age=" BROWSER_KEPT_S
                            "; HttpOnly; SameSite=Strict%s",
             browser, secure);
    exchange_header(x, "Set-Cookie", text);
    sodium_memzero(text, sizeof text);
}

/* In place of the session that the browser had, if any: its secret is a new one. */
static void let_in(struct exchange *x, const struct login *login) {
    char secret[SESSION_SECRET_SIZE], csrf[SESSION_CSRF_SIZE];
    if (x->by_session)
        sessions_close(x->porter->sessions, x->session.id);
    sessions_open(x->porter->sessions, &login->password, clock_mono(), secret, &x->session);
    x->token = (struct token){.max_priority = login->password.max_priority,
                              .scopes = login->password.scopes};
    memcpy(x->token.account, login->password.account, sizeof x->token.account);
    session_csrf(secret, csrf);
    write_session(x, 201, csrf);
    exchange_header(x, "Location", "/v1/session");
    give_cookies(x, login, secret);
    log_info("api", "account %s has logged in from %s (session %s, request %s)",
             login->password.account, x->remote.address, x->session.id, x->request_id);
    sodium_memzero(secret, sizeof secret);
}

void api_session_post(struct exchange *x) {
    struct login login = {0};
    if (porter_same_origin(x) && read_login(x, &login)) {
        look_up(x, &login);
        if (prove(x, &login))
            let_in(x, &login);
    }
    sodium_memzero(&login, sizeof login);
}

/* --- logging out ------------------------------------------------------------------------------ */

void api_session_delete(struct exchange *x) {
    if (x->by_session) {
        sessions_close(x->porter->sessions, x->session.id);
        log_info("api", "account %s has logged out (session %s, request %s)", x->token.account,
                 x->session.id, x->request_id);
    }
    exchange_empty(x, 204);
    porter_forget_cookie(x);
}
