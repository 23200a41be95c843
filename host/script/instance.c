#include "script/instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/log.h"
#include "device.h"
#include "script/trial.h"
#include "words.h"

#define EARLY_MS 200 /* a fresh sample this much before its time is the one to use */

static void tick(struct instance *instance);

/* --- which devices -------------------------------------------------------------------------------
 */

/* Calls `each` for every device that the instance's parameters name. */
typedef void each_device(struct device *device, void *context);
static void for_devices(const struct instance *instance, each_device *each, void *context) {
    const struct policy *policy = instance->generation->policy;
    for (int i = 0; i < policy->parameter_count; i++) {
        const struct policy_parameter *parameter = &policy->parameters[i];
        const json_t *value = json_object_get(instance->parameters, parameter->name);
        size_t count = parameter->type == POLICY_DEVICES  ? json_array_size(value)
                       : parameter->type == POLICY_DEVICE ? 1
                                                          : 0;
        for (size_t j = 0; j < count; j++) {
            const json_t *key = json_is_array(value) ? json_array_get(value, j) : value;
            struct device *device =
                json_is_string(key)
                    ? engine_device(instance->engine, instance->cluster_key, json_string_value(key))
                    : NULL;
            if (device)
                each(device, context);
        }
    }
}

/* The key of the device whose fresh sample starts a tick, or NULL. */
static const char *leader_key(const struct instance *instance) {
    const struct policy *policy = instance->generation->policy;
    if (policy->after == POINT_NONE)
        return NULL;
    return json_string_value(
        json_object_get(instance->parameters, policy->parameters[policy->after].name));
}

/* Without a look through all devices: it is asked for each sample of each. */
static bool leads(const struct device *device, const struct instance *instance) {
    if (!instance->generation || strcmp(instance->cluster_key, device->cluster_key) != 0)
        return false;
    const char *key = leader_key(instance);
    return key && strcmp(key, device->site->key) == 0;
}

/* --- proposals -----------------------------------------------------------------------------------
 */

static const struct book_entry *find_proposal(const struct device *device,
                                              const struct instance *instance, const char *key) {
    for (size_t i = 0; i < device->book.count; i++) {
        const struct book_entry *entry = &device->book.entries[i];
        if (entry_is_of(entry, instance->created_by) &&
            strcmp(words_policy_key(entry->packed->words), key) == 0)
            return entry;
    }
    return NULL;
}

static bool proposed(const struct policy_result *result, const char *policy_key,
                     const struct device *device) {
    for (size_t i = 0; result && i < result->count; i++)
        if (strcmp(result->proposals[i].key, policy_key) == 0 &&
            strcmp(result->proposals[i].device, device->site->key) == 0)
            return true;
    return false;
}

/* Takes back what the instance proposed before and does not propose now. */
static bool withdraw(struct instance *instance, struct device *device,
                     const struct policy_result *result) {
    bool changed = false;
    for (size_t i = 0; i < device->book.count;) {
        const struct book_entry *entry = &device->book.entries[i];
        if (entry_is_of(entry, instance->created_by) &&
            !proposed(result, words_policy_key(entry->packed->words), device)) {
            char id[ID_SIZE];
            entry_id(entry, id);
            changed = book_remove(&device->book, id) == ERR_OK || changed;
        } else {
            i++;
        }
    }
    return changed;
}

static void put_proposal(struct instance *instance, struct device *device,
                         const struct proposal *proposal, struct now now) {
    struct constraint draft = {.wish = proposal->wish,
                               .valid_at = now.wall,
                               .invalid_at = {now.wall.ms + proposal->lease_ms},
                               .valid_for_ms = proposal->lease_ms,
                               .created_at = now.wall};
    draft.wish.priority = instance->site.priority;
    snprintf(draft.created_by, sizeof draft.created_by, "%s", instance->created_by);
    snprintf(draft.policy_key, sizeof draft.policy_key, "%s", proposal->key);
    snprintf(draft.reason, sizeof draft.reason, "%s", proposal->reason);
    const struct book_entry *before = find_proposal(device, instance, proposal->key);
    if (before) {
        entry_id(before, draft.id);
        draft.created_at = before->packed->created_at;
    } else {
        uuid_make(draft.id);
        draft.wish.rank = ++instance->engine->last_rank;
    }
    if (book_put(&device->book, &draft, now) != ERR_OK)
        log_error(instance->site.path, "no room for its proposal \"%s\" on %s", proposal->key,
                  device->site->path);
}

static void apply_result(struct instance *instance, const struct policy_result *result) {
    struct now now = clock_now(&instance->engine->clock);
    for (struct device *device = instance->engine->devices; device; device = device->next) {
        if (strcmp(device->cluster_key, instance->cluster_key) != 0)
            continue;
        bool changed = withdraw(instance, device, result);
        for (size_t i = 0; result && i < result->count; i++)
            if (strcmp(result->proposals[i].device, device->site->key) == 0) {
                put_proposal(instance, device, &result->proposals[i], now);
                changed = true;
            }
        if (changed)
            device_decide_changed(device);
    }
}

/* --- ticks ---------------------------------------------------------------------------------------
 */

struct snapshot {
    struct policy_device *devices;
    size_t count;
};

static void snap_device(struct device *device, void *context) {
    struct snapshot *snapshot = context;
    if (snapshot->count >= POLICY_MAX_PROPOSALS)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        if (strcmp(snapshot->devices[i].key, device->site->key) == 0)
            return;
    struct policy_device *seen = &snapshot->devices[snapshot->count++];
    snprintf(seen->key, sizeof seen->key, "%s", device->site->key);
    seen->type = device->type;
    device_publish(device);
    live_read(device->card->live, &seen->flexibility);
}

static void failed(struct instance *instance, const char *error) {
    instance->failures++;
    if (strcmp(instance->error, error) != 0)
        log_error(instance->site.path, "%s; its last proposals hold until their lease ends", error);
    snprintf(instance->error, sizeof instance->error, "%s", error);
}

static void call_policy(struct instance *instance, struct snapshot *snapshot,
                        struct policy_result *result) {
    struct now now = clock_now(&instance->engine->clock);
    double elapsed_s =
        instance->ticked ? (double)(now.mono.ms - instance->last_tick.ms) / 1000.0 : 0;
    char error[SCRIPT_ERROR_SIZE];
    if (!guard_enter(instance->engine, instance->generation, &instance->caller, "run", error))
        return; /* its last proposals hold until their lease ends */
    instance->last_tick = now.mono;
    instance->ticked = true;
    script_set_subject(instance->generation->script, instance->site.path, NULL);
    enum script_outcome outcome = policy_run(
        instance->generation->policy, instance->generation->script, instance->parameters,
        instance->state, now, elapsed_s, snapshot->devices, snapshot->count, result, error);
    guard_leave(instance->engine, instance->generation, &instance->caller, outcome, error);
    if (outcome != SCRIPT_OK) {
        failed(instance, error);
        trial_policy_failed(instance->engine, instance->generation, error);
        return;
    }
    instance->error[0] = '\0';
    instance->ticks++;
    if (instance->engine->guard.trials)
        guard_turn_soon(instance->engine);
    if (!json_equal(result->state, instance->state)) {
        json_decref(instance->state);
        instance->state = json_incref(result->state);
        instance->state_changed = true;
    }
    apply_result(instance, result);
    policy_result_free(result);
}

static void tick(struct instance *instance) {
    struct snapshot snapshot = {.devices = calloc(POLICY_MAX_PROPOSALS, sizeof *snapshot.devices)};
    struct policy_result *result = calloc(1, sizeof *result);
    if (snapshot.devices && result) {
        for_devices(instance, snap_device, &snapshot);
        call_policy(instance, &snapshot, result);
    }
    free(snapshot.devices);
    free(result);
}

static void timer_due(uv_timer_t *timer) {
    struct instance *instance = timer->data;
    if (!instance->generation)
        return;
    const char *key = leader_key(instance);
    if (!key || !engine_device(instance->engine, instance->cluster_key, key))
        tick(instance);
}

void instance_sampled(struct device *device) {
    for (struct instance *instance = device->engine->instances; instance;
         instance = instance->next) {
        if (!leads(device, instance))
            continue;
        int64_t since = clock_mono().ms - instance->last_tick.ms;
        if (!instance->ticked || since >= instance->generation->policy->every_ms - EARLY_MS)
            tick(instance);
    }
}

struct search {
    const struct device *device;
    bool found;
};

static void compare_device(struct device *device, void *context) {
    struct search *search = context;
    search->found = search->found || device == search->device;
}

static bool names(const struct instance *instance, const struct device *device) {
    struct search search = {.device = device};
    for_devices(instance, compare_device, &search);
    return search.found;
}

void instance_stale(struct device *device) {
    for (struct instance *instance = device->engine->instances; instance;
         instance = instance->next) {
        if (!leads(device, instance))
            continue;
        for (struct device *other = device->engine->devices; other; other = other->next)
            if (book_drop_sets(&other->book, instance->created_by)) {
                log_warning(instance->site.path, "%s is stale: its set point on %s is dropped",
                            device->site->path, other->site->path);
                device_decide_changed(other);
            }
    }
}

bool instance_awaited(const struct device *device) {
    for (const struct instance *instance = device->engine->instances; instance;
         instance = instance->next)
        if (instance->generation && !instance->ticked &&
            !guard_stopped(instance->engine, instance->generation) &&
            strcmp(instance->cluster_key, device->cluster_key) == 0 && names(instance, device))
            return true;
    return false;
}

/* --- life ----------------------------------------------------------------------------------------
 */

struct site_context {
    struct engine *engine;
    const char *cluster_key;
};

static bool type_of_device(void *context, const char *key, enum device_type *type) {
    const struct site_context *site = context;
    struct device *device = engine_device(site->engine, site->cluster_key, key);
    if (!device)
        return false;
    *type = device->type;
    return true;
}

static json_t *fit_parameters(const struct instance *instance, const struct generation *generation,
                              struct report *report) {
    struct site_context site = {instance->engine, instance->cluster_key};
    return policy_parameters(generation->policy, instance->entry, instance->site.where,
                             type_of_device, &site, report);
}

void instance_rest_unless_fit(struct instance *instance) {
    struct report report;
    if (!instance->generation)
        return;
    report_init(&report);
    json_t *parameters = fit_parameters(instance, instance->generation, &report);
    if (!parameters) {
        uv_timer_stop(&instance->timer);
        generation_release(instance->generation);
        instance->generation = NULL;
    }
    json_decref(parameters);
    report_free(&report);
}

bool instance_take(struct instance *instance, struct generation *generation,
                   struct report *report) {
    json_t *parameters = fit_parameters(instance, generation, report);
    if (!parameters)
        return false;
    generation_release(instance->generation);
    json_decref(instance->parameters);
    instance->generation = generation_hold(generation);
    instance->parameters = parameters;
    caller_forget(&instance->caller);
    instance->ticks = 0;
    json_decref(instance->state_before);
    instance->state_before = json_incref(instance->state);
    /* In its rhythm: many changes in a row must not put off its next tick for ever. */
    int64_t every_ms = generation->policy->every_ms;
    int64_t since_ms = instance->ticked ? clock_mono().ms - instance->last_tick.ms : 0;
    uint64_t first_ms = since_ms < every_ms ? (uint64_t)(every_ms - since_ms) : 0;
    uv_update_time(&instance->engine->loop);
    uv_timer_start(&instance->timer, timer_due, first_ms, (uint64_t)every_ms);
    return true;
}

void instance_back(struct instance *instance, struct generation *old, struct report *report) {
    json_t *state = json_incref(instance->state_before);
    if (instance_take(instance, old, report) && state) {
        json_decref(instance->state);
        instance->state = json_incref(state);
        instance->state_changed = true;
    }
    json_decref(state);
    instance_proven(instance);
}

void instance_proven(struct instance *instance) {
    json_decref(instance->state_before);
    instance->state_before = NULL;
}

struct instance *instance_new(struct engine *engine, const struct site_policy *site,
                              const char *cluster_key) {
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return NULL;
    instance->engine = engine;
    instance->site = *site;
    instance->entry = json_incref((json_t *)site->entry);
    snprintf(instance->cluster_key, sizeof instance->cluster_key, "%s", cluster_key);
    snprintf(instance->created_by, sizeof instance->created_by, "policy:%.70s", site->path);
    char *state = store_get_text(engine->store, "policyState", site->path);
    instance->state = state ? json_read_text(state, 0, NULL) : NULL;
    free(state);
    uv_timer_init(&engine->loop, &instance->timer);
    instance->timer.data = instance;
    return instance;
}

void instance_save(struct instance *instance) {
    if (!instance->state_changed || !instance->state)
        return;
    instance->state_changed = false;
    char *text = json_dumps(instance->state, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text || store_put_text(instance->engine->store, "policyState", instance->site.path, text,
                                NULL, NULL))
        log_warning(instance->site.path, "its state could not be stored");
    free(text);
}

static void instance_closed(uv_handle_t *handle) {
    struct instance *instance = handle->data;
    generation_release(instance->generation);
    json_decref(instance->parameters);
    json_decref(instance->state);
    json_decref(instance->state_before);
    json_decref(instance->entry);
    caller_forget(&instance->caller);
    free(instance);
}

void instance_close(struct instance *instance) {
    instance_save(instance);
    if (!instance->engine->stopping)
        apply_result(instance, NULL);
    uv_close((uv_handle_t *)&instance->timer, instance_closed);
}
