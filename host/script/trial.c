#include "script/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device.h"
#include "machine.h"
#include "script/instance.h"

static struct trial *find_trial(struct engine *engine, const struct generation *fresh) {
    for (struct trial *trial = engine->guard.trials; trial; trial = trial->next)
        if (trial->fresh == fresh)
            return trial;
    return NULL;
}

static struct trial *find_name(struct engine *engine, const struct generation *generation) {
    for (struct trial *trial = engine->guard.trials; trial; trial = trial->next)
        if (trial->fresh->kind == generation->kind &&
            strcmp(trial->fresh->name, generation->name) == 0)
            return trial;
    return NULL;
}

static struct tally tally_of(const struct engine *engine, const struct generation *generation) {
    struct tally tally = {0};
    for (const struct machine *machine = engine->machines; machine; machine = machine->next)
        if (machine->generation == generation)
            tally_add(&tally, &machine->history, UINT32_MAX);
    return tally;
}

void trial_begin(struct engine *engine, struct generation *old, struct generation *fresh) {
    struct trial *trial = find_name(engine, fresh);
    if (trial) {
        generation_release(trial->fresh);
    } else {
        trial = calloc(1, sizeof *trial);
        if (!trial) {
            log_warning(fresh->name, "no memory to keep the generation before the new one");
            return;
        }
        trial->old = generation_hold(old);
        trial->before = tally_of(engine, old);
        trial->next = engine->guard.trials;
        engine->guard.trials = trial;
    }
    trial->fresh = generation_hold(fresh);
    trial->begun = clock_mono();
    trial->failed = false;
    trial->error[0] = '\0';
}

void trial_note(struct engine *engine, const struct generation *generation, const char *error) {
    struct trial *trial = engine->guard.trials ? find_trial(engine, generation) : NULL;
    if (trial && !trial->error[0])
        snprintf(trial->error, sizeof trial->error, "%s", error);
}

void trial_policy_failed(struct engine *engine, const struct generation *generation,
                         const char *error) {
    struct trial *trial = engine->guard.trials ? find_trial(engine, generation) : NULL;
    if (!trial)
        return;
    trial_note(engine, generation, error);
    trial->failed = true;
    guard_turn_soon(engine);
}

/* ---- going back ---- */

static void say_back(const struct trial *trial) {
    const struct generation *old = trial->old, *fresh = trial->fresh;
    bool driver = fresh->kind == SCRIPT_DRIVER;
    char subject[DRIVER_NAME_SIZE + 16];
    snprintf(subject, sizeof subject, "%s/%s.lua", driver ? "drivers" : "policies", fresh->name);
    log_error(subject,
              "%s %s %s rolled back to %s (generation %u to %u): %s; it is not tried again until "
              "its file changes",
              driver ? "driver" : "policy", fresh->name,
              driver ? fresh->driver->version : fresh->policy->version,
              driver ? old->driver->version : old->policy->version, fresh->number, old->number,
              trial->error[0] ? trial->error : "it failed more often than the one before");
}

static void say_mistakes(struct report *report, const char *name) {
    for (size_t i = 0; i < report->count; i++)
        log_error(name, "%s: %s", report->items[i].where, report->items[i].text);
    report_free(report);
}

static void roll_back(struct engine *engine, struct trial *trial) {
    struct report report;
    int places[DRIVER_MAX_PARTS];
    report_init(&report);
    say_back(trial);
    library_roll_back(engine->library, trial->fresh, trial->old,
                      trial->error[0] ? trial->error
                                      : "it failed more often than the generation before");
    for (struct machine *machine = engine->machines; machine; machine = machine->next)
        if (machine->generation == trial->fresh &&
            engine_driver_fits(machine, trial->old, places, &report))
            machine_renew(machine, trial->old, places);
    for (struct instance *instance = engine->instances; instance; instance = instance->next)
        if (instance->generation == trial->fresh)
            instance_back(instance, trial->old, &report);
    say_mistakes(&report, trial->fresh->name);
}

/* ---- judging ---- */

static enum probation judge_driver(const struct engine *engine, const struct trial *trial) {
    struct tally since = tally_of(engine, trial->fresh);
    unsigned machines = 0, unproven = 0;
    for (const struct machine *machine = engine->machines; machine; machine = machine->next)
        if (machine->generation == trial->fresh) {
            machines++;
            unproven += machine->history.polls < PROBATION_POLLS;
        }
    return probation_judge(&trial->before, &since, machines, unproven,
                           clock_mono().ms - trial->begun.ms);
}

static enum probation judge_policy(const struct engine *engine, const struct trial *trial) {
    if (trial->failed)
        return PROBATION_FAILED;
    for (const struct instance *instance = engine->instances; instance; instance = instance->next)
        if (instance->generation == trial->fresh && instance->ticks < PROBATION_TICKS)
            return PROBATION_GOES_ON;
    return PROBATION_PASSED;
}

/* What was kept for the way back is not needed any more. */
static void trial_end(struct engine *engine, struct trial *trial) {
    for (struct machine *machine = engine->machines; machine; machine = machine->next)
        for (int i = 0; i < DRIVER_MAX_PARTS; i++)
            if (machine->parts[i] && strcmp(machine->generation->name, trial->fresh->name) == 0)
                carry_forget(machine->parts[i]);
    for (struct instance *instance = engine->instances; instance; instance = instance->next)
        if (strcmp(instance->site.policy, trial->fresh->name) == 0)
            instance_proven(instance);
    generation_release(trial->old);
    generation_release(trial->fresh);
    free(trial);
}

void trials_look(struct engine *engine) {
    struct trial **at = &engine->guard.trials;
    while (*at) {
        struct trial *trial = *at;
        enum probation verdict = trial->fresh->kind == SCRIPT_DRIVER ? judge_driver(engine, trial)
                                                                     : judge_policy(engine, trial);
        if (verdict == PROBATION_GOES_ON) {
            at = &trial->next;
            continue;
        }
        *at = trial->next;
        if (verdict == PROBATION_FAILED)
            roll_back(engine, trial);
        trial_end(engine, trial);
    }
}

void trials_free(struct engine *engine) {
    while (engine->guard.trials) {
        struct trial *trial = engine->guard.trials;
        engine->guard.trials = trial->next;
        generation_release(trial->old);
        generation_release(trial->fresh);
        free(trial);
    }
}
