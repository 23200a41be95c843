/* dev.modbus: registers of the device's own unit, over its own link, for what rows of `points`
 * cannot say. A read or write that the device refuses is nil and the reason, as one without an
 * answer is. */
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "machine.h"
#include "script/script_device.h"
#include "script/task.h"

#define FUNCTION "dev.modbus"

/* What is asked for: raw words, or one value in an encoding. */
struct ask {
    enum register_kind kind;
    uint16_t address, count;
    bool decoded;
    struct point point; /* how it stands in its registers */
};

/* [-0, +0] The text at `key` of the table at 2 as a place in `names`. */
static int option(lua_State *L, const char *key, const char *const *names, const char *usual) {
    lua_getfield(L, 2, key);
    const char *text = lua_isnil(L, -1) ? usual : lua_tostring(L, -1);
    int found = -1;
    for (int i = 0; text && names[i]; i++)
        if (strcmp(names[i], text) == 0)
            found = i;
    if (text && found < 0)
        luaL_error(L, FUNCTION ": %s cannot be \"%s\"", key, text);
    lua_pop(L, 1);
    return found;
}

static lua_Integer whole(lua_State *L, const char *key, lua_Integer usual, lua_Integer least,
                         lua_Integer most) {
    int isnum = 1;
    lua_getfield(L, 2, key);
    lua_Integer value = lua_isnil(L, -1) ? usual : lua_tointegerx(L, -1, &isnum);
    if (!isnum || value < least || value > most)
        luaL_error(L, FUNCTION ": %s must be a whole number from %I to %I", key, least, most);
    lua_pop(L, 1);
    return value;
}

static struct machine *machine_of(struct task *task, lua_State *L) {
    struct machine *machine = task->machine;
    if (!machine->wire->link)
        luaL_error(L, FUNCTION " is for tcp:// and rtu:// links; this device's is %s",
                   machine->wire->url);
    return machine;
}

static void take_ask(lua_State *L, struct ask *ask) {
    static const char *const orders[] = {"big", "little", NULL};
    luaL_checktype(L, 2, LUA_TTABLE);
    *ask = (struct ask){
        .kind = (enum register_kind)option(L, "kind", register_kind_names(), "holding")};
    ask->address = (uint16_t)whole(L, "address", -1, 0, 65535);
    int encoding = option(L, "encoding", encoding_names(), NULL);
    ask->decoded = encoding >= 0;
    if (ask->decoded) {
        ask->point = (struct point){.id = POINT_NONE,
                                    .encoding = (enum encoding)encoding,
                                    .scale = 1,
                                    .scale_point = POINT_NONE,
                                    .writable = true,
                                    .write_minimum = -1e300,
                                    .write_maximum = 1e300};
        ask->point.low_word_first = option(L, "wordOrder", orders, "big") == 1;
        ask->count = (uint16_t)encoding_words(ask->point.encoding);
        if (ask->point.encoding == ENCODING_STRING)
            ask->count = (uint16_t)whole(L, "length", -1, 1, POINT_MAX_WORDS);
        ask->point.words = ask->count;
    } else {
        ask->count = (uint16_t)whole(L, "count", 1, 1, MODBUS_MAX_READ_WORDS);
    }
    if (ask->address + ask->count > 65536)
        luaL_error(L, FUNCTION ": it reaches beyond register 65535");
}

/* --- one transaction -----------------------------------------------------------------------------
 */

static void cancel(struct task *task) {
    link_cancel(&task->operation.transaction);
}

static void done(struct transaction *transaction, enum err result,
                 const struct modbus_answer *answer) {
    struct task *task = transaction->owner;
    char why[TASK_WHY_SIZE] = "";
    bool absent = result == ERR_OK && modbus_unit_absent(answer->exception);
    if (result != ERR_OK)
        snprintf(why, sizeof why, "%s",
                 result == ERR_TIMEOUT ? "no answer in time" : "the connection went");
    else if (answer->exception)
        snprintf(why, sizeof why, "the device says %s", modbus_exception_name(answer->exception));
    task_resume(task, absent ? ERR_TIMEOUT : result, why, answer);
}

static int push_words(lua_State *L, void *context) {
    struct task *task = context;
    const struct modbus_answer *answer = task->answer;
    if (task->why[0])
        return task_push_failure(L, task);
    lua_createtable(L, answer->count, 0);
    for (int i = 0; i < answer->count; i++) {
        lua_pushinteger(L, answer->words[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* How a value was asked for is with the words: the call's own table may have changed since. */
static int push_value(lua_State *L, void *context) {
    struct task *task = context;
    const struct modbus_answer *answer = task->answer;
    const struct point *point = &task->asked;
    double value;
    if (task->why[0])
        return task_push_failure(L, task);
    if (point->encoding == ENCODING_STRING) {
        char text[2 * POINT_MAX_WORDS + 1];
        (void)point_decode_text(point, answer->words, text, sizeof text);
        lua_pushstring(L, text);
        return 1;
    }
    if (point_decode(point, answer->words, 0, &value) != POINT_OK) {
        lua_pushnil(L);
        lua_pushliteral(L, "the registers hold no number");
        return 2;
    }
    if (point->encoding < ENCODING_FLOAT32)
        lua_pushinteger(L, (lua_Integer)value);
    else
        lua_pushnumber(L, value);
    return 1;
}

static int push_true(lua_State *L, void *context) {
    struct task *task = context;
    if (task->why[0])
        return task_push_failure(L, task);
    lua_pushboolean(L, true);
    return 1;
}

static int push_bytes(lua_State *L, void *context) {
    struct task *task = context;
    const struct modbus_answer *answer = task->answer;
    char bytes[MODBUS_MAX_READ_WORDS];
    if (task->why[0])
        return task_push_failure(L, task);
    for (int i = 0; i < answer->count; i++)
        bytes[i] = (char)answer->words[i];
    lua_pushlstring(L, bytes, answer->count);
    return 1;
}

static int submit(lua_State *L, struct task *task, const struct modbus_request *request,
                  script_push *results) {
    struct machine *machine = task->machine;
    struct transaction *transaction = &task->operation.transaction;
    *transaction = (struct transaction){.request = *request,
                                        .timeout_ms = task->generation->driver->timeout_ms,
                                        .done = done,
                                        .owner = task};
    transaction->request.unit = (uint8_t)machine->unit;
    if (!modbus_request_valid(&transaction->request))
        return luaL_error(L, FUNCTION ": too many registers for one request");
    enum link_class class = strcmp(task->path, "hooks.write") == 0 ? LINK_COMMAND : LINK_READ;
    enum err err = link_submit(machine->wire->link, transaction, class);
    if (err != ERR_OK)
        return task_fail(
            L, task, err == ERR_FULL ? "the link's queue is full" : "the link is not connected");
    return task_wait(L, task, results, cancel);
}

/* --- functions -----------------------------------------------------------------------------------
 */

/* dev.modbus:read{ kind, address, count } -> words; with `encoding` -> the value */
static int read_registers(lua_State *L) {
    struct ask ask;
    struct task *task = task_may_wait(L, FUNCTION ":read");
    (void)machine_of(task, L);
    take_ask(L, &ask);
    task->asked = ask.point;
    const struct modbus_request request = {
        .function = (uint8_t)poll_function(ask.kind), .address = ask.address, .count = ask.count};
    return submit(L, task, &request, ask.decoded ? push_value : push_words);
}

/* The words to write: `values`, or `value` in an encoding. */
static void take_words(lua_State *L, struct ask *ask, struct modbus_request *request) {
    if (ask->decoded) {
        lua_getfield(L, 2, "value");
        if (lua_type(L, -1) != LUA_TNUMBER ||
            point_encode(&ask->point, lua_tonumber(L, -1), 0, ROUND_TOWARD_ZERO, request->words) !=
                ERR_OK)
            luaL_error(L, FUNCTION ":write: value must be a number that fits into a %s",
                       encoding_names()[ask->point.encoding]);
        lua_pop(L, 1);
        request->count = ask->count;
        return;
    }
    lua_getfield(L, 2, "values");
    luaL_checktype(L, -1, LUA_TTABLE);
    size_t count = lua_rawlen(L, -1);
    if (count < 1 || count > MODBUS_MAX_WRITE_WORDS)
        luaL_error(L, FUNCTION ":write: values must be 1 to %d words", MODBUS_MAX_WRITE_WORDS);
    for (size_t i = 0; i < count; i++) {
        int isnum;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_Integer word = lua_tointegerx(L, -1, &isnum);
        if (!isnum || word < 0 || word > 65535)
            luaL_error(L, FUNCTION ":write: values[%d] must be a whole number from 0 to 65535",
                       (int)i + 1);
        request->words[i] = (uint16_t)word;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    request->count = (uint16_t)count;
}

/* dev.modbus:write{ kind, address, values } or { ..., encoding, value }; `write` as in points */
static int write_registers(lua_State *L) {
    static const char *const writes[] = {"single", "multiple", NULL};
    struct ask ask;
    struct modbus_request request = {0};
    struct task *task = task_may_wait(L, FUNCTION ":write");
    (void)machine_of(task, L);
    take_ask(L, &ask);
    take_words(L, &ask, &request);
    bool multiple = option(L, "write", writes, request.count > 1 ? "multiple" : "single") == 1;
    if (ask.kind != REGISTER_HOLDING && ask.kind != REGISTER_COIL)
        return luaL_error(L, FUNCTION ":write: only holding registers and coils are written");
    request.address = ask.address;
    if (ask.kind == REGISTER_COIL)
        request.function = multiple ? MODBUS_WRITE_COILS : MODBUS_WRITE_COIL;
    else
        request.function = multiple ? MODBUS_WRITE_REGISTERS : MODBUS_WRITE_REGISTER;
    return submit(L, task, &request, push_true);
}

/* dev.modbus:raw(function, bytes) -> the bytes behind the function in the answer */
static int raw(lua_State *L) {
    size_t length;
    struct modbus_request request = {.raw = true};
    lua_Integer function = luaL_checkinteger(L, 2);
    const char *bytes = luaL_checklstring(L, 3, &length);
    struct task *task = task_may_wait(L, FUNCTION ":raw");
    if (machine_of(task, L)->wire->kind != LINK_TCP)
        return luaL_error(L, FUNCTION ":raw: over tcp:// links only");
    if (function < 1 || function > 127 || length > MODBUS_MAX_WRITE_WORDS)
        return luaL_error(L, FUNCTION ":raw: a function is 1 to 127, with at most %d bytes",
                          MODBUS_MAX_WRITE_WORDS);
    request.function = (uint8_t)function;
    request.count = (uint16_t)length;
    for (size_t i = 0; i < length; i++)
        request.words[i] = (uint8_t)bytes[i];
    return submit(L, task, &request, push_bytes);
}

const luaL_Reg script_modbus[] = {
    {"read", read_registers}, {"write", write_registers}, {"raw", raw}, {NULL, NULL}};
