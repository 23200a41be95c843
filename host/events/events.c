#include "events/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct event_lane { /* in a list by id, newest first, while it has an event */
    struct events *events;
    struct event_lane *newer, *older;
    struct event *event;
};

struct events {
    uint64_t boot;
    atomic_bool wanted;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    unsigned waiting; /* readers that sleep */
    unsigned counted; /* counted readers */
    bool ended;
    uint64_t number; /* of the newest event */
    uint64_t floor;  /* of the newest that fell out of the ring */
    struct event *ring[EVENTS_RING];
    size_t first, count; /* oldest, and how many */
    size_t bytes;
    struct event_lane *newest_lane;
};

/* --- words ----------------------------------------------------------------------------------- */

static const char *const type_names[EVENT_TYPE_COUNT] = {
    [EVENT_FLEXIBILITY] = "flexibility",
    [EVENT_CONSTRAINT] = "constraint",
    [EVENT_DECISION] = "decision",
    [EVENT_COMMAND] = "command",
    [EVENT_DEVICE] = "device",
    [EVENT_SCRIPT] = "script",
    [EVENT_SITE] = "site",
    [EVENT_ALARM] = "alarm",
    [EVENT_RESET] = "reset",
};

const char *event_type_name(enum event_type type) {
    return type_names[type];
}

bool event_type_parse(const char *name, size_t length, enum event_type *type) {
    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        if (strlen(type_names[i]) == length && strncmp(type_names[i], name, length) == 0) {
            *type = (enum event_type)i;
            return true;
        }
    return false;
}

void event_id_format(struct event_id id, char text[EVENT_ID_SIZE]) {
    snprintf(text, EVENT_ID_SIZE, "%" PRIu64 "-%" PRIu64, id.boot, id.number);
}

static bool number_parse(const char **text, uint64_t *number) {
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

bool event_id_parse(const char *text, struct event_id *id) {
    return number_parse(&text, &id->boot) && *text++ == '-' && number_parse(&text, &id->number) &&
           *text == '\0';
}

/* --- events ---------------------------------------------------------------------------------- */

struct event *event_new(enum event_type type, const char *action, struct wall at) {
    struct event *event = calloc(1, sizeof *event);
    if (event) {
        atomic_init(&event->references, 1);
        event->type = type;
        event->action = action;
        event->at = at;
    }
    return event;
}

struct event *event_hold(struct event *event) {
    atomic_fetch_add_explicit(&event->references, 1, memory_order_relaxed);
    return event;
}

void event_release(struct event *event) {
    if (!event || atomic_fetch_sub_explicit(&event->references, 1, memory_order_acq_rel) != 1)
        return;
    device_card_release(event->card);
    free(event->data);
    free(event);
}

static size_t event_bytes(const struct event *event) {
    return sizeof *event + (event->data ? strlen(event->data) + 1 : 0);
}

/* --- life ------------------------------------------------------------------------------------ */

struct events *events_open(uint64_t boot) {
    struct events *events = calloc(1, sizeof *events);
    pthread_condattr_t attributes;
    if (!events)
        return NULL;
    events->boot = boot;
    atomic_init(&events->wanted, false);
    pthread_mutex_init(&events->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&events->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return events;
}

void events_close(struct events *events) {
    if (!events)
        return;
    for (size_t i = 0; i < events->count; i++)
        event_release(events->ring[(events->first + i) % EVENTS_RING]);
    pthread_cond_destroy(&events->changed);
    pthread_mutex_destroy(&events->lock);
    free(events);
}

bool events_wanted(const struct events *events) {
    return events && atomic_load_explicit(&events->wanted, memory_order_relaxed);
}

void events_end(struct events *events) {
    pthread_mutex_lock(&events->lock);
    events->ended = true;
    pthread_cond_broadcast(&events->changed);
    pthread_mutex_unlock(&events->lock);
}

/* --- publishing ------------------------------------------------------------------------------ */

/* Under the lock. */
static void number_event(struct events *events, struct event *event) {
    event->id = (struct event_id){events->boot, ++events->number};
    if (events->waiting)
        pthread_cond_broadcast(&events->changed);
}

/* The oldest out of the ring; to be released outside the lock. */
static struct event *ring_drop(struct events *events) {
    struct event *event = events->ring[events->first];
    events->first = (events->first + 1) % EVENTS_RING;
    events->count--;
    events->bytes -= event_bytes(event);
    events->floor = event->id.number;
    return event;
}

void events_publish(struct events *events, struct event *event) {
    size_t bytes = event_bytes(event);
    for (bool placed = false; !placed;) {
        struct event *dropped = NULL;
        pthread_mutex_lock(&events->lock);
        placed = events->count == 0 ||
                 (events->count < EVENTS_RING && events->bytes + bytes <= EVENTS_RING_BYTES);
        if (placed) {
            number_event(events, event);
            events->ring[(events->first + events->count++) % EVENTS_RING] = event;
            events->bytes += bytes;
        } else {
            dropped = ring_drop(events);
        }
        pthread_mutex_unlock(&events->lock);
        event_release(dropped);
    }
}

struct event_lane *events_lane_open(struct events *events) {
    struct event_lane *lane = events ? calloc(1, sizeof *lane) : NULL;
    if (lane)
        lane->events = events;
    return lane;
}

/* Under the lock. */
static void lane_unlink(struct event_lane *lane) {
    if (!lane->event)
        return;
    if (lane->newer)
        lane->newer->older = lane->older;
    else
        lane->events->newest_lane = lane->older;
    if (lane->older)
        lane->older->newer = lane->newer;
}

void events_lane_publish(struct event_lane *lane, struct event *event) {
    struct events *events = lane->events;
    pthread_mutex_lock(&events->lock);
    lane_unlink(lane);
    struct event *before = lane->event;
    number_event(events, event);
    lane->event = event;
    lane->newer = NULL;
    lane->older = events->newest_lane;
    if (lane->older)
        lane->older->newer = lane;
    events->newest_lane = lane;
    pthread_mutex_unlock(&events->lock);
    event_release(before);
}

void events_lane_close(struct event_lane *lane) {
    if (!lane)
        return;
    pthread_mutex_lock(&lane->events->lock);
    lane_unlink(lane);
    pthread_mutex_unlock(&lane->events->lock);
    event_release(lane->event);
    free(lane);
}

/* --- reading --------------------------------------------------------------------------------- */

enum err events_reader_open(struct events *events, struct event_reader *reader,
                            const struct event_id *after, unsigned maximum) {
    enum err result = ERR_OK;
    *reader = (struct event_reader){.events = events, .counted = maximum > 0};
    pthread_mutex_lock(&events->lock);
    if (events->ended)
        result = ERR_CLOSED;
    else if (maximum > 0 && events->counted >= maximum)
        result = ERR_FULL;
    if (result == ERR_OK) {
        events->counted += reader->counted;
        reader->place = (struct event_id){events->boot, events->number};
        if (after && after->boot != events->boot)
            reader->lost = "restart";
        else if (after && after->number > events->number)
            reader->lost = "gap"; /* an id that was never given */
        else if (after)
            reader->place = *after;
        atomic_store_explicit(&events->wanted, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&events->lock);
    return result;
}

void events_reader_close(struct event_reader *reader) {
    pthread_mutex_lock(&reader->events->lock);
    reader->events->counted -= reader->counted;
    pthread_mutex_unlock(&reader->events->lock);
}

struct event_id events_newest(struct events *events) {
    pthread_mutex_lock(&events->lock);
    struct event_id id = {events->boot, events->number};
    pthread_mutex_unlock(&events->lock);
    return id;
}

/* The first event of the ring behind `number`, as an offset from the oldest. Ids increase. */
static size_t ring_after(const struct events *events, uint64_t number) {
    size_t low = 0;
    size_t high = events->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (events->ring[(events->first + middle) % EVENTS_RING]->id.number > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The oldest lane behind `number`. Costs as many steps as lanes changed since. */
static const struct event_lane *lane_after(const struct events *events, uint64_t number) {
    const struct event_lane *found = NULL;
    for (const struct event_lane *lane = events->newest_lane;
         lane && lane->event->id.number > number; lane = lane->older)
        found = lane;
    return found;
}

/* Ring and lanes as one run by id. Under the lock. */
static size_t take_batch(struct event_reader *reader, struct event *batch[EVENTS_BATCH]) {
    struct events *events = reader->events;
    size_t count = 0;
    size_t at = ring_after(events, reader->place.number);
    const struct event_lane *lane = lane_after(events, reader->place.number);
    while (count < EVENTS_BATCH && (at < events->count || lane)) {
        struct event *of_ring =
            at < events->count ? events->ring[(events->first + at) % EVENTS_RING] : NULL;
        struct event *event = of_ring;
        if (lane && (!of_ring || lane->event->id.number < of_ring->id.number)) {
            event = lane->event;
            lane = lane->newer;
        } else {
            at++;
        }
        batch[count++] = event_hold(event);
        reader->place.number = event->id.number;
    }
    if (at == events->count && !lane)
        reader->place.number = events->number;
    return count;
}

static struct timespec deadline_after(int wait_ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += wait_ms / 1000;
    at.tv_nsec += wait_ms % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

enum events_result events_next(struct event_reader *reader, int wait_ms,
                               struct event *batch[EVENTS_BATCH], size_t *count,
                               const char **lost) {
    struct events *events = reader->events;
    struct timespec deadline = deadline_after(wait_ms);
    enum events_result result = EVENTS_NONE;
    *count = 0;
    pthread_mutex_lock(&events->lock);
    bool in_time = wait_ms > 0;
    while (in_time && !reader->lost && reader->place.number == events->number && !events->ended) {
        events->waiting++;
        in_time = pthread_cond_timedwait(&events->changed, &events->lock, &deadline) != ETIMEDOUT;
        events->waiting--;
    }
    if (!reader->lost && reader->place.number < events->floor) {
        reader->lost = "gap";
        reader->place.number = events->number;
    }
    if (reader->lost) {
        *lost = reader->lost;
        reader->lost = NULL;
        result = EVENTS_LOST;
    } else if ((*count = take_batch(reader, batch)) > 0) {
        result = EVENTS_SOME;
    } else if (events->ended) {
        result = EVENTS_ENDED;
    }
    pthread_mutex_unlock(&events->lock);
    return result;
}
