/* dev.mqtt: topics of the device at the broker of its link. "{}" in a topic is the link's own,
 * which else stands before it: a script reaches its device's topics and no others. Nothing is shown
 * younger than it is: a retained message was sent at an unknown time, so that only a driver that
 * takes values of any age gets it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "machine.h"
#include "script/clients.h"
#include "script/script_device.h"
#include "script/task.h"

static const char *topic_of(lua_State *L, const struct machine *machine, bool filter, char *full,
                            size_t size) {
    const char *topic = luaL_checkstring(L, 2);
    if (machine->wire->kind != LINK_MQTT)
        luaL_error(L, "dev.mqtt is for mqtt:// and mqtts:// links; this device's is %s",
                   machine->wire->url);
    if (!clients_topic(machine, topic, full, size) ||
        !(filter ? mqtt_filter_valid(full) : mqtt_topic_valid(full)))
        luaL_error(L, "dev.mqtt: \"%s\" is no topic", topic);
    return full;
}

/* Those of a hook: reading does not wait, but only a call that may has a machine to ask for. */
static struct machine *machine_of(lua_State *L, const char *function) {
    const struct device *device = script_caller(L);
    struct machine *machine = device ? device->machine : NULL;
    if (!machine)
        luaL_error(L, "%s is for hooks of drivers", function);
    return machine;
}

/* dev.mqtt:last(topic, maxAge) -> payload, age in s; or nil and why. maxAge: by default as long as
 * the device's values are trusted; math.huge takes also what the broker kept from before. */
static int last(lua_State *L) {
    char full[MQTT_TOPIC_MAXIMUM + 1], why[TASK_WHY_SIZE];
    struct machine *machine = machine_of(L, "dev.mqtt:last");
    const char *topic = topic_of(L, machine, false, full, sizeof full);
    int64_t period_ms;
    (void)poll_hook_used(machine, &period_ms);
    double trust_s = (double)device_trust_ms(period_ms, machine_driver(machine)->timeout_ms) / 1000;
    double most = luaL_optnumber(L, 3, trust_s);
    struct mqtt_subscription *subscription = clients_subscribe(machine, topic, why, sizeof why);
    if (!subscription) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    const struct mqtt_message *message = mqtt_last(subscription, topic);
    double age = message ? (double)(clock_mono().ms - message->at.ms) / 1000 : 0;
    if (message && !(age > most) && (!message->retained || isinf(most))) {
        lua_pushlstring(L, (const char *)message->payload, message->length);
        lua_pushnumber(L, age);
        return 2;
    }
    lua_pushnil(L);
    if (!mqtt_is_up(machine->clients->mqtt))
        lua_pushfstring(L, "the broker is not connected: %s",
                        mqtt_figures(machine->clients->mqtt)->last_error);
    else if (!message)
        lua_pushfstring(L, "nothing came on %s yet", topic);
    else if (message->retained)
        lua_pushfstring(L, "nothing new on %s, only what the broker kept", topic);
    else
        lua_pushfstring(L, "nothing on %s for %d s", topic, (int)fmin(age, 1e9));
    struct task *task = machine->task;
    if (script_task_runs(L) && task)
        task->silent = true;
    return 2;
}

/* dev.mqtt:subscribe(filter): what is behind it is kept from now on */
static int subscribe(lua_State *L) {
    char full[MQTT_TOPIC_MAXIMUM + 1], why[TASK_WHY_SIZE];
    struct machine *machine = machine_of(L, "dev.mqtt:subscribe");
    const char *filter = topic_of(L, machine, true, full, sizeof full);
    if (!clients_subscribe(machine, filter, why, sizeof why))
        return luaL_error(L, "dev.mqtt:subscribe: %s", why);
    return 0;
}

static int push_published(lua_State *L, void *context) {
    struct task *task = context;
    if (task->result != ERR_OK)
        return task_push_failure(L, task);
    lua_pushboolean(L, true);
    return 1;
}

static void cancel(struct task *task) {
    mqtt_cancel(&task->operation.mqtt);
}

static void done(struct mqtt_publication *publication, enum err result, const char *why) {
    task_resume(publication->owner, result, why, NULL);
}

/* dev.mqtt:publish(topic, payload, { qos, retain }) -> true; QoS 1 unless it says 0 */
static int publish(lua_State *L) {
    char full[MQTT_TOPIC_MAXIMUM + 1], why[TASK_WHY_SIZE];
    struct mqtt_publication asked = {.qos = 1};
    struct task *task = task_may_wait(L, "dev.mqtt:publish");
    asked.topic = topic_of(L, task->machine, false, full, sizeof full);
    asked.payload = luaL_checklstring(L, 3, &asked.length);
    if (lua_istable(L, 4)) {
        lua_getfield(L, 4, "qos");
        asked.qos = (int)luaL_optinteger(L, -1, 1);
        lua_getfield(L, 4, "retain");
        asked.retain = lua_toboolean(L, -1);
    }
    struct mqtt_client *client = clients_mqtt(task->machine, why, sizeof why);
    if (!client)
        return luaL_error(L, "dev.mqtt:publish: %s", why);
    asked.timeout_ms = task->generation->driver->timeout_ms;
    asked.done = done;
    asked.owner = task;
    task->operation.mqtt = asked;
    enum err err = mqtt_submit(client, &task->operation.mqtt);
    if (err == ERR_RANGE || err == ERR_FORMAT)
        return luaL_error(L, "dev.mqtt:publish: %s", mqtt_why(client));
    if (err != ERR_OK)
        return task_fail(L, task, mqtt_why(client));
    return task_wait(L, task, push_published, cancel);
}

const luaL_Reg script_mqtt[] = {
    {"last", last}, {"subscribe", subscribe}, {"publish", publish}, {NULL, NULL}};
