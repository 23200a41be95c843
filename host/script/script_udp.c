/* dev.udp: datagrams to and from the device's own address. UDP carries no request id: with a fixed
 * local port (link.localPort) a late answer cannot be told from the right one by the host, so the
 * driver looks at what it says. */
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "script/clients.h"
#include "script/script_device.h"
#include "script/task.h"

static int push_datagram(lua_State *L, void *context) {
    struct task *task = context;
    const struct udp_datagram *datagram = task->answer;
    if (task->result != ERR_OK)
        return task_push_failure(L, task);
    if (datagram)
        lua_pushlstring(L, (const char *)datagram->data, datagram->length);
    else
        lua_pushboolean(L, true); /* only sent */
    return 1;
}

static void cancel(struct task *task) {
    udp_cancel(&task->operation.udp);
}

static void done(struct udp_exchange *exchange, enum err result, const struct udp_datagram *answer,
                 const char *why) {
    task_resume(exchange->owner, result, why, answer);
}

static int exchange(lua_State *L, struct task *task, struct udp_exchange *asked, int timeout_index,
                    const char *function) {
    char why[TASK_WHY_SIZE];
    struct udp_client *client = clients_udp(task->machine, why, sizeof why);
    if (!client)
        return luaL_error(L, "%s: %s", function, why);
    asked->timeout_ms = task_timeout(L, task, timeout_index, function);
    asked->done = done;
    asked->owner = task;
    task->operation.udp = *asked;
    enum err err = udp_submit(client, &task->operation.udp);
    if (err == ERR_RANGE || err == ERR_FORMAT)
        return luaL_error(L, "%s: %s", function, udp_why(client));
    if (err != ERR_OK)
        return task_fail(L, task, udp_why(client));
    return task_wait(L, task, push_datagram, cancel);
}

/* dev.udp:request(text, timeout) -> the next datagram. What came unasked before is no answer to it
 * and is put away. */
static int request(lua_State *L) {
    struct udp_exchange asked = {.data = NULL};
    char why[TASK_WHY_SIZE];
    asked.data = luaL_checklstring(L, 2, &asked.length);
    struct task *task = task_may_wait(L, "dev.udp:request");
    struct udp_client *client = clients_udp(task->machine, why, sizeof why);
    while (client && udp_take(client))
        continue;
    return exchange(L, task, &asked, 3, "dev.udp:request");
}

/* dev.udp:send(text) -> true */
static int send_only(lua_State *L) {
    struct udp_exchange asked = {.send_only = true};
    asked.data = luaL_checklstring(L, 2, &asked.length);
    struct task *task = task_may_wait(L, "dev.udp:send");
    return exchange(L, task, &asked, 3, "dev.udp:send");
}

/* dev.udp:receive(timeout) -> the oldest that came unasked, or the next one */
static int receive(lua_State *L) {
    struct udp_exchange asked = {.data = NULL};
    char why[TASK_WHY_SIZE];
    struct task *task = task_may_wait(L, "dev.udp:receive");
    struct udp_client *client = clients_udp(task->machine, why, sizeof why);
    const struct udp_datagram *kept = client ? udp_take(client) : NULL;
    if (kept) {
        lua_pushlstring(L, (const char *)kept->data, kept->length);
        return 1;
    }
    return exchange(L, task, &asked, 2, "dev.udp:receive");
}

const luaL_Reg script_udp[] = {
    {"request", request}, {"send", send_only}, {"receive", receive}, {NULL, NULL}};
