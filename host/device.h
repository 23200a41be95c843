/* A device: one DER, a part of a machine. It holds what is known of it (quantities), what people
 * want of it (the book), what was decided, and how far the device has been told. Engine thread;
 * what others may see is published through its card. */
#ifndef DERD_DEVICE_H
#define DERD_DEVICE_H

#include "base/wheel.h"
#include "book.h"
#include "cluster/split.h"
#include "control.h"
#include "engine.h"
#include "events/announce.h"
#include "quantities.h"
#include "script/carry.h"
#include "telemetry/ruling.h"

struct command {
    enum command_state state;
    struct wall since;
    char *text; /* NULL: none */
    enum following following;
    struct plans { /* of one that was decided on; NULL before */
        struct plan wanted, sent;
        struct decision planned_for; /* what the plan in use (wanted or sent) was made from */
    } * plans;
    bool has_wanted;
    double planned_phases;
    bool planned_blind; /* the voltage was not known: the most that it may be was taken */
    unsigned version;   /* of `wanted` */
    bool due;           /* `wanted` waits for the runner, or is under way */
    bool verify;        /* the runner only reads back */
    bool refused;       /* `wanted` was, maybe in its middle; retry_at sends it again */
    bool differed;      /* it read back otherwise than `wanted` */
    bool rewrite;       /* `sent` is to be written once more, until that is done, whatever comes
                           between: a refresh, or it is not followed */
    bool reread;        /* or at least read back */
    bool diverged;     /* it was outside the bounds for longer than its lag, and not inside since */
    struct range held; /* W, all that it may do by what was written to it, lost links outlived */
    bool has_held;     /* else it is not known: nothing was confirmed since the host started */
    bool has_sent;     /* the last one written whole on this connection, and nothing else was
                          written since: the device has it */
    bool confirmed;    /* and read back */
    bool touched;      /* something was written on this connection */
    bool armed;        /* what it was told last ends by its own watchdog; lost links outlived */
    struct pace pace;
    struct mono wrote_at;      /* by hooks.write, refreshes aside: older values do not show it */
    struct mono sent_at;       /* of `sent`: first written whole, refreshes aside */
    struct mono outside_since; /* of the bounds; ms 0: inside */
    /* When to look again, INT64_MAX: no need. */
    struct mono raise_at; /* a raise waits for its pace, or the fallback for its grace */
    struct mono renew_at; /* the device's watchdog wants a refresh, or a read-back is due */
    struct mono retry_at; /* after a refusal, or once more for a device that does not follow */
    struct mono look_at;  /* written, and the point that shows it does not yet */
    struct mono look_end; /* of that: the device's lag after the write */
};

/* What each poll looks at stands in front, up to `parameters`. */
struct device {
    struct engine *engine;
    struct machine *machine;  /* NULL while its driver is missing or does not fit */
    struct site_device *site; /* its entry, one reference */
    struct device_card *card;
    struct quantities *known; /* published ones; NULL: no driver yet */
    int part;
    enum device_type type;
    enum connection connection;
    bool stale; /* activePower is past its trust */
    bool has_decision;
    bool anything_in_force;
    bool only_fallback; /* no constraint and no proposal */
    bool decided_once;
    bool unguarded;        /* see struct flexibility; an alarm */
    bool told_before;      /* this host, or the one before it, has written to it */
    double vehicle_phases; /* that it was seen to use since it was plugged in, NAN: not seen */
    double soc;
    int64_t recorded_ms; /* wall time of the last sample given to history */
    struct wheel *wheel;
    struct wheel_timer wake;
    struct book book;
    struct split_device *split_seen; /* as it was when last split; NULL: never */
    /* What history was told last; NULL: nothing. What each decision looks at is here. */
    struct ruling *last_ruling;
    bool ruled_in_force;              /* as `last_ruling` has it */
    enum command_state journal_state; /* how far it was told, as history was told last */
    struct wall journal_since;
    struct announced announced;
    char id[ID_SIZE];
    char cluster_id[ID_SIZE];
    struct share share; /* of its cluster's limits; not `limited`: all */
    struct command command;
    struct ranges physical;            /* what it can do, limits of its site and cluster aside */
    struct ranges own;                 /* without its share of its cluster's limits */
    struct ranges allowed;             /* own, within the share */
    json_t *hook_state;                /* NULL: nothing yet */
    const struct script *state_holder; /* whose waiting call has it; NULL: none */
    char *hook_problem;                /* of hooks.values as logged last, NULL when it went well */
    struct caller caller;              /* of its hooks */

    double parameters[DRIVER_MAX_PARAMETERS];
    struct decision decision;
    struct decision wanted; /* as decided without the share */
    bool wanted_set;        /* by a set point that somebody asked for */
    char *share_why;        /* of its share, in plain words; NULL: none */
    struct split_state split_state;
    struct range nameplate; /* all that it was seen to be able to do, kept in the store */
    bool has_nameplate;
    struct carried carried;
    struct caller write_caller;                     /* of hooks.write */
    char *read_problem;                             /* as hook_problem, of hooks.read */
    char *connection_text;                          /* NULL: none */
    char *identity[POINT_COUNT - POINT_TEXT_FIRST]; /* NULL: unknown */
    json_t *identity_seen;                          /* what was seen first here, NULL: nothing */
    char cluster_key[KEY_SIZE];
    struct device *next;
};

struct device *device_new(struct engine *engine, const struct site_device *site,
                          const struct site_cluster *cluster, const char *cluster_id,
                          const char *device_id);
struct subject device_subject(const struct device *device); /* of its events */
void device_renew_card(struct device *device); /* its driver is known now, or another one */
/* Another generation of its driver is in use: what that one does not know is unknown. */
void device_renewed(struct device *device);
/* It is in no list any more. Its machine lets go of it, and its constraints go to the engine's
 * stash; freed at a later loop turn. */
void device_close(struct device *device);
const struct driver_part *device_part(const struct device *device); /* NULL without a machine */
void device_forget_identity(struct device *device);
bool device_controllable(const struct device *device);
bool device_reachable(const struct device *device); /* online, also when quarantined */
bool device_has_soc(const struct device *device);

/* How long a value that is polled with this period can be trusted. */
int64_t device_trust_ms(int64_t period_ms, int64_t timeout_ms);
/* New values have come in (all points of the poll are decoded): first all parts of the machine take
 * theirs, then each decides. */
void device_take(struct device *device);
void device_sampled(struct device *device);
void device_connect(struct device *device, enum connection connection, const char *text);
/* Decides anew from what is in force now and tells the device what changed. */
void device_decide(struct device *device);
/* The same after its constraints changed: readers must see the new set in any case. */
void device_decide_changed(struct device *device);
/* Its share of its cluster's limits; decides anew and tells the device what changed. */
void device_take_share(struct device *device, const struct cluster_share *share);
void device_publish(struct device *device); /* flexibility */
/* It is about to be given new values: what holds them is fetched (base/warm.h). */
void device_warm(const struct device *device);

const struct quantity *device_known(const struct device *device, enum point_id id);
/* A quantity as control and ranges use it: its fresh value, else its parameter. */
double device_quantity(const struct device *device, enum point_id id);
/* Whether a value can still be trusted. */
bool device_fresh(const struct device *device, enum point_id id, struct mono now);
/* Phases in use, or those that the vehicle used since it was plugged in; NAN: not seen. */
double device_phases(const struct device *device);
void device_quantities(const struct device *device, double quantities[POINT_NUMBER_COUNT]);

/* share.c */
struct ranges share_within(const struct device *device); /* of `own`, what its share leaves */
void share_see_nameplate(struct device *device);         /* `own` is known anew */
void share_load_nameplate(struct device *device);        /* as the store has it */

/* told.c: how far the device has been told. */
void device_tell(struct device *device);  /* after a decision, and when its time comes */
void device_watch(struct device *device); /* after a sample: does it follow? */
void device_told(struct device *device, enum command_state state, const char *text);
void device_written(struct device *device, bool confirmed); /* the runner has finished */
/* The point that shows what was written does not yet. False when the device's lag is over. */
bool device_look_again(struct device *device);
bool device_awaits(const struct device *device); /* that point */
/* What the device has been told is unknown from now on (it went away, or its driver changed). */
void device_forget_told(struct device *device);
enum watchdog_state device_watchdog(const struct device *device);
struct mono device_tell_next(const struct device *device);

#endif
