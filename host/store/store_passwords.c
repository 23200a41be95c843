/* Passwords: the rows, and the table in memory that only the store's thread changes, after its
 * commit, under the lock of the tokens. */
#include "store/store_passwords.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

struct password_job {
    struct store_job job;
    struct password password;
};

static struct password *find(struct store *store, const char *account) {
    for (size_t i = 0; i < store->password_count; i++)
        if (strcmp(store->passwords[i].account, account) == 0)
            return &store->passwords[i];
    return NULL;
}

/* --- setting ---------------------------------------------------------------------------------- */

static enum err set_run(struct store *store, struct store_job *job) {
    const struct password *password = &((const struct password_job *)job)->password;
    enum err result = store_account_known(store, password->account);
    if (result != ERR_OK)
        return result;
    if (!find(store, password->account) && store->password_count >= PASSWORDS_MAXIMUM)
        return ERR_LIMIT;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_PASSWORD_SET,
        "INSERT INTO passwords (account, hash, mark, scopes, max_priority, set_at_ms)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (account) DO UPDATE SET"
        " hash = ?2, mark = ?3, scopes = ?4, max_priority = ?5, set_at_ms = ?6");
    if (!statement)
        return ERR_IO;
    char scopes[TOKEN_SCOPES_TEXT_SIZE];
    token_scopes_format(password->scopes, ",", scopes);
    int bound = sqlite3_bind_text(statement, 1, password->account, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 2, password->hash, -1, SQLITE_STATIC);
    bound |= sqlite3_bind_blob(statement, 3, password->mark, sizeof password->mark, SQLITE_STATIC);
    bound |= sqlite3_bind_text(statement, 4, scopes, -1, SQLITE_TRANSIENT);
    bound |= sqlite3_bind_int(statement, 5, password->max_priority);
    bound |= sqlite3_bind_int64(statement, 6, password->set_at.ms);
    return store_statement_run(store, statement, bound);
}

static void set_committed(struct store *store, struct store_job *job) {
    const struct password *password = &((const struct password_job *)job)->password;
    pthread_rwlock_wrlock(&store->tokens_lock);
    struct password *known = find(store, password->account);
    if (known)
        *known = *password;
    else if (store->password_count < PASSWORDS_MAXIMUM)
        store->passwords[store->password_count++] = *password;
    pthread_rwlock_unlock(&store->tokens_lock);
}

enum err store_password_set(struct store *store, const char *which, struct password *password,
                            struct audit_record *record) {
    static const struct store_job_type type = {.run = set_run, .committed = set_committed};
    struct account account;
    struct password_job set = {.job = {.type = &type, .bytes = sizeof set}};
    bool fits = password->max_priority >= 0 && (password->scopes & TOKEN_SCOPES_ALL) != 0 &&
                (password->scopes & ~TOKEN_SCOPES_ALL) == 0;
    bool known = fits && store_account_find(store, which, &account);
    if (!known) {
        audit_records_free(record);
        return fits ? ERR_NOT_FOUND : ERR_RANGE;
    }
    memcpy(password->account, account.key, sizeof password->account);
    randombytes_buf(password->mark, sizeof password->mark);
    password->set_at = clock_wall();
    set.password = *password;
    store_job_record(&set.job, record);
    enum err result = store_run(store, &set.job);
    sodium_memzero(&set.password, sizeof set.password);
    return result;
}

/* --- removing --------------------------------------------------------------------------------- */

static enum err remove_run(struct store *store, struct store_job *job) {
    const char *account = ((const struct password_job *)job)->password.account;
    return find(store, account) ? store_password_drop(store, account) : ERR_NOT_FOUND;
}

static void remove_committed(struct store *store, struct store_job *job) {
    pthread_rwlock_wrlock(&store->tokens_lock);
    store_password_forget(store, ((const struct password_job *)job)->password.account);
    pthread_rwlock_unlock(&store->tokens_lock);
}

enum err store_password_drop(struct store *store, const char *account) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_PASSWORD_REMOVE,
                                              "DELETE FROM passwords WHERE account = ?1");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement,
                               sqlite3_bind_text(statement, 1, account, -1, SQLITE_STATIC));
}

void store_password_forget(struct store *store, const char *account) {
    struct password *password = find(store, account);
    if (!password)
        return;
    size_t after = --store->password_count - (size_t)(password - store->passwords);
    memmove(password, password + 1, after * sizeof *password);
}

enum err store_password_remove(struct store *store, const char *account,
                               struct audit_record *record) {
    static const struct store_job_type type = {.run = remove_run, .committed = remove_committed};
    struct password_job removal = {.job = {.type = &type, .bytes = sizeof removal}};
    if (strlen(account) >= sizeof removal.password.account) {
        audit_records_free(record);
        return ERR_NOT_FOUND;
    }
    store_job_record(&removal.job, record);
    snprintf(removal.password.account, sizeof removal.password.account, "%s", account);
    return store_run(store, &removal.job);
}

/* --- asking ----------------------------------------------------------------------------------- */

bool store_password_find(struct store *store, const char *account, struct password *password) {
    pthread_rwlock_rdlock(&store->tokens_lock);
    const struct password *found = find(store, account);
    if (found)
        *password = *found;
    pthread_rwlock_unlock(&store->tokens_lock);
    return found != NULL;
}

static int order(const void *a, const void *b) {
    return strcmp(((const struct password *)a)->account, ((const struct password *)b)->account);
}

enum err store_password_list(struct store *store, struct password **passwords, size_t *count) {
    pthread_rwlock_rdlock(&store->tokens_lock);
    *count = store->password_count;
    *passwords = calloc(*count + 1, sizeof **passwords);
    if (*passwords)
        memcpy(*passwords, store->passwords, *count * sizeof **passwords);
    pthread_rwlock_unlock(&store->tokens_lock);
    if (!*passwords) {
        *count = 0;
        return ERR_MEMORY;
    }
    qsort(*passwords, *count, sizeof **passwords, order);
    return ERR_OK;
}

/* --- at open ---------------------------------------------------------------------------------- */

static bool row_read(sqlite3_stmt *statement, struct password *password) {
    const char *account = (const char *)sqlite3_column_text(statement, 0);
    const char *hash = (const char *)sqlite3_column_text(statement, 1);
    const void *mark = sqlite3_column_blob(statement, 2);
    const char *scopes = (const char *)sqlite3_column_text(statement, 3);
    char wrong[32];
    if (!account || !hash || !mark || !scopes ||
        !token_scopes_parse(scopes, &password->scopes, wrong, sizeof wrong) ||
        strlen(account) >= sizeof password->account || strlen(hash) >= sizeof password->hash ||
        (size_t)sqlite3_column_bytes(statement, 2) != sizeof password->mark)
        return false;
    snprintf(password->account, sizeof password->account, "%s", account);
    snprintf(password->hash, sizeof password->hash, "%s", hash);
    memcpy(password->mark, mark, sizeof password->mark);
    password->max_priority = sqlite3_column_int(statement, 4);
    password->set_at.ms = sqlite3_column_int64(statement, 5);
    return true;
}

enum err store_passwords_open(struct store *store) {
    store->passwords = calloc(PASSWORDS_MAXIMUM, sizeof *store->passwords);
    if (!store->passwords)
        return ERR_MEMORY;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_PASSWORD_LOAD,
                        "SELECT account, hash, mark, scopes, max_priority, set_at_ms FROM passwords"
                        " ORDER BY account");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        if (store->password_count < PASSWORDS_MAXIMUM &&
            row_read(statement, &store->passwords[store->password_count]))
            store->password_count++;
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}
