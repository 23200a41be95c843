/* The author's spec: what stands in registers and what it means, in literals from the manual. Each
 * point that is published needs at least one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/luadata.h"
#include "base/text.h"
#include "kit/conform.h"
#include "machine.h"

static struct device *device_of(const struct bench *bench, const char *part) {
    for (struct device *device = bench->engine->devices; device; device = device->next)
        if (strcmp(device->site->as, part) == 0)
            return device;
    return NULL;
}

/* The item of the plan that is read for this name; -1: none. */
static int item_of(const struct bench *bench, const struct device *device, const char *name) {
    const struct machine *machine = bench_machine(bench);
    for (size_t i = 0; i < machine->plan.item_count; i++) {
        const struct point *point = &machine_driver(machine)->points[machine->plan.items[i].point];
        if (strcmp(point->name, name) == 0 && point_is_of(point, device->part))
            return (int)i;
    }
    return -1;
}

/* The value point of that name; -1: none. */
static int value_of(const struct bench *bench, const struct device *device, const char *name) {
    const struct driver *driver = machine_driver(bench_machine(bench));
    for (int i = 0; i < driver->point_count; i++)
        if (reading_has(&driver->points[i], device->part) &&
            strcmp(driver->points[i].name, name) == 0)
            return i;
    return -1;
}

/* "register 52, raw 0x4491 0xF000", from what the simulated device holds. */
static void say_raw(const struct bench *bench, int item, char *text, size_t size) {
    const struct machine *machine = bench_machine(bench);
    if (item < 0) {
        snprintf(text, size, "of a hook");
        return;
    }
    const struct block_item *at = &machine->plan.items[item];
    const struct point *point = &machine_driver(machine)->points[at->point];
    uint16_t words[POINT_MAX_WORDS];
    peer_read(bench->peer, point->kind, at->address, point->words, words);
    int used = snprintf(text, size, "%s register %u, raw", register_kind_names()[point->kind],
                        at->address);
    for (int i = 0; i < point->words && i < 8; i++)
        used += snprintf(text + used, size - (size_t)used, " 0x%04X", words[i]);
}

static void say_expected(const json_t *expected, char *text, size_t size) {
    if (json_is_string(expected))
        snprintf(text, size, "\"%s\"", json_string_value(expected));
    else if (json_is_number(expected))
        snprintf(text, size, "%.9g", json_number_value(expected));
    else
        snprintf(text, size, "unknown");
}

static void say_value(int id, double value, char *text, size_t size) {
    if (isnan(value))
        snprintf(text, size, "unknown");
    else if (id == POINT_STATE)
        snprintf(text, size, "\"%s\"", device_state_name((enum device_state)value));
    else
        snprintf(text, size, "%.9g", value);
}

static bool number_right(int id, const json_t *expected, double value) {
    enum device_state state;
    if (json_is_false(expected))
        return isnan(value);
    if (id == POINT_STATE)
        return json_is_string(expected) &&
               device_state_parse(json_string_value(expected), &state) && value == (double)state;
    double due = json_number_value(expected);
    return json_is_number(expected) && fabs(value - due) <= 1e-3 + 1e-6 * fabs(due);
}

static void check_value(struct conform *conform, struct bench *bench, const struct device *device,
                        const char *name, const json_t *expected) {
    const struct machine *machine = bench_machine(bench);
    enum point_id id = POINT_COUNT;
    bool own = name[0] == '_';
    int item = item_of(bench, device, name);
    char raw[200], due[100], got[100];
    if (!own && !point_word_parse(name, &id)) {
        conform_problem(conform, "%s: there is no such point", name);
        return;
    }
    int value_point = item < 0 ? value_of(bench, device, name) : -1;
    if (own && item < 0 && value_point < 0) {
        conform_problem(conform, "%s: the driver does not read such a point here", name);
        return;
    }
    bool right;
    if (!own && id >= POINT_TEXT_FIRST) {
        const char *text = text_of(device->identity[id - POINT_TEXT_FIRST]);
        right = json_is_false(expected)
                    ? !text[0]
                    : json_is_string(expected) && strcmp(json_string_value(expected), text) == 0;
        snprintf(got, sizeof got, text[0] ? "\"%.90s\"" : "unknown%s", text);
    } else {
        int index = item < 0 ? value_point : machine->plan.items[item].point;
        double value =
            own ? machine->values[index] : device_known(device, (enum point_id)id)->value;
        right = number_right(own ? POINT_NONE : (int)id, expected, value);
        say_value(own ? POINT_NONE : (int)id, value, got, sizeof got);
    }
    if (item >= 0 && !json_is_false(expected))
        conform->covered[machine->plan.items[item].point] = true;
    if (value_point >= 0 && !json_is_false(expected))
        conform->covered[value_point] = true;
    if (right)
        return;
    say_raw(bench, item, raw, sizeof raw);
    say_expected(expected, due, sizeof due);
    conform_problem(conform, "%s%s%s (%s): expected %s, got %s", device->site->as,
                    device->site->as[0] ? "." : "", name, raw, due, got);
}

static void check_part(struct conform *conform, struct bench *bench, const char *part,
                       const json_t *values) {
    struct device *device = device_of(bench, part);
    const char *name;
    json_t *expected;
    if (!device || !json_is_object(values)) {
        conform_problem(conform, "expect.%s: the driver has no such part, or it is not a table",
                        part);
        return;
    }
    json_object_foreach((json_t *)values, name, expected)
        check_value(conform, bench, device, name, expected);
}

static void check_expected(struct conform *conform, struct bench *bench, const json_t *expect) {
    const char *part;
    json_t *values;
    if (!conform->driver->parts[0].name[0]) {
        check_part(conform, bench, "", expect);
        return;
    }
    json_object_foreach((json_t *)expect, part, values) check_part(conform, bench, part, values);
}

/* --- orders --------------------------------------------------------------------------------------
 */

static bool told(struct bench *bench, void *context) {
    const struct device *device = context;
    enum command_state state = device->command.state;
    (void)bench;
    return state == COMMAND_REJECTED || state == COMMAND_UNSUPPORTED ||
           (device->command.has_sent && !device->command.due);
}

static bool wish_number(const json_t *order, const char *key, int32_t *value) {
    const json_t *number = json_object_get(order, key);
    *value = (int32_t)json_number_value(number);
    return number != NULL;
}

/* Write `i` of the plan against { address, words... }. */
static void check_write(struct conform *conform, struct bench *bench, const struct plan *plan,
                        size_t i, const json_t *row, uint16_t base) {
    uint16_t address = 0;
    const struct plan_write *write = &plan->writes[i];
    json_int_t due = json_integer_value(json_array_get(row, 0)) + base;
    bool right = (int)i < plan->write_count &&
                 poll_address(bench_machine(bench), write->point, &address) && address == due &&
                 json_array_size(row) == (size_t)write->count + 1;
    for (int j = 0; right && j < write->count; j++)
        right = (uint16_t)json_integer_value(json_array_get(row, (size_t)j + 1)) == write->words[j];
    if (right)
        return;
    if ((int)i >= plan->write_count)
        conform_problem(conform, "write %zu to register %lld was not made", i + 1, (long long)due);
    else
        conform_problem(
            conform, "write %zu: register %u raw %u, expected register %lld raw %lld", i + 1,
            address, write->words[write->count - 1], (long long)due,
            (long long)json_integer_value(json_array_get(row, json_array_size(row) - 1)));
}

/* --- what is sent --------------------------------------------------------------------------------
 */

static bool same_text(const json_t *due, const json_t *got) {
    if (!due)
        return true;
    if (json_is_string(due))
        return json_equal(due, got);
    json_t *said = json_read_text(json_string_value(got), JSON_DECODE_ANY, NULL);
    char *one = json_dumps(due, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    char *other = json_dumps(said, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    bool same = one && other && strcmp(one, other) == 0;
    json_decref(said);
    free(one);
    free(other);
    return same;
}

/* Whether `message` is one that the device gets anyway, from polls. */
static bool asked_anyway(const json_t *before, const json_t *message) {
    size_t i;
    const json_t *other;
    json_array_foreach((json_t *)before, i, other) {
        if (json_equal(other, message))
            return true;
    }
    return false;
}

/* What the device got during an order, without what it gets anyway, against the spec. */
static void check_sent(struct conform *conform, const json_t *idle, const json_t *since,
                       const json_t *sent) {
    size_t i, next = 0;
    const json_t *message;
    json_array_foreach((json_t *)since, i, message) {
        if (asked_anyway(idle, message) || next > json_array_size(sent))
            continue;
        const json_t *due = json_array_get(sent, next++);
        const json_t *what = json_is_array(due) ? json_array_get(due, 0) : due;
        const json_t *body = json_is_array(due) ? json_array_get(due, 1) : NULL;
        const char *got = json_string_value(json_array_get(message, 0));
        const char *text = json_string_value(json_array_get(message, 1));
        if (!due)
            conform_problem(conform, "\"%s\" %s was sent too, which no row of `sent` says", got,
                            text);
        else if (!json_equal(what, json_array_get(message, 0)) ||
                 !same_text(body, json_array_get(message, 1)))
            conform_problem(conform, "sent \"%s\" %s, expected \"%s\"", got, text,
                            json_string_value(what) ? json_string_value(what) : "?");
    }
    for (; next < json_array_size(sent); next++) {
        const json_t *due = json_array_get(sent, next);
        const char *what = json_string_value(json_is_array(due) ? json_array_get(due, 0) : due);
        conform_problem(conform, "\"%s\" was not sent", what ? what : "?");
    }
}

static void run_order(struct conform *conform, struct bench *bench, const json_t *order,
                      const json_t *idle) {
    const char *part = json_string_value(json_object_get(order, "part"));
    struct device *device = device_of(bench, part ? part : "");
    struct wish wish = {.on_conflict = ON_CONFLICT_CLAMP};
    const json_t *writes = json_object_get(order, "writes");
    uint16_t base = 0, model = (uint16_t)json_integer_value(json_object_get(order, "model"));
    wish.has_set = wish_number(order, "activePower", &wish.set);
    wish.has_min = wish_number(order, "minActivePower", &wish.min);
    wish.has_max = wish_number(order, "maxActivePower", &wish.max);
    if (!device || (model && !sunspec_find(bench_machine(bench)->walk, model, &base))) {
        conform_problem(conform, "there is no part \"%s\" or no model %u here", part ? part : "",
                        model);
        return;
    }
    device_forget_told(device);
    device->command.state = COMMAND_NONE;
    size_t before = bench->talk ? (size_t)talk_requests(bench->talk) : 0;
    if (!bench_constrain(bench, device, &wish) ||
        !bench_until(bench, told, device, BENCH_PATIENCE_MS) ||
        device->command.state == COMMAND_REJECTED || device->command.state == COMMAND_UNSUPPORTED) {
        conform_problem(conform, "the command stays %s: %s",
                        command_state_name(device->command.state), text_of(device->command.text));
        return;
    }
    if (bench->talk) {
        json_t *since = talk_heard(bench->talk, before);
        check_sent(conform, idle, since, json_object_get(order, "sent"));
        json_decref(since);
        return;
    }
    const struct plan *plan = &device->command.plans->sent;
    for (size_t i = 0; i < json_array_size(writes); i++)
        check_write(conform, bench, plan, i, json_array_get(writes, i), base);
    if ((size_t)plan->write_count > json_array_size(writes))
        conform_problem(conform, "%d writes were made, expected %zu", plan->write_count,
                        json_array_size(writes));
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static void run_fixture(struct conform *conform, const json_t *fixture, const char *name) {
    struct bench bench = {0};
    struct mirror_chain chain;
    struct report report;
    struct registers *registers = registers_new();
    const json_t *expect = json_object_get(fixture, "expect");
    const json_t *orders = json_object_get(fixture, "orders");
    report_init(&report);
    conform_begin(conform, "%.120s: values as expected, nothing impossible", name);
    json_t *kept = conform->answers;
    if (kept)
        conform->answers = spec_answers(fixture, spec_kind(conform->driver));
    bool ok = registers && spec_registers(fixture, conform->driver, &chain, registers, &report);
    for (size_t i = 0; i < report.count; i++)
        conform_problem(conform, "%s: %s", report.items[i].where, report.items[i].text);
    report_free(&report);
    ok = ok && conform_bench(conform, &bench, json_object_get(fixture, "parameters"), registers);
    if (ok) {
        conform_look(conform, &bench);
        if (expect)
            check_expected(conform, &bench, expect);
    }
    conform_end(conform);
    json_t *idle = bench.talk ? talk_heard(bench.talk, 0) : NULL; /* what polls ask */
    for (size_t i = 0; ok && i < json_array_size(orders); i++) {
        conform_begin(conform, "%.120s: order %zu writes what the manual says", name, i + 1);
        run_order(conform, &bench, json_array_get(orders, i), idle);
        conform_end(conform);
    }
    json_decref(idle);
    bench_close(&bench);
    registers_free(registers);
    if (kept)
        json_decref(conform->answers);
    conform->answers = kept;
}

void conform_spec(struct conform *conform, const struct spec *spec) {
    for (size_t i = 0; i < json_array_size(spec->fixtures); i++) {
        const json_t *fixture = json_array_get(spec->fixtures, i);
        const char *name = json_string_value(json_object_get(fixture, "name"));
        char number[40];
        snprintf(number, sizeof number, "fixture %zu", i + 1);
        run_fixture(conform, fixture, name ? name : number);
    }
}

void conform_coverage(struct conform *conform) {
    conform_begin(conform, "each published point has a literal in the spec");
    for (int i = 0; i < conform->driver->point_count; i++) {
        const struct point *point = &conform->driver->points[i];
        const char *part =
            point->part == POINT_NONE ? "" : conform->driver->parts[point->part].name;
        char model[24] = "";
        if (conform->covered[i] || point->id == POINT_NONE || point->period_ms == POINT_NEVER)
            continue;
        if (point->model_count)
            snprintf(model, sizeof model, " of model %u", point->models[0]);
        if (point->kind == REGISTER_VALUE) {
            conform_problem(conform, "%s%s%s: no fixture expects a value of it", part,
                            part[0] ? "." : "", point->name);
            continue;
        }
        conform_problem(conform, "%s%s%s at register %u%s: no fixture expects a value of it", part,
                        part[0] ? "." : "", point->name, point->address, model);
    }
    conform_end(conform);
}
