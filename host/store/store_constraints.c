/* Constraints in the store: one row each, keyed by id. What has no opinion is NULL, never 0.
 * A constraint is on a device or on a cluster: one of device_id and cluster_id is set, the latter
 * with a scope. The column account is NULL today. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

/* Longest time that a bound may outlast its end: while the clock cannot be trusted, what was in
 * force stays in force for 25 h. */
#define PRUNE_AFTER_MS (INT64_C(25) * 3600 * 1000)

/* --- put ------------------------------------------------------------------------------------- */

struct put_row {
    char id[ID_SIZE];
    struct wish wish;
    enum scope scope;
    double max_current[3]; /* NAN: no opinion */
    int64_t valid_at_ms, invalid_at_ms, valid_for_ms, created_at_ms;
    char created_by[CREATOR_SIZE];
    char reason[REASON_SIZE];
};

struct change_job {
    struct store_job job;
    char target_id[ID_SIZE];
    bool has_receipt;
    struct receipt receipt; /* its body: behind the rows, or NULL */
    char forget_owner[RECEIPT_OWNER_SIZE], forget_key[RECEIPT_KEY_SIZE]; /* "": none */
    size_t put_count, removal_count;
    char removals[STORE_CHANGE_MAXIMUM][ID_SIZE];
    struct put_row puts[];
};

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

/* Left out: NULL. */
static int bind_power(sqlite3_stmt *statement, int column, bool has, int32_t power_w) {
    return has ? sqlite3_bind_int(statement, column, power_w) : SQLITE_OK;
}

static int bind_soc(sqlite3_stmt *statement, int column, bool has, double soc) {
    return has ? sqlite3_bind_double(statement, column, soc) : SQLITE_OK;
}

static enum err row_put(struct store *store, const char *target_id, const struct put_row *put) {
    const struct wish *wish = &put->wish;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CONSTRAINT_PUT,
        "INSERT INTO constraints (id, device_id, priority, rank, active_power,"
        " min_active_power, max_active_power, min_state_of_charge, max_state_of_charge,"
        " on_conflict, exclusive, valid_at_ms, invalid_at_ms, valid_for_ms, created_at_ms,"
        " created_by, reason, cluster_id, scope, max_current_l1, max_current_l2, max_current_l3)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
        " ?18, ?19, ?20, ?21, ?22)"
        " ON CONFLICT (id) DO UPDATE SET account = NULL, device_id = excluded.device_id,"
        " priority = excluded.priority, rank = excluded.rank, active_power = excluded.active_power,"
        " min_active_power = excluded.min_active_power,"
        " max_active_power = excluded.max_active_power,"
        " min_state_of_charge = excluded.min_state_of_charge,"
        " max_state_of_charge = excluded.max_state_of_charge, on_conflict = excluded.on_conflict,"
        " exclusive = excluded.exclusive, valid_at_ms = excluded.valid_at_ms,"
        " invalid_at_ms = excluded.invalid_at_ms, valid_for_ms = excluded.valid_for_ms,"
        " created_at_ms = excluded.created_at_ms, created_by = excluded.created_by,"
        " reason = excluded.reason, cluster_id = excluded.cluster_id, scope = excluded.scope,"
        " max_current_l1 = excluded.max_current_l1, max_current_l2 = excluded.max_current_l2,"
        " max_current_l3 = excluded.max_current_l3");
    if (!statement)
        return ERR_IO;
    const char *on_conflict = wish->on_conflict == ON_CONFLICT_CLAMP ? "clamp" : "discard";
    int bound = bind_text(statement, 1, put->id);
    bool of_cluster = put->scope != SCOPE_NONE;
    bound |= bind_text(statement, of_cluster ? 18 : 2, target_id);
    if (of_cluster)
        bound |= bind_text(statement, 19, scope_name(put->scope));
    for (int i = 0; i < 3; i++)
        bound |= bind_soc(statement, 20 + i, !isnan(put->max_current[i]), put->max_current[i]);
    bound |= sqlite3_bind_int(statement, 3, wish->priority);
    bound |= sqlite3_bind_int64(statement, 4, (sqlite3_int64)wish->rank);
    bound |= bind_power(statement, 5, wish->has_set, wish->set);
    bound |= bind_power(statement, 6, wish->has_min, wish->min);
    bound |= bind_power(statement, 7, wish->has_max, wish->max);
    bound |= bind_soc(statement, 8, wish->has_min_soc, wish->min_soc);
    bound |= bind_soc(statement, 9, wish->has_max_soc, wish->max_soc);
    bound |= bind_text(statement, 10, on_conflict);
    bound |= sqlite3_bind_int(statement, 11, wish->exclusive);
    bound |= sqlite3_bind_int64(statement, 12, put->valid_at_ms);
    bound |= sqlite3_bind_int64(statement, 13, put->invalid_at_ms);
    bound |= sqlite3_bind_int64(statement, 14, put->valid_for_ms);
    bound |= sqlite3_bind_int64(statement, 15, put->created_at_ms);
    bound |= bind_text(statement, 16, put->created_by);
    bound |= bind_text(statement, 17, put->reason);
    if (put->invalid_at_ms < store->first_end_ms)
        store->first_end_ms = put->invalid_at_ms;
    return store_statement_run(store, statement, bound);
}

static enum err row_remove(struct store *store, const char *id) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_CONSTRAINT_REMOVE,
                                              "DELETE FROM constraints WHERE id = ?1");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement, bind_text(statement, 1, id));
}

/* The receipt first: when it says no, nothing has been written. */
static enum err change_run(struct store *store, struct store_job *job) {
    const struct change_job *change = (const struct change_job *)job;
    enum err result = change->has_receipt ? store_receipt_add(store, &change->receipt) : ERR_OK;
    for (size_t i = 0; i < change->removal_count && result == ERR_OK; i++)
        result = row_remove(store, change->removals[i]);
    for (size_t i = 0; i < change->put_count && result == ERR_OK; i++)
        result = row_put(store, change->target_id, &change->puts[i]);
    if (result == ERR_OK && change->forget_owner[0])
        result = store_receipt_forget(store, change->forget_owner, change->forget_key);
    return result;
}

void store_rank_raise(struct store *store, uint64_t rank) {
    uint64_t known = atomic_load(&store->last_rank);
    while (rank > known && !atomic_compare_exchange_weak(&store->last_rank, &known, rank)) {
    }
}

static enum err put_refused(const struct constraint *constraint) {
    const struct wish *wish = &constraint->wish;
    if (constraint->policy_key[0])
        return ERR_REFUSED;
    if (wish->rank > INT64_MAX || (wish->has_min_soc && !isfinite(wish->min_soc)) ||
        (wish->has_max_soc && !isfinite(wish->max_soc)))
        return ERR_RANGE;
    return ERR_OK;
}

static enum err change_refused(const struct store_change *change) {
    if (strlen(change->target_id) >= ID_SIZE || change->put_count > STORE_CHANGE_MAXIMUM ||
        change->removal_count > STORE_CHANGE_MAXIMUM)
        return ERR_RANGE;
    for (size_t i = 0; i < change->put_count; i++) {
        enum err refused = put_refused(change->puts[i]);
        if (refused != ERR_OK)
            return refused;
    }
    return ERR_OK;
}

/* Field by field: the reference count beside them moves in other threads. */
static void put_copy(struct put_row *put, const struct constraint *constraint) {
    memcpy(put->id, constraint->id, sizeof put->id);
    put->wish = constraint->wish;
    put->scope = constraint->scope;
    for (int i = 0; i < 3; i++)
        put->max_current[i] = constraint->has_current ? constraint->max_current[i] : (double)NAN;
    put->valid_at_ms = constraint->valid_at.ms;
    put->invalid_at_ms = constraint->invalid_at.ms;
    put->valid_for_ms = constraint->valid_for_ms;
    put->created_at_ms = constraint->created_at.ms;
    memcpy(put->created_by, constraint->created_by, sizeof put->created_by);
    memcpy(put->reason, constraint->reason, sizeof put->reason);
}

enum err store_change_constraints(struct store *store, const struct store_change *change,
                                  store_done *done, void *context) {
    static const struct store_job_type type = {.run = change_run};
    uint64_t rank = 0;
    enum err refused = change_refused(change);
    if (refused != ERR_OK) {
        audit_records_free(change->records);
        return refused;
    }
    const char *body = change->receipt ? change->receipt->body : NULL;
    size_t body_size = body && strlen(body) <= RECEIPT_BODY_MAXIMUM ? strlen(body) + 1 : 0;
    size_t rows_end = sizeof(struct change_job) + change->put_count * sizeof(struct put_row);
    size_t bytes = rows_end + body_size;
    struct change_job *job = store_job_new(&type, bytes, done, context);
    store_job_record(job ? &job->job : NULL, change->records);
    if (!job)
        return ERR_MEMORY;
    memcpy(job->target_id, change->target_id, strlen(change->target_id));
    job->has_receipt = change->receipt != NULL;
    if (job->has_receipt) {
        job->receipt = *change->receipt;
        job->receipt.body = body_size ? memcpy((char *)job + rows_end, body, body_size) : NULL;
    }
    if (change->forget) {
        memcpy(job->forget_owner, change->forget->owner, sizeof job->forget_owner);
        memcpy(job->forget_key, change->forget->key, sizeof job->forget_key);
    }
    job->removal_count = change->removal_count;
    if (change->removal_count)
        memcpy(job->removals, change->removals, change->removal_count * ID_SIZE);
    job->put_count = change->put_count;
    for (size_t i = 0; i < change->put_count; i++) {
        put_copy(&job->puts[i], change->puts[i]);
        if (change->puts[i]->wish.rank > rank)
            rank = change->puts[i]->wish.rank;
    }
    enum err result = store_submit(store, &job->job);
    if (result == ERR_OK)
        store_rank_raise(store, rank);
    return result;
}

enum err store_put_constraint(struct store *store, const char *target_id,
                              const struct constraint *constraint, store_done *done,
                              void *context) {
    struct constraint *copy = constraint_new(constraint);
    if (!copy)
        return ERR_MEMORY;
    enum err result = store_change_constraints(
        store, &(struct store_change){.target_id = target_id, .puts = &copy, .put_count = 1}, done,
        context);
    constraint_release(copy);
    return result;
}

/* --- remove, prune --------------------------------------------------------------------------- */

struct remove_job {
    struct store_job job;
    char id[ID_SIZE];
};

static enum err remove_run(struct store *store, struct store_job *job) {
    return row_remove(store, ((const struct remove_job *)job)->id);
}

enum err store_remove_constraint(struct store *store, const char *constraint_id, store_done *done,
                                 void *context) {
    static const struct store_job_type type = {.run = remove_run};
    size_t length = strlen(constraint_id);
    if (length >= ID_SIZE)
        return ERR_RANGE;
    struct remove_job *removal = store_job_new(&type, sizeof *removal, done, context);
    if (!removal)
        return ERR_MEMORY;
    memcpy(removal->id, constraint_id, length);
    return store_submit(store, &removal->job);
}

struct prune_job {
    struct store_job job;
    int64_t before_ms;
    struct mono now;
    char boot[CLOCK_BOOT_SIZE];
};

static enum err prune_run(struct store *store, struct store_job *job) {
    const struct prune_job *prune = (const struct prune_job *)job;
    if (store->first_end_ms >= prune->before_ms)
        return ERR_OK; /* no index finds them: each row would be looked at */
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CONSTRAINT_PRUNE,
        "DELETE FROM constraints WHERE invalid_at_ms < ?1 AND NOT EXISTS ("
        "  SELECT 1 FROM texts, json_each(texts.value, '$.ends') AS end"
        "  WHERE texts.kind = 'ends'"
        "    AND texts.key = coalesce(constraints.device_id, constraints.cluster_id)"
        "    AND json_valid(texts.value) AND json_extract(texts.value, '$.boot') = ?2"
        "    AND end.key = constraints.id AND json_extract(end.value, '$[0]') > ?3)");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement,
                               sqlite3_bind_int64(statement, 1, prune->before_ms) |
                                   sqlite3_bind_text(statement, 2, prune->boot, -1, SQLITE_STATIC) |
                                   sqlite3_bind_int64(statement, 3, prune->now.ms));
}

enum err store_prune_constraints(struct store *store, struct now now, const char *boot,
                                 store_done *done, void *context) {
    static const struct store_job_type type = {.run = prune_run};
    if (!now.trusted)
        return ERR_REFUSED;
    struct prune_job *prune = store_job_new(&type, sizeof *prune, done, context);
    if (!prune)
        return ERR_MEMORY;
    prune->before_ms = now.wall.ms - PRUNE_AFTER_MS;
    prune->now = now.mono;
    snprintf(prune->boot, sizeof prune->boot, "%s", boot);
    return store_submit(store, &prune->job);
}

enum err store_rank_open(struct store *store) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_RANK_GET,
                        "SELECT ifnull((SELECT value FROM counters WHERE name = 'rank'), 0)");
    if (!statement)
        return ERR_IO;
    if (sqlite3_step(statement) != SQLITE_ROW) {
        enum err result = store_fault(store);
        sqlite3_reset(statement);
        return result;
    }
    atomic_store(&store->last_rank, (uint64_t)sqlite3_column_int64(statement, 0));
    sqlite3_reset(statement);
    return ERR_OK;
}
