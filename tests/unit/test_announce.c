/* What the engine tells those who watch: constraints that came and went, decisions that are new,
 * alarms; and nothing while nobody ever listened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "cluster/cluster_limits.h"
#include "device.h"
#include "sheet.h"

#define ID_A "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define ID_B "7c9e6679-7425-40de-944b-e07fc1f90ae7"
#define ID_C "0f8fad5b-d9cb-469f-a165-70867728950e"

#define START_MS INT64_C(1795795200000)
#define SOON_MS  60000

struct desk { /* an engine that has nothing but events, and who listens to it */
    struct engine engine;
    struct event_reader reader;
    struct announced_decision told;
    struct subject subject;
    struct book book;
    struct now now;
    uint64_t rank;
};

static int desk_make(void **state) {
    struct desk *desk = calloc(1, sizeof *desk);
    clock_init(&desk->engine.clock, (struct wall){0}, 0);
    desk->engine.events = events_open(17);
    desk->subject = (struct subject){&desk->engine, "cluster", "home", "device"};
    desk->now = (struct now){.wall = {START_MS}, .mono = {1000}, .trusted = true};
    book_init(&desk->book);
    (void)book_advance(&desk->book, desk->now, NULL, NULL);
    *state = desk;
    return !desk->engine.events;
}

static int desk_free(void **state) {
    struct desk *desk = *state;
    free(desk->told.text);
    book_free(&desk->book);
    events_close(desk->engine.events);
    free(desk);
    return 0;
}

static void hark(struct desk *desk) {
    assert_int_equal(events_reader_open(desk->engine.events, &desk->reader, NULL, 0), ERR_OK);
}

/* "constraint created, decision changed": what came since. */
static const char *heard(struct desk *desk) {
    static char text[1000];
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost;
    text[0] = '\0';
    (void)events_next(&desk->reader, 0, batch, &count, &lost);
    for (size_t i = 0; i < count; i++) {
        json_t *data = json_loads(batch[i]->data, 0, NULL);
        assert_true(json_is_object(data));
        json_decref(data);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s", i ? ", " : "",
                 event_type_name(batch[i]->type), batch[i]->action);
        event_release(batch[i]);
    }
    return text;
}

static void put(struct desk *desk, const char *id, const char *policy_key, int32_t priority,
                int64_t valid_at_ms) {
    struct constraint constraint = {.valid_at = {valid_at_ms},
                                    .invalid_at = {START_MS + 3600000},
                                    .wish = {.rank = ++desk->rank, .priority = priority}};
    snprintf(constraint.id, sizeof constraint.id, "%s", id);
    snprintf(constraint.created_by, sizeof constraint.created_by, "token:ems");
    snprintf(constraint.policy_key, sizeof constraint.policy_key, "%s", policy_key);
    constraint.wish.has_max = true;
    constraint.wish.max = 5000;
    assert_int_equal(book_put(&desk->book, &constraint, desk->now), ERR_OK);
}

static void leave(struct desk *desk, const char *id) {
    struct constraint constraint;
    entry_read(book_find(&desk->book, id), &constraint);
    assert_int_equal(book_remove(&desk->book, id), ERR_OK);
    announce_gone(desk->subject, "ended", &constraint);
}

/* The book as it is, and the upper bound that was decided: what the engine publishes. */
static struct decided *decided_of(struct desk *desk, int32_t max) {
    (void)book_advance(&desk->book, desk->now, NULL, NULL);
    size_t count = desk->book.count;
    struct decided *decided = count ? decided_new_bare(count + 1) : decided_new(1);
    assert_non_null(decided);
    decided->at = desk->now;
    decided->allowed = ranges_of(0, 11000);
    decided->has_decision = true;
    decided->sheet = book_share(&desk->book);
    decided->decision = (struct decision){.set_by = BY_NOBODY,
                                          .min_by = BY_NOBODY,
                                          .max_by = count ? 0 : BY_NOBODY,
                                          .walked_min_by = BY_NOBODY,
                                          .walked_max_by = BY_NOBODY,
                                          .min = -POWER_UNBOUNDED,
                                          .max = max};
    return decided;
}

/* From what was to what is; `before` is given back, `after` becomes the next `before`. */
static struct decided *decide_from(struct desk *desk, struct decided *before,
                                   struct decided *after) {
    announce_decided(desk->subject, &desk->told, before, after);
    decided_release(before);
    return after;
}

static void nothing_is_described_before_somebody_listens(void **state) {
    struct desk *desk = *state;
    struct decided *now = decide_from(desk, decided_new(0), decided_of(desk, 7000));
    assert_null(desk->told.text);
    hark(desk);
    now = decide_from(desk, now, decided_of(desk, 7000));
    assert_string_equal(heard(desk), "decision changed"); /* the first that he can know of */
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void a_constraint_is_told_from_its_creation_to_its_end(void **state) {
    struct desk *desk = *state;
    hark(desk);
    struct decided *now = decide_from(desk, decided_new(0), decided_of(desk, 9000));
    assert_string_equal(heard(desk), "decision changed");
    put(desk, ID_A, "", 5, START_MS + SOON_MS);
    now = decide_from(desk, now, decided_of(desk, 9000));
    assert_string_equal(heard(desk), "constraint created, decision changed"); /* another winner */
    desk->now.wall.ms += SOON_MS;
    desk->now.mono.ms += SOON_MS;
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "constraint started, decision changed");
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "");
    put(desk, ID_A, "", 5, START_MS);
    now = decide_from(desk, now, decided_of(desk, 4000));
    assert_string_equal(heard(desk), "constraint replaced, decision changed");
    leave(desk, ID_A);
    now = decide_from(desk, now, decided_of(desk, 9000));
    assert_string_equal(heard(desk), "constraint ended, decision changed");
    decided_release(now);
    events_reader_close(&desk->reader);
}

/* The places of the others move with it. */
static void one_that_changes_its_place_is_told_alone(void **state) {
    struct desk *desk = *state;
    hark(desk);
    put(desk, ID_A, "", 1, START_MS);
    put(desk, ID_B, "", 2, START_MS);
    put(desk, ID_C, "", 3, START_MS);
    struct decided *now = decide_from(desk, decided_new(0), decided_of(desk, 5000));
    (void)heard(desk);
    put(desk, ID_A, "", 4, START_MS);
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "constraint replaced, decision changed");
    put(desk, ID_C, "", 0, START_MS);
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "constraint replaced");
    leave(desk, ID_B);
    put(desk, ID_B, "", 2, START_MS);
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "constraint ended, constraint replaced");
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void what_begins_when_a_device_can_be_decided_on_is_told(void **state) {
    struct desk *desk = *state;
    hark(desk);
    put(desk, ID_A, "", 1, START_MS);
    struct decided *unknown = decided_of(desk, 5000);
    unknown->has_decision = false;
    struct decided *now = decide_from(desk, decided_new(0), unknown);
    assert_string_equal(heard(desk), "");
    now = decide_from(desk, now, decided_of(desk, 5000));
    assert_string_equal(heard(desk), "constraint started, decision changed");
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void what_a_device_begins_with_is_no_news(void **state) {
    struct desk *desk = *state;
    hark(desk);
    put(desk, ID_A, "", 5, START_MS);
    struct decided *now = decide_from(desk, decided_new(0), decided_of(desk, 5000));
    assert_string_equal(heard(desk), "decision changed");
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void proposals_are_told_by_what_they_decide_alone(void **state) {
    struct desk *desk = *state;
    hark(desk);
    struct decided *now = decide_from(desk, decided_new(0), decided_of(desk, 9000));
    (void)heard(desk);
    put(desk, ID_B, "car", 5, START_MS);
    now = decide_from(desk, now, decided_of(desk, 4000));
    assert_string_equal(heard(desk), "decision changed");
    put(desk, ID_B, "car", 5, START_MS);
    now = decide_from(desk, now, decided_of(desk, 4000));
    assert_string_equal(heard(desk), "");
    leave(desk, ID_B);
    assert_string_equal(heard(desk), "");
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void a_meter_is_never_decided_on(void **state) {
    struct desk *desk = *state;
    hark(desk);
    struct decided *nothing = decided_of(desk, POWER_UNBOUNDED);
    nothing->has_decision = false;
    struct decided *now = decide_from(desk, decided_new(0), nothing);
    assert_string_equal(heard(desk), "");
    decided_release(now);
    events_reader_close(&desk->reader);
}

/* A cluster of many devices, whose shares follow each sample. */
static struct decided *cluster_of(size_t devices, int32_t max, int32_t share, const char *alarm) {
    struct decided *decided = decided_new_cluster(0, devices);
    assert_non_null(decided);
    decided->has_decision = true;
    for (int scope = 0; scope < SCOPE_COUNT; scope++)
        decided->cluster->limits[scope] = limit_none();
    decided->cluster->limits[SCOPE_CONNECTION].max = max;
    snprintf(decided->cluster->alarm, sizeof decided->cluster->alarm, "%s", alarm);
    for (size_t i = 0; i < devices; i++) {
        decided->cluster->shares[i].max = share;
        memset(decided->cluster->shares[i].why, 'x', sizeof decided->cluster->shares[i].why - 1);
    }
    return decided;
}

static void a_cluster_is_told_by_its_limits_and_not_by_each_share(void **state) {
    struct desk *desk = *state;
    desk->subject.device_id = "";
    hark(desk);
    struct decided *now = decide_from(desk, decided_new_cluster(0, 0), cluster_of(3, 9000, 1, ""));
    assert_string_equal(heard(desk), "decision changed");
    now = decide_from(desk, now, cluster_of(3, 9000, 2, ""));
    assert_string_equal(heard(desk), "");
    now = decide_from(desk, now, cluster_of(3, 8000, 2, ""));
    assert_string_equal(heard(desk), "decision changed");
    now = decide_from(desk, now, cluster_of(3, 8000, 2, "the others take too much"));
    assert_string_equal(heard(desk), "decision changed, alarm raised");
    now = decide_from(desk, now, cluster_of(3, 8000, 2, ""));
    assert_string_equal(heard(desk), "decision changed, alarm cleared");
    decided_release(now);
    events_reader_close(&desk->reader);
}

static void what_is_too_large_is_told_without_its_data(void **state) {
    struct desk *desk = *state;
    struct event *batch[EVENTS_BATCH];
    size_t count;
    const char *lost;
    desk->subject.device_id = "";
    hark(desk);
    struct decided *now =
        decide_from(desk, decided_new_cluster(0, 0), cluster_of(500, 9000, 1, ""));
    assert_int_equal(events_next(&desk->reader, 0, batch, &count, &lost), EVENTS_SOME);
    assert_int_equal(count, 1);
    assert_non_null(strstr(batch[0]->data, "read the resource"));
    event_release(batch[0]);
    decided_release(now);
    events_reader_close(&desk->reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_make, desk_free)
        TEST(nothing_is_described_before_somebody_listens),
        TEST(a_constraint_is_told_from_its_creation_to_its_end),
        TEST(one_that_changes_its_place_is_told_alone),
        TEST(what_begins_when_a_device_can_be_decided_on_is_told),
        TEST(what_a_device_begins_with_is_no_news),
        TEST(proposals_are_told_by_what_they_decide_alone),
        TEST(a_meter_is_never_decided_on),
        TEST(a_cluster_is_told_by_its_limits_and_not_by_each_share),
        TEST(what_is_too_large_is_told_without_its_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
