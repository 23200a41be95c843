/* What the engine tells those who watch (events.h): it turns what happens to devices, constraints,
 * scripts and the site into events whose data look as the API's resources do. Each call costs next
 * to nothing while nobody has ever watched. Engine thread. */
#ifndef DERD_ANNOUNCE_H
#define DERD_ANNOUNCE_H

#include "events/events.h"
#include "events/news.h"

struct engine;
struct device;

struct announced_decision { /* of a device or cluster: what was told of it. Zeroed: nothing */
    bool begun;             /* the constraints it began with are no news */
    char *text;             /* as told last; NULL: never */
};

struct announced { /* of one device */
    struct event_lane *lane;
    struct news *news;           /* NULL: none was told yet, nobody listened */
    struct device *next_waiting; /* whose news waits for its pause */
    bool listed;                 /* in that list */
    struct announced_decision decision;
};

struct alarms { /* of the host, as told last */
    bool store, clock, scripts;
};

struct subject { /* whom an event is about */
    struct engine *engine;
    const char *cluster_id, *cluster_key;
    const char *device_id; /* "": the cluster itself */
};

/* After it was published to its card. */
void announce_flexibility(struct device *device, const struct flexibility *flexibility);
/* A new decision in place of the one before: constraints that came, were replaced or began, then
 * the decision itself if it is another one. Proposals of policies come and go with each tick; they
 * are told by what they decide. */
void announce_decided(struct subject subject, struct announced_decision *told,
                      const struct decided *before, struct decided *after);
/* One that is gone: action "ended" or "removed". */
void announce_gone(struct subject subject, const char *action, const struct constraint *constraint);
/* The grid operator's box of the subject's cluster is missing, or is there again. */
void announce_operator(struct subject subject, bool raised, const char *detail);
/* It is out of reach, without a watchdog and with a bound in force; or no longer. */
void announce_unguarded(struct device *device, bool raised, const char *detail);
void announce_command(struct device *device);
/* "added", "removed", "connection" */
void announce_device(struct device *device, const char *action);
void announce_close(struct device *device); /* it goes: nothing of it waits any more */
/* Scripts whose listing is not as it was. `before` may be NULL. */
void announce_scripts(struct engine *engine, const struct directory *before,
                      const struct directory *after);
/* "applied", "mistakes" */
void announce_site(struct engine *engine, const char *action);
/* Every second: what waited for its pause, and alarms that were raised or cleared. */
void announce_second(struct engine *engine, struct now now);

#endif
