/* Splits the limits of clusters over their devices: ARBITRATION section 8 in code. Pure: no clock,
 * no memory, no I/O; what it has to remember is an input and an output. Watts, import positive.
 *
 * The two directions are split apart, import and export, each in four quantities (the total and the
 * three phases, a current counting 230 V) and two scopes, at every level: that many budgets. A
 * device draws on those of its cluster and of all clusters above.
 *
 *   room of a budget  = the limit, less the uncontrolled load (scope connection), less what counts
 *                       whatever is decided: silent and stubborn devices, fixed minima
 *   who is served     = import: loads, then battery charging; export: PV, then discharging. Within
 *                       that the lower shareRank, within a rank in proportion to what each can use
 *   steps             = a device that cannot run below `least` gets that or nothing: first who runs
 *                       (and may stay), then the longest waiting, then the lesser id
 *   what is left over = is offered on the same terms to those who could use more than they want
 *   in transit        = a raise takes only what is left when every other device counts with the
 *                       most that it still holds by what it was told and has not confirmed to drop,
 *                       or that it still does
 *
 * Against export, before PV is curtailed: batteries, then loads rise as far as they may; PV is
 * released by what these are measured to take, not by what they were told.
 *
 * Uncontrolled load is what the meter shows less what the reachable devices are measured to do. The
 * measurements are of different moments, so a rise of it is taken at once and a fall only when it
 * has lasted for `window_ms`. In the scope `controllable` production makes no room for consumption:
 * what is allowed must hold when the sun goes. In `connection` it does, as far as it is measured.
 */
#ifndef DERD_SPLIT_H
#define DERD_SPLIT_H

#include "cluster/cluster_limits.h"
#include "vocabulary.h"

#define SPLIT_QUANTITIES 4 /* total, L1, L2, L3 */
#define SPLIT_MOMENTS    8 /* kept of the uncontrolled load, over the window */
#define SPLIT_VOLTAGE    230.0
#define SPLIT_REST_MS    60000  /* a device that lost its step stays off this long */
#define SPLIT_WARY_MS    300000 /* and needs some more than its step for that long */

enum split_meter { SPLIT_NO_METER, SPLIT_METER_STALE, SPLIT_METER_FRESH };

struct split_moment {                /* the uncontrolled load by one or several samples */
    int64_t at_ms;                   /* 0: none */
    double import[SPLIT_QUANTITIES]; /* W, most: beside the loads that are reached */
    double export[SPLIT_QUANTITIES]; /* W, least: beside the producers that are reached */
    double rest[SPLIT_QUANTITIES];   /* W, least: beside all that is reached */
};

struct split_level { /* a cluster; parents stand before their children */
    int parent;      /* index, -1: none */
    struct limit limits[SCOPE_COUNT];
    double declared; /* W, maxUncontrolledPower; NAN: not declared */
    enum split_meter meter;
    double metered[SPLIT_QUANTITIES]; /* W; NAN: unknown */
    int64_t sampled_ms;               /* monotonic, of `metered` */
    int64_t window_ms;                /* the longest that two measurements may be apart */

    struct split_moment moments[SPLIT_MOMENTS]; /* state, the newest first */
    struct limit limits_before[SCOPE_COUNT];    /* state */
    bool started;                               /* state */

    /* Out. Of the side: 0 import, 1 export; magnitudes in W. */
    bool by_meter[SPLIT_QUANTITIES];               /* else by declaration */
    bool blind[SPLIT_QUANTITIES];                  /* neither: nothing is left to give */
    double uncontrolled[2][SPLIT_QUANTITIES];      /* W, signed; as taken for that side */
    double over[2][SCOPE_COUNT][SPLIT_QUANTITIES]; /* cannot be reached by so much; 0: kept */
    double room[2][SCOPE_COUNT][SPLIT_QUANTITIES]; /* left; INFINITY: no limit */
};

enum split_reach {
    SPLIT_REACHED,
    SPLIT_SILENT,  /* does not answer: counts with what it may do by itself */
    SPLIT_STUBBORN /* answers, and does not do as told beyond its lag: counts as measured too */
};

enum split_reason {
    SPLIT_FREE,    /* no limit concerns it */
    SPLIT_ALL,     /* it has what it wants */
    SPLIT_PART,    /* there is less than it wants */
    SPLIT_NO_STEP, /* there is less than its least step */
    SPLIT_RESTS,   /* lost its step a short while ago */
    SPLIT_WAITS,   /* for others to confirm that they have gone down */
    SPLIT_RAISED,  /* against too much export */
    SPLIT_COUNTED, /* silent: counts with this */
    SPLIT_REASON_COUNT
};

struct split_side {    /* of one device in one direction, magnitudes in W */
    double want, cap;  /* would take; could take */
    double minimum;    /* cannot do less */
    double counted;    /* silent or stubborn: what it counts with, whatever it is given */
    double held;       /* the most that it may do by what it was told */
    double ideal_want; /* has of what it wants when all reductions are confirmed */
    double ideal;      /* the same with what is left over */
    double given;      /* has now */
    double base, goal; /* while filling */
    bool active, may_step, rises;
    enum split_reason why;
    int by; /* the budget that bound it, (level * SCOPE_COUNT + scope) * 4 + quantity; -1: none */
};

struct split_device {
    const char *id;
    enum device_type type; /* one that only tells takes no part */
    int level;
    int rank; /* shareRank */
    enum split_reach reach;
    struct ranges own;  /* what it can do without the share; empty: unknown */
    struct range wants; /* where it would be without the share: a set point, or its range */
    struct range may;   /* where it may be put when the limit needs it */
    int32_t least;      /* W, least import at which it can be told to run; 0: any */
    bool untold;        /* stubborn because it cannot be told: counts with its nameplate */
    double power;       /* W, measured; NAN: unknown */
    double phases[3];   /* W on the site's phases; NAN: unknown */
    double weight[3];   /* part of its power on each of the site's phases, at most */
    bool has_held;
    struct range held; /* by all that it was told and has not confirmed to have dropped */
    bool has_failsafe;
    struct range failsafe;
    struct range nameplate; /* +-POWER_UNBOUNDED: unknown */

    struct split_state {      /* in and out; all 0 at first */
        bool on;              /* runs on its step */
        double given[2];      /* when last split */
        bool risen;           /* against export */
        int64_t waiting_ms;   /* since when it wants its step and has it not; 0: it does not */
        int64_t shed_ms;      /* when it lost its step; 0: long ago */
        int64_t potential_ms; /* when last seen */
        int64_t free_ms;      /* since when PV is not held back by its limit; 0: it is */
        double potential;     /* W, magnitude: what PV could produce when last not curtailed */
    } state;

    /* Out. */
    bool limited;       /* by any limit of its levels */
    struct range share; /* W; +-POWER_UNBOUNDED: open on that side */
    double rise;        /* W, against export: it is to take at least this */
    struct split_side sides[2];
};

/* `again_ms`: when to ask again though nothing changed; INT64_MAX: no need. */
void split(struct split_level *levels, size_t level_count, struct split_device *devices,
           size_t device_count, int64_t now_ms, int64_t *again_ms);

#endif
