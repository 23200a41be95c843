/* Hooks that wait, in a whole engine over real Modbus TCP: they read and write like straight code,
 * and whatever they do wrong costs nobody else a poll. */
#include "base/text.h"
#include "tasks_world.h"

/* The neighbour. It waits long, so that it fails when the engine leaves it alone, not when the
 * machine is busy. */
#define METER                                                                                      \
    "return { api = 1, name = 'plain', version = '1', manufacturer = 'A', models = { 'A' },\n"     \
    "  type = 'meter', link = { kinds = { 'tcp' }, timeout = 30 }, points = {\n"                   \
    "  { name = 'activePower', address = 0, encoding = 'int16', period = 0.1 } } }\n"

/* A station whose only register is its limit (A) at 10, its power at 20, its serial number at 30.
 */
#define STATION_HEAD                                                                               \
    "  api = 1, version = '1', manufacturer = 'A', models = { 'A' }, type = 'chargingStation',\n"  \
    "  link = { kinds = { 'tcp' }, timeout = 0.5 },\n"                                             \
    "  parameters = { phases = { min = 1, max = 3, default = 3 } },\n"                             \
    "  points = {\n"                                                                               \
    "    { name = 'activePower', kind = 'value', period = 0.1 },\n"                                \
    "    { name = 'maxCurrent', kind = 'value', period = 'once' },\n"                              \
    "    { name = 'serialNumber', kind = 'value' },\n"                                             \
    "    { name = 'currentLimit', kind = 'value', unit = 'A', period = 0.1 },\n"                   \
    "    { name = '_limit', kind = 'value', unit = 'A', encoding = 'uint16',\n"                    \
    "      writable = { min = 0, max = 32 }, readBack = 'currentLimit' } },\n"                     \
    "  controls = { withoutSetPoint = 'followsMax', lag = 1,\n"                                    \
    "    charge = { { point = '_limit', from = 'current' } },\n"                                   \
    "    hold = { { point = '_limit', value = 0 } } },\n"
#define STATION_READ                                                                               \
    "local function read(dev)\n"                                                                   \
    "  local power, why = dev.modbus:read{ address = 20, encoding = 'int16' }\n"                   \
    "  if not power then return nil, why end\n"                                                    \
    "  local words = dev.modbus:read{ address = 10, count = 1 }\n"                                 \
    "  dev.state.reads = (dev.state.reads or 0) + 1\n"                                             \
    "  return { activePower = power, maxCurrent = 32, currentLimit = words and words[1],\n"        \
    "    serialNumber = dev.due.serialNumber and 'S1' or nil }\n"                                  \
    "end\n"
#define STATION_WRITE                                                                              \
    "local function write(dev, writes)\n"                                                          \
    "  for _, w in ipairs(writes) do\n"                                                            \
    "    local ok, why = dev.modbus:write{ address = 10, values = { w.raw } }\n"                   \
    "    if not ok then return nil, why end\n"                                                     \
    "  end\n"                                                                                      \
    "  return true\n"                                                                              \
    "end\n"

static struct peer *peer_with(uint16_t *port, uint16_t power) {
    struct peer *peer = peer_start(port);
    struct registers *registers = registers_new();
    assert_non_null(peer);
    assert_non_null(registers);
    const uint16_t zero = 0;
    for (uint16_t i = 0; i < 40; i++)
        registers_put(registers, REGISTER_HOLDING, i, i == 20 || i == 0 ? &power : &zero, 1);
    peer_serve(peer, registers);
    registers_free(registers);
    return peer;
}

struct pair { /* the device under test, and its neighbour */
    struct world *world;
    struct peer *peer, *other;
};

static void pair_start(struct pair *pair, const char *driver_text) {
    uint16_t port, other;
    char devices[300];
    pair->peer = peer_with(&port, 1500);
    pair->other = peer_with(&other, 700);
    pair->world = world_new();
    world_driver(pair->world, "plain", METER);
    world_driver(pair->world, "tested", driver_text);
    snprintf(devices, sizeof devices,
             "{ key = \"a\", driver = \"tested\", link = \"tcp://127.0.0.1:%u\" },"
             "{ key = \"b\", driver = \"plain\", link = \"tcp://127.0.0.1:%u\" },",
             port, other);
    world_start(pair->world, devices);
}

static void pair_end(struct pair *pair) {
    world_free(pair->world);
    peer_stop(pair->peer);
    peer_stop(pair->other);
}

static uint16_t limit_of(struct pair *pair) {
    uint16_t word;
    peer_read(pair->peer, REGISTER_HOLDING, 10, 1, &word);
    return word;
}

static bool confirmed(struct world *world, void *key) {
    return world_device(world, key)->command.state == COMMAND_CONFIRMED;
}

/* ---- reading and writing ---- */

static void what_read_returns_is_published_and_what_write_did_is_confirmed(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, STATION_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                                                 "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    struct device *device = world_device(pair.world, "a");
    assert_int_equal((int)device_known(device, POINT_ACTIVE_POWER)->value, 1500);
    assert_string_equal(text_of(device->identity[POINT_SERIAL_NUMBER - POINT_TEXT_FIRST]), "S1");
    world_constrain(pair.world, "a", 7000); /* 7000 / 3 / 253 V = 9.2 A */
    assert_true(world_until(pair.world, confirmed, (void *)"a"));
    assert_int_equal(limit_of(&pair), 9);
    assert_int_equal((int)device_known(device, POINT_CURRENT_LIMIT)->value, 9);
    pair_end(&pair);
}

static bool is_online(struct world *world, void *key) {
    return world_device(world, key)->connection == CONNECTION_ONLINE;
}

static bool applied(struct world *world, void *context) {
    struct pair *pair = context;
    (void)world;
    return limit_of(pair) == 9;
}

static void a_device_that_was_away_gets_the_newest_limit_before_anything_else(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, STATION_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                                                 "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    world_constrain(pair.world, "a", 16000);
    assert_true(world_until(pair.world, confirmed, (void *)"a"));
    peer_fault(pair.peer, PEER_SILENT, REGISTER_HOLDING, 0);
    assert_true(world_until(pair.world, world_offline, (void *)"a"));
    world_constrain(pair.world, "a", 7000);
    assert_int_equal(world_device(pair.world, "a")->command.state, COMMAND_UNREACHABLE);
    peer_fault(pair.peer, PEER_FINE, REGISTER_HOLDING, 0);
    assert_true(world_until(pair.world, applied, &pair));
    assert_true(world_until(pair.world, confirmed, (void *)"a"));
    pair_end(&pair);
}

static void a_refused_write_is_told_with_its_reason(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair,
               STATION_READ "local function write(dev, writes) return nil, 'it is locked' end\n"
                            "return { name = 'tested'," STATION_HEAD
                            "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    world_constrain(pair.world, "a", 7000);
    struct device *device = world_device(pair.world, "a");
    assert_logged(pair.world, "command rejected: it is locked");
    assert_int_equal(device->connection, CONNECTION_ONLINE);
    pair_end(&pair);
}

static bool writes(struct world *world, void *context) {
    (void)context;
    const struct task *task = world_device(world, "a")->machine->task;
    return task_busy(task) && strcmp(task->path, "hooks.write") == 0;
}

static void a_limit_that_comes_during_a_refused_write_does_not_wait_for_it(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, STATION_READ
               "local function write(dev, writes)\n"
               "  if writes[1].raw > 10 then sleep(0.3) return nil, 'too much' end\n"
               "  return dev.modbus:write{ address = 10, values = { writes[1].raw } }\n"
               "end\n"
               "return { name = 'tested'," STATION_HEAD
               "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    world_constrain(pair.world, "a", 16000);
    assert_true(world_until(pair.world, writes, NULL));
    world_constrain(pair.world, "a", 7000);
    assert_true(world_until(pair.world, confirmed, (void *)"a"));
    assert_int_equal(limit_of(&pair), 9);
    assert_null(strstr(pair.world->log, "command rejected"));
    pair_end(&pair);
}

static bool no_more_looks(struct world *world, void *key) {
    const struct command *command = &world_device(world, key)->command;
    return command->has_sent && !command->due && command->look_at.ms == INT64_MAX;
}

static void a_value_from_before_the_write_confirms_nothing_and_refuses_nothing(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, STATION_READ STATION_WRITE "local function old(dev) return read(dev), 5 end\n"
                                                 "return { name = 'tested'," STATION_HEAD
                                                 "  hooks = { read = old, write = write } "
                                                 "}\n");
    assert_true(world_until(pair.world, is_online, (void *)"a"));
    world_constrain(pair.world, "a", 7000);
    assert_true(world_until(pair.world, applied, &pair));
    assert_true(world_until(pair.world, no_more_looks, (void *)"a")); /* its lag is over */
    assert_int_equal(world_device(pair.world, "a")->command.state, COMMAND_SENT);
    assert_null(strstr(pair.world->log, "command rejected"));
    pair_end(&pair);
}

static void any_function_code_can_be_asked(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, "local function read(dev)\n"
                      "  local bytes = assert(dev.modbus:raw(3, '\\0\\20\\0\\1'))\n"
                      "  local none, why = dev.modbus:raw(77, '')\n"
                      "  assert(none == nil and why:find('illegal function'), why)\n"
                      "  local count, word = string.unpack('>Bi2', bytes)\n"
                      "  assert(count == 2)\n"
                      "  return { activePower = word, maxCurrent = 32, serialNumber = 'S1' }\n"
                      "end\n" STATION_WRITE "return { name = 'tested'," STATION_HEAD
                      "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    assert_int_equal((int)device_known(world_device(pair.world, "a"), POINT_ACTIVE_POWER)->value,
                     1500);
    pair_end(&pair);
}

static bool is_wrong(struct world *world, void *key) {
    return world_device(world, key)->connection == CONNECTION_WRONG_DEVICE;
}

static void another_serial_number_is_read_and_never_written_to(void **state) {
    struct pair pair;
    uint16_t port, other;
    char devices[300];
    (void)state;
    pair.peer = peer_with(&port, 1500);
    pair.other = peer_with(&other, 700);
    pair.world = world_new();
    world_driver(pair.world, "tested",
                 STATION_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                                            "  hooks = { read = read, write = write } }\n");
    snprintf(devices, sizeof devices,
             "{ key = \"a\", driver = \"tested\", serialNumber = \"S2\","
             " link = \"tcp://127.0.0.1:%u\" }",
             port);
    world_start(pair.world, devices);
    world_constrain(pair.world, "a", 7000);
    assert_true(world_until(pair.world, is_wrong, (void *)"a"));
    uint64_t asked = peer_requests(pair.peer);
    assert_logged(pair.world, "wrong device");
    world_constrain(pair.world, "a", 8000);
    assert_int_equal(limit_of(&pair), 0);
    assert_true(peer_requests(pair.peer) >= asked);
    pair_end(&pair);
}

/* ---- reload ---- */

static bool generation_is(struct world *world, void *number) {
    return world_device(world, "a")->machine->generation->number == *(unsigned *)number;
}

#define SLOW_READ                                                                                  \
    "local function read(dev)\n"                                                                   \
    "  dev.state.begun = (dev.state.begun or 0) + 1\n"                                             \
    "  if dev.state.ended then sleep(0.7) end\n"                                                   \
    "  dev.state.ended = (dev.state.ended or 0) + 1\n"                                             \
    "  return { activePower = 100 + dev.state.ended, maxCurrent = 32, serialNumber = 'S1' }, "     \
    "0.2\n"                                                                                        \
    "end\n"

static json_int_t state_number(struct world *world, const char *key) {
    return json_integer_value(json_object_get(world_device(world, "a")->hook_state, key));
}

static bool sleeps(struct world *world, void *context) {
    (void)context;
    const struct task *task = world_device(world, "a")->machine->task;
    return task_busy(task) && task->naps;
}

static bool has_ended(struct world *world, void *more_than) {
    return state_number(world, "ended") > *(json_int_t *)more_than;
}

static void a_call_that_waits_while_its_driver_changes_ends_and_hands_its_state_on(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, SLOW_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                                              "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    assert_true(world_until(pair.world, sleeps, NULL));
    struct device *device = world_device(pair.world, "a");
    json_int_t ended = state_number(pair.world, "ended");
    unsigned next = device->machine->generation->number + 1;
    world_driver(pair.world, "tested",
                 "-- another text\n" SLOW_READ STATION_WRITE
                 "return { name = 'tested'," STATION_HEAD
                 "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, generation_is, &next));
    assert_true(task_busy(device->machine->task)); /* the old one's */
    assert_int_equal(device->machine->task->generation->number, next - 1);
    world_constrain(pair.world, "a", 7000);
    assert_int_equal(state_number(pair.world, "ended"), ended);
    assert_true(world_until(pair.world, has_ended, &ended));
    assert_int_equal(state_number(pair.world, "ended"), ended + 1); /* not begun anew */
    assert_int_equal(state_number(pair.world, "begun"), ended + 1);
    assert_int_equal((int)device_known(device, POINT_ACTIVE_POWER)->value, 100 + (int)ended + 1);
    assert_true(clock_mono().ms - device_known(device, POINT_ACTIVE_POWER)->mono.ms >= 200);
    assert_true(world_until(pair.world, applied, &pair));
    ended += 2;
    assert_true(world_until(pair.world, has_ended, &ended));
    assert_int_equal(device->machine->generation->number, next);
    pair_end(&pair);
}

/* ---- what scripts can do wrong ---- */

static const struct {
    const char *name, *code, *says;
} wrongs[] = {
    {"a wait inside pcall, without end", "while true do pcall(sleep, 0) end", "was stopped"},
    {"a nap of years", "sleep(1e9)", "sleep takes 0 to 30 seconds"},
    {"a nap of less than nothing", "sleep(-1)", "sleep takes 0 to 30 seconds"},
    {"a nap of no number", "sleep(0/0)", "sleep takes 0 to 30 seconds"},
    {"ten thousand operations", "for i = 1, 10000 do dev.modbus:read{ address = 20 } end",
     "may wait 64 times"},
    {"an error after a wait", "sleep(0) error('this')", "this"},
    {"an error that is no text after a wait", "sleep(0) error({})", "called with a table"},
    {"memory across waits",
     "local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t sleep(0) end",
     "ran out of memory"},
    {"a loop after a wait", "sleep(0) while true do end", "was stopped"},
    {"a loop inside pcall after a wait",
     "sleep(0) while true do pcall(function() while true do end end) end", "was stopped"},
    {"a wait while sorting", "table.sort({ 2, 1 }, function() sleep(0) return true end)",
     "sleep cannot wait here"},
    {"a wait in gsub", "return ('x'):gsub('x', function() sleep(0) end)", "sleep cannot wait here"},
    {"a wait in tostring",
     "tostring(setmetatable({}, { __tostring = function() sleep(0) return 'x' end }))",
     "sleep cannot wait here"},
    {"no return", "local x = 1", "is a return missing?"},
    {"a number", "return 5", "must return a table"},
    {"nil without a reason", "return nil", "must return a table"},
    {"NaN", "return { activePower = 0/0 }", "activePower = "},
    {"a huge number", "return { activePower = 1e300 }", "is impossible"},
    {"a text for a number", "return { activePower = '5' }", "must be a number"},
    {"a stranger", "return { activePwoer = 5 }", "activePwoer is no point"},
    {"a cycle", "local t = { activePower = 1 } t.t = t return t", "t is no point"},
};

/* Fine while it arrives, wrong from the third call on. */
static void what_a_hook_does_wrong_costs_its_neighbour_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        char text[4000];
        struct pair pair;
        snprintf(text, sizeof text,
                 "local calls = 0\n"
                 "local function wrong(dev) %s end\n"
                 "local function read(dev)\n"
                 "  calls = calls + 1\n"
                 "  if calls > 2 then return wrong(dev) end\n"
                 "  return { activePower = 1, maxCurrent = 32, serialNumber = 'S1' }\n"
                 "end\n" STATION_WRITE "return { name = 'tested'," STATION_HEAD
                 "  hooks = { read = read, write = write } }\n",
                 wrongs[i].code);
        pair_start(&pair, text);
        assert_true(world_until(pair.world, world_online, (void *)"a"));
        assert_true(world_until(pair.world, world_online, (void *)"b"));
        if (!world_until(pair.world, world_logged, (void *)wrongs[i].says))
            fail_msg("%s: never said \"%s\", but:\n%s", wrongs[i].name, wrongs[i].says,
                     pair.world->log);
        const struct machine *other = world_device(pair.world, "b")->machine;
        assert_int_equal(other->state, MACHINE_UP);
        assert_int_equal(other->failures, 0);
        /* The device itself can still be told. */
        world_constrain(pair.world, "a", 7000);
        if (!world_until(pair.world, applied, &pair))
            fail_msg("%s: the limit did not arrive:\n%s", wrongs[i].name, pair.world->log);
        pair_end(&pair);
    }
}

static bool is_quarantined(struct world *world, void *key) {
    return world_device(world, key)->connection == CONNECTION_QUARANTINED;
}

static void
a_script_that_breaks_again_and_again_is_quarantined_and_its_commands_say_so(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, "local calls = 0\n"
                      "local function read(dev)\n"
                      "  calls = calls + 1\n"
                      "  sleep(0)\n"
                      "  if calls > 2 then\n"
                      "    local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t end\n"
                      "  end\n"
                      "  return { activePower = 1, maxCurrent = 32, serialNumber = 'S1' }\n"
                      "end\n" STATION_WRITE "return { name = 'tested'," STATION_HEAD
                      "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"b"));
    assert_true(world_until(pair.world, is_quarantined, (void *)"a"));
    world_constrain(pair.world, "a", 7000);
    assert_logged(pair.world, "command rejected: tested.lua");
    assert_int_equal(limit_of(&pair), 0);
    assert_int_equal(world_device(pair.world, "b")->machine->failures, 0);
    pair_end(&pair);
}

#define MIXED                                                                                      \
    "  api = 1, version = '1', manufacturer = 'A', models = { 'A' }, type = 'chargingStation',\n"  \
    "  link = { kinds = { 'tcp' }, timeout = 0.5 },\n"                                             \
    "  parameters = { phases = { min = 1, max = 3, default = 3 } },\n"                             \
    "  points = {\n"                                                                               \
    "    { name = 'activePower', kind = 'value', period = 0.1 },\n"                                \
    "    { name = 'maxCurrent', address = 0, encoding = 'uint16', period = 'once' },\n"            \
    "    { name = '_limit', address = 10, encoding = 'uint16', unit = 'A',\n"                      \
    "      writable = { min = 0, max = 32 } } },\n"                                                \
    "  controls = { withoutSetPoint = 'followsMax', lag = 1,\n"                                    \
    "    charge = { { point = '_limit', from = 'current' } },\n"                                   \
    "    hold = { { point = '_limit', value = 0 } } },\n"

static void a_script_that_is_stopped_does_not_keep_the_registers_from_being_written(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, "local function read(dev) return { activePower = 1 } end\n"
                      "return { name = 'tested'," MIXED "  hooks = { read = read } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    struct generation *generation = world_device(pair.world, "a")->machine->generation;
    snprintf(generation->quarantine, sizeof generation->quarantine, "it broke");
    peer_hang_up(pair.peer);
    assert_true(world_until(pair.world, world_offline, (void *)"a"));
    world_constrain(pair.world, "a", 7000);
    assert_true(world_until(pair.world, is_quarantined, (void *)"a"));
    assert_true(world_until(pair.world, applied, &pair));
    pair_end(&pair);
}

static void a_hook_that_must_not_wait_says_so(void **state) {
    static const char *const places[] = {
        "local function values(dev) sleep(1) end\n",
        "local function values(dev) dev.modbus:read{ address = 1 } end\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char text[4000];
        struct pair pair;
        snprintf(text, sizeof text,
                 "%s" STATION_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                 "  hooks = { read = read, write = write, values = values } }\n",
                 places[i]);
        pair_start(&pair, text);
        assert_logged(pair.world, "which only hooks.read and hooks.write may do");
        pair_end(&pair);
    }
}

static void a_device_that_falls_silent_in_the_middle_is_offline_and_comes_back(void **state) {
    struct pair pair;
    (void)state;
    pair_start(&pair, STATION_READ STATION_WRITE "return { name = 'tested'," STATION_HEAD
                                                 "  hooks = { read = read, write = write } }\n");
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    peer_fault(pair.peer, PEER_SILENT, REGISTER_HOLDING, 0);
    assert_true(world_until(pair.world, world_offline, (void *)"a"));
    peer_hang_up(pair.peer);
    peer_fault(pair.peer, PEER_FINE, REGISTER_HOLDING, 0);
    assert_true(world_until(pair.world, world_online, (void *)"a"));
    assert_int_equal(world_device(pair.world, "b")->machine->failures, 0);
    pair_end(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_read_returns_is_published_and_what_write_did_is_confirmed),
        cmocka_unit_test(a_device_that_was_away_gets_the_newest_limit_before_anything_else),
        cmocka_unit_test(a_refused_write_is_told_with_its_reason),
        cmocka_unit_test(a_limit_that_comes_during_a_refused_write_does_not_wait_for_it),
        cmocka_unit_test(a_value_from_before_the_write_confirms_nothing_and_refuses_nothing),
        cmocka_unit_test(any_function_code_can_be_asked),
        cmocka_unit_test(another_serial_number_is_read_and_never_written_to),
        cmocka_unit_test(a_call_that_waits_while_its_driver_changes_ends_and_hands_its_state_on),
        cmocka_unit_test(what_a_hook_does_wrong_costs_its_neighbour_nothing),
        cmocka_unit_test(
            a_script_that_breaks_again_and_again_is_quarantined_and_its_commands_say_so),
        cmocka_unit_test(a_script_that_is_stopped_does_not_keep_the_registers_from_being_written),
        cmocka_unit_test(a_hook_that_must_not_wait_says_so),
        cmocka_unit_test(a_device_that_falls_silent_in_the_middle_is_offline_and_comes_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
