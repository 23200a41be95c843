/* What others see of a device: its card, and on it the flexibility and the texts of the moment. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "device_internal.h"
#include "machine.h"

#define IDLE_W 50 /* standby draw and noise of a device whose driver does not say */

/* Which value says how old the device's picture is. */
static enum point_id lead_point(const struct device *device) {
    enum point_id lead = POINT_ACTIVE_POWER;
    if (device_known(device, lead)->mono.ms == 0)
        for (int i = 0; i < POINT_NUMBER_COUNT; i++)
            if (device_known(device, (enum point_id)i)->mono.ms >
                device_known(device, lead)->mono.ms)
                lead = (enum point_id)i;
    return lead;
}

/* The state of a device whose make does not tell one, as its power shows it. */
static enum device_state state_of_power(const struct device *device, double power_w) {
    const struct driver_part *part = device_part(device);
    double idle_w = part && part->control.present ? part->control.tolerance_w : IDLE_W;
    bool takes = power_w > idle_w;
    bool gives = power_w < -idle_w;
    switch (device->type) {
    case DEVICE_METER:
        return STATE_RUNNING;
    case DEVICE_INVERTER:
        return gives ? STATE_PRODUCING : STATE_STANDBY;
    case DEVICE_HEAT_PUMP:
        return takes ? STATE_RUNNING : STATE_READY;
    case DEVICE_BATTERY:
    case DEVICE_CHARGING_STATION:
    case DEVICE_GRID_OPERATOR_BOX:
    case DEVICE_TYPE_COUNT:
        break;
    }
    if (takes)
        return STATE_CHARGING;
    return gives ? STATE_DISCHARGING : STATE_READY;
}

/* It cannot be told any more, does not end by itself what it was told, and must not go beyond. */
static void see_guard(struct device *device, enum watchdog_state watchdog) {
    bool away =
        device->connection == CONNECTION_OFFLINE || device->connection == CONNECTION_WRONG_DEVICE;
    bool unguarded = away && watchdog == WATCHDOG_NONE && device->told_before &&
                     device->anything_in_force && !device->only_fallback && !device->site->observe;
    if (unguarded == device->unguarded)
        return;
    device->unguarded = unguarded;
    static const char text[] = "it does not answer, has no watchdog of its own, and a bound is in "
                               "force: it goes on with what it was told last";
    if (unguarded)
        log_error(device->site->path, "%s", text);
    else
        log_info(device->site->path, "it is no longer out of reach with a bound in force");
    announce_unguarded(device, unguarded, text);
}

static void fill_head(struct device *device, struct flexibility *flexibility) {
    enum watchdog_state watchdog = device_watchdog(device);
    see_guard(device, watchdog);
    flexibility->connection = device->connection;
    flexibility->allowed = device->allowed;
    flexibility->command = device->command.state;
    flexibility->following = device->command.following;
    flexibility->watchdog = watchdog;
    flexibility->unguarded = device->unguarded;
    flexibility->command_since = device->command.since;
    flexibility->bound_min = device->has_decision ? device->decision.min : -POWER_UNBOUNDED;
    flexibility->bound_max = device->has_decision ? device->decision.max : POWER_UNBOUNDED;
    flexibility->has_set_point = device->has_decision && device->decision.has_set;
    flexibility->set_point = device->decision.set;
}

void device_publish_as(struct device *device, struct flexibility *flexibility) {
    *flexibility = (struct flexibility){0};
    fill_head(device, flexibility);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        const struct quantity *known = quantities_at(device->known, (enum point_id)i);
        flexibility->values[i] = known ? known->value : NAN;
        if (!known)
            continue;
        flexibility->updated_ms[i] = known->mono.ms ? known->wall.ms : 0;
        flexibility->invalid_ms[i] =
            known->valid_ms == INT64_MAX ? INT64_MAX : flexibility->updated_ms[i] + known->valid_ms;
    }
    double power_w = device_known(device, POINT_ACTIVE_POWER)->value;
    if (device_known(device, POINT_STATE)->mono.ms == 0 && !isnan(power_w)) {
        flexibility->values[POINT_STATE] = state_of_power(device, power_w);
        flexibility->updated_ms[POINT_STATE] = flexibility->updated_ms[POINT_ACTIVE_POWER];
        flexibility->invalid_ms[POINT_STATE] = flexibility->invalid_ms[POINT_ACTIVE_POWER];
    }
    const struct quantity *lead = device_known(device, lead_point(device));
    if (lead->mono.ms) {
        flexibility->updated_at = lead->wall;
        flexibility->invalid_at = flexibility->updated_at;
        if (lead->valid_ms != INT64_MAX)
            flexibility->invalid_at.ms += lead->valid_ms;
    }
    live_publish(device->card->live, flexibility);
    announce_flexibility(device, flexibility);
}

void device_publish(struct device *device) {
    struct flexibility published;
    device_publish_as(device, &published);
}

void device_publish_decision(struct device *device) {
    if (events_wanted(device->engine->events)) {
        device_publish(device);
        return;
    }
    struct flexibility published;
    memset(&published, 0, offsetof(struct flexibility, values));
    fill_head(device, &published);
    live_publish_head(device->card->live, &published);
}

void device_publish_texts(struct device *device) {
    device_card_tell(device->card, CARD_COMMAND, text_of(device->command.text));
    device_card_tell(device->card, CARD_CONNECTION, text_of(device->connection_text));
    pthread_mutex_lock(&device->card->lock);
    for (size_t i = 0; i < sizeof device->identity / sizeof *device->identity; i++)
        text_set(&device->card->identity[i], text_of(device->identity[i]));
    pthread_mutex_unlock(&device->card->lock);
}

/* NULL: no memory. */
struct device_card *device_card_of(const struct device *device) {
    const struct site_device *site = device->site;
    /* It says the same as long as it is this device. */
    const char *told = device->card ? device->card->entry : NULL;
    char *entry = told ? NULL : json_dumps(site->entry, JSON_COMPACT | JSON_SORT_KEYS);
    const struct card_words words = {
        .key = site->key,
        .name = site->name,
        .driver = site->driver,
        .link = site->link,
        .part = site->as,
        .role = site->role,
        .maker = device->machine ? machine_driver(device->machine)->manufacturer : NULL,
        .entry = told ? told : entry,
    };
    struct device_card *card = device_card_new(&words, device_may_know(device));
    free(entry);
    if (!card)
        return NULL;
    snprintf(card->id, sizeof card->id, "%s", device->id);
    snprintf(card->cluster_id, sizeof card->cluster_id, "%s", device->cluster_id);
    card->unit = site->unit;
    card->observe = site->observe;
    card->type = device->type;
    card->controllable = device_controllable(device);
    card->has_soc = device_has_soc(device);
    card->revision = site->revision;
    card->created_at = site->created_at;
    return card;
}

/* Cards are read by other threads and do not change: what a device turns out to be, once its driver
 * is known, stands on a new one. */
void device_renew_card(struct device *device) {
    device->type = device_part(device)->type;
    device->decided_once = false; /* type and fallback are the driver's */
    struct device_card *card = device_card_of(device);
    struct quantities *known = quantities_new(device_may_know(device), device->known);
    if (known) { /* else it goes on with those that it had */
        quantities_free(device->known);
        device->known = known;
    } else {
        log_error(device->site->path, "no memory: what its driver knows beyond the last stays "
                                      "unknown");
    }
    if (!card) {
        log_error(device->site->path, "no memory: readers see it as it was");
        return;
    }
    struct device_card *old = device->card;
    device->card = card;
    figure_set(&card->polls, figure_get(&old->polls));
    figure_set(&card->polls_failed, figure_get(&old->polls_failed));
    device_card_decide(card, device_card_snapshot(old));
    device_card_release(old);
    device_publish_texts(device);
    device_publish(device);
}
