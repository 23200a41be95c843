/* What history costs: samples taken in, buckets made, rows read back, bytes on disk.
 *
 *   build/history FOLDER [DEVICES [HOURS]]     default 4 devices, 24 hours of a sample each second
 *
 * The folder must be empty. The times of the samples are made up; nothing waits for a clock. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "telemetry/reader.h"
#include "telemetry/telemetry.h"

#define CLUSTER "0f8fad5b-d9cb-469f-a165-70867728950e"
#define START   INT64_C(1780272000000) /* 2026-06-01T00:00:00Z */
#define BATCH   5                      /* seconds of samples in a commit, as the host has them */

static double cpu_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* A three-phase meter: 18 quantities that move. */
static void fill(struct sample *sample, int64_t at_ms, int device) {
    double t = (double)(at_ms - START) / 1000 + device;
    *sample = (struct sample){.at_ms = at_ms, .hold_ms = 4000};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample->values[i] = NAN;
    for (int i = POINT_ACTIVE_POWER; i <= POINT_POWER_FACTOR; i++)
        sample->values[i] = 1000 * sin(t / 60 + i);
    sample->values[POINT_ENERGY_IMPORT] = t;
    sample->values[POINT_ENERGY_EXPORT] = t / 2;
    sample->values[POINT_TEMPERATURE] = 20;
    sample->values[POINT_STATE] = STATE_RUNNING;
}

static bool count_row(void *context, int64_t at_ms, const void *data, size_t length) {
    (void)at_ms;
    (void)data;
    *(size_t *)context += length;
    return true;
}

static void read_level(struct telemetry *telemetry, enum level level) {
    struct reader *reader;
    size_t bytes = 0;
    int64_t rows = 0;
    int count = 1000;
    double start = cpu_s();
    if (reader_open(&reader, telemetry) != ERR_OK)
        return;
    for (int64_t from = 0; count == 1000; rows += count) {
        if (reader_rows(reader, level, 1, from, INT64_MAX, 1000, count_row, &bytes, &count))
            break;
        from = level == LEVEL_RAW ? START + (rows + count) * 1000
                                  : START + (rows + count) * level_ms(level);
    }
    double spent = cpu_s() - start;
    printf("%-4s %8lld rows of a device, %4.0f bytes each, read in %.2f us each\n",
           level_name(level), (long long)rows, rows ? (double)bytes / (double)rows : 0,
           rows ? spent * 1e6 / (double)rows : 0);
    reader_close(reader);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: history FOLDER [DEVICES [HOURS]]\n");
        return 2;
    }
    int devices = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 4;
    int hours = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 24;
    struct clock clock;
    clock_init(&clock, (struct wall){0}, 0);
    const struct retention forever = {0};
    struct telemetry *telemetry;
    struct telemetry_settings settings = {
        .directory = argv[1], .clock = &clock, .retention = forever, .commit_ms = 3600000};
    if (telemetry_open(&telemetry, &settings) != ERR_OK)
        return 1;
    double start = cpu_s();
    int64_t samples = 0;
    struct sample sample;
    for (int64_t second = 0; second < hours * 3600LL; second += BATCH) {
        clock.shift_ms += START + second * 1000 - clock_now(&clock).wall.ms;
        for (int64_t i = 0; i < BATCH; i++)
            for (int device = 0; device < devices; device++) {
                struct origin origin = {.cluster_id = CLUSTER};
                snprintf(origin.device_id, sizeof origin.device_id, "7c9e6679-7425-40de-944b-%012d",
                         device);
                fill(&sample, START + (second + i) * 1000, device);
                telemetry_sample(telemetry, &origin, clock_now(&clock), &sample, 10000);
                samples++;
            }
        telemetry_settle(telemetry);
    }
    clock.shift_ms += 86400000;
    telemetry_settle(telemetry);
    double spent = cpu_s() - start;
    struct telemetry_status status;
    telemetry_status(telemetry, &status);
    printf(
        "%lld samples, %.2f us of CPU each with their buckets: %.2f %% of a core; %llu dropped\n",
        (long long)samples, spent * 1e6 / (double)samples, 100 * spent / (hours * 3600.0),
        (unsigned long long)status.dropped);
    for (int level = 0; level < LEVEL_COUNT; level++)
        read_level(telemetry, (enum level)level);
    telemetry_close(telemetry);
    char path[600];
    struct stat file;
    snprintf(path, sizeof path, "%s/telemetry.db", argv[1]);
    if (stat(path, &file) == 0)
        printf("%.1f MB on disk: %.0f bytes for each sample with its buckets\n",
               (double)file.st_size / 1e6, (double)file.st_size / (double)samples);
    return 0;
}
