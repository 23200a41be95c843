#include "events/announce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/present.h"
#include "base/json_read.h"
#include "device.h"
#include "sheet.h"
#include "words.h"

#define DATA_MAXIMUM ((size_t)64 << 10)

static struct wall wall_now(const struct engine *engine) {
    return clock_now(&engine->clock).wall;
}

/* A text of the data, or NULL. */
static char *data_take(struct buf *out) {
    char *data = buf_take(out);
    buf_free(out);
    return data;
}

static void put_account(struct subject subject, struct event *event) {
    const struct site *site = subject.engine->site;
    for (size_t i = 0; site && i < site->cluster_count; i++)
        if (strcmp(site->clusters[i].key, subject.cluster_key) == 0)
            memcpy(event->account, site->clusters[i].account, sizeof event->account);
}

static struct event *event_of(struct subject subject, enum event_type type, const char *action) {
    struct event *event = event_new(type, action, wall_now(subject.engine));
    if (event) {
        snprintf(event->cluster_id, sizeof event->cluster_id, "%s", subject.cluster_id);
        snprintf(event->device_id, sizeof event->device_id, "%s", subject.device_id);
        put_account(subject, event);
    }
    return event;
}

/* What is too large for an event, or finds no memory, is told without its data: who hears it reads
 * the resource. */
static void publish(struct engine *engine, struct event *event, char *data) {
    if (event)
        event->data =
            data ? data : strdup("{\"detail\":\"too large for an event: read the resource\"}");
    else
        free(data);
    if (event && event->data)
        events_publish(engine->events, event);
    else
        event_release(event);
}

static void publish_of(struct subject subject, enum event_type type, const char *action,
                       char *data) {
    publish(subject.engine, event_of(subject, type, action), data);
}

/* --- flexibility ----------------------------------------------------------------------------- */

static void tell_flexibility(struct device *device, const struct flexibility *flexibility,
                             struct mono now) {
    struct announced *announced = &device->announced;
    struct event *event = event_of(device_subject(device), EVENT_FLEXIBILITY, "changed");
    if (!announced->lane)
        announced->lane = events_lane_open(device->engine->events);
    if (!event || !announced->lane) {
        event_release(event);
        return;
    }
    event->card = device_card_hold(device->card);
    events_lane_publish(announced->lane, event);
    news_told(announced->news, flexibility, now);
}

void announce_flexibility(struct device *device, const struct flexibility *flexibility) {
    struct announced *announced = &device->announced;
    struct engine *engine = device->engine;
    if (!events_wanted(engine->events))
        return;
    struct now now = clock_now(&engine->clock);
    if (!announced->news && !(announced->news = calloc(1, sizeof *announced->news)))
        return; /* no memory: the next one is told */
    if (news_look(announced->news, flexibility, now)) {
        tell_flexibility(device, flexibility, now.mono);
    } else if (announced->news->waits && !announced->listed) {
        announced->listed = true;
        announced->next_waiting = engine->news_waiting;
        engine->news_waiting = device;
    }
}

static void tell_waiting(struct engine *engine, struct mono now) {
    for (struct device **at = &engine->news_waiting; *at;) {
        struct device *device = *at;
        struct announced *announced = &device->announced;
        struct flexibility flexibility;
        if (news_due(announced->news, now)) {
            live_read(device->card->live, &flexibility);
            tell_flexibility(device, &flexibility, now);
        }
        if (announced->news->waits) {
            at = &announced->next_waiting;
            continue;
        }
        *at = announced->next_waiting;
        announced->listed = false;
    }
}

void announce_close(struct device *device) {
    struct device **at = &device->engine->news_waiting;
    while (device->announced.listed && *at != device)
        at = &(*at)->announced.next_waiting;
    if (device->announced.listed)
        *at = device->announced.next_waiting;
    device->announced.listed = false;
    events_lane_close(device->announced.lane);
    device->announced.lane = NULL;
    free(device->announced.news);
    device->announced.news = NULL;
    free(device->announced.decision.text);
    device->announced.decision.text = NULL;
}

/* --- constraints and decisions --------------------------------------------------------------- */

static const char *target_of(struct subject subject) {
    return subject.device_id[0] ? subject.device_id : subject.cluster_id;
}

void announce_gone(struct subject subject, const char *action,
                   const struct constraint *constraint) {
    struct buf out;
    struct json json;
    if (!events_wanted(subject.engine->events) || constraint->policy_key[0])
        return;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    present_constraint_gone(&json, target_of(subject), constraint,
                            strcmp(action, "removed") == 0 ? "removed" : "expired");
    json_object_close(&json);
    publish_of(subject, EVENT_CONSTRAINT, action, data_take(&out));
}

static bool is_in_force(const struct decided *decided, const struct book_entry *entry) {
    return decided->has_decision && entry_in_force(entry);
}

/* What stood on the sheet before under the id of this one; NULL: nothing. Both stand in one order,
 * so that mostly it is found at `*at`. */
static const struct book_entry *entry_before(const struct sheet *before,
                                             const struct book_entry *entry, size_t *at) {
    if (!before)
        return NULL;
    while (*at < before->count && before->entries[*at].packed != entry->packed &&
           entry_order(&before->entries[*at], entry) < 0)
        ++*at;
    if (*at < before->count && before->entries[*at].packed == entry->packed)
        return &before->entries[(*at)++];
    struct id_key key;
    entry_key(entry, &key);
    return sheet_find(before, &key);
}

/* What happened to a constraint that is there; NULL: nothing. */
static const char *change_of(const struct decided *before, const struct book_entry *was,
                             const struct decided *after, const struct book_entry *entry) {
    if (!was)
        return "created";
    if (was->packed != entry->packed)
        return "replaced";
    return is_in_force(after, entry) && !is_in_force(before, was) ? "started" : NULL;
}

static void tell_constraint(struct subject subject, const char *action,
                            const struct decided *decided, size_t index) {
    struct buf out;
    struct json json;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    present_constraint(&json, target_of(subject), decided, index, decided->at.wall);
    json_object_close(&json);
    publish_of(subject, EVENT_CONSTRAINT, action, data_take(&out));
}

/* Their outcomes are made only when there is one to be told. */
static void announce_constraints(struct subject subject, const struct decided *before,
                                 struct decided *after) {
    if (!after->sheet ||
        (before->sheet == after->sheet && before->has_decision == after->has_decision))
        return;
    struct decided *read = NULL;
    for (size_t i = 0, at = 0; i < after->sheet->count; i++) {
        const struct book_entry *entry = &after->sheet->entries[i];
        const struct book_entry *was = entry_before(before->sheet, entry, &at);
        const char *action = change_of(before, was, after, entry);
        if (!action || words_policy_key(entry->packed->words)[0])
            continue;
        if (!read && !(read = decided_read(after)))
            return; /* no memory to say so */
        tell_constraint(subject, action, read, i);
    }
    decided_release(read);
}

static char *decision_data(struct subject subject, const struct decided *decided) {
    struct buf out;
    struct json json;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    json_put_string(&json, decided->cluster ? "clusterId" : "deviceId", target_of(subject));
    if (!decided->cluster)
        json_put_boolean(&json, "controllable", decided->has_decision);
    present_decision(&json, decided);
    json_object_close(&json);
    return data_take(&out);
}

/* What makes a cluster's decision another one: its limits, who set them, and the alarm; not what is
 * measured, nor the shares that follow each sample (the devices' decisions tell those). */
static char *cluster_mark(const struct decided *decided) {
    struct buf out;
    struct json json;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        const struct limit *limit = &decided->cluster->limits[scope];
        present_power(&json, "min", limit->min);
        present_power(&json, "max", limit->max);
        present_currents(&json, "current", limit->current);
        present_winner(&json, "minBy", decided, limit->min_by);
        present_winner(&json, "maxBy", decided, limit->max_by);
        for (int i = 0; i < 3; i++)
            present_winner(&json, "currentBy", decided, limit->current_by[i]);
    }
    json_put_string(&json, "alarm", decided->cluster->alarm);
    json_object_close(&json);
    return data_take(&out);
}

static char *alarm_data(const char *name, bool raised, const char *detail) {
    struct buf out;
    struct json json;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    json_put_string(&json, "alarm", name);
    json_put_boolean(&json, "raised", raised);
    json_put_known(&json, "detail", raised ? detail : "");
    json_object_close(&json);
    return data_take(&out);
}

void announce_operator(struct subject subject, bool raised, const char *detail) {
    if (events_wanted(subject.engine->events))
        publish_of(subject, EVENT_ALARM, raised ? "raised" : "cleared",
                   alarm_data("gridOperator", raised, detail));
}

void announce_unguarded(struct device *device, bool raised, const char *detail) {
    if (events_wanted(device->engine->events))
        publish_of(device_subject(device), EVENT_ALARM, raised ? "raised" : "cleared",
                   alarm_data("unguarded", raised, detail));
}

/* A limit of a cluster that cannot be kept. */
static void announce_unkept(struct subject subject, const struct decided *before,
                            const struct decided *after) {
    bool was = before->cluster && before->cluster->alarm[0];
    bool is = after->cluster && after->cluster->alarm[0];
    if (was != is)
        publish_of(subject, EVENT_ALARM, is ? "raised" : "cleared",
                   alarm_data("limits", is, is ? after->cluster->alarm : ""));
}

void announce_decided(struct subject subject, struct announced_decision *told,
                      const struct decided *before, struct decided *after) {
    bool begun = told->begun;
    told->begun = true;
    if (!events_wanted(subject.engine->events))
        return;
    if (begun)
        announce_constraints(subject, before, after);
    char *mark = after->cluster ? cluster_mark(after) : decision_data(subject, after);
    bool any = after->has_decision || told->text; /* a meter is never decided on */
    if (any && mark && (!told->text || strcmp(mark, told->text) != 0)) {
        free(told->text);
        told->text = mark;
        publish_of(subject, EVENT_DECISION, "changed",
                   after->cluster ? decision_data(subject, after) : strdup(mark));
        mark = NULL;
    }
    free(mark);
    announce_unkept(subject, before, after);
}

void announce_command(struct device *device) {
    struct buf out;
    struct json json;
    if (!events_wanted(device->engine->events))
        return;
    const struct flexibility told = {.command = device->command.state,
                                     .following = device->command.following,
                                     .command_since = device->command.since};
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    present_command_alone(&json, &told, device->card);
    publish_of(device_subject(device), EVENT_COMMAND, "changed", data_take(&out));
}

void announce_device(struct device *device, const char *action) {
    struct buf out;
    struct json json;
    if (!events_wanted(device->engine->events))
        return;
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    present_device(&json, device->card);
    publish_of(device_subject(device), EVENT_DEVICE, action, data_take(&out));
}

/* --- scripts --------------------------------------------------------------------------------- */

static bool same_member(const json_t *before, const json_t *after, const char *key) {
    return json_equal(json_object_get(before, key), json_object_get(after, key)) == 1;
}

/* True when the member says something now that it did not say before. */
static bool says(const json_t *before, const json_t *after, const char *key) {
    const json_t *member = json_object_get(after, key);
    bool empty =
        !member || json_is_null(member) || (json_is_array(member) && json_array_size(member) == 0);
    return !empty && !same_member(before, after, key);
}

static const char *script_action(const char *before_text, const char *after_text) {
    json_t *before = before_text ? json_read_text(before_text, 0, NULL) : NULL;
    json_t *after = json_read_text(after_text, 0, NULL);
    const char *status = json_string_value(json_object_get(after, "status"));
    const char *action = "changed";
    if (says(before, after, "quarantine"))
        action = "quarantined";
    else if (says(before, after, "rolledBack"))
        action = "rolledBack";
    else if (status && strcmp(status, "removed") == 0 && !same_member(before, after, "status"))
        action = "removed";
    else if (says(before, after, "errors"))
        action = "error";
    else if (says(before, after, "generation"))
        action = "taken";
    json_decref(before);
    json_decref(after);
    return action;
}

static int card_order(const struct script_card *a, const struct script_card *b) {
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->name, b->name);
}

/* Both lists stand by kind, then name. */
void announce_scripts(struct engine *engine, const struct directory *before,
                      const struct directory *after) {
    if (!before || !events_wanted(engine->events))
        return;
    size_t at = 0;
    for (size_t i = 0; i < after->script_count; i++) {
        const struct script_card *card = &after->scripts[i];
        while (at < before->script_count && card_order(&before->scripts[at], card) < 0)
            at++;
        bool known = at < before->script_count && card_order(&before->scripts[at], card) == 0;
        const char *was = known ? before->scripts[at].json : NULL;
        if (!card->json || (was && strcmp(was, card->json) == 0))
            continue;
        publish(engine, event_new(EVENT_SCRIPT, script_action(was, card->json), wall_now(engine)),
                strdup(card->json));
    }
}

/* --- the host -------------------------------------------------------------------------------- */

void announce_site(struct engine *engine, const char *action) {
    struct buf out;
    struct json json;
    if (!events_wanted(engine->events))
        return;
    struct directory *directory = directory_hold(&engine->directory);
    buf_init(&out, DATA_MAXIMUM);
    json_start(&json, &out);
    json_object_open(&json);
    json_put_boolean(&json, "siteFine", strcmp(directory->site_problems, "[]") == 0);
    json_put_time(&json, "siteReadAt", directory->made_at);
    json_put_raw(&json, "siteProblems", directory->site_problems);
    json_object_close(&json);
    directory_release(directory);
    publish(engine, event_new(EVENT_SITE, action, wall_now(engine)), data_take(&out));
}

static void announce_alarm(struct engine *engine, const char *name, bool *told, bool is,
                           const char *detail) {
    if (*told == is)
        return;
    *told = is;
    if (events_wanted(engine->events))
        publish(engine, event_new(EVENT_ALARM, is ? "raised" : "cleared", wall_now(engine)),
                alarm_data(name, is, detail));
}

void announce_second(struct engine *engine, struct now now) {
    char why[STORE_DETAIL_SIZE] = "";
    struct alarms *alarms = &engine->alarms;
    tell_waiting(engine, now.mono);
    bool failing = store_failing(engine->store, why, sizeof why);
    announce_alarm(engine, "store", &alarms->store, failing, why);
    announce_alarm(engine, "clock", &alarms->clock, !now.trusted,
                   "the clock is behind the last time known to be true");
    announce_alarm(engine, "scripts", &alarms->scripts, engine->guard.off[0] != '\0',
                   engine->guard.off);
}
