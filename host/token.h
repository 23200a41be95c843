/* A token: what an API client shows, and what it may do. A token may do what one of its scopes
 * names (vocabulary.h; none implies another), on the clusters that its account controls and, where
 * it names some, on those and the clusters below them only; its constraints have priorities up to
 * its highest one. After its end it may do nothing.
 *
 * A clock that cannot be trusted (base/clock.h) tells only that it is at least so late: a token
 * with an end is then refused, since its end may have passed; one without an end goes on.
 *
 * Plain data and pure rules, any thread. Who keeps tokens is the store. */
#ifndef DERD_TOKEN_H
#define DERD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "constraint.h"
#include "vocabulary.h"

#define TOKEN_ID_SIZE          16
#define TOKEN_NAME_SIZE        65
#define TOKEN_CLUSTERS_MAXIMUM 16
#define ACCOUNT_KEY_SIZE       65
#define TOKEN_SCOPES_TEXT_SIZE 64 /* all of them, parted by ", " */
/* Of a token for which nobody said it: enough to watch and to steer, no more. */
#define TOKEN_SCOPES_DEFAULT (1U << TOKEN_READ | 1U << TOKEN_CONTROL)

struct token {              /* the secret is not kept */
    char id[TOKEN_ID_SIZE]; /* beside the hash: what a look-up reads is one cache line of each */
    unsigned char hash[32]; /* BLAKE2b-256 of the whole token text (libsodium crypto_generichash) */
    char name[TOKEN_NAME_SIZE];
    char account[ACCOUNT_KEY_SIZE]; /* key */
    int32_t max_priority;
    unsigned scopes; /* 1 << enum token_scope, or-ed together */
    struct wall created_at;
    struct wall expires_at;   /* ms 0: never */
    struct wall last_used_at; /* ms 0: never, as far as is known */
    size_t cluster_count;     /* 0: every cluster that its account controls */
    char clusters[TOKEN_CLUSTERS_MAXIMUM][ID_SIZE];
};

enum token_end {
    TOKEN_LIVES,
    TOKEN_EXPIRED,   /* its end has passed */
    TOKEN_UNDECIDED, /* it has an end, and nobody can tell whether that has passed: refused too */
};

enum token_end token_end_at(const struct token *token, struct now now);
bool token_has(const struct token *token, enum token_scope scope);
/* "read, control", or "none". */
void token_scopes_format(unsigned scopes, const char *separator, char text[TOKEN_SCOPES_TEXT_SIZE]);
/* Words parted by commas or blanks, "all" for every one. False: a word is none of them (it is put
 * into `wrong`), or there is none at all. */
must_check bool token_scopes_parse(const char *text, unsigned *scopes, char *wrong,
                                   size_t wrong_size);
/* Whether `other` may do no more than `token`, but for which clusters it names (a cluster may stand
 * below another: directory_within()). `why` says what it has beyond. */
must_check bool token_covers(const struct token *token, const struct token *other, char *why,
                             size_t why_size);
/* The same for how long it may. */
must_check bool token_outlives(const struct token *token, const struct token *other);

#endif
