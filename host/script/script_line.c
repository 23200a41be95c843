/* dev.line: lines of text to and from the device's own address, over TCP. */
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "script/clients.h"
#include "script/script_device.h"
#include "script/task.h"

struct lines {
    const struct line_text *texts;
    size_t count;
};

static int push_lines(lua_State *L, void *context) {
    struct task *task = context;
    const struct lines *lines = task->answer;
    if (task->result != ERR_OK)
        return task_push_failure(L, task);
    if (lines->count == 0) {
        lua_pushboolean(L, true); /* only sent */
        return 1;
    }
    if (lines->count == 1) {
        lua_pushlstring(L, lines->texts[0].text, lines->texts[0].length);
        return 1;
    }
    lua_createtable(L, (int)lines->count, 0);
    for (size_t i = 0; i < lines->count; i++) {
        lua_pushlstring(L, lines->texts[i].text, lines->texts[i].length);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static void cancel(struct task *task) {
    line_cancel(&task->operation.line);
}

static void done(struct line_exchange *exchange, enum err result, const struct line_text *texts,
                 size_t count, const char *why) {
    const struct lines lines = {texts, count};
    task_resume(exchange->owner, result, why, &lines);
}

static int exchange(lua_State *L, struct task *task, struct line_exchange *asked, int timeout_index,
                    const char *function) {
    char why[TASK_WHY_SIZE];
    struct line_client *client = clients_line(task->machine, why, sizeof why);
    if (!client)
        return luaL_error(L, "%s: %s", function, why);
    asked->timeout_ms = task_timeout(L, task, timeout_index, function);
    asked->done = done;
    asked->owner = task;
    task->operation.line = *asked;
    enum err err = line_submit(client, &task->operation.line);
    if (err == ERR_RANGE || err == ERR_FORMAT)
        return luaL_error(L, "%s: %s", function, line_why(client));
    if (err != ERR_OK)
        return task_fail(L, task, line_why(client));
    return task_wait(L, task, push_lines, cancel);
}

/* dev.line:request(text, lines, timeout) -> the line, a list of them, or true for 0. What came
 * unasked before is no answer to it and is put away. */
static int request(lua_State *L) {
    struct line_exchange asked = {.text = NULL};
    char why[TASK_WHY_SIZE];
    asked.text = luaL_checklstring(L, 2, &asked.length);
    lua_Integer count = luaL_optinteger(L, 3, 1);
    if (count < 0 || count > LINE_COUNT_MAXIMUM)
        return luaL_error(L, "dev.line:request: 0 to %d lines", LINE_COUNT_MAXIMUM);
    asked.lines = (size_t)count;
    struct task *task = task_may_wait(L, "dev.line:request");
    struct line_client *client = clients_line(task->machine, why, sizeof why);
    while (client && line_take(client))
        continue;
    return exchange(L, task, &asked, 4, "dev.line:request");
}

/* dev.line:receive(timeout) -> the oldest that came unasked, or the next one */
static int receive(lua_State *L) {
    struct line_exchange asked = {.lines = 1};
    char why[TASK_WHY_SIZE];
    struct task *task = task_may_wait(L, "dev.line:receive");
    struct line_client *client = clients_line(task->machine, why, sizeof why);
    const struct line_text *kept = client ? line_take(client) : NULL;
    if (kept) {
        lua_pushlstring(L, kept->text, kept->length);
        return 1;
    }
    return exchange(L, task, &asked, 2, "dev.line:receive");
}

const luaL_Reg script_line[] = {{"request", request}, {"receive", receive}, {NULL, NULL}};
