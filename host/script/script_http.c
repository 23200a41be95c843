/* dev.http: requests to the device's own address (and to others that the site allows). The secret,
 * TLS and limits are the host's business. An answer is an answer whatever its status says; nil and
 * a reason mean that there was none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "script/clients.h"
#include "script/script_device.h"
#include "script/script_sandbox.h"
#include "script/task.h"

#define HEADERS_MAXIMUM 16

static int answer_json(lua_State *L) {
    size_t length;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "body");
    const char *body = luaL_checklstring(L, -1, &length);
    return script_load_json(L, body, length);
}

static int push_answer(lua_State *L, void *context) {
    struct task *task = context;
    const struct http_answer *answer = task->answer;
    if (task->result != ERR_OK)
        return task_push_failure(L, task);
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, answer->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, answer->body, answer->length);
    lua_setfield(L, -2, "body");
    lua_createtable(L, 0, (int)answer->header_count);
    for (size_t i = 0; i < answer->header_count; i++) {
        lua_pushstring(L, answer->headers[i].value);
        lua_setfield(L, -2, answer->headers[i].name);
    }
    lua_setfield(L, -2, "headers");
    lua_pushcfunction(L, answer_json);
    script_sandbox_guard(L);
    lua_setfield(L, -2, "json");
    return 1;
}

static void cancel(struct task *task) {
    http_cancel(&task->operation.http);
}

static void done(struct http_request *request, enum err result, const struct http_answer *answer,
                 const char *why) {
    task_resume(request->owner, result, why, answer);
}

/* [-0, +1] The headers of the table at 3, which stays on the stack so that their texts do. */
static size_t take_headers(lua_State *L, struct http_header *headers) {
    size_t count = 0;
    if (lua_getfield(L, 3, "headers") == LUA_TNIL)
        return 0;
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "dev.http: headers are texts by their names");
        if (count == HEADERS_MAXIMUM - 1)
            luaL_error(L, "dev.http: at most %d headers", HEADERS_MAXIMUM - 1);
        headers[count++] = (struct http_header){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 1);
    }
    return count;
}

static int ask(lua_State *L, enum http_method method, const char *function) {
    struct http_header headers[HEADERS_MAXIMUM];
    struct http_request request = {.method = method, .headers = headers};
    char why[TASK_WHY_SIZE];
    char *json = NULL;
    const char *path = luaL_checkstring(L, 2);
    struct task *task = task_may_wait(L, function);
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_newtable(L);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    request.header_count = take_headers(L, headers);
    if (lua_getfield(L, 3, "body") != LUA_TNIL)
        request.body = luaL_checklstring(L, -1, &request.body_length);
    lua_getfield(L, 3, "timeout");
    request.timeout_ms = task_timeout(L, task, -1, function);
    struct http_client *client = clients_http(task->machine, path, &request.path, why, sizeof why);
    if (!client)
        return luaL_error(L, "%s: %s", function, why);
    bool has_json = lua_getfield(L, 3, "json") != LUA_TNIL;
    if (has_json) { /* nothing may raise until it is freed */
        json = script_dump_json(L, lua_gettop(L), why, sizeof why);
        request.body = json;
        request.body_length = json ? strlen(json) : 0;
        headers[request.header_count++] = (struct http_header){"Content-Type", "application/json"};
    }
    request.done = done;
    request.owner = task;
    task->operation.http = request;
    enum err err = has_json && !json ? ERR_FORMAT : http_submit(client, &task->operation.http);
    if (err != ERR_OK && (json || !has_json))
        snprintf(why, sizeof why, "%s", http_why(client));
    free(json);
    if (err == ERR_FORMAT || err == ERR_RANGE)
        return luaL_error(L, "%s: %s", function, why);
    if (err != ERR_OK)
        return task_fail(L, task, why);
    return task_wait(L, task, push_answer, cancel);
}

static int get(lua_State *L) {
    return ask(L, HTTP_GET, "dev.http:get");
}

static int post(lua_State *L) {
    return ask(L, HTTP_POST, "dev.http:post");
}

static int put(lua_State *L) {
    return ask(L, HTTP_PUT, "dev.http:put");
}

const luaL_Reg script_http[] = {{"get", get}, {"post", post}, {"put", put}, {NULL, NULL}};
