#include "script/guard.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "device.h"
#include "engine.h"
#include "machine.h"
#include "script/trial.h"

void guard_open(struct engine *engine, const struct rehearsal *rehearsal) {
    struct guard *guard = &engine->guard;
    const char *directory = engine->site->store_directory;
    guard->rehearsal = *rehearsal;
    guard->started = clock_wall();
    uv_timer_init(&engine->loop, &guard->turn);
    guard->turn.data = engine;
    stalls_read(&guard->stalls, directory);
    if (watchdog_open(&guard->watchdog, directory) != ERR_OK)
        log_error("watchdog", "it could not be started: a script that blocks will not be stopped");
}

void guard_close(struct engine *engine) {
    if (engine->guard.turn.data)
        uv_close((uv_handle_t *)&engine->guard.turn, NULL);
    trials_free(engine);
}

void guard_free(struct engine *engine) {
    watchdog_close(engine->guard.watchdog);
    engine->guard.watchdog = NULL;
}

/* Aborts of the last ten minutes before the start count while their culprit is as it was. */
void guard_judge(struct engine *engine) {
    struct guard *guard = &engine->guard;
    bool before = guard->off[0];
    char names[120] = "";
    int count = 0;
    for (size_t i = 0; i < guard->stalls.count; i++) {
        const struct stall *stall = &guard->stalls.items[i];
        if (!stall_recent(stall, guard->started) ||
            !library_has_text(engine->library, stall->kind, stall->name, stall->hash))
            continue;
        count++;
        if (!strstr(names, stall->name))
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.40s",
                     names[0] ? ", " : "", stall->name);
    }
    guard->off[0] = '\0';
    if (count >= WATCHDOG_ABORTS)
        snprintf(guard->off, sizeof guard->off,
                 "scripts held the host %d times within ten minutes: no policy and no hook is "
                 "called until one of these files changes: %s",
                 count, names);
    if (guard->off[0] && !before)
        log_error("watchdog", "%s; limits are still enforced", guard->off);
    else if (before && !guard->off[0])
        log_warning("watchdog", "policies and hooks are called again");
    if (before != (bool)guard->off[0])
        guard_turn_soon(engine);
}

const char *guard_stopped(const struct engine *engine, const struct generation *generation) {
    if (!generation->script)
        return NULL;
    if (engine->guard.off[0])
        return engine->guard.off;
    return generation->quarantine[0] ? generation->quarantine : NULL;
}

/* --- consequences --------------------------------------------------------------------------------
 */

static void turn_due(uv_timer_t *timer) {
    struct engine *engine = timer->data;
    trials_look(engine);
    for (struct machine *machine = engine->machines; machine; machine = machine->next)
        machine_reconsider(machine);
    engine_publish_directory(engine);
}

void guard_turn_soon(struct engine *engine) {
    struct guard *guard = &engine->guard;
    if (guard->turn.data && !engine->stopping)
        uv_timer_start(&guard->turn, turn_due, 0, 0);
}

static void quarantine(struct engine *engine, struct generation *generation, const char *error) {
    char subject[DRIVER_NAME_SIZE + 16];
    bool driver = generation->kind == SCRIPT_DRIVER;
    snprintf(subject, sizeof subject, "%s/%s.lua", driver ? "drivers" : "policies",
             generation->name);
    snprintf(generation->quarantine, sizeof generation->quarantine, "%s", error);
    generation->quarantined_at = clock_now(&engine->clock).wall;
    log_error(subject, "quarantined until its file changes: %s; %s", error,
              driver ? "its devices go on by its data alone"
                     : "its last proposals hold until their lease ends");
    guard_turn_soon(engine);
}

/* --- calls ---------------------------------------------------------------------------------------
 */

static void rehearse(const struct rehearsal *rehearsal, const struct generation *generation) {
    if (!rehearsal->name ||
        (strcmp(rehearsal->name, "*") != 0 && strcmp(rehearsal->name, generation->name) != 0))
        return;
    struct timespec span = {.tv_sec = rehearsal->ms / 1000,
                            .tv_nsec = rehearsal->ms % 1000 * 1000000};
    while (nanosleep(&span, &span))
        ;
}

/* After a call, or a part of one that waits. */
static void count_call(struct script_figures *figures, struct script *script,
                       enum script_outcome outcome) {
    if (!figures || !script)
        return;
    int64_t longest_us;
    figure_add(&figures->cpu_us, (uint64_t)script_take_used_us(script, &longest_us));
    figure_raise(&figures->cpu_most_us, (uint64_t)longest_us);
    figure_set(&figures->memory_bytes, script_memory(script));
    if (outcome == SCRIPT_WAITS)
        return;
    figure_add(&figures->calls, 1);
    if (outcome != SCRIPT_OK)
        figure_add(&figures->failures[outcome], 1);
}

void caller_forget(struct caller *caller) {
    text_set(&caller->error, "");
    caller->rung = (struct rung){0};
}

bool guard_enter(struct engine *engine, const struct generation *generation,
                 const struct caller *caller, const char *call, char why[SCRIPT_ERROR_SIZE]) {
    struct guard *guard = &engine->guard;
    const char *stopped = guard_stopped(engine, generation);
    if (stopped || !ladder_may_call(&caller->rung, clock_mono())) {
        snprintf(why, SCRIPT_ERROR_SIZE, "%s", stopped ? stopped : text_of(caller->error));
        return false;
    }
    watchdog_enter(guard->watchdog, generation->watched, call);
    rehearse(&guard->rehearsal, generation);
    return true;
}

void guard_resume(struct engine *engine, const struct generation *generation, const char *call) {
    watchdog_enter(engine->guard.watchdog, generation->watched, call);
}

void guard_leave(struct engine *engine, struct generation *generation, struct caller *caller,
                 enum script_outcome outcome, const char *error) {
    watchdog_leave(engine->guard.watchdog);
    count_call(generation->figures, generation->script, outcome);
    if (outcome == SCRIPT_WAITS)
        return;
    if (outcome == SCRIPT_OK) {
        ladder_passed(&caller->rung);
        return;
    }
    struct report report;
    bool spoiled = script_spoiled(generation->script);
    text_set(&caller->error, error);
    switch (ladder_failed(&generation->ladder, &caller->rung, spoiled, clock_mono())) {
    case LADDER_WAIT:
        break;
    case LADDER_QUARANTINE:
        quarantine(engine, generation, error);
        break;
    case LADDER_REBUILD:
        report_init(&report);
        if (generation->figures)
            figure_add(&generation->figures->rebuilds, 1);
        log_warning(generation->name, "its script is built anew after: %s", error);
        if (!generation_rebuild(generation, &report))
            quarantine(engine, generation,
                       report.count ? report.items[0].text : "it could not be built anew");
        report_free(&report);
        break;
    }
}
