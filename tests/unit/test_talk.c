/* What hooks can say and hear over HTTP, UDP, lines and MQTT, and what they cannot: a whole engine
 * against the simulated devices of the kit. */
#include "base/text.h"
#include "kit/talk.h"
#include "tasks_world.h"

#define DRIVER(kinds, more, read)                                                                  \
    "local function read(dev)\n" read "\nend\n"                                                    \
    "return { api = 1, name = 'tested', version = '1', manufacturer = 'A', models = { 'A' },\n"    \
    "  type = 'meter', link = { kinds = { '" kinds "' }, timeout = 0.5" more " },\n"               \
    "  points = { { name = 'activePower', kind = 'value', period = 0.1 },\n"                       \
    "    { name = 'frequency', kind = 'value', period = 0.1 },\n"                                  \
    "    { name = 'firmwareVersion', kind = 'value' } }, hooks = { read = read } }\n"

struct talking {
    struct world *world;
    struct talk *talk;
    uint16_t port;
};

static void talking_start(struct talking *talking, enum link_kind kind, const char *answers,
                          const char *driver, const char *site) {
    char devices[400];
    json_t *table = json_loads(answers, 0, NULL);
    assert_non_null(table);
    talking->talk = talk_start(kind, &talking->port);
    assert_non_null(talking->talk);
    talk_serve(talking->talk, table);
    json_decref(table);
    talking->world = world_new();
    world_driver(talking->world, "tested", driver);
    snprintf(devices, sizeof devices,
             "{ key = \"a\", driver = \"tested\", link = \"%s://127.0.0.1:%u%s\"%s }",
             link_kind_names()[kind], talking->port, kind == LINK_MQTT ? "/kit" : "", site);
    world_start(talking->world, devices);
}

static void talking_end(struct talking *talking) {
    world_free(talking->world);
    talk_stop(talking->talk);
}

static void assert_power(struct talking *talking, int power) {
    if (!world_until(talking->world, world_online, (void *)"a"))
        fail_msg("never online:\n%s", talking->world->log);
    assert_int_equal(
        (int)device_known(world_device(talking->world, "a"), POINT_ACTIVE_POWER)->value, power);
}

static void json_keeps_integers_and_null(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_HTTP,
                  "{\"GET /x?a=1\": {\"body\": "
                  "\"{\\\"i\\\": 9007199254740993, \\\"f\\\": 1.5, \\\"n\\\": null, "
                  "\\\"l\\\": [1, null, 3]}\"}}",
                  DRIVER("http", "",
                         "local a = assert(dev.http:get('/x?a=1'))\n"
                         "local j = a:json()\n"
                         "assert(a.status == 200 and a.headers['content-type'])\n"
                         "assert(j.i == 9007199254740993 and math.type(j.f) == 'float')\n"
                         "assert(j.n == json.null and j.x == nil and #j.l == 3)\n"
                         "assert(json.encode{ a = json.null, b = { 1, 2.5 } } == "
                         "'{\"a\":null,\"b\":[1,2.5]}')\n"
                         "assert(not pcall(json.encode, 0/0))\n"
                         "assert(json.decode('nonsense') == nil)\n"
                         "assert(math.abs(now() - math.floor(now())) < 1 and now() > 1e9)\n"
                         "assert(not pcall(function() dev.http.get = nil end))\n"
                         "return { activePower = 7, frequency = j.n, firmwareVersion = 'v1' }"),
                  "");
    assert_power(&talking, 7);
    const struct device *device = world_device(talking.world, "a");
    assert_true(isnan(device_known(device, POINT_FREQUENCY)->value));
    assert_string_equal(text_of(device->identity[POINT_FIRMWARE_VERSION - POINT_TEXT_FIRST]), "v1");
    talking_end(&talking);
}

static void posts_carry_their_body(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_HTTP,
                  "{\"POST /rpc {\\\"id\\\":1}\": {\"body\": \"8\"}, "
                  "\"PUT /v plain\": {\"status\": 204}}",
                  DRIVER("http", "",
                         "local a = assert(dev.http:post('/rpc', { json = { id = 1 } }))\n"
                         "local b = assert(dev.http:put('/v', { body = 'plain', headers = "
                         "{ ['X-Mine'] = 'y' } }))\n"
                         "assert(b.status == 204 and b.body == '')\n"
                         "return { activePower = tonumber(a.body) }"),
                  "");
    assert_power(&talking, 8);
    talking_end(&talking);
}

static void a_script_reaches_its_device_and_what_the_site_allows(void **state) {
    char driver[2000], site[60];
    uint16_t port;
    struct talk *other = talk_start(LINK_HTTP, &port);
    (void)state;
    assert_non_null(other);
    json_t *table = json_loads("{\"GET /p\": {\"body\": \"9\"}}", 0, NULL);
    talk_serve(other, table);
    json_decref(table);
    snprintf(driver, sizeof driver,
             DRIVER("http", "",
                    "local a = assert(dev.http:get('http://127.0.0.1:%u/p'))\n"
                    "return { activePower = tonumber(a.body) }"),
             port);
    struct talking talking;
    talking_start(&talking, LINK_HTTP, "{}", driver, "");
    assert_logged(talking.world, "reach");
    talking_end(&talking);
    assert_int_equal(talk_requests(other), 0);
    snprintf(site, sizeof site, ", reach = { \"127.0.0.1:%u\" }", port);
    talking_start(&talking, LINK_HTTP, "{}", driver, site);
    assert_power(&talking, 9);
    talking_end(&talking);
    talk_stop(other);
}

static void lines_are_asked_and_answered(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_LINE, "{\"P?\": \"1500\", \"ALL\": \"1\\r\\n2\\r\\n3\"}",
                  DRIVER("line", ", lineEnd = 'lf'",
                         "local p, why = dev.line:request('P?')\n"
                         "if not p then return nil, why end\n"
                         "local all = assert(dev.line:request('ALL', 3))\n"
                         "assert(#all == 3 and all[3] == '3')\n"
                         "return { activePower = tonumber(p) }"),
                  "");
    assert_power(&talking, 1500);
    talk_fault(talking.talk, TALK_SILENT);
    assert_true(world_until(talking.world, world_offline, (void *)"a"));
    talk_fault(talking.talk, TALK_FINE);
    assert_power(&talking, 1500);
    talking_end(&talking);
}

static void datagrams_are_asked_and_answered(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_UDP, "{\"report\": \"12\", \"go*\": \"\"}",
                  DRIVER("udp", "",
                         "assert(dev.udp:send('go on') == true)\n"
                         "local p, why = dev.udp:request('report')\n"
                         "if not p then return nil, why end\n"
                         "return { activePower = tonumber(p) }"),
                  "");
    assert_power(&talking, 12);
    talking_end(&talking);
}

static void what_comes_by_mqtt_is_as_old_as_it_is(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_MQTT, "{\"kit/p\": \"13\", \"tele/kit/S\": \"1\"}",
                  DRIVER("mqtt", ", subscribe = { 'p', 'tele/{}/S' }",
                         "local p, age = dev.mqtt:last('p')\n"
                         "if not p then return nil, age end\n"
                         "local s, why = dev.mqtt:last('tele/{}/S')\n"
                         "if not s then return nil, why end\n"
                         "assert(dev.mqtt:publish('set', 'on'))\n"
                         "return { activePower = tonumber(p) }, age + 0.05"),
                  "");
    assert_power(&talking, 13);
    const struct device *device = world_device(talking.world, "a");
    const struct quantity *at = device_known(device, POINT_ACTIVE_POWER);
    assert_true(clock_mono().ms - at->mono.ms >= 50);
    json_t *heard = talk_heard(talking.talk, 0);
    assert_string_equal(json_string_value(json_array_get(json_array_get(heard, 0), 0)), "kit/set");
    assert_string_equal(json_string_value(json_array_get(json_array_get(heard, 0), 1)), "on");
    json_decref(heard);
    talk_fault(talking.talk, TALK_SILENT);
    assert_true(world_until(talking.world, world_offline, (void *)"a"));
    talking_end(&talking);
}

#define PARTS                                                                                      \
    "local function read(dev)\n"                                                                   \
    "  local a = assert(dev.http:get('/' .. dev.part))\n"                                          \
    "  dev.state.part = dev.part\n"                                                                \
    "  return { activePower = tonumber(a.body), frequency = 50 }\n"                                \
    "end\n"                                                                                        \
    "local function points() return { { name = 'activePower', kind = 'value', period = 0.1 } } "   \
    "end\n"                                                                                        \
    "return { api = 1, name = 'tested', version = '1', manufacturer = 'A', models = { 'A' },\n"    \
    "  link = { kinds = { 'http' } }, points = { { name = 'frequency', kind = 'value' } },\n"      \
    "  parts = { grid = { type = 'meter', points = points() },\n"                                  \
    "    pv = { type = 'inverter', points = points() } }, hooks = { read = read } }\n"

static bool both_online(struct world *world, void *context) {
    (void)context;
    return world_online(world, (void *)"a") && world_online(world, (void *)"b");
}

static void each_part_is_read_for_itself(void **state) {
    struct talking talking;
    char site[200];
    uint16_t port;
    (void)state;
    talking.talk = talk_start(LINK_HTTP, &port);
    assert_non_null(talking.talk);
    json_t *table =
        json_loads("{\"GET /grid\": {\"body\": \"5\"}, \"GET /pv\": {\"body\": \"-7\"}}", 0, NULL);
    talk_serve(talking.talk, table);
    json_decref(table);
    talking.world = world_new();
    world_driver(talking.world, "tested", PARTS);
    snprintf(site, sizeof site,
             "{ key = \"a\", driver = \"tested\", as = \"grid\", link = \"http://127.0.0.1:%u\" },"
             "{ key = \"b\", driver = \"tested\", as = \"pv\", link = \"http://127.0.0.1:%u\" }",
             port, port);
    world_start(talking.world, site);
    if (!world_until(talking.world, both_online, NULL))
        fail_msg("never online:\n%s", talking.world->log);
    const struct device *grid = world_device(talking.world, "a");
    const struct device *pv = world_device(talking.world, "b");
    assert_ptr_equal(grid->machine, pv->machine);
    assert_int_equal((int)device_known(grid, POINT_ACTIVE_POWER)->value, 5);
    assert_int_equal((int)device_known(pv, POINT_ACTIVE_POWER)->value, -7);
    assert_string_equal(json_string_value(json_object_get(grid->hook_state, "part")), "grid");
    assert_string_equal(json_string_value(json_object_get(pv->hook_state, "part")), "pv");
    talking_end(&talking);
}

static void another_kind_of_link_is_told_by_name(void **state) {
    struct talking talking;
    (void)state;
    talking_start(&talking, LINK_UDP, "{}", DRIVER("udp", "", "return dev.http:get('/')"), "");
    assert_logged(talking.world,
                  "dev.http is for http:// and https:// links; this device's is udp");
    talking_end(&talking);
}

static void a_device_that_leaves_the_site_in_the_middle_of_a_call_takes_it_along(void **state) {
    struct talking talking;
    char text[600];
    (void)state;
    talking_start(&talking, LINK_HTTP, "{\"GET /\": {\"body\": \"1\"}}",
                  DRIVER("http", "", "sleep(20) return { activePower = 1 }"), "");
    while (!task_busy(world_device(talking.world, "a")->machine->task))
        uv_run(&talking.world->engine->loop, UV_RUN_ONCE);
    snprintf(text, sizeof text,
             "return { store = { directory = \"%s/store\" }, clusters = { { key = \"home\" } } }",
             talking.world->folder);
    world_file(talking.world, "site.lua", text);
    assert_logged(talking.world, "left the site");
    talking_end(&talking);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_keeps_integers_and_null),
        cmocka_unit_test(posts_carry_their_body),
        cmocka_unit_test(a_script_reaches_its_device_and_what_the_site_allows),
        cmocka_unit_test(lines_are_asked_and_answered),
        cmocka_unit_test(datagrams_are_asked_and_answered),
        cmocka_unit_test(what_comes_by_mqtt_is_as_old_as_it_is),
        cmocka_unit_test(each_part_is_read_for_itself),
        cmocka_unit_test(another_kind_of_link_is_told_by_name),
        cmocka_unit_test(a_device_that_leaves_the_site_in_the_middle_of_a_call_takes_it_along)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
