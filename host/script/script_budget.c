/* The two budgets of a script: memory in its allocator, and CPU time by a timer whose signal to the
 * thread that runs it sets a hook that nothing inside Lua can catch. The timer runs by the
 * monotonic clock, which the kernel keeps to microseconds; by the clock of a thread's CPU time it
 * would look at its ticks only, every 4 ms or 10. A signal that comes before the CPU time is used
 * up, since the thread had to wait, sets the timer anew for what is left. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "script/script_internal.h"

/* One real-time signal of the process belongs to the budgets of scripts. */
#define BUDGET_SIGNAL     (SIGRTMIN + 4)
#define POLL_INSTRUCTIONS 1000
#define LARGE_BYTES       8192
#define LEAST_US          50 /* until the next look */

#ifdef __SANITIZE_THREAD__
#define BUDGET_SCALE 10 /* sanitizers slow everything down */
#elif defined DERD_SANITIZED
#define BUDGET_SCALE 5
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

static int64_t thread_cpu_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

int script_budget_scale(void) {
    return BUDGET_SCALE;
}

/* ---- memory ---- */

static bool is_over_budget(const struct script *script);

/* Whether time is what ends this allocation. Some of Lua's own loops run no instruction, but grow
 * the stack: a table that is its own __call shifts its arguments until the memory is full, which
 * takes minutes. Small blocks are let through, so that errors can be told. */
static bool out_of_time(struct script *script, size_t old, size_t size) {
    if (size < LARGE_BYTES || size <= old || !script->running || !is_over_budget(script))
        return false;
    if (!script->overtime)
        script_find_place(script->running, 0, &script->overtime_at);
    script->overtime = true;
    return true;
}

void *script_allocate(void *context, void *block, size_t old_size, size_t size) {
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
        if (script->running)
            script_find_place(script->running, 0, &script->refused_at);
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
        script_find_place(L, 0, &script->overtime_at);
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
    lua_Hook hook = lua_gethook(script->running);
    return hook == kill_hook ||
           (hook == poll_hook && thread_cpu_us() - script->started_us >= script->budget_us);
}

static void set_timer(struct script *script, int64_t after_us) {
    struct itimerspec at = {.it_value = {after_us / 1000000, after_us % 1000000 * 1000}};
    timer_settime(script->timer, 0, &at, NULL);
}

/* lua_sethook() is made to be called from a signal handler (Lua 5.4 reference manual and ldebug.c),
 * clocks and timers are too (POSIX). The timer signals the thread that runs the script, so nothing
 * else moves meanwhile. */
// NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): see above
static void on_budget_signal(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (info->si_code != SI_TIMER)
        return;
    struct script *script = info->si_value.sival_ptr;
    int before = errno;
    if (script->armed) {
        int64_t left_us = script->budget_us - (thread_cpu_us() - script->started_us);
        if (left_us > 0)
            set_timer(script, left_us > LEAST_US ? left_us : LEAST_US);
        else
            lua_sethook(script->running, kill_hook, LUA_MASKCOUNT, 1);
    }
    errno = before;
}

void script_drop_timer(struct script *script) {
    if (script->has_timer)
        timer_delete(script->timer);
    script->has_timer = false;
}

/* Makes the timer that signals this thread, once. */
static bool have_timer(struct script *script) {
    pid_t thread = gettid();
    if (script->has_timer && script->timer_thread == thread)
        return true;
    script_drop_timer(script);
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
        timer_create(CLOCK_MONOTONIC, &event, &script->timer) != 0)
        return false;
    script->timer_thread = thread;
    script->has_timer = true;
    return true;
}

void script_start_budget(struct script *script, lua_State *on, int64_t budget_us) {
    script->running = on;
    script->budget_us = budget_us * BUDGET_SCALE;
    script->started_us = thread_cpu_us();
    script->overtime = false;
    if (HAS_SIGNALS && have_timer(script)) {
        script->armed = 1;
        set_timer(script, script->budget_us);
    } else {
        lua_sethook(on, poll_hook, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
    }
}

/* After this the handler does nothing more: a signal that came late was delivered before
 * timer_settime() returned, or finds `armed` cleared. Returns the CPU time used. */
int64_t script_end_budget(struct script *script) {
    script->armed = 0;
    if (script->has_timer)
        set_timer(script, 0);
    lua_sethook(script->running, NULL, 0, 0);
    script->running = script->L;
    int64_t used_us = thread_cpu_us() - script->started_us;
    script->used_us += used_us;
    if (used_us > script->used_most_us)
        script->used_most_us = used_us;
    return used_us;
}

int64_t script_take_used_us(struct script *script, int64_t *longest_us) {
    int64_t used_us = script->used_us;
    *longest_us = script->used_most_us;
    script->used_us = script->used_most_us = 0;
    return used_us;
}
