/* The hub of events: ids, the ring and its ends, flexibilities, readers that sleep, lag and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "events/event_filter.h"
#include "events/events.h"
#include "events/news.h"

#define BOOT 1700000000

static void publish(struct events *events, enum event_type type, const char *device,
                    const char *data) {
    struct event *event = event_new(type, "changed", (struct wall){1});
    assert_non_null(event);
    snprintf(event->device_id, sizeof event->device_id, "%s", device);
    event->data = strdup(data);
    events_publish(events, event);
}

static void bump(struct event_lane *lane, const char *data) {
    struct event *event = event_new(EVENT_FLEXIBILITY, "changed", (struct wall){1});
    assert_non_null(event);
    event->data = strdup(data);
    events_lane_publish(lane, event);
}

/* What a reader gets now, as "number:data number:data"; "" when nothing is there. */
static const char *heard(struct event_reader *reader) {
    static char text[8192];
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost = NULL;
    text[0] = '\0';
    enum events_result result = events_next(reader, 0, batch, &count, &lost);
    for (size_t i = 0; i < count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d:%s", i ? " " : "",
                 (int)batch[i]->id.number, batch[i]->data);
        event_release(batch[i]);
    }
    if (result == EVENTS_LOST)
        return lost;
    return result == EVENTS_ENDED ? "ended" : text;
}

static void open_reader(struct events *events, struct event_reader *reader) {
    assert_int_equal(events_reader_open(events, reader, NULL, 0), ERR_OK);
}

static void open_after(struct events *events, struct event_reader *reader, uint64_t boot,
                       uint64_t number) {
    const struct event_id after = {boot, number};
    assert_int_equal(events_reader_open(events, reader, &after, 0), ERR_OK);
}

static void nothing_is_wanted_before_somebody_reads(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    assert_false(events_wanted(NULL));
    assert_false(events_wanted(events));
    open_reader(events, &reader);
    assert_true(events_wanted(events));
    events_reader_close(&reader);
    assert_true(events_wanted(events)); /* he may come back for what he missed */
    events_close(events);
}

static void a_reader_gets_what_comes_after_him_in_order_and_once(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader early, late;
    open_reader(events, &early);
    publish(events, EVENT_DECISION, "", "a");
    open_reader(events, &late);
    publish(events, EVENT_COMMAND, "", "b");
    assert_string_equal(heard(&early), "1:a 2:b");
    assert_string_equal(heard(&early), "");
    assert_string_equal(heard(&late), "2:b");
    events_reader_close(&early);
    events_reader_close(&late);
    events_close(events);
}

static void coming_back_gives_exactly_what_was_missed(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    open_reader(events, &reader);
    for (int i = 1; i <= 5; i++)
        publish(events, EVENT_DECISION, "", "x");
    events_reader_close(&reader);
    open_after(events, &reader, BOOT, 3);
    assert_string_equal(heard(&reader), "4:x 5:x");
    events_reader_close(&reader);
    open_after(events, &reader, BOOT, 5);
    assert_string_equal(heard(&reader), "");
    events_reader_close(&reader);
    events_close(events);
}

static void an_id_of_an_earlier_start_is_told_and_the_reader_goes_on(void **state) {
    (void)state;
    struct events *events = events_open(BOOT + 1);
    struct event_reader reader;
    open_after(events, &reader, BOOT, 3);
    assert_string_equal(heard(&reader), "restart");
    publish(events, EVENT_DECISION, "", "x");
    assert_string_equal(heard(&reader), "1:x");
    events_reader_close(&reader);
    events_close(events);
}

static void an_id_that_was_never_given_is_a_gap(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    open_after(events, &reader, BOOT, 3);
    assert_string_equal(heard(&reader), "gap");
    events_reader_close(&reader);
    events_close(events);
}

static void what_fell_out_of_the_ring_is_a_gap_and_the_edge_is_none(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader slow, first, edge;
    open_reader(events, &slow);
    for (int i = 0; i < EVENTS_RING; i++)
        publish(events, EVENT_DECISION, "", "x");
    open_after(events, &first, BOOT, 0);
    publish(events, EVENT_DECISION, "", "y"); /* number 1 falls out */
    assert_string_equal(heard(&slow), "gap");
    assert_string_equal(heard(&slow), ""); /* he stands at the end now */
    assert_string_equal(heard(&first), "gap");
    open_after(events, &edge, BOOT, 1);
    size_t got = 0;
    for (const char *text; (text = heard(&edge))[0];)
        for (got++; (text = strchr(text, ' ')); text++)
            got++;
    assert_int_equal(got, EVENTS_RING);
    events_reader_close(&slow);
    events_reader_close(&first);
    events_reader_close(&edge);
    events_close(events);
}

static void the_ring_is_bounded_in_bytes_too(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    size_t size = EVENTS_RING_BYTES / 4;
    char *large = malloc(size);
    assert_non_null(large);
    memset(large, 'x', size - 1);
    large[size - 1] = '\0';
    open_reader(events, &reader);
    for (int i = 0; i < 4; i++)
        publish(events, EVENT_SCRIPT, "", large); /* with its head the fourth is too much */
    events_reader_close(&reader);
    open_after(events, &reader, BOOT, 0);
    assert_string_equal(heard(&reader), "gap");
    events_reader_close(&reader);
    open_after(events, &reader, BOOT, 1);
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost;
    assert_int_equal(events_next(&reader, 0, batch, &count, &lost), EVENTS_SOME);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        event_release(batch[i]);
    events_reader_close(&reader);
    events_close(events);
    free(large);
}

static void of_each_device_only_the_newest_flexibility_is_kept(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader, away;
    struct event_lane *a = events_lane_open(events), *b = events_lane_open(events);
    open_reader(events, &reader);
    bump(a, "a1");
    assert_string_equal(heard(&reader), "1:a1");
    bump(a, "a2");
    bump(b, "b1");
    publish(events, EVENT_DECISION, "", "d");
    bump(a, "a3");
    assert_string_equal(heard(&reader), "3:b1 4:d 5:a3");
    open_after(events, &away, BOOT, 1); /* the same for who was away */
    assert_string_equal(heard(&away), "3:b1 4:d 5:a3");
    events_reader_close(&away);
    events_reader_close(&reader);
    events_lane_close(a);
    events_lane_close(b);
    events_close(events);
}

static void flexibilities_push_nothing_out_of_the_ring(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    struct event_lane *lane = events_lane_open(events);
    open_reader(events, &reader);
    publish(events, EVENT_DECISION, "", "d");
    for (int i = 0; i < 3 * EVENTS_RING; i++)
        bump(lane, "f");
    char last[32];
    snprintf(last, sizeof last, "1:d %d:f", 3 * EVENTS_RING + 1);
    assert_string_equal(heard(&reader), last);
    events_reader_close(&reader);
    events_lane_close(lane);
    events_close(events);
}

static void more_devices_than_a_batch_come_in_several_and_none_twice(void **state) {
    enum { DEVICES = 3 * EVENTS_BATCH + 7 };
    static struct event_lane *lanes[DEVICES];
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost;
    open_reader(events, &reader);
    for (int i = 0; i < DEVICES; i++) {
        lanes[i] = events_lane_open(events);
        bump(lanes[i], "f");
    }
    uint64_t expected = 1;
    while (events_next(&reader, 0, batch, &count, &lost) == EVENTS_SOME)
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(batch[i]->id.number, expected++);
            event_release(batch[i]);
        }
    assert_int_equal(expected, DEVICES + 1);
    events_reader_close(&reader);
    for (int i = 0; i < DEVICES; i++)
        events_lane_close(lanes[i]);
    events_close(events);
}

static void a_device_that_goes_takes_its_flexibility_with_it(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader;
    struct event_lane *a = events_lane_open(events), *b = events_lane_open(events),
                      *c = events_lane_open(events);
    open_reader(events, &reader);
    bump(a, "a");
    bump(b, "b");
    bump(c, "c");
    events_lane_close(b);
    assert_string_equal(heard(&reader), "1:a 3:c");
    events_lane_close(c);
    bump(a, "a2");
    assert_string_equal(heard(&reader), "4:a2");
    events_reader_close(&reader);
    events_lane_close(a);
    events_lane_close(NULL);
    events_close(events);
}

static void counted_readers_are_so_many_and_others_are_not_counted(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader one, two, three, other;
    assert_int_equal(events_reader_open(events, &one, NULL, 2), ERR_OK);
    assert_int_equal(events_reader_open(events, &two, NULL, 2), ERR_OK);
    assert_int_equal(events_reader_open(events, &three, NULL, 2), ERR_FULL);
    open_reader(events, &other);
    events_reader_close(&one);
    assert_int_equal(events_reader_open(events, &three, NULL, 2), ERR_OK);
    events_reader_close(&two);
    events_reader_close(&three);
    events_reader_close(&other);
    events_close(events);
}

static void the_end_comes_after_what_is_there_and_refuses_further_readers(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_reader reader, late;
    open_reader(events, &reader);
    publish(events, EVENT_DECISION, "", "last");
    events_end(events);
    assert_string_equal(heard(&reader), "1:last");
    assert_string_equal(heard(&reader), "ended");
    assert_int_equal(events_reader_open(events, &late, NULL, 0), ERR_CLOSED);
    events_reader_close(&reader);
    events_close(events);
}

/* --- threads --------------------------------------------------------------------------------- */

#define RACE_EVENTS  3000
#define RACE_READERS 4

struct racer {
    struct event_reader reader;
    pthread_t thread;
    uint64_t last;
    unsigned got;
    bool ordered, lost;
};

static void *race(void *context) {
    struct racer *racer = context;
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost;
    racer->ordered = true;
    for (;;) {
        enum events_result result = events_next(&racer->reader, 60000, batch, &count, &lost);
        for (size_t i = 0; i < count; i++) {
            racer->ordered = racer->ordered && batch[i]->id.number > racer->last;
            racer->last = batch[i]->id.number;
            racer->got += batch[i]->type == EVENT_DECISION;
            event_release(batch[i]);
        }
        racer->lost = racer->lost || result == EVENTS_LOST;
        if (result == EVENTS_ENDED)
            return NULL;
    }
}

static void sleeping_readers_wake_and_hear_all_or_are_told_of_the_gap(void **state) {
    (void)state;
    struct events *events = events_open(BOOT);
    struct event_lane *lane = events_lane_open(events);
    struct racer racers[RACE_READERS] = {0};
    for (int i = 0; i < RACE_READERS; i++) {
        open_reader(events, &racers[i].reader);
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACE_EVENTS; i++) {
        publish(events, EVENT_DECISION, "", "d");
        bump(lane, "f");
    }
    events_end(events);
    for (int i = 0; i < RACE_READERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_true(racers[i].ordered);
        assert_true(racers[i].lost || racers[i].got == RACE_EVENTS);
        events_reader_close(&racers[i].reader);
    }
    events_lane_close(lane);
    events_close(events);
}

/* --- words, filters -------------------------------------------------------------------------- */

static void ids_are_written_and_read_back_and_others_are_refused(void **state) {
    char text[EVENT_ID_SIZE];
    struct event_id id;
    (void)state;
    event_id_format((struct event_id){UINT64_MAX, UINT64_MAX}, text);
    assert_true(event_id_parse(text, &id));
    assert_true(id.boot == UINT64_MAX && id.number == UINT64_MAX);
    assert_true(event_id_parse("17-0", &id) && id.boot == 17 && id.number == 0);
    static const char *const wrong[] = {"",     "17",   "17-",  "-3",   "17-3x",
                                        " 1-1", "1--1", "1-1 ", "+1-1", "99999999999999999999-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(event_id_parse(wrong[i], &id));
}

static void types_have_names(void **state) {
    (void)state;
    for (int i = 0; i < EVENT_TYPE_COUNT; i++) {
        enum event_type type;
        const char *name = event_type_name((enum event_type)i);
        assert_true(event_type_parse(name, strlen(name), &type));
        assert_int_equal(type, i);
        assert_false(event_type_parse(name, strlen(name) - 1, &type));
    }
}

static void a_filter_passes_its_types_clusters_and_devices_alone(void **state) {
    (void)state;
    struct event event = {.type = EVENT_DECISION, .cluster_id = "home", .device_id = "wallbox"};
    struct event_filter filter = {.types = EVENT_TYPES_ALL};
    assert_true(event_filter_passes(&filter, &event));
    filter.types = 1U << EVENT_COMMAND;
    assert_false(event_filter_passes(&filter, &event));
    filter.types |= 1U << EVENT_DECISION;
    assert_true(event_filter_passes(&filter, &event));
    filter.cluster_count = filter.device_count = 1;
    strcpy(filter.clusters[0], "home");
    strcpy(filter.devices[0], "roof");
    assert_false(event_filter_passes(&filter, &event));
    filter.device_count = 2;
    strcpy(filter.devices[1], "wallbox");
    assert_true(event_filter_passes(&filter, &event));
    strcpy(event.cluster_id, "other");
    assert_false(event_filter_passes(&filter, &event));
    event = (struct event){.type = EVENT_DECISION}; /* of no cluster: not what was asked for */
    assert_false(event_filter_passes(&filter, &event));
    event.type = EVENT_RESET;
    assert_true(event_filter_passes(&filter, &event));
}

static void what_the_host_says_of_itself_is_told_apart(void **state) {
    (void)state;
    struct event event = {.type = EVENT_SITE};
    assert_true(event_of_host(&event));
    event.type = EVENT_ALARM;
    assert_true(event_of_host(&event));
    strcpy(event.cluster_id, "home"); /* a cluster's alarm is its owner's */
    assert_false(event_of_host(&event));
    event = (struct event){.type = EVENT_SCRIPT};
    assert_false(event_of_host(&event));
}

/* --- news ------------------------------------------------------------------------------------ */

static struct now at(int64_t ms) {
    return (struct now){.wall = {1000000 + ms}, .mono = {5000 + ms}, .trusted = true};
}

/* Measured now, good for 4 s. */
static struct flexibility measured(double power, struct now now) {
    struct flexibility flexibility = {.connection = CONNECTION_ONLINE};
    flexibility.values[POINT_ACTIVE_POWER] = power;
    flexibility.updated_ms[POINT_ACTIVE_POWER] = now.wall.ms;
    flexibility.updated_at = now.wall;
    flexibility.invalid_at.ms = now.wall.ms + 4000;
    return flexibility;
}

static bool look(struct news *news, double power, int64_t ms) {
    struct flexibility flexibility = measured(power, at(ms));
    bool tell = news_look(news, &flexibility, at(ms));
    if (tell)
        news_told(news, &flexibility, at(ms).mono);
    return tell;
}

static void the_first_and_each_change_after_a_pause_is_news(void **state) {
    struct news news = {0};
    (void)state;
    assert_true(look(&news, 100, 0));
    assert_false(look(&news, 100, 1000));
    assert_true(look(&news, 200, 1100));
    assert_true(look(&news, 300, 2100));
}

static void changes_within_a_second_wait_and_the_newest_wins(void **state) {
    struct news news = {0};
    (void)state;
    assert_true(look(&news, 100, 0));
    assert_false(look(&news, 200, 300));
    assert_false(look(&news, 300, 600));
    assert_true(news.waits);
    assert_false(news_due(&news, at(999).mono));
    assert_true(news_due(&news, at(1000).mono));
    struct flexibility newest = measured(300, at(600));
    news_told(&news, &newest, at(1000).mono);
    assert_false(news.waits);
    assert_false(look(&news, 300, 1500));
    assert_false(news.waits);
}

static void what_went_back_to_what_was_told_is_no_news(void **state) {
    struct news news = {0};
    (void)state;
    assert_true(look(&news, 100, 0));
    assert_false(look(&news, 200, 300));
    assert_false(look(&news, 100, 600));
    assert_false(news_due(&news, at(5000).mono));
}

static void an_unchanged_value_is_told_again_before_its_trust_ends(void **state) {
    struct news news = {0};
    (void)state;
    assert_true(look(&news, 100, 0));
    assert_false(look(&news, 100, 1900));
    assert_true(look(&news, 100, 2000)); /* half of 4 s */
    assert_false(look(&news, 100, 3900));
}

static void age_alone_is_no_news(void **state) {
    struct news news = {0};
    struct flexibility old = measured(100, at(0));
    (void)state;
    assert_true(news_look(&news, &old, at(0)));
    news_told(&news, &old, at(0).mono);
    assert_false(news_look(&news, &old, at(60000))); /* nothing came since: it has said so */
    assert_false(news.waits);
}

static void each_field_that_is_shown_is_news(void **state) {
    struct flexibility told = measured(100, at(0));
    struct flexibility changed[8];
    (void)state;
    for (size_t i = 0; i < 8; i++)
        changed[i] = told;
    changed[0].connection = CONNECTION_OFFLINE;
    ranges_add(&changed[1].allowed, 0, 5);
    changed[2].command = COMMAND_SENT;
    changed[3].following = FOLLOWING_ABOVE;
    changed[4].bound_min = -7;
    changed[5].bound_max = 7;
    changed[6].has_set_point = true;
    changed[7].command_since.ms = 9;
    for (size_t i = 0; i < 8; i++) {
        struct news news = {0};
        news_told(&news, &told, at(0).mono);
        assert_true(news_look(&news, &changed[i], at(1500)));
    }
    struct news news = {0};
    told.has_set_point = changed[6].has_set_point = true;
    changed[6].set_point = 5;
    news_told(&news, &told, at(0).mono);
    assert_true(news_look(&news, &changed[6], at(1500)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wanted_before_somebody_reads),
        cmocka_unit_test(a_reader_gets_what_comes_after_him_in_order_and_once),
        cmocka_unit_test(coming_back_gives_exactly_what_was_missed),
        cmocka_unit_test(an_id_of_an_earlier_start_is_told_and_the_reader_goes_on),
        cmocka_unit_test(an_id_that_was_never_given_is_a_gap),
        cmocka_unit_test(what_fell_out_of_the_ring_is_a_gap_and_the_edge_is_none),
        cmocka_unit_test(the_ring_is_bounded_in_bytes_too),
        cmocka_unit_test(of_each_device_only_the_newest_flexibility_is_kept),
        cmocka_unit_test(flexibilities_push_nothing_out_of_the_ring),
        cmocka_unit_test(more_devices_than_a_batch_come_in_several_and_none_twice),
        cmocka_unit_test(a_device_that_goes_takes_its_flexibility_with_it),
        cmocka_unit_test(counted_readers_are_so_many_and_others_are_not_counted),
        cmocka_unit_test(the_end_comes_after_what_is_there_and_refuses_further_readers),
        cmocka_unit_test(sleeping_readers_wake_and_hear_all_or_are_told_of_the_gap),
        cmocka_unit_test(ids_are_written_and_read_back_and_others_are_refused),
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(a_filter_passes_its_types_clusters_and_devices_alone),
        cmocka_unit_test(what_the_host_says_of_itself_is_told_apart),
        cmocka_unit_test(the_first_and_each_change_after_a_pause_is_news),
        cmocka_unit_test(changes_within_a_second_wait_and_the_newest_wins),
        cmocka_unit_test(what_went_back_to_what_was_told_is_no_news),
        cmocka_unit_test(an_unchanged_value_is_told_again_before_its_trust_ends),
        cmocka_unit_test(age_alone_is_no_news),
        cmocka_unit_test(each_field_that_is_shown_is_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
