/* The store's queue and its thread.
 *
 * Everything that waits is taken at once and committed as one transaction: one fsync for all of
 * it. When that fails, each operation is tried once more alone, in order, so that one bad row does
 * not fail its neighbours. `done` is called in order after the whole batch. A read ends a batch and
 * runs alone, so it sees what was submitted before it and runs once only. */
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

#define QUEUE_MAXIMUM_BYTES ((size_t)32 << 20) /* so that long texts do not fill memory */

/* --- the queue ------------------------------------------------------------------------------- */

void *store_job_new(const struct store_job_type *type, size_t bytes, store_done *done,
                    void *context) {
    struct store_job *job = calloc(1, bytes);
    if (job) {
        job->type = type;
        job->bytes = bytes;
        job->done = done;
        job->context = context;
    }
    return job;
}

void store_job_record(struct store_job *job, struct audit_record *records) {
    if (!job) {
        audit_records_free(records);
        return;
    }
    job->records = records;
    for (; records; records = records->next)
        job->bytes += records->size;
}

static void job_free(struct store_job *job) {
    audit_records_free(job->records);
    job->records = NULL;
    if (!job->borrowed)
        free(job);
}

enum err store_submit(struct store *store, struct store_job *job) {
    enum err result = ERR_OK;
    pthread_mutex_lock(&store->lock);
    if (store->closing)
        result = ERR_CLOSED;
    else if (store->waiting >= STORE_QUEUE_MAXIMUM ||
             job->bytes > QUEUE_MAXIMUM_BYTES - store->waiting_bytes)
        result = ERR_FULL;
    if (result == ERR_OK) {
        *store->last = job;
        store->last = &job->next;
        store->waiting++;
        store->waiting_bytes += job->bytes;
    }
    pthread_mutex_unlock(&store->lock);
    if (result == ERR_OK) /* without the lock, which the thread takes at once */
        pthread_cond_signal(&store->wake);
    else
        job_free(job);
    return result;
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool finished;
    enum err result;
};

static void waiter_done(void *context, enum err result) {
    struct waiter *waiter = context;
    pthread_mutex_lock(&waiter->lock);
    waiter->result = result;
    waiter->finished = true;
    pthread_cond_signal(&waiter->wake);
    pthread_mutex_unlock(&waiter->lock);
}

enum err store_run(struct store *store, struct store_job *job) {
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    job->borrowed = true;
    job->done = waiter_done;
    job->context = &waiter;
    enum err result = store_submit(store, job);
    if (result == ERR_OK) {
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.finished)
            pthread_cond_wait(&waiter.wake, &waiter.lock);
        pthread_mutex_unlock(&waiter.lock);
        result = waiter.result;
    }
    pthread_cond_destroy(&waiter.wake);
    pthread_mutex_destroy(&waiter.lock);
    return result;
}

/* Waits for work. All writes up to the next read, or one read; NULL when the store closes and
 * nothing is left. */
static struct store_job *queue_take(struct store *store) {
    pthread_mutex_lock(&store->lock);
    while (!store->first && !store->closing)
        pthread_cond_wait(&store->wake, &store->lock);
    figure_set(&store->figures.waiting, store->waiting);
    struct store_job *first = store->first;
    struct store_job **end = &store->first;
    while (*end && (*end == first || !(first->type->reads || (*end)->type->reads))) {
        store->waiting--;
        store->waiting_bytes -= (*end)->bytes;
        end = &(*end)->next;
    }
    if (first) {
        store->first = *end;
        *end = NULL;
        if (!store->first)
            store->last = &store->first;
    }
    pthread_mutex_unlock(&store->lock);
    return first;
}

/* --- group commit ---------------------------------------------------------------------------- */

static enum err control_run(struct store *store, enum store_statement which, const char *sql) {
    sqlite3_stmt *statement = store_statement(store, which, sql);
    return statement ? store_statement_run(store, statement, SQLITE_OK) : ERR_IO;
}

static void transaction_abandon(struct store *store) {
    if (!store->db ||
        sqlite3_get_autocommit(store->db)) /* SQLite rolls back by itself on some errors */
        return;
    int fault = store->fault;
    char text[STORE_DETAIL_SIZE];
    snprintf(text, sizeof text, "%s", store->fault_text);
    if (control_run(store, STATEMENT_ROLLBACK, "ROLLBACK") != ERR_OK)
        log_error("store", "a transaction could not be rolled back: %s", store->fault_text);
    store->fault = fault;
    snprintf(store->fault_text, sizeof store->fault_text, "%s", text);
}

/* Jobs from `first` up to, not including, `end` in one transaction. False: nothing is written. */
static bool transaction_run(struct store *store, struct store_job *first,
                            const struct store_job *end) {
    transaction_abandon(store); /* one that could not be rolled back for want of memory */
    if (control_run(store, STATEMENT_BEGIN, "BEGIN IMMEDIATE") != ERR_OK) {
        figure_add(&store->figures.failures, 1);
        return false;
    }
    for (struct store_job *job = first; job != end; job = job->next) {
        job->result = job->type->run(store, job);
        if (job->result == ERR_OK && job->records)
            job->result = store_audit_write(store, job->records);
        if (job->result == ERR_IO) {
            figure_add(&store->figures.failures, 1);
            transaction_abandon(store);
            return false;
        }
    }
    int64_t begun_us = clock_mono_us();
    if (control_run(store, STATEMENT_COMMIT, "COMMIT") != ERR_OK) {
        figure_add(&store->figures.failures, 1);
        transaction_abandon(store);
        return false;
    }
    histogram_add(&store->figures.commit, clock_mono_us() - begun_us);
    figure_add(&store->figures.commits, 1);
    return true;
}

/* The row is at fault, not the disk: others can be written. */
static bool fault_of_row(int fault) {
    int code = fault & 0xff;
    return code == SQLITE_CONSTRAINT || code == SQLITE_TOOBIG || code == SQLITE_MISMATCH ||
           code == SQLITE_RANGE;
}

static void store_note(struct store *store, bool failing) {
    pthread_mutex_lock(&store->lock);
    bool changed = store->failing != failing;
    store->failing = failing;
    snprintf(store->why, sizeof store->why, "%s", failing ? store->fault_text : "");
    pthread_mutex_unlock(&store->lock);
    if (changed && failing)
        log_error("store", "writing fails: %s", store->fault_text);
    else if (changed)
        log_info("store", "writing works again");
}

/* Standing by: nothing is tried, since there is nothing to try. */
static void batch_refuse(struct store *store, struct store_job *first) {
    for (struct store_job *job = first; job; job = job->next)
        if (!store->damaged || !job->type->needed || !transaction_run(store, job, job->next))
            job->result = ERR_IO;
    if (!store->damaged) /* that was said at opening, for good */
        store_note(store, true);
}

static void batch_write(struct store *store, struct store_job *first) {
    store_file_resume(store);
    if (store->standby) {
        batch_refuse(store, first);
        return;
    }
    if (transaction_run(store, first, NULL)) {
        store_note(store, false);
        return;
    }
    /* The batch has waited for a lock already; its parts do not wait again, one by one. */
    sqlite3_busy_timeout(store->db, 0);
    for (struct store_job *job = first; job; job = job->next) {
        if (transaction_run(store, job, job->next)) {
            store_note(store, false);
            continue;
        }
        job->result = ERR_IO;
        if (fault_of_row(store->fault))
            log_error("store", "a row was refused: %s", store->fault_text);
        else
            store_note(store, true);
    }
    sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
}

/* Writing works again: what the disk has refused of the audit log follows. */
static void settle_owed(struct store *store) {
    if (!store->owed)
        return;
    bool done = control_run(store, STATEMENT_BEGIN, "BEGIN IMMEDIATE") == ERR_OK &&
                store_audit_write(store, store->owed) == ERR_OK &&
                control_run(store, STATEMENT_COMMIT, "COMMIT") == ERR_OK;
    if (!done)
        transaction_abandon(store);
    if (done || fault_of_row(store->fault)) {
        log_info("store", "%zu waiting rows of the audit log %s", store->owed_count,
                 done ? "are written" : "were refused");
        store_audit_forget_owed(store);
    }
}

/* What became of the records of a job that is done. */
static void end_records(struct store *store, struct audit_record *records, bool owes,
                        enum err result) {
    if (owes && result == ERR_IO && !fault_of_row(store->fault))
        store_audit_owe(store, records);
    else
        audit_records_free(records);
}

static void *store_work(void *context) {
    struct store *store = context;
    for (;;) {
        struct store_job *job = queue_take(store);
        if (!job)
            return NULL;
        if (job->type->reads)
            job->result = job->type->run(store, job);
        else
            batch_write(store, job);
        if (!store->failing)
            settle_owed(store);
        while (job) {
            struct store_job *next = job->next; /* a borrowed job is gone after `done` */
            bool borrowed = job->borrowed;
            end_records(store, job->records, job->type->owes, job->result);
            job->records = NULL;
            if (job->result == ERR_OK && job->type->committed)
                job->type->committed(store, job);
            if (job->done)
                job->done(job->context, job->result);
            if (!borrowed)
                free(job);
            job = next;
        }
    }
}

bool store_failing(struct store *store, char *why, size_t why_size) {
    pthread_mutex_lock(&store->lock);
    bool failing = store->failing;
    if (why_size)
        snprintf(why, why_size, "%s", store->why);
    pthread_mutex_unlock(&store->lock);
    return failing;
}

const struct store_figures *store_figures(const struct store *store) {
    return &store->figures;
}

bool store_damaged(const struct store *store) {
    return store->damaged;
}

uint64_t store_last_rank(struct store *store) {
    return atomic_load(&store->last_rank);
}

/* --- life ------------------------------------------------------------------------------------ */

static enum err thread_start(struct store *store, struct report *report) {
    /* Signals are for the threads that wait for them. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&store->thread, NULL, store_work, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        report_add(report, store->path, "no thread could be started to write it: %s",
                   strerror(error));
        return ERR_MEMORY;
    }
    store->threaded = true;
    return ERR_OK;
}

static enum err open_it(struct store **out, const char *directory, bool damaged_too,
                        struct report *report) {
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        report_add(report, directory, "there is no memory to open the store");
        return ERR_MEMORY;
    }
    store->lock_fd = -1;
    store->first_end_ms = INT64_MIN;
    store->last = &store->first;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->wake, NULL);
    pthread_rwlock_init(&store->tokens_lock, NULL);
    enum err result = store_file_open(store, directory, damaged_too, report);
    if (result == ERR_OK) {
        result = store_rank_open(store);
        if (result == ERR_OK)
            result = store_tokens_open(store);
        if (result == ERR_OK)
            result = store_accounts_open(store);
        if (result == ERR_OK && !store->standby)
            result = store_audit_bound(store, AUDIT_ROWS, AUDIT_BYTES);
        if (result == ERR_OK)
            result = store_passwords_open(store);
        if (result != ERR_OK)
            report_add(report, store->path, "it could not be read: %s",
                       result == ERR_MEMORY ? "no memory" : store->fault_text);
    }
    if (result == ERR_OK && store->damaged)
        log_error("store", "in %s: %s", directory, store->fault_text);
    else if (result == ERR_OK && store->standby)
        log_error("store",
                  "%s can only be read: %s. What it has is in force; nothing new is kept until it "
                  "can be written",
                  store->path, store->fault_text);
    if (result == ERR_OK && store->standby) {
        store->failing = true;
        snprintf(store->why, sizeof store->why, "%s", store->fault_text);
    }
    if (result == ERR_OK)
        result = thread_start(store, report);
    if (result == ERR_MEMORY && report_empty(report))
        report_add(report, directory, "there is no memory to open the store");
    if (result == ERR_OK)
        *out = store;
    else
        store_close(store);
    return result;
}

enum err store_open(struct store **store, const char *directory, struct report *report) {
    return open_it(store, directory, false, report);
}

enum err store_open_damaged_too(struct store **store, const char *directory,
                                struct report *report) {
    return open_it(store, directory, true, report);
}

void store_close(struct store *store) {
    if (!store)
        return;
    if (store->threaded) {
        store_tokens_flush(store);
        pthread_mutex_lock(&store->lock);
        store->closing = true;
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->thread, NULL);
    }
    if (store->owed)
        log_error("store", "%zu rows of the audit log are lost: they could not be written",
                  store->owed_count);
    store_audit_forget_owed(store);
    store_file_close(store);
    free(store->tokens);
    free(store->uses);
    free(store->accounts);
    free(store->passwords);
    pthread_rwlock_destroy(&store->tokens_lock);
    pthread_cond_destroy(&store->wake);
    pthread_mutex_destroy(&store->lock);
    free(store);
}
