/* How many limits a second the store brings to the disk: one at a time, and with 16 waiting, beside
 * the disk's own fdatasync. Each is what a PUT of a constraint makes: its row and its row of the
 * audit log, in one transaction.
 *
 *   commits FOLDER MS ROUNDS     the folder is empty; MS: how long each of the three is measured
 *
 * Prints one line of JSON for each round: commits a second. */
#include <semaphore.h>

#include "base/report.h"
#include "bench.h"
#include "store/store.h"
#include "store/store_audit.h"
#include "sync_floor.h"

#define IDS       250 /* a device has no more constraints */
#define AT_A_TIME 16
#define CLUSTER   "0f8fad5b-d9cb-469f-a165-70867728950e"
#define DEVICE    "7c9e6679-7425-40de-944b-e07fc1f90ae7"

static sem_t done;
static int failures; /* the store's thread, while it is waited for */

static void on_done(void *context, enum err result) {
    (void)context;
    failures += result != ERR_OK;
    sem_post(&done);
}

static void submit(struct store *store, uint64_t number) {
    static char ids[IDS][ID_SIZE];
    struct audit_origin origin = {.by = AUDIT_BY_TOKEN,
                                  .id = "k3m5x7q2aaaa",
                                  .name = "bench",
                                  .account = "owner",
                                  .from = "127.0.0.1",
                                  .request_id = "00000000-00000000",
                                  .action = "PUT /v1/clusters/home/devices/wallbox/constraints",
                                  .status = 200};
    char *id = ids[number % IDS];
    if (!id[0])
        uuid_make(id);
    struct constraint constraint = {.wish = {.priority = 1000,
                                             .rank = number + 1,
                                             .has_max = true,
                                             .max = (int32_t)(number % 11000)},
                                    .valid_at = {INT64_C(1780272000000)},
                                    .invalid_at = {INT64_C(1780275600000)},
                                    .created_at = {INT64_C(1780272000000)},
                                    .created_by = "bench",
                                    .reason = "bench"};
    memcpy(constraint.id, id, ID_SIZE);
    struct audit_target target = {.kind = "constraint",
                                  .id = id,
                                  .name = "home/wallbox",
                                  .cluster_id = CLUSTER,
                                  .device_id = DEVICE,
                                  .owner = "owner"};
    struct audit_record *record = audit_record_new(
        &origin, AUDIT_CONSTRAINT, &target, NULL,
        "{\"priority\":1000,\"maxActivePower\":4200,\"validAt\":\"2026-06-01T00:00:00.000Z\","
        "\"invalidAt\":\"2026-06-01T01:00:00.000Z\",\"onConflict\":\"discard\","
        "\"reason\":\"bench\",\"createdBy\":\"bench\"}");
    struct constraint *copy = constraint_new(&constraint);
    if (!record || !copy)
        fail("no memory");
    struct store_change change = {
        .target_id = DEVICE, .puts = &copy, .put_count = 1, .records = record};
    if (store_change_constraints(store, &change, on_done, NULL) != ERR_OK)
        fail("the store does not take it");
    constraint_release(copy);
}

/* Commits a second with `waiting` of them under way at any time. */
static double commits(struct store *store, int waiting, int64_t ms, uint64_t *number) {
    int64_t begun_ns = clock_ns(CLOCK_MONOTONIC), end_ns = begun_ns + ms * 1000000;
    int64_t count = 0;
    for (int i = 0; i < waiting; i++)
        submit(store, (*number)++);
    while (clock_ns(CLOCK_MONOTONIC) < end_ns) {
        sem_wait(&done);
        count++;
        submit(store, (*number)++);
    }
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - begun_ns) / 1e9;
    for (int i = 0; i < waiting; i++)
        sem_wait(&done);
    if (failures)
        fail("a commit failed");
    return (double)count / seconds;
}

static double floor_rate(struct sync_floor *sync, int64_t ms) {
    int64_t begun_ns = clock_ns(CLOCK_MONOTONIC), end_ns = begun_ns + ms * 1000000;
    int64_t count = 0;
    for (; clock_ns(CLOCK_MONOTONIC) < end_ns; count++)
        if (sync_floor_once(sync) < 0)
            fail("the floor's file cannot be written");
    return (double)count / ((double)(clock_ns(CLOCK_MONOTONIC) - begun_ns) / 1e9);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: commits FOLDER MS ROUNDS\n");
        return 2;
    }
    int64_t ms = strtol(argv[2], NULL, 10);
    long rounds = strtol(argv[3], NULL, 10);
    char path[600];
    struct sync_floor sync;
    struct store *store;
    struct report report;
    uint64_t number = 0;
    report_init(&report);
    sem_init(&done, 0, 0);
    snprintf(path, sizeof path, "%s/floor", argv[1]);
    if (!sync_floor_open(&sync, path) || store_open(&store, argv[1], &report) != ERR_OK)
        fail("the folder cannot be used");
    commits(store, 1, ms / 4, &number); /* the files have their size */
    for (long i = 0; i < rounds; i++) {
        double floor_s = floor_rate(&sync, ms);
        double one = commits(store, 1, ms, &number);
        double many = commits(store, AT_A_TIME, ms, &number);
        printf("{\"floor\":%.1f,\"one\":%.1f,\"many\":%.1f}\n", floor_s, one, many);
        fflush(stdout);
    }
    store_close(store);
    report_free(&report);
    return 0;
}
