/* Tokens: what API clients show. The text is random and never kept; the file has its hash. Since
 * the secret has 256 bits of entropy, a plain fast hash is enough: nothing can be guessed.
 *
 * All of them are in memory in a table that only the store's thread changes, after its commit. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define ID_CHARACTERS     12 /* 60 bits: names the token, secret or not */
#define SECRET_BYTES      32
#define SECRET_CHARACTERS 43 /* base64url without padding, RFC 4648 section 5 */
#define TOKEN_PREFIX      "derd_"
#define TOKEN_LENGTH      (sizeof TOKEN_PREFIX - 1 + ID_CHARACTERS + 1 + SECRET_CHARACTERS)

_Static_assert(TOKEN_LENGTH < TOKEN_TEXT_SIZE, "a token fits its buffer");

/* --- making one ------------------------------------------------------------------------------ */

struct token_job {
    struct store_job job;
    struct token token;
    char account_id[ID_SIZE]; /* which it must still be; "": the account is made if need be */
    struct account account;   /* made with it, or id "" */
};

static void token_make(char text[TOKEN_TEXT_SIZE], struct token *token) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 base32 */
    unsigned char bytes[SECRET_BYTES];
    char secret[SECRET_CHARACTERS + 1];
    randombytes_buf(bytes, ID_CHARACTERS);
    for (size_t i = 0; i < ID_CHARACTERS; i++)
        token->id[i] = alphabet[bytes[i] & 31];
    token->id[ID_CHARACTERS] = '\0';
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2base64(secret, sizeof secret, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(text, TOKEN_TEXT_SIZE, TOKEN_PREFIX "%s_%s", token->id, secret);
    sodium_memzero(bytes, sizeof bytes);
    sodium_memzero(secret, sizeof secret);
}

static void token_hash(const char *text, size_t length, unsigned char hash[32]) {
    crypto_generichash(hash, 32, (const unsigned char *)text, length, NULL, 0);
}

static enum err token_room(struct store *store, const struct token *token) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TOKEN_TAKEN,
                        "SELECT count(*), ifnull(sum(name = ?1 AND account = ?2), 0),"
                        " ifnull(sum(account = ?2), 0) FROM tokens");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, token->name, -1, SQLITE_STATIC) |
                sqlite3_bind_text(statement, 2, token->account, -1, SQLITE_STATIC);
    enum err result = ERR_OK;
    if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        result = store_fault(store);
    else if (sqlite3_column_int(statement, 1) > 0)
        result = ERR_CONFLICT;
    else if (sqlite3_column_int(statement, 0) >= STORE_TOKENS_MAXIMUM ||
             sqlite3_column_int(statement, 2) >= TOKENS_PER_ACCOUNT)
        result = ERR_LIMIT;
    sqlite3_reset(statement);
    return result;
}

static enum err create_run(struct store *store, struct store_job *job) {
    struct token_job *create = (struct token_job *)job;
    const struct token *token = &create->token;
    enum err result = token_room(store, token);
    if (result == ERR_OK && create->account_id[0])
        result = store_account_known(store, create->account_id);
    else if (result == ERR_OK)
        result = store_account_provide(store, token->account, &create->account);
    if (result != ERR_OK)
        return result;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TOKEN_CREATE,
                        "INSERT INTO tokens (id, name, account, max_priority, created_at_ms, hash)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, token->id, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 2, token->name, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 3, token->account, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_int(statement, 4, token->max_priority);
    bound |= sqlite3_bind_int64(statement, 5, token->created_at.ms);
    bound |= sqlite3_bind_blob(statement, 6, token->hash, sizeof token->hash, SQLITE_STATIC);
    return store_statement_run(store, statement, bound);
}

static void create_committed(struct store *store, struct store_job *job) {
    const struct token_job *create = (const struct token_job *)job;
    const struct token *token = &create->token;
    store_account_remember(store, &create->account);
    pthread_rwlock_wrlock(&store->tokens_lock);
    if (store->token_count < STORE_TOKENS_MAXIMUM)
        store->tokens[store->token_count++] = *token;
    pthread_rwlock_unlock(&store->tokens_lock);
}

/* 1 to size - 1 bytes without control characters: it is shown in lists and log lines. */
static bool text_take(const char *text, char *field, size_t size) {
    size_t length = strlen(text);
    if (length == 0 || length >= size)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    memcpy(field, text, length + 1);
    return true;
}

static enum err token_create(struct store *store, const char *name, const char *account,
                             const char *account_id, int32_t max_priority,
                             char text[TOKEN_TEXT_SIZE]) {
    static const struct store_job_type type = {.run = create_run, .committed = create_committed};
    struct token_job create = {.job = {.type = &type, .bytes = sizeof create}};
    struct token *token = &create.token;
    text[0] = '\0';
    if (max_priority < 0)
        return ERR_RANGE;
    char made[TOKEN_TEXT_SIZE];
    token_make(made, token);
    snprintf(create.account_id, sizeof create.account_id, "%s", account_id);
    if (!text_take(name ? name : token->id, token->name, sizeof token->name) ||
        !text_take(account ? account : ACCOUNT_ROOT, token->account, sizeof token->account))
        return ERR_FORMAT;
    token->max_priority = max_priority;
    token->created_at = clock_wall();
    token_hash(made, strlen(made), token->hash);
    enum err result = store_run(store, &create.job);
    if (result == ERR_OK)
        memcpy(text, made, sizeof made);
    sodium_memzero(made, sizeof made);
    return result;
}

enum err store_token_create(struct store *store, const char *name, const char *account,
                            int32_t max_priority, char text[TOKEN_TEXT_SIZE]) {
    return token_create(store, name, account, "", max_priority, text);
}

enum err store_token_create_for(struct store *store, const char *name,
                                const struct account *account, int32_t max_priority,
                                char text[TOKEN_TEXT_SIZE]) {
    return token_create(store, name, account->key, account->id, max_priority, text);
}

/* --- revoking -------------------------------------------------------------------------------- */

static enum err revoke_run(struct store *store, struct store_job *job) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_TOKEN_REVOKE,
                                              "DELETE FROM tokens WHERE id = ?1 RETURNING id");
    if (!statement)
        return ERR_IO;
    const char *id = ((const struct token_job *)job)->token.id;
    int bound = sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    bool found = code == SQLITE_ROW;
    if (found)
        code = sqlite3_step(statement);
    enum err result = found ? ERR_OK : ERR_NOT_FOUND;
    if (code != SQLITE_DONE)
        result = store_fault(store);
    sqlite3_reset(statement);
    return result;
}

static void revoke_committed(struct store *store, struct store_job *job) {
    const char *id = ((const struct token_job *)job)->token.id;
    pthread_rwlock_wrlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count; i++)
        if (strcmp(store->tokens[i].id, id) == 0) {
            size_t after = --store->token_count - i;
            memmove(&store->tokens[i], &store->tokens[i + 1], after * sizeof *store->tokens);
            break;
        }
    pthread_rwlock_unlock(&store->tokens_lock);
}

enum err store_token_revoke(struct store *store, const char *id) {
    static const struct store_job_type type = {.run = revoke_run, .committed = revoke_committed};
    struct token_job revoke = {.job = {.type = &type, .bytes = sizeof revoke}};
    if (strlen(id) >= sizeof revoke.token.id)
        return ERR_NOT_FOUND;
    snprintf(revoke.token.id, sizeof revoke.token.id, "%s", id);
    return store_run(store, &revoke.job);
}

/* --- asking ---------------------------------------------------------------------------------- */

enum err store_token_list(struct store *store, struct token **tokens, size_t *count) {
    enum err result = ERR_OK;
    pthread_rwlock_rdlock(&store->tokens_lock);
    *count = store->token_count;
    *tokens = calloc(*count + 1, sizeof **tokens);
    if (*tokens)
        memcpy(*tokens, store->tokens, *count * sizeof **tokens);
    else
        result = ERR_MEMORY;
    pthread_rwlock_unlock(&store->tokens_lock);
    if (result != ERR_OK)
        *count = 0;
    return result;
}

bool store_token_check(struct store *store, const char *text, struct token *token) {
    unsigned char hash[32];
    size_t length = strnlen(text, TOKEN_LENGTH + 1);
    if (length != TOKEN_LENGTH || strncmp(text, TOKEN_PREFIX, sizeof TOKEN_PREFIX - 1) != 0)
        return false;
    token_hash(text, length, hash);
    bool found = false;
    pthread_rwlock_rdlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count; i++) /* to the end, found or not */
        if (sodium_memcmp(hash, store->tokens[i].hash, sizeof hash) == 0) {
            *token = store->tokens[i];
            found = true;
        }
    pthread_rwlock_unlock(&store->tokens_lock);
    return found;
}

bool store_token_named(struct store *store, const char *text, char account[ACCOUNT_KEY_SIZE]) {
    const size_t prefix = sizeof TOKEN_PREFIX - 1;
    bool found = false;
    if (strnlen(text, TOKEN_LENGTH) <= prefix + ID_CHARACTERS ||
        strncmp(text, TOKEN_PREFIX, prefix) != 0)
        return false;
    pthread_rwlock_rdlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count && !found; i++) {
        found = strncmp(text + prefix, store->tokens[i].id, ID_CHARACTERS) == 0;
        if (found)
            memcpy(account, store->tokens[i].account, sizeof store->tokens[i].account);
    }
    pthread_rwlock_unlock(&store->tokens_lock);
    return found;
}

/* --- at open --------------------------------------------------------------------------------- */

static bool row_read(sqlite3_stmt *statement, struct token *token) {
    const char *id = (const char *)sqlite3_column_text(statement, 0);
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *account = (const char *)sqlite3_column_text(statement, 2);
    const void *hash = sqlite3_column_blob(statement, 5);
    if (!id || !name || !account || !hash ||
        (size_t)sqlite3_column_bytes(statement, 5) != sizeof token->hash)
        return false;
    token->max_priority = sqlite3_column_int(statement, 3);
    token->created_at.ms = sqlite3_column_int64(statement, 4);
    memcpy(token->hash, hash, sizeof token->hash);
    return text_take(id, token->id, sizeof token->id) &&
           text_take(name, token->name, sizeof token->name) &&
           text_take(account, token->account, sizeof token->account);
}

/* Receipts of tokens that are gone: nobody can repeat their requests. */
static enum err drop_orphaned_receipts(struct store *store) {
    return sqlite3_exec(store->db,
                        "DELETE FROM receipts WHERE owner NOT IN (SELECT id FROM tokens)", NULL,
                        NULL, NULL) == SQLITE_OK
               ? ERR_OK
               : store_fault(store);
}

enum err store_tokens_open(struct store *store) {
    if (drop_orphaned_receipts(store) != ERR_OK)
        return ERR_IO;
    store->tokens = calloc(STORE_TOKENS_MAXIMUM, sizeof *store->tokens);
    if (!store->tokens)
        return ERR_MEMORY;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TOKEN_LOAD,
                        "SELECT id, name, account, max_priority, created_at_ms, hash FROM tokens"
                        " ORDER BY created_at_ms, id");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        if (store->token_count < STORE_TOKENS_MAXIMUM &&
            row_read(statement, &store->tokens[store->token_count]))
            store->token_count++;
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}
