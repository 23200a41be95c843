#include "script/script.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/luadata.h"
#include "base/text.h"
#include "script/script_internal.h"
#include "script/script_sandbox.h"

#define PRINTS_PER_CALL 20
#define TRACE_LEVELS    20
#define PIECE_BYTES     256 /* of a text, between two looks at the budget */

struct script *script_of(lua_State *L) {
    return *(struct script **)lua_getextraspace(L);
}

void script_text_clean(char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
        bool valid = c < 0x80 || (c >= 0xc2 && c < 0xf5);
        unsigned char second = (unsigned char)(more ? text[i + 1] : 0);
        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second >= 0xa0) ||
            (c == 0xf0 && second < 0x90) || (c == 0xf4 && second >= 0x90))
            valid = false;
        for (size_t j = 1; valid && j <= more; j++) {
            if (i + j >= length) {
                text[i] = '\0';
                return;
            }
            valid = ((unsigned char)text[i + j] & 0xc0) == 0x80;
        }
        if (!valid) {
            text[i++] = '?';
            continue;
        }
        if (c < 0x20 || c == 0x7f)
            text[i] = ' ';
        i += more + 1;
    }
}

/* The innermost line of Lua that is running, from `level` outwards. Allocates nothing. */
void script_find_place(lua_State *L, int level, struct place *place) {
    *place = (struct place){.line = 0};
    lua_Debug at;
    for (int end = level + TRACE_LEVELS; level < end && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0)
            continue;
        memcpy(place->source, at.short_src, sizeof place->source);
        place->line = at.currentline;
        return;
    }
}

/* "sunspec.lua:12" or "sunspec.lua". */
void script_say_place(const struct script *script, const struct place *place, char *text,
                      size_t size) {
    if (place->line)
        snprintf(text, size, "%s:%d", place->source, place->line);
    else
        snprintf(text, size, "%s", script->name);
}

/* ---- running ---- */

/* Whether a message already starts with its place: "sunspec.lua:12: ...". */
bool script_has_place(const struct script *script, const char *text) {
    size_t length = strlen(script->name);
    return (strncmp(text, script->name, length) == 0 && text[length] == ':') ||
           strncmp(text, "...", 3) == 0; /* Lua shortens long names so */
}

/* Message handler: whatever was raised becomes "file:line: sentence". */
static int explain(lua_State *L) {
    struct script *script = script_of(L);
    if (lua_touserdata(L, 1) == script)
        return 1; /* overtime */
    struct place place;
    script_find_place(L, 1, &place);
    char where[LUA_IDSIZE + 16];
    script_say_place(script, &place, where, sizeof where);
    int type = lua_type(L, 1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER) {
        lua_pushfstring(L, "%s: error() was called with a %s; give it a sentence", where,
                        luaL_typename(L, 1));
        return 1;
    }
    const char *text = lua_tostring(L, 1);
    if (script_has_place(script, text))
        lua_settop(L, 1);
    else
        lua_pushfstring(L, "%s: %s", where, text);
    return 1;
}

enum script_outcome script_outcome_of(struct script *script, lua_State *L, int status,
                                      const char *what, int64_t used_us,
                                      char error[SCRIPT_ERROR_SIZE]) {
    char where[LUA_IDSIZE + 16];
    if (script->overtime) {
        script_say_place(script, &script->overtime_at, where, sizeof where);
        snprintf(error, SCRIPT_ERROR_SIZE,
                 "%s: %s was stopped: it may use %" PRId64 " ms of CPU time and had used %" PRId64
                 " ms here; look for a loop that does not end, or do less in one call",
                 where, what, script->budget_us / 1000, used_us / 1000);
        return SCRIPT_OVERTIME;
    }
    if (status == LUA_ERRMEM) {
        script_say_place(script, &script->refused_at, where, sizeof where);
        snprintf(error, SCRIPT_ERROR_SIZE,
                 "%s: %s ran out of memory: a script may use %zu KiB; look for a table or a string "
                 "that keeps growing, or a function that calls itself without end",
                 where, what, script->limits.memory_bytes / 1024);
        return SCRIPT_MEMORY;
    }
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "unknown error";
    if (script_has_place(script, text))
        snprintf(error, SCRIPT_ERROR_SIZE, "%s", text);
    else
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: %s", script->name, text);
    return SCRIPT_RAISED;
}

static bool near_time(const struct script *script, int64_t used_us) {
    return !script->warned_time && used_us >= script->budget_us / 2;
}

static bool near_memory(const struct script *script) {
    return !script->warned_memory && script->table &&
           script->memory_peak >= script->limits.memory_bytes / 2;
}

bool script_is_near(const struct script *script, int64_t used_us) {
    return near_time(script, used_us) || near_memory(script);
}

void script_warn_when_near(struct script *script, const char *what, int64_t used_us) {
    if (near_time(script, used_us)) {
        script->warned_time = true;
        log_warning(script->name,
                    "%s used %" PRId64 " us of CPU time; it is stopped at %" PRId64
                    " us: do less in one call",
                    what, used_us, script->budget_us);
    }
    if (near_memory(script)) {
        script->warned_memory = true;
        log_warning(script->name,
                    "%s took the script's memory to %zu KiB, with what was not yet collected; it "
                    "may have %zu KiB: keep less, or make shorter texts and tables",
                    what, script->memory_peak / 1024, script->limits.memory_bytes / 1024);
    }
}

/* A pattern function took half of its steps. */
static void near_steps(lua_State *L, const char *function, int steps, int maximum) {
    struct script *script = script_of(L);
    if (script->warned_steps)
        return;
    script->warned_steps = true;
    struct place place;
    script_find_place(L, 0, &place);
    char where[LUA_IDSIZE + 16];
    script_say_place(script, &place, where, sizeof where);
    log_warning(script->name,
                "%s: string.%s%s%s took %d steps and goes on; it is stopped at %d: use a shorter "
                "text or a simpler pattern",
                where, function, script->subject[0] ? " for " : "", script->subject, steps,
                maximum);
}

/* `what`, and for whom: most calls have nothing to say. */
static const char *say_whom(const struct script *script, const char *what,
                            char whom[SCRIPT_ERROR_SIZE]) {
    if (!script->subject[0])
        return what;
    snprintf(whom, SCRIPT_ERROR_SIZE, "%s for %s", what, script->subject);
    return whom;
}

/* Runs `body` protected and inside a budget; `context` is its light userdata argument. `what` is
 * what messages call it. Nothing stays on the stack. */
static enum script_outcome run(struct script *script, lua_CFunction body, void *context,
                               int64_t budget_us, const char *what, char error[SCRIPT_ERROR_SIZE]) {
    lua_State *L = script->L;
    error[0] = '\0';
    lua_settop(L, 0);
    lua_pushcfunction(L, explain);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, context);
    char whom[SCRIPT_ERROR_SIZE];
    script->prints = 0;
    script->memory_peak = script->memory;
    script_start_budget(script, L, budget_us);
    int status = lua_pcall(L, 1, 0, 1);
    int64_t used_us = script_end_budget(script);
    enum script_outcome outcome = SCRIPT_OK;
    if (status != LUA_OK)
        outcome =
            script_outcome_of(script, L, status, say_whom(script, what, whom), used_us, error);
    else if (script_is_near(script, used_us))
        script_warn_when_near(script, say_whom(script, what, whom), used_us);
    if (outcome == SCRIPT_MEMORY)
        script->spoiled = true;
    script_text_clean(error);
    lua_settop(L, 0);
    return outcome;
}

enum script_outcome script_run(struct script *script, lua_CFunction body, void *context,
                               const char *what, char error[SCRIPT_ERROR_SIZE]) {
    return run(script, body, context, script->limits.call_cpu_us, what, error);
}

void script_log(lua_State *L, const char *line) {
    struct script *script = script_of(L);
    const char *subject = script->subject[0] ? script->subject : script->name;
    script->prints++;
    if (script->prints == PRINTS_PER_CALL + 1)
        log_info(script->name, "more than %d lines in one call: the rest is left out",
                 PRINTS_PER_CALL);
    if (script->prints > PRINTS_PER_CALL)
        return;
    if (script->subject[0])
        log_info(subject, "%s: %s", script->name, line);
    else
        log_info(subject, "%s", line);
}

/* print(...) of scripts: a line of the log, a few per call. */
static int print(lua_State *L) {
    char line[400];
    size_t length = 0;
    line[0] = '\0';
    int count = lua_gettop(L);
    for (int i = 1; i <= count && length < sizeof line - 1; i++) {
        const char *text = luaL_tolstring(L, i, NULL);
        snprintf(line + length, sizeof line - length, "%s%s", i > 1 ? " " : "", text);
        length = strlen(line);
        lua_pop(L, 1);
    }
    script_text_clean(line);
    script_log(L, line);
    return 0;
}

void *script_caller(lua_State *L) {
    return script_of(L)->caller;
}

/* ---- loading ---- */

struct chunk {
    struct script *script;
    const char *text;
    size_t length;
};

/* The text in pieces: compiling is C too, and what it costs can grow with the square of the length
 * (many names inside many functions). */
static const char *read_piece(lua_State *L, void *context, size_t *length) {
    struct chunk *chunk = context;
    lua_Hook budget = lua_gethook(L);
    if (budget)
        budget(L, NULL);
    const char *piece = chunk->text;
    *length = chunk->length < PIECE_BYTES ? chunk->length : PIECE_BYTES;
    chunk->text += *length;
    chunk->length -= *length;
    return piece;
}

static int open_sandbox(lua_State *L) {
    static const struct sandbox_host host = {.print = print, .watch = {near_steps}};
    script_sandbox_open(L, &host);
    return 0;
}

static int load_chunk(lua_State *L) {
    struct chunk *chunk = lua_touserdata(L, 1);
    const char *name = lua_pushfstring(L, "@%s", chunk->script->name);
    if (lua_load(L, read_piece, chunk, name, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        return luaL_error(L, "%s: the file must end with 'return { ... }', but it returned a %s",
                          chunk->script->name, luaL_typename(L, -1));
    chunk->script->table = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* "name:12: text" becomes a mistake at "name:12". */
static void report_error(const struct script *script, const char *error, struct report *report) {
    size_t length = strlen(script->name);
    if (strncmp(error, script->name, length) == 0 && error[length] == ':') {
        const char *rest = error + length + 1;
        size_t digits = strspn(rest, "0123456789");
        if (digits && rest[digits] == ':')
            rest += digits + 1;
        char where[SCRIPT_ERROR_SIZE];
        snprintf(where, sizeof where, "%.*s", (int)(rest - error - 1), error);
        report_add(report, where, "%s", rest + strspn(rest, " "));
        return;
    }
    report_add(report, script->name, "%s", error);
}

struct script *script_open(const char *file_name, const char *text, size_t length,
                           const struct script_limits *limits, struct report *report) {
    if (length >= 1 && text[0] == LUA_SIGNATURE[0]) {
        report_add(report, file_name, "this is compiled Lua; a script must be text");
        return NULL;
    }
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* byte order mark of an editor */
        text += 3;
        length -= 3;
    }
    char error[SCRIPT_ERROR_SIZE];
    struct script *script = calloc(1, sizeof *script);
    if (!script)
        goto no_memory;
    script->references = 1;
    script->limits = limits ? *limits : script_limits_default();
    script->name = strdup(file_name);
    if (!script->name || sodium_init() < 0)
        goto no_memory;
    lua_State *L = lua_newstate(script_allocate, script);
    if (!L)
        goto no_memory;
    *(struct script **)lua_getextraspace(L) = script;
    script->L = script->running = L;
    struct chunk chunk = {script, text, length};
    if (run(script, open_sandbox, NULL, script->limits.load_cpu_us, "the sandbox", error) !=
            SCRIPT_OK ||
        run(script, load_chunk, &chunk, script->limits.load_cpu_us, "loading", error) !=
            SCRIPT_OK) {
        report_error(script, error, report);
        script_close(script);
        return NULL;
    }
    script_free_spares(script); /* of the compiler: calls need other ones */
    return script;

no_memory:
    report_add(report, file_name, "no memory for this script");
    script_close(script);
    return NULL;
}

void script_close(struct script *script) {
    if (!script || --script->references > 0)
        return;
    if (script->L)
        lua_close(script->L);
    script_free_spares(script);
    free(script->name);
    free(script);
}

json_t *script_tree(struct script *script, struct report *report) {
    lua_rawgeti(script->L, LUA_REGISTRYINDEX, script->table);
    json_t *tree = luadata_from_stack(script->L, -1, true, report);
    lua_settop(script->L, 0);
    return tree;
}

/* ---- calling ---- */

struct call {
    struct script *script;
    const char *path;
    script_push *push;
    script_take *take;
    void *context;
    bool no_such;
};

/* [-0, +1] What stands at "a.b" in the script's table, without metamethods; nil when nothing does.
 */
void script_push_at_path(lua_State *L, const struct script *script, const char *path) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->table);
    while (*path) {
        size_t length = strcspn(path, ".");
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
            return;
        }
        lua_pushlstring(L, path, length);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        path += length;
        path += *path == '.';
    }
}

static int call_function(lua_State *L) {
    struct call *call = lua_touserdata(L, 1);
    lua_settop(L, 0);
    script_push_at_path(L, call->script, call->path);
    if (!lua_isfunction(L, -1)) {
        call->no_such = true;
        return 0;
    }
    int arguments = call->push ? call->push(L, call->context) : 0;
    lua_call(L, arguments, LUA_MULTRET);
    if (call->take) {
        int last = lua_gettop(L);
        luaL_checkstack(L, LUA_MINSTACK, NULL);
        call->take(L, 1, last, call->context);
    }
    return 0;
}

enum script_outcome script_call(struct script *script, const char *path, script_push *push,
                                script_take *take, void *context, char error[SCRIPT_ERROR_SIZE]) {
    struct call call = {script, path, push, take, context, false};
    enum script_outcome outcome =
        run(script, call_function, &call, script->limits.call_cpu_us, path, error);
    if (outcome == SCRIPT_OK && call.no_such) {
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: there is no function '%s'", script->name, path);
        outcome = SCRIPT_NO_SUCH;
    }
    return outcome;
}

void script_set_subject(struct script *script, const char *subject, void *caller) {
    script->caller = caller;
    text_copy(script->subject, sizeof script->subject, subject ? subject : "");
}

bool script_spoiled(const struct script *script) {
    return script->spoiled;
}

size_t script_memory(const struct script *script) {
    return script->memory;
}
