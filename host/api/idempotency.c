#include "api/idempotency.h"

#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define UNDER_WAY_MAXIMUM 1024 /* as many as there can be threads */

struct under_way {
    char owner[RECEIPT_OWNER_SIZE];
    char key[RECEIPT_KEY_SIZE];
};

struct keys {
    pthread_mutex_t lock;
    size_t count;
    struct under_way items[UNDER_WAY_MAXIMUM];
};

struct keys *keys_new(void) {
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys)
        pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

void keys_free(struct keys *keys) {
    if (!keys)
        return;
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}

static size_t keys_find(const struct keys *keys, const struct receipt *receipt) {
    size_t i = 0;
    while (i < keys->count && (strcmp(keys->items[i].key, receipt->key) != 0 ||
                               strcmp(keys->items[i].owner, receipt->owner) != 0))
        i++;
    return i;
}

static enum err keys_enter(struct keys *keys, const struct receipt *receipt) {
    enum err result = ERR_OK;
    pthread_mutex_lock(&keys->lock);
    if (keys_find(keys, receipt) < keys->count) {
        result = ERR_CONFLICT;
    } else if (keys->count == UNDER_WAY_MAXIMUM) {
        result = ERR_FULL;
    } else {
        struct under_way *item = &keys->items[keys->count++];
        memcpy(item->owner, receipt->owner, sizeof item->owner);
        memcpy(item->key, receipt->key, sizeof item->key);
    }
    pthread_mutex_unlock(&keys->lock);
    return result;
}

static void keys_leave(struct keys *keys, const struct receipt *receipt) {
    pthread_mutex_lock(&keys->lock);
    size_t at = keys_find(keys, receipt);
    if (at < keys->count)
        keys->items[at] = keys->items[--keys->count];
    pthread_mutex_unlock(&keys->lock);
}

/* As a string of RFC 8941, or bare as many clients send it: visible characters. */
static bool read_key(const char *text, char key[RECEIPT_KEY_SIZE]) {
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text++;
        length -= 2;
    }
    if (length == 0 || length >= RECEIPT_KEY_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    memcpy(key, text, length);
    key[length] = '\0';
    return true;
}

/* Of the path as sent and of what the body says, in whatever order and spacing. */
static bool make_fingerprint(struct exchange *x) {
    crypto_generichash_state state;
    char *body = json_dumps(x->tree, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!body)
        return false;
    crypto_generichash_init(&state, NULL, 0, sizeof x->receipt.fingerprint);
    crypto_generichash_update(&state, (const unsigned char *)x->path, strlen(x->path) + 1);
    crypto_generichash_update(&state, (const unsigned char *)body, strlen(body));
    crypto_generichash_final(&state, x->receipt.fingerprint, sizeof x->receipt.fingerprint);
    free(body);
    return true;
}

bool idempotency_replay(struct exchange *x) {
    struct receipt kept;
    enum err err =
        store_get_receipt(x->settings->store, x->receipt.owner, x->receipt.key, x->now.wall, &kept);
    if (err == ERR_MEMORY) { /* it may be there */
        exchange_unavailable(x, 5, "The host is short of memory.");
        return true;
    }
    if (err != ERR_OK)
        return false;
    if (memcmp(kept.fingerprint, x->receipt.fingerprint, sizeof kept.fingerprint) != 0) {
        exchange_problem(x, 422,
                         "Idempotency-Key \"%s\" was used before for another request; take a new "
                         "key for each new request.",
                         kept.key);
    } else {
        exchange_json(x, kept.status);
        buf_text(&x->body, kept.body ? kept.body : "{}");
        if (kept.location[0])
            exchange_header(x, "Location", kept.location);
        exchange_header(x, "Idempotency-Replayed", "true");
    }
    free(kept.body);
    return true;
}

static bool enter(struct exchange *x) {
    switch (keys_enter(x->keys, &x->receipt)) {
    case ERR_OK:
        return true;
    case ERR_CONFLICT:
        exchange_problem(x, 409,
                         "A request with this Idempotency-Key is still under way; repeat it in a "
                         "moment to see its answer.");
        exchange_header(x, "Retry-After", "1");
        return false;
    default:
        exchange_unavailable(x, 2, "Too many requests with an Idempotency-Key are under way.");
        return false;
    }
}

bool idempotency_begin(struct exchange *x, enum key_use use) {
    const char *given = x->request.idempotency_key;
    bool dry_run;
    if (!given)
        return true;
    if (!exchange_dry_run(x, &dry_run)) /* before a kept answer hides it */
        return false;
    if (use == KEY_REFUSED) {
        exchange_problem(x, 400,
                         "An Idempotency-Key is not kept for requests of this path; send it "
                         "without one.");
        return false;
    }
    if (!read_key(given, x->receipt.key)) {
        exchange_problem(x, 400,
                         "Idempotency-Key must have 1 to %d visible characters without quotes and "
                         "backslashes inside, best a UUID.",
                         RECEIPT_KEY_SIZE - 1);
        return false;
    }
    if (use == KEY_NEEDLESS || dry_run)
        return true;
    memcpy(x->receipt.owner, x->token.id, sizeof x->receipt.owner);
    x->receipt.created_at = x->now.wall;
    if (!make_fingerprint(x)) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return false;
    }
    if (!enter(x))
        return false;
    if (idempotency_replay(x)) {
        keys_leave(x->keys, &x->receipt);
        return false;
    }
    x->keyed = true;
    return true;
}

void idempotency_end(struct exchange *x) {
    if (!x->keyed)
        return;
    char replayed[8];
    exchange_header_set(x, "Idempotency-Replayed", replayed, sizeof replayed);
    if (x->status >= 200 && x->status < 300 && !x->body.failed && !replayed[0]) {
        struct receipt receipt = x->receipt;
        receipt.status = x->status;
        exchange_header_set(x, "Location", receipt.location, sizeof receipt.location);
        receipt.body = (char *)buf_string(&x->body);
        if (store_put_receipt(x->settings->store, &receipt, NULL, NULL) != ERR_OK)
            log_warning("api", "the answer to a request with a key could not be kept (request %s)",
                        x->request_id);
    }
    keys_leave(x->keys, &x->receipt);
}
