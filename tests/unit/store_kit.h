/* What the tests of the store share: a folder of their own, a store in it, a lock to wait at. */
#ifndef DERD_TESTS_STORE_KIT_H
#define DERD_TESTS_STORE_KIT_H

#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"
#include "token_kit.h"

struct folder {
    char path[100];
};

static inline int folder_make(void **state) {
    struct folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    snprintf(folder->path, sizeof folder->path, "/tmp/derd-store-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

static inline int folder_remove_one(const char *path, const struct stat *status, int flag,
                                    struct FTW *at) {
    (void)status;
    (void)flag;
    (void)at;
    return remove(path);
}

static inline int folder_remove(void **state) {
    struct folder *folder = *state;
    nftw(folder->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return 0;
}

static inline void folder_path(const struct folder *folder, const char *name, char path[128]) {
    snprintf(path, 128, "%s/%s", folder->path, name);
}

static inline struct store *store_opened(const struct folder *folder) {
    struct store *store;
    struct report report;
    report_init(&report);
    enum err result = store_open(&store, folder->path, &report);
    for (size_t i = 0; i < report.count; i++)
        print_error("%s: %s\n", report.items[i].where, report.items[i].text);
    assert_int_equal(result, ERR_OK);
    assert_true(report_empty(&report));
    report_free(&report);
    return store;
}

/* Opening must fail, with one mistake that holds `words`. */
static inline enum err store_refused(const char *directory, const char *words) {
    struct store *store;
    struct report report;
    report_init(&report);
    enum err result = store_open(&store, directory, &report);
    assert_null(store);
    assert_int_equal(report.total, 1);
    if (!strstr(report.items[0].text, words))
        fail_msg("\"%s\" is not in: %s", words, report.items[0].text);
    assert_int_equal(strncmp(report.items[0].where, directory, strlen(directory)), 0);
    report_free(&report);
    return result;
}

/* Results in the order in which they came. wait_for() sleeps until there are `count`. */
struct results {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t count;
    enum err items[8192];
};

static inline struct results *results_new(void) {
    struct results *results = calloc(1, sizeof *results);
    assert_non_null(results);
    pthread_mutex_init(&results->lock, NULL);
    pthread_cond_init(&results->wake, NULL);
    return results;
}

static inline void results_free(struct results *results) {
    pthread_cond_destroy(&results->wake);
    pthread_mutex_destroy(&results->lock);
    free(results);
}

static inline void results_add(void *context, enum err result) {
    struct results *results = context;
    pthread_mutex_lock(&results->lock);
    if (results->count < sizeof results->items / sizeof *results->items)
        results->items[results->count++] = result;
    pthread_cond_signal(&results->wake);
    pthread_mutex_unlock(&results->lock);
}

static inline void results_wait(struct results *results, size_t count) {
    pthread_mutex_lock(&results->lock);
    while (results->count < count)
        pthread_cond_wait(&results->wake, &results->lock);
    pthread_mutex_unlock(&results->lock);
}

/* A `done` that keeps the store's thread until gate_open(): what is submitted meanwhile waits
 * together. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool reached, opened;
};

static inline void gate_init(struct gate *gate) {
    *gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
}

static inline void gate_stop(void *context, enum err result) {
    struct gate *gate = context;
    (void)result;
    pthread_mutex_lock(&gate->lock);
    gate->reached = true;
    pthread_cond_broadcast(&gate->wake);
    while (!gate->opened)
        pthread_cond_wait(&gate->wake, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

/* Returns when the store's thread stands at the gate. */
static inline void gate_close(struct gate *gate, struct store *store) {
    gate_init(gate);
    assert_int_equal(store_put_text(store, "gate", "gate", "closed", gate_stop, gate), ERR_OK);
    pthread_mutex_lock(&gate->lock);
    while (!gate->reached)
        pthread_cond_wait(&gate->wake, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->opened = true;
    pthread_cond_broadcast(&gate->wake);
    pthread_mutex_unlock(&gate->lock);
}

#endif
