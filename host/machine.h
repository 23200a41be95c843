/* A machine: what answers at one unit of one link, through one driver. It may be several devices
 * (parts) that share its reads and the order of its commands.
 *
 *   WAITING --link up--> ARRIVING --identity ok--> UP --no answer twice--> AWAY --back-off-->
 * ARRIVING ^                    |                                                |
 *      +---- link down -----+---- another make or serial number --> WRONG ---+
 *
 * Arriving is: walk the SunSpec chain (where the driver asks), read what is read once, compare the
 * identity, then send what is wanted, then poll. Nothing is written before the identity is known to
 * be right. Engine thread. */
#ifndef DERD_MACHINE_H
#define DERD_MACHINE_H

#include "base/wheel.h"
#include "block.h"
#include "engine.h"
#include "script/clients.h"
#include "script/hooks.h"
#include "script/probation.h"
#include "sunspec.h"

enum machine_state { MACHINE_WAITING, MACHINE_ARRIVING, MACHINE_UP, MACHINE_AWAY, MACHINE_WRONG };

#define MACHINE_AWAY_AFTER     2 /* failures in a row */
#define MACHINE_BACKOFF_MIN_MS 1000
#define MACHINE_BACKOFF_MAX_MS 30000

struct moment { /* on both clocks */
    struct wall wall;
    struct mono mono; /* ms 0: never */
};

struct poll_group { /* blocks of one period; freed at a later turn of the loop */
    struct machine *machine;
    int64_t period_ms;
    int64_t phase_ms; /* offset of its deadlines within the period: spreads the load */
    bool hook;        /* of hooks.read, which is called for it, instead of blocks */
    size_t block;     /* the one being read */
    bool busy;
    bool fresh;      /* of a hook: its values came with the arrival */
    unsigned faults; /* bits of enum fault, of its last poll */
    uint64_t polls, late;
    struct wheel *wheel;
    struct wheel_timer timer;
    struct transaction *transaction; /* NULL: none is under way */
};

/* What each poll looks at stands in front. */
struct machine {
    struct engine *engine;
    struct wire *wire;
    struct generation *generation; /* of its driver */
    int unit;
    enum machine_state state;
    struct device *parts[DRIVER_MAX_PARTS];
    int failures;
    bool heard;   /* it has answered since it began to arrive */
    bool settled; /* and is up: said once, and the back-off starts anew */
    bool planned;
    bool carry_due; /* a task of the generation before still runs: state goes over after it */
    struct block_plan plan;
    double *values; /* one per point of the driver, NAN unknown */
    struct moment *value_at;
    struct poll_group **groups;
    size_t group_count;
    struct history history; /* of its polls by this generation */
    unsigned faults;        /* bits of enum fault, since the last poll ended */
    unsigned faults_once;   /* of what was read when it arrived */
    struct task *task;      /* NULL: no hook of its driver waits */

    struct {                   /* the one command that is on its way */
        struct device *device; /* NULL: none */
        unsigned version;      /* of its wanted plan */
        int step;
        bool reading_back;
        bool busy;
        bool looks;                      /* waits for a round of hooks.read, to read back */
        int count;                       /* writes that hooks.write was given */
        struct transaction *transaction; /* NULL: none is under way */
    } runner;

    struct reading *reading;      /* NULL: its driver has no hooks.read */
    struct {                      /* one round of hooks.read over its parts */
        bool active;              /* it is under way, or waits for the task to be free */
        bool arriving;            /* of the arrival: everything is due */
        bool all;                 /* everything with a period is */
        bool again;               /* from the first part, once the call under way has ended */
        int part;                 /* the one that is next */
        int64_t heard_ms;         /* of the loop's clock: the last that the device brought about */
        struct poll_group *group; /* of the machine, NULL: nothing is polled so */
    } round;

    struct sunspec_walk *walk; /* NULL: its driver does not ask for one */
    size_t arrival_block;
    struct transaction *arrival; /* NULL: none is under way */
    int64_t backoff_ms;
    int64_t tried_ms;        /* of the loop's clock: it began to arrive last */
    char *why;               /* it is away, as logged last; NULL while it is up */
    struct clients *clients; /* NULL: none was needed yet */
    unsigned number;         /* of its kind: spreads the polls */
    struct machine *beside;  /* the next one on its wire */
    struct link_listener listener;
    struct machine *next;

    struct wheel *wheel;
    struct wheel_timer retry;
};

/* Finds the machine at (url, unit) or makes one. NULL: no memory. */
struct machine *machine_find(struct engine *engine, const char *url, int unit);
struct machine *machine_open(struct engine *engine, const char *url, int unit,
                             struct generation *generation);
/* Nobody may have the device's part yet. */
void machine_attach(struct machine *machine, struct device *device);
/* Closes the machine when it was the last device. */
void machine_detach(struct machine *machine, struct device *device);
/* A new generation of its driver, already checked against its devices' parameters; `places[i]` is
 * the index of part i in it. What is wanted of each device stays and is sent again. */
void machine_renew(struct machine *machine, struct generation *generation,
                   const int places[DRIVER_MAX_PARTS]);
const struct driver *machine_driver(const struct machine *machine);
/* Whether its driver's script is called may have changed: its devices show it. */
void machine_reconsider(struct machine *machine);
/* Something went wrong that a generation on probation is judged by. */
void machine_fault(struct machine *machine, enum fault fault, const char *text);
/* A poll has ended, well or with the faults since the last one. */
void machine_polled(struct machine *machine, unsigned faults);

/* A transaction has memory from its submission until machine_transact_end(), which its `done` calls
 * first and which also cancels it. *transaction NULL: none is under way. False: not submitted. */
bool machine_transact(struct machine *machine, struct transaction **transaction,
                      const struct transaction *what, enum link_class class);
void machine_transact_end(struct transaction **transaction);

/* For poll.c and command.c: an answer came, or did not. `why` NULL: as the result says. */
void machine_answered(struct machine *machine);
void machine_failed(struct machine *machine, enum err result, const char *why);
/* The same while it arrives: that is tried again, or the machine is away. */
void machine_arrival_failed(struct machine *machine, enum err result, const char *why);
/* All that is read on arrival is there. */
void machine_arrived(struct machine *machine);
/* For task.c: a task of the generation before has ended well, or at all. */
void machine_take_late(struct machine *machine, struct device *device);
void machine_moved_on(struct machine *machine);
/* Something has come from a device: one that was away is asked, at most once a
 * MACHINE_BACKOFF_MIN_MS; one that is up is read. */
void machine_heard(struct machine *machine);
/* True when the exception means that the unit is not there at all (gateway codes 10 and 11). */
bool modbus_unit_absent(uint8_t exception);

/* poll.c */
must_check enum err poll_plan(struct machine *machine); /* blocks and groups from parts and chain */
void poll_forget(struct machine *machine);              /* the opposite */
void poll_start(struct machine *machine);               /* first reads now, then by deadline */
void poll_stop(struct machine *machine);
/* Decodes one block's words into values and texts. */
void poll_take(struct machine *machine, const struct block *block, const uint16_t *words);
enum modbus_function poll_function(enum register_kind kind);
/* Wire address of a point, SunSpec models resolved; false when the device does not have it. */
bool poll_address(const struct machine *machine, int point, uint16_t *address);

/* poll.c: its last block is read, or its round of hooks.read is over. */
void poll_group_done(struct poll_group *group);
/* poll_hook.c */
bool poll_hook_used(const struct machine *machine, int64_t *period_ms); /* 0: only once */
/* Its script is not called, its registers can be read and written, and none of its identity comes
 * from hooks.read: it arrives without. */
bool poll_hook_dispensable(const struct machine *machine);
void poll_hook_begin(struct machine *machine, bool arriving, bool all);
/* The device has said something by itself: it is read now, if nothing is under way. */
void poll_hook_now(struct machine *machine);
void poll_hook_stop(struct machine *machine);
/* The task is free: what waits for it goes on, a command first. */
void poll_hook_turn(struct machine *machine);

/* command.c: starts the next wanted command if none is on its way. */
void command_run(struct machine *machine);
/* Any of its writes can be seen to have been taken. */
bool command_any_read_back(const struct machine *machine, const struct plan *plan);
void command_stop(struct machine *machine);
/* The round of hooks.read that a command waits for is over, or failed for this reason. */
void command_looked(struct machine *machine, enum err result, const char *why);

#endif
