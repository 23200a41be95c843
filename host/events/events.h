/* Events: what changed on the host, for those who watch it (event streams, webhooks). The engine
 * publishes, any thread reads; neither waits for the other beyond the moment that a list takes.
 *
 *   engine --publish--> ring of the newest events          \
 *          --lane-----> newest flexibility of each device   }--> readers, each at his own place
 *
 * Ids only increase, over restarts too: the number of the start, then the number of the event. The
 * ring is bounded in events and bytes; what falls out of it is lost to readers who are further
 * behind, and they are told so (EVENTS_LOST), never given a hole. Flexibilities do not pass through
 * the ring: of each device only the newest is kept, with the id at which it changed, so a reader
 * who was away gets each changed device once, and a thousand meters push nothing else out.
 *
 * Until somebody has read for the first time nothing is recorded: events_wanted() says so, and
 * spares the engine the work of describing what nobody can ask for. */
#ifndef DERD_EVENTS_H
#define DERD_EVENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "directory.h"

#define EVENTS_RING       1024 /* events that are kept for those who were away */
#define EVENTS_RING_BYTES ((size_t)4 << 20)
#define EVENTS_BATCH      128 /* most that a reader takes at once */
#define EVENT_ID_SIZE     44

enum event_type {
    EVENT_FLEXIBILITY,
    EVENT_CONSTRAINT,
    EVENT_DECISION,
    EVENT_COMMAND,
    EVENT_DEVICE,
    EVENT_SCRIPT,
    EVENT_SITE,
    EVENT_ALARM,
    EVENT_RESET, /* something may have been missed: read the resources again. Made for readers */
    EVENT_TYPE_COUNT
};

struct event_id {
    uint64_t boot;   /* of the host; never the same twice */
    uint64_t number; /* 0: before the first event */
};

struct event { /* immutable, counted by reference */
    atomic_uint references;
    struct event_id id;
    enum event_type type;
    const char *action; /* constant: what happened, e.g. "created" */
    struct wall at;
    char cluster_id[ID_SIZE], device_id[ID_SIZE]; /* "": of none */
    char account[KEY_SIZE];                       /* of the cluster when it happened; "": of none */
    struct device_card *card; /* of EVENT_FLEXIBILITY: where the newest is read; else NULL */
    char *data;               /* JSON, the changed resource; NULL with a card */
};

struct events;

/* `boot` must be larger than that of every start before. NULL: no memory. */
struct events *events_open(uint64_t boot);
/* When nobody publishes or reads any more. NULL is fine. */
void events_close(struct events *events);
/* Whether publishing has any use. Any thread; false for NULL. */
bool events_wanted(const struct events *events);

/* --- publishing: one thread, the engine's ------------------------------------------------------
 */

/* A new event with one reference, its strings empty, or NULL without memory. */
struct event *event_new(enum event_type type, const char *action, struct wall at);
struct event *event_hold(struct event *event);
void event_release(struct event *event); /* NULL is fine */

/* Gives it its id and takes the reference. */
void events_publish(struct events *events, struct event *event);

struct event_lane;                                          /* of one device */
struct event_lane *events_lane_open(struct events *events); /* NULL without memory, or events */
/* In place of the one before. Takes the reference. */
void events_lane_publish(struct event_lane *lane, struct event *event);
void events_lane_close(struct event_lane *lane); /* its event is forgotten. NULL is fine */

/* --- reading: each reader by one thread --------------------------------------------------------
 */

enum events_result {
    EVENTS_SOME,
    EVENTS_NONE, /* nothing came in time */
    EVENTS_LOST, /* some are gone; the reader stands behind the newest now */
    EVENTS_ENDED /* the host stops, and everything was read */
};

struct event_reader {
    struct events *events;
    struct event_id place; /* everything up to here was read */
    const char *lost;      /* "restart", "gap": to be told at the next turn; NULL: nothing */
    bool counted;
};

/* Begins behind `after`; NULL: with what comes from now on. `maximum` > 0: ERR_FULL when so many
 * counted readers are open; 0: this one is not counted. ERR_CLOSED: the host stops. */
must_check enum err events_reader_open(struct events *events, struct event_reader *reader,
                                       const struct event_id *after, unsigned maximum);
void events_reader_close(struct event_reader *reader);
/* Id of the newest event. Any thread. */
struct event_id events_newest(struct events *events);
/* Waits up to `wait_ms` for something, then up to EVENTS_BATCH events by increasing id, one
 * reference each for the caller. EVENTS_LOST: `*lost` says why ("restart": they were of an earlier
 * start of the host, "gap": more happened than is kept). */
enum events_result events_next(struct event_reader *reader, int wait_ms,
                               struct event *batch[EVENTS_BATCH], size_t *count, const char **lost);
/* Readers get EVENTS_ENDED once they have read what is there; further ones are refused. */
void events_end(struct events *events);

/* --- words --------------------------------------------------------------------------------------
 */

const char *event_type_name(enum event_type type);
bool event_type_parse(const char *name, size_t length, enum event_type *type);
/* "1795795519-42" */
void event_id_format(struct event_id id, char text[EVENT_ID_SIZE]);
bool event_id_parse(const char *text, struct event_id *id);

#endif
