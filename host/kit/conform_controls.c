/* Controls: each case that a driver has is brought about by a constraint, written, read back, and
 * looked up in the simulated device's registers. */
#include <string.h>

#include "base/text.h"
#include "kit/conform.h"
#include "machine.h"

static const char *const case_names[] = {"charge", "discharge", "hold", "limit", "release"};

/* Sent is enough only where nothing can be read back. */
static bool settled(struct bench *bench, void *context) {
    const struct device *device = context;
    const struct command *command = &device->command;
    const struct point *points = machine_driver(bench_machine(bench))->points;
    bool can_confirm = false;
    for (int i = 0; i < command->plans->sent.write_count; i++)
        can_confirm = can_confirm || points[command->plans->sent.writes[i].point].read_back;
    return command->state == COMMAND_REJECTED || command->state == COMMAND_UNSUPPORTED ||
           (command->has_sent && !command->due &&
            (command->state == COMMAND_CONFIRMED ||
             (command->state == COMMAND_SENT && !can_confirm)));
}

/* The constraint that makes the host do this. */
static struct wish wish_of(enum control_case control_case, int32_t lo, int32_t hi) {
    struct wish wish = {.on_conflict = ON_CONFLICT_CLAMP};
    switch (control_case) {
    case CONTROL_CHARGE:
        wish.has_set = true;
        wish.set = hi / 4 * 3;
        break;
    case CONTROL_DISCHARGE:
        wish.has_set = true;
        wish.set = lo / 4 * 3;
        break;
    case CONTROL_HOLD:
        wish.has_set = true;
        break;
    case CONTROL_LIMIT:
        wish.has_max = hi > 0;
        wish.max = hi / 4 * 3;
        wish.has_min = hi <= 0;
        wish.min = lo / 4 * 3;
        break;
    case CONTROL_RELEASE:
    case CONTROL_CASE_COUNT:
        break;
    }
    return wish;
}

/* What was written last to each point stands in the device. */
static void look_at_registers(struct conform *conform, struct bench *bench,
                              const struct device *device) {
    const struct plan *plan = &device->command.plans->sent;
    for (int i = 0; i < plan->write_count; i++) {
        const struct plan_write *write = &plan->writes[i];
        const struct point *point = &conform->driver->points[write->point];
        uint16_t address, words[4];
        bool last = true;
        for (int j = i + 1; j < plan->write_count; j++)
            last = last && plan->writes[j].point != write->point;
        if (!last || point->kind == REGISTER_VALUE ||
            !poll_address(bench_machine(bench), write->point, &address))
            continue;
        peer_read(bench->peer, point->kind, address, (uint16_t)write->count, words);
        if (memcmp(words, write->words, (size_t)write->count * sizeof *words) != 0)
            conform_problem(conform, "%s at register %u: raw %u, expected %u (%g)", point->name,
                            address, words[write->count - 1], write->words[write->count - 1],
                            write->value);
    }
}

static void run_case(struct conform *conform, struct bench *bench, struct device *device,
                     enum control_case control_case) {
    const struct ranges *allowed = &device->allowed;
    if (allowed->count == 0) {
        conform_problem(conform,
                        "what the device may do is unknown: it needs ratedPower (a battery "
                        "maxChargePower and maxDischargePower, a charging station "
                        "maxCurrent) as a point or a parameter");
        return;
    }
    int32_t lo = allowed->items[0].lo, hi = allowed->items[allowed->count - 1].hi;
    struct wish wish = wish_of(control_case, lo, hi);
    device_forget_told(device); /* as after a reconnection: no brake stands in the way */
    device->command.state = COMMAND_NONE;
    if (control_case == CONTROL_RELEASE) {
        device->told_before = true;
        bench_free_constraint(bench, device);
        device_decide_changed(device);
    } else if (!bench_constrain(bench, device, &wish)) {
        conform_problem(conform, "there is not enough memory");
        return;
    }
    bool done = bench_until(bench, settled, device, BENCH_PATIENCE_MS);
    const struct command *command = &device->command;
    if (!done || command->state == COMMAND_REJECTED || command->state == COMMAND_UNSUPPORTED) {
        conform_problem(conform, "the command stays %s: %s", command_state_name(command->state),
                        text_of(command->text));
        return;
    }
    if (command->plans->sent.control_case != control_case)
        conform_problem(conform, "asked for %s (set %d W within %d..%d W), the host does %s",
                        case_names[control_case], wish.set, lo, hi,
                        case_names[command->plans->sent.control_case]);
    look_at_registers(conform, bench, device);
}

static struct device *device_of_part(const struct bench *bench, int part) {
    for (struct device *device = bench->engine->devices; device; device = device->next)
        if (device->part == part)
            return device;
    return NULL;
}

static void run_part(struct conform *conform, const struct registers *registers, int part) {
    const struct driver_part *own = &conform->driver->parts[part];
    json_t *parameters = conform_parameters(conform);
    for (int i = 0; i < CONTROL_CASE_COUNT; i++) {
        if (own->control.write_count[i] == 0)
            continue;
        struct bench bench = {0};
        conform_begin(conform, "%s%s%s is written, and stands in the registers", own->name,
                      own->name[0] ? ": " : "", case_names[i]);
        if (conform_bench(conform, &bench, parameters, registers))
            run_case(conform, &bench, device_of_part(&bench, part), (enum control_case)i);
        bench_close(&bench);
        conform_end(conform);
    }
    json_decref(parameters);
}

void conform_controls(struct conform *conform) {
    struct mirror_chain chain;
    struct registers *registers = conform_image(conform, &chain);
    for (int part = 0; part < conform->driver->part_count; part++)
        if (conform->driver->parts[part].control.present)
            run_part(conform, registers, part);
    registers_free(registers);
}
