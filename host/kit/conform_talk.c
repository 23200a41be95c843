/* Drivers that speak HTTP, UDP, lines or MQTT: whatever comes in place of an answer, the device is
 * offline and comes back, nothing impossible is published, and nothing wrong passes for a value.
 * Then each control case is sent. */
#include "base/text.h"
#include "kit/conform.h"
#include "machine.h"

#define PATIENCE_MS 60000
#define SOON_MS     500 /* instead of the driver's own time-out: loopback answers at once */

static void expect_back(struct conform *conform, struct bench *bench) {
    struct mono since = clock_mono();
    talk_fault(bench->talk, TALK_FINE);
    if (talk_listen(bench->talk, true) != ERR_OK)
        conform_problem(conform, "the simulated device cannot listen again");
    else if (!bench_until(bench, conform_back, &since, PATIENCE_MS))
        conform_problem(conform, "it is not back: %s",
                        text_of(bench->engine->devices->connection_text));
    conform_look(conform, bench);
}

static void leads_to_offline(struct conform *conform, struct bench *bench, const char *what,
                             enum talk_fault fault) {
    conform_begin(conform, "%s: offline, and back", what);
    talk_fault(bench->talk, fault);
    if (!bench_until(bench, conform_gone, NULL, PATIENCE_MS))
        conform_problem(conform,
                        "it still passes for online; hooks.read must return nil and a reason when "
                        "what came is not what it asked for");
    conform_look(conform, bench);
    expect_back(conform, bench);
    conform_end(conform);
}

static void refused(struct conform *conform, struct bench *bench) {
    conform_begin(conform, "nobody listens: offline, and back");
    if (talk_listen(bench->talk, false) != ERR_OK ||
        !bench_until(bench, conform_gone, NULL, PATIENCE_MS))
        conform_problem(conform, "it still passes for online");
    expect_back(conform, bench);
    conform_end(conform);
}

static void run_faults(struct conform *conform, struct bench *bench) {
    bool http = bench->kind == LINK_HTTP;
    struct driver *driver = bench_machine(bench)->generation->driver;
    if (driver->timeout_ms > SOON_MS && bench->kind != LINK_MQTT)
        driver->timeout_ms = SOON_MS;
    leads_to_offline(conform, bench, "no answer", TALK_SILENT);
    leads_to_offline(conform, bench, "an empty answer", TALK_EMPTY);
    leads_to_offline(conform, bench, "a page of HTML", TALK_HTML);
    leads_to_offline(conform, bench, "half an answer", TALK_TRUNCATED);
    if (http) {
        leads_to_offline(conform, bench, "status 500", TALK_ERROR);
        leads_to_offline(conform, bench, "status 401", TALK_FORBIDDEN);
        leads_to_offline(conform, bench, "an endless answer", TALK_HUGE);
        leads_to_offline(conform, bench, "garbage in place of HTTP", TALK_GARBAGE);
    }
    refused(conform, bench);
}

/* --- controls ------------------------------------------------------------------------------------
 */

static bool told(struct bench *bench, void *context) {
    const struct device *device = context;
    (void)bench;
    return device->command.state == COMMAND_REJECTED ||
           device->command.state == COMMAND_UNSUPPORTED ||
           (device->command.has_sent && !device->command.due);
}

static void run_control(struct conform *conform, struct bench *bench, struct device *device,
                        int share) {
    const struct ranges *allowed = &device->allowed;
    if (allowed->count == 0) {
        conform_problem(conform, "what the device may do is unknown: it needs ratedPower (a "
                                 "battery maxChargePower and maxDischargePower, a charging station "
                                 "maxCurrent) as a point or a parameter");
        return;
    }
    int32_t hi = allowed->items[allowed->count - 1].hi, lo = allowed->items[0].lo;
    struct wish wish = {.on_conflict = ON_CONFLICT_CLAMP, .has_max = true, .has_min = true};
    wish.max = hi / 4 * share;
    wish.min = lo / 4 * share;
    device_forget_told(device);
    device->command.state = COMMAND_NONE;
    if (!bench_constrain(bench, device, &wish) ||
        !bench_until(bench, told, device, BENCH_PATIENCE_MS) ||
        device->command.state == COMMAND_REJECTED || device->command.state == COMMAND_UNSUPPORTED)
        conform_problem(conform, "the command stays %s: %s",
                        command_state_name(device->command.state), text_of(device->command.text));
}

static void run_controls(struct conform *conform, struct bench *bench) {
    for (struct device *device = bench->engine->devices; device; device = device->next) {
        if (!device_controllable(device))
            continue;
        conform_begin(conform, "%s: a limit is taken", device->site->key);
        run_control(conform, bench, device, 3);
        conform_end(conform);
        conform_begin(conform, "%s: a limit of 0 W is taken", device->site->key);
        run_control(conform, bench, device, 0);
        conform_end(conform);
    }
}

void conform_talk(struct conform *conform) {
    struct bench bench = {0};
    json_t *parameters = conform_parameters(conform);
    conform_begin(conform, "the simulated device is online");
    bool open = conform_bench(conform, &bench, parameters, NULL);
    conform_end(conform);
    if (open) {
        run_controls(conform, &bench);
        run_faults(conform, &bench);
    }
    bench_close(&bench);
    json_decref(parameters);
}
