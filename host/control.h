/* From a decision to the registers of one device: which case holds, what is written, with what
 * rounding; and whether now is the time. Pure. ARBITRATION section 7: nothing here may leave what
 * was decided. */
#ifndef DERD_CONTROL_H
#define DERD_CONTROL_H

#include "arbiter.h"
#include "base/clock.h"
#include "driver.h"

struct site_limits { /* the permanent limits of the site file, NAN where there is none */
    double min_active_power, max_active_power; /* W */
    double max_current;                        /* A per phase */
};

bool site_limits_any(const struct site_limits *limits);

struct control_context {
    const struct driver *driver;
    int part;
    const double *values;     /* decoded values of all points, driver->point_count, NAN unknown */
    const double *parameters; /* driver->parameter_count */
    const double *quantities; /* POINT_NUMBER_COUNT: the device's own point, else its parameter */
    const struct ranges *allowed;
    const struct ranges *own;       /* without limits of site and cluster; NULL: `allowed` */
    const struct site_limits *site; /* NULL: none */
    bool anything_in_force;         /* a constraint, a proposal or a fallback has an opinion */
};

struct plan_write {
    int point;
    double value; /* in the point's unit, for people */
    uint16_t words[4];
    int count;
};

struct plan {
    enum control_case control_case;
    struct plan_write writes[CONTROL_MAX_WRITES];
    int write_count;
    bool unsupported; /* the driver has no way to do this */
    char reason[160]; /* of unsupported, in plain words */
    bool has_target;  /* the power the device was told to take, if it was told one */
    int32_t target_w; /* after rounding to what it can represent */
    struct range
        span; /* W, all that the device may do with it; filled in by who knows its ranges */
};

/* What is to be written for a decision. Amperes, percent and steps are rounded toward 0; limits
 * count every phase the device may use, set points those it uses; voltage is the measured one, 253
 * V where unknown; nothing representable inside: CONTROL_HOLD.
 *
 * A station that switches phases charges on one while what is wanted lies within the range of one
 * phase, else on all; limits and set points then count the phases that it is switched to. */
void control_plan(const struct control_context *context, const struct decision *decision,
                  struct plan *plan);
bool plan_equal(const struct plan *a, const struct plan *b);

/* Allowed ranges of a device (ARBITRATION section 5) from its quantities: rating, phases, currents.
 * `values`, `allowed` and `anything_in_force` of the context are not looked at. */
struct ranges control_allowed(const struct control_context *context);

/* The least power that it can be told to take, W: a station below it is held at 0. 0: any. The rest
 * as for control_allowed(). */
int32_t control_least(const struct control_context *context);

/* When may it be sent. Reductions and anything that leaves the new bounds go at once; raises
 * respect minimum interval, least change, ramp and the day's budget. */
struct pace {
    bool sent_before;
    bool has_target;
    int32_t target_w; /* last sent */
    struct mono sent_at;
    struct mono day_start;
    int32_t sent_today;
};
enum pace_verdict { PACE_NOW, PACE_LATER, PACE_PARTLY };
/* PACE_PARTLY: send *allowed_w now (a ramp's step), ask again at *again. PACE_LATER: ask again at
 * *again. */
enum pace_verdict pace_ask(const struct pace *pace, const struct control *control,
                           const struct decision *decision, const struct plan *plan,
                           struct mono now, int32_t *allowed_w, struct mono *again);
void pace_sent(struct pace *pace, const struct plan *plan, struct mono now);

#endif
