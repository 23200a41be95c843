/* Ids of server-sent events as Last-Event-ID brings them, lists of types, and where a reader stands
 * who begins behind such an id. */
#include "fuzz.h"

#include "events/event_filter.h"
#include "events/events.h"

#define BOOT 1795795519

static void check_number(uint64_t boot, uint64_t number) {
    struct event_id id = {boot, number}, again;
    char text[EVENT_ID_SIZE];
    event_id_format(id, text);
    must(strlen(text) < EVENT_ID_SIZE);
    must(event_id_parse(text, &again) && again.boot == boot && again.number == number);
}

static struct event *some_event(void) {
    struct event *event = event_new(EVENT_ALARM, "raised", (struct wall){1});
    must(event);
    event->data = strdup("{}");
    return event;
}

/* Behind an id of ours comes exactly what followed; behind any other one, the loss is told. */
static void check_reader(const struct event_id *after) {
    struct events *events = events_open(BOOT);
    struct event_reader first, reader;
    struct event *batch[EVENTS_BATCH];
    const char *lost = NULL;
    size_t count = 0;
    must(events && events_reader_open(events, &first, NULL, 0) == ERR_OK);
    for (int i = 0; i < 5; i++)
        events_publish(events, some_event());
    struct event_id newest = events_newest(events);
    must(events_reader_open(events, &reader, after, 0) == ERR_OK);
    enum events_result result = events_next(&reader, 0, batch, &count, &lost);
    bool ours = after->boot == newest.boot && after->number <= newest.number;
    if (result == EVENTS_SOME) {
        must(ours && count == newest.number - after->number);
        for (size_t i = 0; i < count; i++) {
            must(batch[i]->id.number == after->number + 1 + i);
            event_release(batch[i]);
        }
    } else if (result == EVENTS_NONE) {
        must(ours && after->number == newest.number);
    } else {
        must(result == EVENTS_LOST && lost);
    }
    events_reader_close(&reader);
    events_reader_close(&first);
    events_close(events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct event_id id;
    enum event_type type;
    char *text = text_copy(data, size);
    if (event_id_parse(text, &id)) {
        must(strspn(text, "0123456789-") == strlen(text));
        check_number(id.boot, id.number);
        check_reader(&id);
    }
    if (event_type_parse(text, strlen(text), &type))
        must(strcmp(event_type_name(type), text) == 0);
    free(text);
    uint64_t boot = feed_long(&feed);
    check_number(boot, feed_long(&feed));
    return 0;
}
