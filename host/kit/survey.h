/* A survey of a live device: reads the points of a driver from one unit over a real link, on a loop
 * of its own, one request at a time. Nothing is ever written. For `derd probe` and `derd record`;
 * main thread, blocks. */
#ifndef DERD_KIT_SURVEY_H
#define DERD_KIT_SURVEY_H

#include <stdbool.h>
#include <uv.h>

#include "driver.h"
#include "kit/registers.h"
#include "link/link.h"
#include "sunspec.h"

struct surveyor { /* one link */
    uv_loop_t loop;
    struct link *link;
    struct link_listener listener;
    uv_timer_t patience;
    bool up, failed, done, expired;
    enum err result;
    struct modbus_answer answer;
    struct transaction transaction;
    char reason[160];
};

/* Connects. False with a sentence in surveyor->reason; close it in any case. */
bool surveyor_open(struct surveyor *surveyor, const char *url);
void surveyor_close(struct surveyor *surveyor);
/* One read. ERR_OK: surveyor->answer, whose exception may say no. */
must_check enum err surveyor_read(struct surveyor *surveyor, int unit, enum register_kind kind,
                                  uint16_t address, uint16_t count, int64_t timeout_ms);

struct survey {
    struct registers *registers; /* all that was read */
    struct sunspec_walk walk;
    int asked;     /* points that can be read */
    int answered;  /* ... that the device has */
    int plausible; /* ... whose value is possible, or known to be not available */
    int telling;   /* ... that are neither 0 nor empty nor not available */
    bool fingerprint_right;
    double *values; /* one for each point, NAN unknown */
    bool *read;     /* one for each point */
    char trouble[200];
};

enum survey_end {
    SURVEY_DONE,
    SURVEY_ABSENT, /* no answer, or the gateway says that there is no such unit */
    SURVEY_LOST    /* the connection went */
};

/* Reads what `driver` would read. `whole_models`: SunSpec models with all their registers. */
enum survey_end survey_take(struct survey *survey, struct surveyor *surveyor, int unit,
                            const struct driver *driver, bool whole_models);
void survey_free(struct survey *survey);
/* Where a point stands on this device; false: it does not have it. */
bool survey_address(const struct survey *survey, const struct point *point, uint16_t *address);

#endif
