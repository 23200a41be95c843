/* Tokens: what API clients show. The text is random and never kept; the file has its hash. Since
 * the secret has 256 bits of entropy, a plain fast hash is enough: nothing can be guessed.
 *
 * All of them are in memory in a table that only the store's thread changes, after its commit. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

#define ID_CHARACTERS     12 /* 60 bits: names the token, secret or not */
#define SECRET_BYTES      32
#define SECRET_CHARACTERS 43 /* base64url without padding, RFC 4648 section 5 */
#define TOKEN_PREFIX      "derd_"
#define TOKEN_LENGTH      (sizeof TOKEN_PREFIX - 1 + ID_CHARACTERS + 1 + SECRET_CHARACTERS)

_Static_assert(TOKEN_LENGTH < TOKEN_TEXT_SIZE, "a token fits its buffer");

/* --- making one ------------------------------------------------------------------------------ */

#define CLUSTERS_TEXT_SIZE ((size_t)TOKEN_CLUSTERS_MAXIMUM * ID_SIZE)

struct token_job {
    struct store_job job;
    struct token token;
    char account_id[ID_SIZE]; /* which it must still be; "": the account is made if need be */
    struct account account;   /* made with it, or id "" */
};

/* Ids parted by commas; "" for none. */
static void clusters_format(const struct token *token, char text[CLUSTERS_TEXT_SIZE]) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < token->cluster_count && used < CLUSTERS_TEXT_SIZE; i++)
        used += (size_t)snprintf(text + used, CLUSTERS_TEXT_SIZE - used, "%s%s", i ? "," : "",
                                 token->clusters[i]);
}

/* False: it is no such text, or there are too many. */
static bool clusters_parse(const char *text, struct token *token) {
    token->cluster_count = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        if (length != ID_SIZE - 1 || token->cluster_count == TOKEN_CLUSTERS_MAXIMUM)
            return false;
        memcpy(token->clusters[token->cluster_count], text, length);
        token->clusters[token->cluster_count++][length] = '\0';
        text += length + (text[length] == ',');
    }
    return true;
}

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
                        "INSERT INTO tokens (id, name, account, max_priority, created_at_ms, hash,"
                        " scopes, expires_at_ms, clusters)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    char scopes[TOKEN_SCOPES_TEXT_SIZE];
    char clusters[CLUSTERS_TEXT_SIZE];
    if (!statement)
        return ERR_IO;
    token_scopes_format(token->scopes, ",", scopes);
    clusters_format(token, clusters);
    int bound = sqlite3_bind_text(statement, 1, token->id, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 2, token->name, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 3, token->account, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_int(statement, 4, token->max_priority);
    bound |= sqlite3_bind_int64(statement, 5, token->created_at.ms);
    bound |= sqlite3_bind_blob(statement, 6, token->hash, sizeof token->hash, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 7, scopes, -1, SQLITE_TRANSIENT);
    bound |= sqlite3_bind_int64(statement, 8, token->expires_at.ms);
    bound |= sqlite3_bind_text(statement, 9, clusters, -1, SQLITE_TRANSIENT);
    return store_statement_run(store, statement, bound);
}

static void create_committed(struct store *store, struct store_job *job) {
    const struct token_job *create = (const struct token_job *)job;
    const struct token *token = &create->token;
    store_account_remember(store, &create->account);
    pthread_rwlock_wrlock(&store->tokens_lock);
    if (store->token_count < STORE_TOKENS_MAXIMUM) {
        atomic_store(&store->uses[store->token_count].used, 0);
        atomic_store(&store->uses[store->token_count].kept, 0);
        store->tokens[store->token_count++] = *token;
    }
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
                             const char *account_id, struct token *token,
                             char text[TOKEN_TEXT_SIZE], struct audit_record *record) {
    static const struct store_job_type type = {.run = create_run, .committed = create_committed};
    struct token_job create = {.job = {.type = &type, .bytes = sizeof create}, .token = *token};
    struct token *made = &create.token;
    char shown[TOKEN_TEXT_SIZE];
    text[0] = '\0';
    if (made->max_priority < 0 || (made->scopes & TOKEN_SCOPES_ALL) == 0 ||
        (made->scopes & ~TOKEN_SCOPES_ALL) != 0 || made->cluster_count > TOKEN_CLUSTERS_MAXIMUM) {
        audit_records_free(record);
        return ERR_RANGE;
    }
    token_make(shown, made);
    snprintf(create.account_id, sizeof create.account_id, "%s", account_id);
    if (!text_take(name ? name : made->id, made->name, sizeof made->name) ||
        !text_take(account ? account : ACCOUNT_ROOT, made->account, sizeof made->account)) {
        audit_records_free(record);
        return ERR_FORMAT;
    }
    audit_record_name(record, made->id);
    store_job_record(&create.job, record);
    made->created_at = clock_wall();
    made->last_used_at.ms = 0;
    token_hash(shown, strlen(shown), made->hash);
    enum err result = store_run(store, &create.job);
    if (result == ERR_OK) {
        memcpy(text, shown, sizeof shown);
        *token = *made;
    }
    sodium_memzero(shown, sizeof shown);
    return result;
}

enum err store_token_create(struct store *store, const char *name, const char *account,
                            struct token *token, char text[TOKEN_TEXT_SIZE],
                            struct audit_record *record) {
    return token_create(store, name, account, "", token, text, record);
}

enum err store_token_create_for(struct store *store, const char *name,
                                const struct account *account, struct token *token,
                                char text[TOKEN_TEXT_SIZE], struct audit_record *record) {
    return token_create(store, name, account->key, account->id, token, text, record);
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

void store_token_forget(struct store *store, size_t index) {
    size_t after = --store->token_count - index;
    memmove(&store->tokens[index], &store->tokens[index + 1], after * sizeof *store->tokens);
    for (size_t i = index; i < index + after; i++) {
        atomic_store(&store->uses[i].used, atomic_load(&store->uses[i + 1].used));
        atomic_store(&store->uses[i].kept, atomic_load(&store->uses[i + 1].kept));
    }
}

static void revoke_committed(struct store *store, struct store_job *job) {
    const char *id = ((const struct token_job *)job)->token.id;
    pthread_rwlock_wrlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count; i++)
        if (strcmp(store->tokens[i].id, id) == 0) {
            store_token_forget(store, i);
            break;
        }
    pthread_rwlock_unlock(&store->tokens_lock);
}

enum err store_token_revoke(struct store *store, const char *id, struct audit_record *record) {
    static const struct store_job_type type = {.run = revoke_run, .committed = revoke_committed};
    struct token_job revoke = {.job = {.type = &type, .bytes = sizeof revoke}};
    store_job_record(&revoke.job, record);
    if (strlen(id) >= sizeof revoke.token.id) {
        audit_records_free(record);
        return ERR_NOT_FOUND;
    }
    snprintf(revoke.token.id, sizeof revoke.token.id, "%s", id);
    return store_run(store, &revoke.job);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Under the lock. */
static void copy_out(struct store *store, size_t index, struct token *token) {
    *token = store->tokens[index];
    token->last_used_at.ms = atomic_load(&store->uses[index].used);
}

enum err store_token_list(struct store *store, struct token **tokens, size_t *count) {
    enum err result = ERR_OK;
    pthread_rwlock_rdlock(&store->tokens_lock);
    *count = store->token_count;
    *tokens = calloc(*count + 1, sizeof **tokens);
    if (!*tokens)
        result = ERR_MEMORY;
    for (size_t i = 0; i < *count && result == ERR_OK; i++)
        copy_out(store, i, &(*tokens)[i]);
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
    const char *id = text + sizeof TOKEN_PREFIX - 1; /* no secret */
    token_hash(text, length, hash);
    bool found = false;
    pthread_rwlock_rdlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count && !found; i++) {
        found = strncmp(store->tokens[i].id, id, ID_CHARACTERS) == 0 &&
                sodium_memcmp(hash, store->tokens[i].hash, sizeof hash) == 0;
        if (found)
            copy_out(store, i, token);
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

bool store_has_tokens(struct store *store) {
    return atomic_load(&store->token_count) > 0 || atomic_load(&store->password_count) > 0;
}

/* --- their use -------------------------------------------------------------------------------- */

static enum err use_run(struct store *store, struct store_job *job) {
    const struct token *token = &((const struct token_job *)job)->token;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_TOKEN_USED, "UPDATE tokens SET last_used_at_ms = ?2 WHERE id = ?1");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, token->id, -1, SQLITE_STATIC) |
                sqlite3_bind_int64(statement, 2, token->last_used_at.ms);
    return store_statement_run(store, statement, bound);
}

/* Nobody waits for it; what does not fit is written a minute later. */
static void keep_use(struct store *store, const char *id, int64_t used_ms) {
    static const struct store_job_type type = {.run = use_run};
    struct token_job *use = store_job_new(&type, sizeof *use, NULL, NULL);
    if (!use)
        return;
    memcpy(use->token.id, id, sizeof use->token.id);
    use->token.last_used_at.ms = used_ms;
    if (store_submit(store, &use->job) != ERR_OK)
        log_debug("store", "when token %s was used is not kept now", id);
}

/* The clock may have been set back: that is a use too. */
static bool is_due(int64_t used_ms, int64_t kept_ms) {
    return used_ms - kept_ms >= TOKEN_USE_MS || used_ms < kept_ms;
}

void store_token_used(struct store *store, const char *id, struct wall at) {
    bool due = false;
    pthread_rwlock_rdlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count; i++) {
        if (strcmp(store->tokens[i].id, id) != 0)
            continue;
        int_fast64_t kept = atomic_load(&store->uses[i].kept);
        atomic_store(&store->uses[i].used, at.ms);
        due = is_due(at.ms, kept) &&
              atomic_compare_exchange_strong(&store->uses[i].kept, &kept, at.ms);
        break;
    }
    pthread_rwlock_unlock(&store->tokens_lock);
    if (due)
        keep_use(store, id, at.ms);
}

void store_tokens_flush(struct store *store) {
    pthread_rwlock_rdlock(&store->tokens_lock);
    for (size_t i = 0; i < store->token_count; i++) {
        int64_t used = atomic_load(&store->uses[i].used);
        if (atomic_exchange(&store->uses[i].kept, used) != used)
            keep_use(store, store->tokens[i].id, used);
    }
    pthread_rwlock_unlock(&store->tokens_lock);
}

/* --- at open --------------------------------------------------------------------------------- */

static bool row_read(sqlite3_stmt *statement, struct token *token) {
    const char *id = (const char *)sqlite3_column_text(statement, 0);
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *account = (const char *)sqlite3_column_text(statement, 2);
    const void *hash = sqlite3_column_blob(statement, 5);
    const char *scopes = (const char *)sqlite3_column_text(statement, 6);
    const char *clusters = (const char *)sqlite3_column_text(statement, 9);
    char wrong[TOKEN_SCOPES_TEXT_SIZE];
    if (!id || !name || !account || !hash || !scopes || !clusters ||
        (size_t)sqlite3_column_bytes(statement, 5) != sizeof token->hash ||
        !token_scopes_parse(scopes, &token->scopes, wrong, sizeof wrong) ||
        !clusters_parse(clusters, token))
        return false;
    token->expires_at.ms = sqlite3_column_int64(statement, 7);
    token->last_used_at.ms = sqlite3_column_int64(statement, 8);
    token->max_priority = sqlite3_column_int(statement, 3);
    token->created_at.ms = sqlite3_column_int64(statement, 4);
    memcpy(token->hash, hash, sizeof token->hash);
    return text_take(id, token->id, sizeof token->id) &&
           text_take(name, token->name, sizeof token->name) &&
           text_take(account, token->account, sizeof token->account);
}

/* Receipts of tokens that are gone: nobody can repeat their requests. On a full disk they stay. */
static void drop_orphaned_receipts(struct store *store) {
    if (sqlite3_exec(store->db, "DELETE FROM receipts WHERE owner NOT IN (SELECT id FROM tokens)",
                     NULL, NULL, NULL) == SQLITE_OK)
        return;
    (void)store_fault(store);
    log_warning("store", "receipts of tokens that are gone stay for now: %s", store->fault_text);
}

enum err store_tokens_open(struct store *store) {
    if (!store->standby)
        drop_orphaned_receipts(store);
    store->tokens = calloc(STORE_TOKENS_MAXIMUM, sizeof *store->tokens);
    store->uses = calloc(STORE_TOKENS_MAXIMUM, sizeof *store->uses);
    if (!store->tokens || !store->uses)
        return ERR_MEMORY;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TOKEN_LOAD,
                        "SELECT id, name, account, max_priority, created_at_ms, hash, scopes,"
                        " expires_at_ms, last_used_at_ms, clusters FROM tokens"
                        " ORDER BY created_at_ms, id");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        if (store->token_count < STORE_TOKENS_MAXIMUM &&
            row_read(statement, &store->tokens[store->token_count])) {
            size_t index = store->token_count++;
            atomic_store(&store->uses[index].used, store->tokens[index].last_used_at.ms);
            atomic_store(&store->uses[index].kept, store->tokens[index].last_used_at.ms);
        }
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}
