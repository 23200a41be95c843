#include "script.h"

#include <errno.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/luadata.h"
#include "script_sandbox.h"

/* One real-time signal of the process belongs to the budgets of scripts. */
#define BUDGET_SIGNAL     (SIGRTMIN + 4)
#define PRINTS_PER_CALL   20
#define POLL_INSTRUCTIONS 1000
#define TRACE_LEVELS      20
#define SUBJECT_SIZE      100
#define LARGE_BYTES       8192
#define PIECE_BYTES       256 /* of a text, between two looks at the budget */

#ifdef DERD_SANITIZED
#define BUDGET_SCALE 10 /* sanitizers slow everything down */
#else
#define BUDGET_SCALE 1
#endif

/* The thread sanitizer holds signals back until the thread's next call into libc, which an endless
 * loop never makes. There, and where the system has no timer left, a count hook looks at the clock
 * instead; it costs every script time, the signal costs nothing until it comes. */
#ifdef __SANITIZE_THREAD__
#define HAS_SIGNALS false
#else
#define HAS_SIGNALS true
#endif

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct place { /* where in the file something happened; line 0: not known */
    char source[LUA_IDSIZE];
    int line;
};

struct script {
    lua_State *L;
    struct script_limits limits;
    char *name;                 /* of the file, as messages call it */
    char subject[SUBJECT_SIZE]; /* for whom it is called; "" when nobody said */
    size_t memory, memory_peak; /* the peak since the last call began */
    struct place refused_at;    /* the last allocation over the cap */
    bool spoiled;
    bool warned_time, warned_memory,
        warned_steps; /* that it came near this limit: once is enough */
    int table;        /* registry reference of what the chunk returned */
    int prints;       /* in this call */

    bool has_timer;
    timer_t timer;
    pid_t timer_thread; /* whose CPU time it runs on */
    /* Read by the signal handler, which runs on the thread that is inside run(). */
    volatile sig_atomic_t armed;
    int64_t budget_us, started_us;
    bool overtime;
    struct place overtime_at;
};

struct script_limits script_limits_default(void) {
    return (struct script_limits){
        .memory_bytes = (size_t)16 << 20, .load_cpu_us = 100000, .call_cpu_us = 20000};
}

static struct script *script_of(lua_State *L) {
    return *(struct script **)lua_getextraspace(L);
}

static int64_t thread_cpu_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
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
static void find_place(lua_State *L, int level, struct place *place) {
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
static void say_place(const struct script *script, const struct place *place, char *text,
                      size_t size) {
    if (place->line)
        snprintf(text, size, "%s:%d", place->source, place->line);
    else
        snprintf(text, size, "%s", script->name);
}

/* ---- memory ---- */

static bool is_over_budget(const struct script *script);

/* Whether time is what ends this allocation. Some of Lua's own loops run no instruction, but grow
 * the stack: a table that is its own __call shifts its arguments until the memory is full, which
 * takes minutes. Small blocks are let through, so that errors can be told. */
static bool out_of_time(struct script *script, size_t old, size_t size) {
    if (size < LARGE_BYTES || size <= old || !script->L || !is_over_budget(script))
        return false;
    if (!script->overtime)
        find_place(script->L, 0, &script->overtime_at);
    script->overtime = true;
    return true;
}

static void *allocate(void *context, void *block, size_t old_size, size_t size) {
    struct script *script = context;
    size_t old = block ? old_size : 0; /* without a block, old_size is a kind of object */
    if (size == 0) {
        free(block);
        script->memory -= old;
        return NULL;
    }
    size_t maximum = script->limits.memory_bytes;
    bool fits = size <= old || (size <= maximum && script->memory - old <= maximum - size);
    if (fits && out_of_time(script, old, size))
        return NULL;
    void *moved = fits ? realloc(block, size) : NULL;
    if (!moved) {
        if (script->L)
            find_place(script->L, 0, &script->refused_at);
        return NULL;
    }
    script->memory = script->memory - old + size;
    if (script->memory > script->memory_peak)
        script->memory_peak = script->memory;
    return moved;
}

/* ---- time ---- */

/* Stays set until run() has unwound: each further instruction raises again, so that no pcall and no
 * loop around it goes on. The error value is the script itself, which needs no memory. */
static void kill_hook(lua_State *L, lua_Debug *at) {
    (void)at;
    struct script *script = script_of(L);
    if (!script->overtime) {
        script->overtime = true;
        find_place(L, 0, &script->overtime_at);
    }
    lua_pushlightuserdata(L, script);
    lua_error(L);
}

static void poll_hook(lua_State *L, lua_Debug *at) {
    struct script *script = script_of(L);
    if (thread_cpu_us() - script->started_us < script->budget_us)
        return;
    lua_sethook(L, kill_hook, LUA_MASKCOUNT, 1);
    kill_hook(L, at);
}

static bool is_over_budget(const struct script *script) {
    lua_Hook hook = lua_gethook(script->L);
    return hook == kill_hook ||
           (hook == poll_hook && thread_cpu_us() - script->started_us >= script->budget_us);
}

/* lua_sethook() is made to be called from a signal handler (Lua 5.4 reference manual and ldebug.c).
 * The timer signals the thread that runs the script, so nothing else moves meanwhile. */
// NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): see above
static void on_budget_signal(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (info->si_code != SI_TIMER)
        return;
    struct script *script = info->si_value.sival_ptr;
    if (script->armed)
        lua_sethook(script->L, kill_hook, LUA_MASKCOUNT, 1);
}

static void drop_timer(struct script *script) {
    if (script->has_timer)
        timer_delete(script->timer);
    script->has_timer = false;
}

/* Makes the timer of this thread's CPU time, once. */
static bool have_timer(struct script *script) {
    pid_t thread = gettid();
    if (script->has_timer && script->timer_thread == thread)
        return true;
    drop_timer(script);
    struct sigaction action = {.sa_sigaction = on_budget_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t budget;
    sigemptyset(&action.sa_mask);
    sigemptyset(&budget);
    sigaddset(&budget, BUDGET_SIGNAL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = BUDGET_SIGNAL};
    event.sigev_value.sival_ptr = script;
    event.sigev_notify_thread_id = thread;
    if (sigaction(BUDGET_SIGNAL, &action, NULL) != 0 ||
        pthread_sigmask(SIG_UNBLOCK, &budget, NULL) != 0 ||
        timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &script->timer) != 0)
        return false;
    script->timer_thread = thread;
    script->has_timer = true;
    return true;
}

static void set_timer(struct script *script, int64_t after_us) {
    struct itimerspec at = {.it_value = {after_us / 1000000, after_us % 1000000 * 1000}};
    timer_settime(script->timer, 0, &at, NULL);
}

static void start_budget(struct script *script, int64_t budget_us) {
    script->budget_us = budget_us * BUDGET_SCALE;
    script->started_us = thread_cpu_us();
    script->overtime = false;
    if (HAS_SIGNALS && have_timer(script)) {
        script->armed = 1;
        set_timer(script, script->budget_us);
    } else {
        lua_sethook(script->L, poll_hook, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
    }
}

/* After this the handler does nothing more: a signal that came late was delivered before
 * timer_settime() returned, or finds `armed` cleared. Returns the CPU time used. */
static int64_t end_budget(struct script *script) {
    script->armed = 0;
    if (script->has_timer)
        set_timer(script, 0);
    lua_sethook(script->L, NULL, 0, 0);
    return thread_cpu_us() - script->started_us;
}

/* ---- running ---- */

/* Whether a message already starts with its place: "sunspec.lua:12: ...". */
static bool has_place(const struct script *script, const char *text) {
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
    find_place(L, 1, &place);
    char where[LUA_IDSIZE + 16];
    say_place(script, &place, where, sizeof where);
    int type = lua_type(L, 1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER) {
        lua_pushfstring(L, "%s: error() was called with a %s; give it a sentence", where,
                        luaL_typename(L, 1));
        return 1;
    }
    const char *text = lua_tostring(L, 1);
    if (has_place(script, text))
        lua_settop(L, 1);
    else
        lua_pushfstring(L, "%s: %s", where, text);
    return 1;
}

static enum script_outcome outcome_of(struct script *script, int status, const char *what,
                                      int64_t used_us, char error[SCRIPT_ERROR_SIZE]) {
    char where[LUA_IDSIZE + 16];
    if (script->overtime) {
        say_place(script, &script->overtime_at, where, sizeof where);
        snprintf(error, SCRIPT_ERROR_SIZE,
                 "%s: %s was stopped: it may use %" PRId64 " ms of CPU time and had used %" PRId64
                 " ms here; look for a loop that does not end, or do less in one call",
                 where, what, script->budget_us / 1000, used_us / 1000);
        return SCRIPT_OVERTIME;
    }
    if (status == LUA_ERRMEM) {
        say_place(script, &script->refused_at, where, sizeof where);
        snprintf(error, SCRIPT_ERROR_SIZE,
                 "%s: %s ran out of memory: a script may use %zu KiB; look for a table or a string "
                 "that keeps growing, or a function that calls itself without end",
                 where, what, script->limits.memory_bytes / 1024);
        return SCRIPT_MEMORY;
    }
    const char *text =
        lua_type(script->L, -1) == LUA_TSTRING ? lua_tostring(script->L, -1) : "unknown error";
    if (has_place(script, text))
        snprintf(error, SCRIPT_ERROR_SIZE, "%s", text);
    else
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: %s", script->name, text);
    return SCRIPT_RAISED;
}

static void warn_when_near(struct script *script, const char *what, int64_t used_us) {
    if (!script->warned_time && used_us >= script->budget_us / 2) {
        script->warned_time = true;
        log_warning(script->name,
                    "%s used %" PRId64 " us of CPU time; it is stopped at %" PRId64
                    " us: do less in one call",
                    what, used_us, script->budget_us);
    }
    size_t maximum = script->limits.memory_bytes;
    if (!script->warned_memory && script->table && script->memory_peak >= maximum / 2) {
        script->warned_memory = true;
        log_warning(script->name,
                    "%s took the script's memory to %zu KiB, with what was not yet collected; it "
                    "may have %zu KiB: keep less, or make shorter texts and tables",
                    what, script->memory_peak / 1024, maximum / 1024);
    }
}

/* A pattern function took half of its steps. */
static void near_steps(lua_State *L, const char *function, int steps, int maximum) {
    struct script *script = script_of(L);
    if (script->warned_steps)
        return;
    script->warned_steps = true;
    struct place place;
    find_place(L, 0, &place);
    char where[LUA_IDSIZE + 16];
    say_place(script, &place, where, sizeof where);
    log_warning(script->name,
                "%s: string.%s%s%s took %d steps and goes on; it is stopped at %d: use a shorter "
                "text or a simpler pattern",
                where, function, script->subject[0] ? " for " : "", script->subject, steps,
                maximum);
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
    if (script->subject[0]) {
        snprintf(whom, sizeof whom, "%s for %s", what, script->subject);
        what = whom;
    }
    script->prints = 0;
    script->memory_peak = script->memory;
    start_budget(script, budget_us);
    int status = lua_pcall(L, 1, 0, 1);
    int64_t used_us = end_budget(script);
    enum script_outcome outcome = SCRIPT_OK;
    if (status != LUA_OK)
        outcome = outcome_of(script, status, what, used_us, error);
    else
        warn_when_near(script, what, used_us);
    if (outcome == SCRIPT_MEMORY)
        script->spoiled = true;
    script_text_clean(error);
    lua_settop(L, 0);
    return outcome;
}

/* print(...) of scripts: a line of the log, a few per call. */
static int print(lua_State *L) {
    struct script *script = script_of(L);
    script->prints++;
    if (script->prints == PRINTS_PER_CALL + 1)
        log_info(script->name, "more than %d lines in one call: the rest is left out",
                 PRINTS_PER_CALL);
    if (script->prints > PRINTS_PER_CALL)
        return 0;
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
    log_info(script->name, "%s", line);
    return 0;
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
    script->limits = limits ? *limits : script_limits_default();
    script->name = strdup(file_name);
    if (!script->name || sodium_init() < 0)
        goto no_memory;
    lua_State *L = lua_newstate(allocate, script);
    if (!L)
        goto no_memory;
    *(struct script **)lua_getextraspace(L) = script;
    script->L = L;
    struct chunk chunk = {script, text, length};
    if (run(script, open_sandbox, NULL, script->limits.load_cpu_us, "the sandbox", error) !=
            SCRIPT_OK ||
        run(script, load_chunk, &chunk, script->limits.load_cpu_us, "loading", error) !=
            SCRIPT_OK) {
        report_error(script, error, report);
        script_close(script);
        return NULL;
    }
    return script;

no_memory:
    report_add(report, file_name, "no memory for this script");
    script_close(script);
    return NULL;
}

void script_close(struct script *script) {
    if (!script)
        return;
    drop_timer(script);
    if (script->L)
        lua_close(script->L);
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
static void push_at_path(lua_State *L, const struct script *script, const char *path) {
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
    push_at_path(L, call->script, call->path);
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

void script_set_subject(struct script *script, const char *subject) {
    snprintf(script->subject, sizeof script->subject, "%s", subject ? subject : "");
}

bool script_spoiled(const struct script *script) {
    return script->spoiled;
}

size_t script_memory(const struct script *script) {
    return script->memory;
}
