/* Faults: whatever a device, a gateway or a network does, the state that readers see is the right
 * one and the device comes back by itself. Then: a reload in the middle, and a thousand polls. */
#include <malloc.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "kit/conform.h"
#include "machine.h"
#include "script/script.h"

#define FAULT_TIMEOUT_MS 250 /* instead of the driver's own: loopback answers at once */
#define PATIENCE_MS      60000
#define ROUNDS           3
#define GROWTH_BYTES     (64 << 10)
#define PAUSED_POLLS_MS  20000

/* Polls now, not at the deadline: faults are met sooner. */
static void hurry(struct bench *bench) {
    struct machine *machine = bench_machine(bench);
    if (machine->state != MACHINE_UP)
        return;
    for (size_t i = 0; i < machine->group_count; i++)
        if (machine->groups[i]->busy)
            return;
    poll_start(machine);
}

bool conform_gone(struct bench *bench, void *context) {
    (void)context;
    hurry(bench);
    return bench_offline(bench);
}

/* Online, with at least one value that is newer than `context`. */
bool conform_back(struct bench *bench, void *context) {
    const struct mono *since = context;
    const struct machine *machine = bench_machine(bench);
    bool fresh = false;
    hurry(bench);
    for (int i = 0; i < machine_driver(machine)->point_count; i++)
        fresh = fresh || machine->value_at[i].mono.ms > since->ms;
    return fresh && machine->state == MACHINE_UP &&
           bench->engine->devices->connection == CONNECTION_ONLINE;
}

static void expect_back(struct conform *conform, struct bench *bench) {
    struct mono since = clock_mono();
    peer_fault(bench->peer, PEER_FINE, REGISTER_HOLDING, 0);
    if (peer_listen(bench->peer, true) != ERR_OK)
        conform_problem(conform, "the simulated device cannot listen again");
    else if (!bench_until(bench, conform_back, &since, PATIENCE_MS))
        conform_problem(conform, "it is not back: %s",
                        text_of(bench->engine->devices->connection_text));
    conform_look(conform, bench);
}

static void leads_to_offline(struct conform *conform, struct bench *bench, const char *what,
                             enum peer_fault fault) {
    conform_begin(conform, "%s: offline, and back", what);
    peer_fault(bench->peer, fault, REGISTER_HOLDING, 0);
    if (!bench_until(bench, conform_gone, NULL, PATIENCE_MS))
        conform_problem(conform, "it still passes for online");
    expect_back(conform, bench);
    conform_end(conform);
}

static void refused_connection(struct conform *conform, struct bench *bench) {
    conform_begin(conform, "refused connection: offline, and back");
    if (peer_listen(bench->peer, false) != ERR_OK ||
        !bench_until(bench, conform_gone, NULL, PATIENCE_MS))
        conform_problem(conform, "it still passes for online");
    expect_back(conform, bench);
    conform_end(conform);
}

static struct mono newest(const struct machine *machine, int point) {
    return machine->value_at[point].mono;
}

/* Index in the plan of a polled, published number; POINT_NONE: the driver polls none. */
static int polled_item(const struct machine *machine) {
    for (size_t i = 0; i < machine->plan.item_count; i++) {
        const struct point *point = &machine_driver(machine)->points[machine->plan.items[i].point];
        if (point->id != POINT_NONE && point->id < POINT_NUMBER_COUNT && point->period_ms > 0)
            return (int)i;
    }
    return POINT_NONE;
}

/* One register that the device does not have costs no other point. */
static void refused_block(struct conform *conform, struct bench *bench) {
    conform_begin(conform, "exception 2 on a block: online, only that point is left out");
    struct machine *machine = bench_machine(bench);
    int item = polled_item(machine);
    if (item == POINT_NONE) {
        conform_end(conform);
        return;
    }
    const struct block_item refused = machine->plan.items[item];
    const struct point *points = conform->driver->points;
    peer_fault(bench->peer, PEER_REFUSES_BLOCK, points[refused.point].kind, refused.address);
    for (int round = 0; round < ROUNDS && bench_poll(bench); round++)
        continue;
    struct mono since = clock_mono();
    while (clock_mono().ms <= since.ms)
        uv_run(&bench->engine->loop, UV_RUN_ONCE);
    if (!bench_poll(bench) || bench->engine->devices->connection != CONNECTION_ONLINE)
        conform_problem(conform, "it is offline: %s", text_of(machine->why));
    for (size_t i = 0; i < machine->plan.item_count; i++) {
        const struct block_item *other = &machine->plan.items[i];
        const struct point *point = &points[other->point];
        bool touched = point->kind == points[refused.point].kind &&
                       other->address <= refused.address &&
                       other->address + point->words > refused.address;
        if (!touched && point->period_ms > 0 && newest(machine, other->point).ms <= since.ms)
            conform_problem(conform, "%s at register %u is not read any more", point->name,
                            other->address);
        if (touched && newest(machine, other->point).ms > since.ms)
            conform_problem(conform, "%s at register %u is refused but passes for fresh",
                            point->name, other->address);
    }
    peer_hang_up(bench->peer);
    expect_back(conform, bench);
    conform_end(conform);
}

/* A device that cannot answer just now stays online; what it said before grows old. */
static void failing_device(struct conform *conform, struct bench *bench) {
    conform_begin(conform, "exception 4: online, values grow old, and are fresh again after");
    struct machine *machine = bench_machine(bench);
    int item = polled_item(machine);
    if (item != POINT_NONE && bench_poll(bench)) {
        int point = machine->plan.items[item].point;
        struct mono before = newest(machine, point);
        peer_fault(bench->peer, PEER_FAILS, REGISTER_HOLDING, 0);
        for (int round = 0; round < ROUNDS; round++)
            if (!bench_poll(bench))
                conform_problem(conform, "it is offline: %s", text_of(machine->why));
        if (newest(machine, point).ms != before.ms)
            conform_problem(conform, "%s passes for fresh", conform->driver->points[point].name);
    }
    expect_back(conform, bench);
    conform_end(conform);
}

void conform_faults(struct conform *conform) {
    struct mirror_chain chain;
    struct bench bench = {0};
    struct registers *registers = conform_image(conform, &chain);
    json_t *parameters = conform_parameters(conform);
    conform_begin(conform, "the simulated device is online");
    bool open = conform_bench(conform, &bench, parameters, registers);
    conform_end(conform);
    if (open) {
        struct driver *driver = bench_machine(&bench)->generation->driver;
        if (driver->timeout_ms > FAULT_TIMEOUT_MS)
            driver->timeout_ms = FAULT_TIMEOUT_MS;
        leads_to_offline(conform, &bench, "no answer", PEER_SILENT);
        leads_to_offline(conform, &bench, "closed connection", PEER_HANGS_UP);
        refused_connection(conform, &bench);
        refused_block(conform, &bench);
        failing_device(conform, &bench);
        leads_to_offline(conform, &bench, "exception 0x0B", PEER_UNREACHABLE);
        leads_to_offline(conform, &bench, "garbage in place of a frame", PEER_GARBAGE);
        leads_to_offline(conform, &bench, "a frame that is too short", PEER_SHORT);
        leads_to_offline(conform, &bench, "a foreign transaction id", PEER_FOREIGN);
    }
    bench_close(&bench);
    registers_free(registers);
    json_decref(parameters);
}

/* --- reload --------------------------------------------------------------------------------------
 */

static bool renewed(struct bench *bench, void *context) {
    const struct generation *before = context;
    return bench_machine(bench)->generation != before && bench_online(bench);
}

static void run_reload(struct conform *conform, struct bench *bench) {
    struct device *device = bench->engine->devices;
    struct machine *machine = bench_machine(bench);
    struct wish wish = {.has_max = true, .has_min = true, .on_conflict = ON_CONFLICT_CLAMP};
    double values[POINT_NUMBER_COUNT];
    const char *key;
    json_t *value;
    wish.max = 100;
    wish.min = -100;
    if (!bench_poll(bench) || !bench_constrain(bench, device, &wish))
        conform_problem(conform, "it went away before the reload: %s", text_of(machine->why));
    struct decision decided = device->decision;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        values[i] = device_known(device, (enum point_id)i)->value;
    json_t *state = json_deep_copy(device->hook_state);
    struct generation *old = generation_hold(machine->generation);
    if (!bench_touch_driver(bench) || !bench_until(bench, renewed, old, BENCH_PATIENCE_MS))
        conform_problem(conform, "the changed file was not taken while the device is in use");
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        if (!isnan(values[i]) && isnan(device_known(device, (enum point_id)i)->value))
            conform_problem(conform, "%s was %g and is unknown after",
                            point_word((enum point_id)i)->name, values[i]);
    json_object_foreach(state, key, value) if (!json_object_get(device->hook_state, key))
        conform_problem(conform, "dev.state.%s is lost", key);
    if (device_controllable(device) &&
        (decided.min != device->decision.min || decided.max != device->decision.max))
        conform_problem(conform, "the decision was %d..%d W and is %d..%d W after", decided.min,
                        decided.max, device->decision.min, device->decision.max);
    generation_release(old);
    json_decref(state);
}

void conform_reload(struct conform *conform) {
    struct mirror_chain chain;
    struct bench bench = {0};
    struct registers *registers = conform_image(conform, &chain);
    json_t *parameters = conform_parameters(conform);
    conform_begin(conform, "a reload in the middle keeps state, values and decision");
    if (conform_bench(conform, &bench, parameters, registers))
        run_reload(conform, &bench);
    conform_end(conform);
    bench_close(&bench);
    registers_free(registers);
    json_decref(parameters);
}

/* --- memory --------------------------------------------------------------------------------------
 */

/* The most that script and heap held in `polls` polls: the collector's saw teeth do not show. */
static bool most_memory(struct bench *bench, int polls, size_t *script, size_t *heap) {
    *script = *heap = 0;
    for (int i = 0; i < polls; i++) {
        if (!bench_poll(bench))
            return false;
        const struct generation *generation = bench_machine(bench)->generation;
        size_t now = generation->script ? script_memory(generation->script) : 0;
        size_t held = mallinfo2().uordblks; /* 0 under the sanitizers, which count for themselves */
        *script = now > *script ? now : *script;
        *heap = held > *heap ? held : *heap;
    }
    return true;
}

void conform_memory(struct conform *conform) {
    struct mirror_chain chain;
    struct bench bench = {0};
    struct registers *registers = conform_image(conform, &chain);
    json_t *parameters = conform_parameters(conform);
    int polls = conform->polls;
    if (conform->driver->pause_ms > 0 && polls * conform->driver->pause_ms > PAUSED_POLLS_MS)
        polls = (int)(PAUSED_POLLS_MS / conform->driver->pause_ms) + 10;
    conform_begin(conform, "%d polls do not grow memory", polls);
    if (conform_bench(conform, &bench, parameters, registers)) {
        size_t script, heap, script_after, heap_after;
        uint64_t asked = bench_requests(&bench);
        if (!most_memory(&bench, polls / 2, &script, &heap) ||
            !most_memory(&bench, polls - polls / 2, &script_after, &heap_after))
            conform_problem(conform, "it went away: %s", text_of(bench_machine(&bench)->why));
        else if (bench.kind != LINK_MQTT && bench_requests(&bench) - asked < (uint64_t)polls)
            conform_problem(conform, "only %llu requests were made",
                            (unsigned long long)(bench_requests(&bench) - asked));
        else if (script_after > script + GROWTH_BYTES)
            conform_problem(conform,
                            "the script held at most %zu bytes in the first half, %zu in "
                            "the second: something is kept at each call",
                            script, script_after);
        else if (heap_after > heap + GROWTH_BYTES)
            conform_problem(conform,
                            "the host held at most %zu bytes in the first half, %zu in "
                            "the second",
                            heap, heap_after);
    }
    conform_end(conform);
    bench_close(&bench);
    registers_free(registers);
    json_decref(parameters);
}
