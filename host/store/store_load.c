/* All constraints of the file, at the start. They are handed to a function of SQL that is called
 * with the columns of each row: of millions of rows, to step to the next and to ask for each column
 * costs as much as SQLite's reading them. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

struct load_job {
    struct store_job job;
    store_constraint_row *row;
    void *row_context;
    int64_t first_end_ms;
};

/* Its arguments, in order. */
enum load_column {
    LOAD_ID,
    LOAD_DEVICE,
    LOAD_CLUSTER,
    LOAD_SCOPE,
    LOAD_PRIORITY,
    LOAD_RANK,
    LOAD_SET,
    LOAD_MIN,
    LOAD_MAX,
    LOAD_MIN_SOC,
    LOAD_MAX_SOC,
    LOAD_ON_CONFLICT,
    LOAD_EXCLUSIVE,
    LOAD_VALID_AT,
    LOAD_INVALID_AT,
    LOAD_VALID_FOR,
    LOAD_CREATED_AT,
    LOAD_CREATED_BY,
    LOAD_REASON,
    LOAD_CURRENT,
    LOAD_COLUMNS = LOAD_CURRENT + 3
};

#define LOAD_FUNCTION "derd_load_constraint"
#define LOAD_SQL                                                                                   \
    "SELECT " LOAD_FUNCTION "(id, device_id, cluster_id, scope, priority, rank, active_power,"     \
    " min_active_power, max_active_power, min_state_of_charge, max_state_of_charge, on_conflict,"  \
    " exclusive, valid_at_ms, invalid_at_ms, valid_for_ms, created_at_ms, created_by, reason,"     \
    " max_current_l1, max_current_l2, max_current_l3) FROM constraints"

static bool is_null(sqlite3_value *value) {
    return sqlite3_value_type(value) == SQLITE_NULL;
}

/* False: there is none, or it is longer than its field. */
static bool read_text(sqlite3_value *value, char *text, size_t size) {
    const char *read = (const char *)sqlite3_value_text(value);
    size_t length = (size_t)sqlite3_value_bytes(value);
    if (!read || length >= size)
        return false;
    memcpy(text, read, length + 1);
    return true;
}

static bool read_power(sqlite3_value *value, int32_t *power_w) {
    bool has = !is_null(value);
    *power_w = has ? sqlite3_value_int(value) : 0;
    return has;
}

static bool read_real(sqlite3_value *value, double *real) {
    bool has = !is_null(value);
    *real = has ? sqlite3_value_double(value) : (double)NAN;
    return has;
}

/* False: a scope that this program does not know. */
static bool row_read_cluster(sqlite3_value **values, struct constraint *constraint) {
    const char *scope = (const char *)sqlite3_value_text(values[LOAD_SCOPE]);
    for (int i = 0; i < 3; i++)
        if (read_real(values[LOAD_CURRENT + i], &constraint->max_current[i]))
            constraint->has_current = true;
    return !scope || scope_parse(scope, &constraint->scope);
}

static bool row_read(sqlite3_value **values, char target_id[ID_SIZE],
                     struct constraint *constraint) {
    struct wish *wish = &constraint->wish;
    memset(constraint, 0, sizeof *constraint);
    wish->priority = sqlite3_value_int(values[LOAD_PRIORITY]);
    wish->rank = (uint64_t)sqlite3_value_int64(values[LOAD_RANK]);
    wish->has_set = read_power(values[LOAD_SET], &wish->set);
    wish->has_min = read_power(values[LOAD_MIN], &wish->min);
    wish->has_max = read_power(values[LOAD_MAX], &wish->max);
    wish->has_min_soc = read_real(values[LOAD_MIN_SOC], &wish->min_soc);
    wish->has_max_soc = read_real(values[LOAD_MAX_SOC], &wish->max_soc);
    const char *on_conflict = (const char *)sqlite3_value_text(values[LOAD_ON_CONFLICT]);
    wish->on_conflict =
        on_conflict && strcmp(on_conflict, "clamp") == 0 ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD;
    wish->exclusive = sqlite3_value_int(values[LOAD_EXCLUSIVE]) != 0;
    constraint->valid_at.ms = sqlite3_value_int64(values[LOAD_VALID_AT]);
    constraint->invalid_at.ms = sqlite3_value_int64(values[LOAD_INVALID_AT]);
    constraint->valid_for_ms = sqlite3_value_int64(values[LOAD_VALID_FOR]);
    constraint->created_at.ms = sqlite3_value_int64(values[LOAD_CREATED_AT]);
    constraint->durable = true;
    sqlite3_value *target = values[is_null(values[LOAD_DEVICE]) ? LOAD_CLUSTER : LOAD_DEVICE];
    return read_text(values[LOAD_ID], constraint->id, sizeof constraint->id) &&
           read_text(target, target_id, ID_SIZE) && row_read_cluster(values, constraint) &&
           read_text(values[LOAD_CREATED_BY], constraint->created_by,
                     sizeof constraint->created_by) &&
           read_text(values[LOAD_REASON], constraint->reason, sizeof constraint->reason);
}

struct loading {
    struct store *store;
    struct load_job *load;
};

static void load_row(sqlite3_context *context, int count, sqlite3_value **values) {
    const struct loading *loading = sqlite3_user_data(context);
    struct load_job *load = loading->load;
    struct constraint constraint;
    char target_id[ID_SIZE];
    (void)count;
    int64_t end_ms = sqlite3_value_int64(values[LOAD_INVALID_AT]);
    if (end_ms < load->first_end_ms)
        load->first_end_ms = end_ms;
    store_rank_raise(loading->store, (uint64_t)sqlite3_value_int64(values[LOAD_RANK]));
    if (is_null(values[LOAD_DEVICE]) && is_null(values[LOAD_SCOPE]))
        return; /* of neither a device nor a cluster */
    if (row_read(values, target_id, &constraint))
        load->row(load->row_context, target_id, &constraint);
    else
        log_error(
            "store",
            "the constraint %s in the file has a text that is too long or unknown, it is left "
            "out",
            constraint.id);
}

static void load_end(sqlite3_context *context) {
    sqlite3_result_null(context);
}

/* The function is there while it is used; of the connection nothing is changed. */
static int load_all(struct store *store, struct loading *loading) {
    sqlite3_stmt *statement = NULL;
    int code = !store->db ? SQLITE_NOMEM
                          : sqlite3_create_function_v2(store->db, LOAD_FUNCTION, LOAD_COLUMNS,
                                                       SQLITE_UTF8 | SQLITE_DIRECTONLY, loading,
                                                       NULL, load_row, load_end, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(store->db, LOAD_SQL, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code != SQLITE_DONE)
        (void)store_fault(store);
    sqlite3_finalize(statement);
    if (store->db)
        sqlite3_create_function_v2(store->db, LOAD_FUNCTION, LOAD_COLUMNS, SQLITE_UTF8, NULL, NULL,
                                   NULL, NULL, NULL);
    return code;
}

static enum err load_run(struct store *store, struct store_job *job) {
    struct load_job *load = (struct load_job *)job;
    struct loading loading = {.store = store, .load = load};
    load->first_end_ms = INT64_MAX;
    if (load_all(store, &loading) == SQLITE_DONE) {
        store->first_end_ms = load->first_end_ms;
        return ERR_OK;
    }
    log_error("store", "the constraints could not be read: %s", store->fault_text);
    return ERR_IO;
}

enum err store_load_constraints(struct store *store, store_constraint_row *row, void *context) {
    static const struct store_job_type type = {.run = load_run, .reads = true};
    struct load_job load = {
        .job = {.type = &type, .bytes = sizeof load}, .row = row, .row_context = context};
    return store_run(store, &load.job);
}
