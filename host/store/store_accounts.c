/* Accounts: a tree by key, all of it in memory in a table that only the store's thread changes,
 * after its commit, under the lock of the tokens. What a change must hold true (no cycle, a parent
 * that exists, nothing that hangs on what goes) is looked at inside its transaction, on the store's
 * thread, where nobody can come in between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store_internal.h"

struct account_job {
    struct store_job job;
    struct account account;
};

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

/* Steps once. ERR_OK: a row; ERR_NOT_FOUND: none. */
static enum err step(struct store *store, sqlite3_stmt *statement, int bound) {
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code == SQLITE_ROW)
        return ERR_OK;
    return code == SQLITE_DONE ? ERR_NOT_FOUND : store_fault(store);
}

/* --- the table in memory: under the lock, or on the store's thread ---------------------------- */

static struct account *find(struct store *store, const char *which) {
    for (size_t i = 0; i < store->account_count; i++)
        if (strcmp(store->accounts[i].key, which) == 0 ||
            strcasecmp(store->accounts[i].id, which) == 0)
            return &store->accounts[i];
    return NULL;
}

/* The tree has no cycle; the count of steps is bounded all the same. */
static bool controls(struct store *store, const char *above, const char *key) {
    for (size_t steps = 0; steps <= store->account_count; steps++) {
        if (strcmp(above, key) == 0)
            return true;
        const struct account *account = find(store, key);
        if (!account || !account->parent[0])
            return false;
        key = account->parent;
    }
    return false;
}

void store_account_remember(struct store *store, const struct account *account) {
    if (!account->id[0])
        return;
    pthread_rwlock_wrlock(&store->tokens_lock);
    struct account *known = find(store, account->id);
    if (known)
        *known = *account;
    else if (store->account_count < ACCOUNTS_MAXIMUM)
        store->accounts[store->account_count++] = *account;
    pthread_rwlock_unlock(&store->tokens_lock);
}

static void remember_committed(struct store *store, struct store_job *job) {
    store_account_remember(store, &((const struct account_job *)job)->account);
}

/* --- making ----------------------------------------------------------------------------------- */

enum err store_account_known(struct store *store, const char *key) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ACCOUNT_TAKEN,
                                              "SELECT 1 FROM accounts WHERE key = ?1 OR id = ?1");
    if (!statement)
        return ERR_IO;
    enum err result = step(store, statement, bind_text(statement, 1, key));
    sqlite3_reset(statement);
    return result;
}

static enum err insert(struct store *store, const struct account *account) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ACCOUNT_CREATE,
                        "INSERT INTO accounts (id, key, name, parent, revision, created_at_ms)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, account->id) | bind_text(statement, 2, account->key) |
                bind_text(statement, 3, account->name) | bind_text(statement, 4, account->parent) |
                sqlite3_bind_int64(statement, 5, account->revision) |
                sqlite3_bind_int64(statement, 6, account->created_at.ms);
    return store_statement_run(store, statement, bound);
}

static enum err create_run(struct store *store, struct store_job *job) {
    const struct account *account = &((const struct account_job *)job)->account;
    enum err result = store_account_known(store, account->key);
    if (result != ERR_NOT_FOUND)
        return result == ERR_OK ? ERR_CONFLICT : result;
    result = store_account_known(store, account->parent);
    if (result != ERR_OK)
        return result;
    return store->account_count >= ACCOUNTS_MAXIMUM ? ERR_LIMIT : insert(store, account);
}

static void fill_new(struct account *account) {
    uuid_make(account->id);
    account->revision = 1;
    account->created_at = clock_wall();
    if (!account->key[0])
        memcpy(account->key, account->id, sizeof account->id);
}

enum err store_account_create(struct store *store, struct account *account,
                              struct audit_record *record) {
    static const struct store_job_type type = {.run = create_run, .committed = remember_committed};
    fill_new(account);
    struct account_job create = {.job = {.type = &type, .bytes = sizeof create},
                                 .account = *account};
    audit_record_name(record, account->id);
    store_job_record(&create.job, record);
    return store_run(store, &create.job);
}

enum err store_account_provide(struct store *store, const char *key, struct account *account) {
    *account = (struct account){0};
    enum err result = store_account_known(store, key);
    if (result != ERR_NOT_FOUND)
        return result;
    if (store->account_count >= ACCOUNTS_MAXIMUM)
        return ERR_LIMIT;
    fill_new(account);
    snprintf(account->key, sizeof account->key, "%s", key);
    snprintf(account->name, sizeof account->name, "%s", key);
    if (strcmp(key, ACCOUNT_ROOT) != 0)
        snprintf(account->parent, sizeof account->parent, "%s", ACCOUNT_ROOT);
    return insert(store, account);
}

static enum err ensure_run(struct store *store, struct store_job *job) {
    struct account_job *ensure = (struct account_job *)job;
    char key[ACCOUNT_KEY_SIZE]; /* a second run begins with it again */
    memcpy(key, ensure->account.key, sizeof key);
    enum err result = store_account_provide(store, key, &ensure->account);
    memcpy(ensure->account.key, key, sizeof key);
    return result;
}

enum err store_account_ensure(struct store *store, const char *key) {
    static const struct store_job_type type = {
        .run = ensure_run, .committed = remember_committed, .needed = true};
    struct account account;
    struct account_job ensure = {.job = {.type = &type, .bytes = sizeof ensure}};
    if (store_account_find(store, key, &account))
        return ERR_OK;
    snprintf(ensure.account.key, sizeof ensure.account.key, "%s", key);
    return store_run(store, &ensure.job);
}

/* --- changing --------------------------------------------------------------------------------- */

/* The account of the job as it is now, if it has the revision asked for and may be changed. */
static enum err look(struct store *store, const struct account *wanted, struct account *now) {
    const struct account *known = find(store, wanted->id);
    if (!known)
        return ERR_NOT_FOUND;
    *now = *known;
    if (!known->parent[0])
        return ERR_REFUSED;
    return wanted->revision && wanted->revision != known->revision ? ERR_CONFLICT : ERR_OK;
}

static enum err change_run(struct store *store, struct store_job *job) {
    struct account_job *change = (struct account_job *)job;
    struct account *account = &change->account;
    struct account before;
    enum err result = look(store, account, &before);
    if (result == ERR_OK)
        result = store_account_known(store, account->parent);
    if (result == ERR_OK && controls(store, before.key, account->parent))
        result = ERR_REFUSED;
    if (result != ERR_OK)
        return result;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_ACCOUNT_CHANGE,
        "UPDATE accounts SET name = ?2, parent = ?3, revision = revision + 1 WHERE id = ?1");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, before.id) | bind_text(statement, 2, account->name) |
                bind_text(statement, 3, account->parent);
    return store_statement_run(store, statement, bound);
}

static void change_committed(struct store *store, struct store_job *job) {
    struct account *account = &((struct account_job *)job)->account;
    const struct account *known = find(store, account->id);
    if (!known)
        return;
    memcpy(account->id, known->id, sizeof account->id);
    memcpy(account->key, known->key, sizeof account->key);
    account->created_at = known->created_at;
    account->revision = known->revision + 1;
    store_account_remember(store, account);
}

enum err store_account_change(struct store *store, struct account *account,
                              struct audit_record *record) {
    static const struct store_job_type type = {.run = change_run, .committed = change_committed};
    struct account_job change = {.job = {.type = &type, .bytes = sizeof change},
                                 .account = *account};
    store_job_record(&change.job, record);
    enum err result = store_run(store, &change.job);
    if (result == ERR_OK)
        *account = change.account;
    return result;
}

/* --- removing --------------------------------------------------------------------------------- */

static enum err run_by_key(struct store *store, enum store_statement which, const char *sql,
                           const char *key) {
    sqlite3_stmt *statement = store_statement(store, which, sql);
    return statement ? store_statement_run(store, statement, bind_text(statement, 1, key)) : ERR_IO;
}

static enum err remove_run(struct store *store, struct store_job *job) {
    struct account account;
    enum err result = look(store, &((const struct account_job *)job)->account, &account);
    if (result != ERR_OK)
        return result;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ACCOUNT_BUSY,
                        "SELECT 1 FROM accounts WHERE parent = ?1"
                        " UNION ALL SELECT 1 FROM clusters WHERE account = ?1"
                        " UNION ALL SELECT 1 FROM webhooks WHERE account = ?1 LIMIT 1");
    if (!statement)
        return ERR_IO;
    result = step(store, statement, bind_text(statement, 1, account.key));
    sqlite3_reset(statement);
    if (result != ERR_NOT_FOUND)
        return result == ERR_OK ? ERR_REFUSED : result;
    result = run_by_key(store, STATEMENT_ACCOUNT_TOKENS, "DELETE FROM tokens WHERE account = ?1",
                        account.key);
    if (result == ERR_OK)
        result = store_password_drop(store, account.key);
    if (result != ERR_OK)
        return result;
    return run_by_key(store, STATEMENT_ACCOUNT_REMOVE, "DELETE FROM accounts WHERE key = ?1",
                      account.key);
}

static void remove_committed(struct store *store, struct store_job *job) {
    pthread_rwlock_wrlock(&store->tokens_lock);
    struct account *account = find(store, ((const struct account_job *)job)->account.id);
    if (account) {
        for (size_t i = store->token_count; i-- > 0;)
            if (strcmp(store->tokens[i].account, account->key) == 0)
                store_token_forget(store, i);
        store_password_forget(store, account->key);
        size_t after = --store->account_count - (size_t)(account - store->accounts);
        memmove(account, account + 1, after * sizeof *account);
    }
    pthread_rwlock_unlock(&store->tokens_lock);
}

enum err store_account_remove(struct store *store, const char *id, int64_t revision,
                              struct audit_record *record) {
    static const struct store_job_type type = {.run = remove_run, .committed = remove_committed};
    struct account_job removal = {.job = {.type = &type, .bytes = sizeof removal},
                                  .account = {.revision = revision}};
    store_job_record(&removal.job, record);
    if (strlen(id) >= sizeof removal.account.id) {
        audit_records_free(record);
        return ERR_NOT_FOUND;
    }
    snprintf(removal.account.id, sizeof removal.account.id, "%s", id);
    return store_run(store, &removal.job);
}

/* --- asking ----------------------------------------------------------------------------------- */

bool store_account_find(struct store *store, const char *which, struct account *account) {
    pthread_rwlock_rdlock(&store->tokens_lock);
    const struct account *found = find(store, which);
    if (found)
        *account = *found;
    pthread_rwlock_unlock(&store->tokens_lock);
    return found != NULL;
}

bool store_account_controls(struct store *store, const char *above, const char *key) {
    if (strcmp(above, ACCOUNT_ROOT) == 0 || strcmp(above, key) == 0)
        return true;
    pthread_rwlock_rdlock(&store->tokens_lock);
    bool does = controls(store, above, key);
    pthread_rwlock_unlock(&store->tokens_lock);
    return does;
}

enum err store_account_list(struct store *store, struct account **accounts, size_t *count) {
    pthread_rwlock_rdlock(&store->tokens_lock);
    *count = store->account_count;
    *accounts = calloc(*count + 1, sizeof **accounts);
    if (*accounts)
        memcpy(*accounts, store->accounts, *count * sizeof **accounts);
    pthread_rwlock_unlock(&store->tokens_lock);
    if (*accounts)
        return ERR_OK;
    *count = 0;
    return ERR_MEMORY;
}

/* --- at open ---------------------------------------------------------------------------------- */

static bool column_take(sqlite3_stmt *statement, int column, char *to, size_t size) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(to, size, "%s", text ? text : "");
    return text && strlen(text) < size;
}

static enum err load(struct store *store) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_ACCOUNT_LOAD,
                        "SELECT id, key, name, parent, revision, created_at_ms FROM accounts"
                        " ORDER BY parent <> '', created_at_ms, id");
    if (!statement)
        return ERR_IO;
    enum err result;
    while ((result = step(store, statement, SQLITE_OK)) == ERR_OK) {
        if (store->account_count == ACCOUNTS_MAXIMUM)
            continue;
        struct account *account = &store->accounts[store->account_count];
        account->revision = sqlite3_column_int64(statement, 4);
        account->created_at.ms = sqlite3_column_int64(statement, 5);
        if (column_take(statement, 0, account->id, sizeof account->id) &&
            column_take(statement, 1, account->key, sizeof account->key) &&
            column_take(statement, 2, account->name, sizeof account->name) &&
            column_take(statement, 3, account->parent, sizeof account->parent))
            store->account_count++;
    }
    sqlite3_reset(statement);
    return result == ERR_NOT_FOUND ? ERR_OK : result;
}

/* The root, and accounts of tokens that were made before there was a table of accounts. */
static enum err provide_missing(struct store *store) {
    struct account account;
    enum err result = store_account_provide(store, ACCOUNT_ROOT, &account);
    store_account_remember(store, &account);
    for (size_t i = 0; i < store->token_count && result == ERR_OK; i++) {
        result = store_account_provide(store, store->tokens[i].account, &account);
        store_account_remember(store, &account);
    }
    return result;
}

enum err store_accounts_open(struct store *store) {
    store->accounts = calloc(ACCOUNTS_MAXIMUM, sizeof *store->accounts);
    if (!store->accounts)
        return ERR_MEMORY;
    enum err result = load(store);
    return result == ERR_OK ? provide_missing(store) : result;
}
