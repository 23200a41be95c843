/* The two budgets of a script: memory in its allocator, and CPU time by a timer whose signal to the
 * thread that runs it sets a hook that nothing inside Lua can catch. The timer runs by the
 * monotonic clock, which the kernel keeps to microseconds; by the clock of a thread's CPU time it
 * would look at its ticks only, every 4 ms or 10. A signal that comes before the CPU time is used
 * up, since the thread had to wait, sets the timer anew for what is left.
 *
 * Most calls take microseconds, of which two settings of a timer would be a good part. So a thread
 * has one for all scripts that it calls, and leaves it set when a call ends. The next call sets it
 * only where it would go off too late; when it goes off, it is set for what is left of the call
 * that runs, or not at all when none does: once in a budget, however many calls there are. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "script/script_internal.h"

/* One real-time signal of the process belongs to the budgets of scripts. */
#define BUDGET_SIGNAL     (SIGRTMIN + 4)
#define POLL_INSTRUCTIONS 1000
#define LARGE_BYTES       8192
#define LEAST_US          50   /* until the next look */
#define SHORT_US          1000 /* below it time itself stands for CPU time, which is no more */

/* In these builds what is freed is the sanitizer's. */
#ifdef DERD_SANITIZED
#define SPARE_BYTES 0
#else
#define SPARE_BYTES ((size_t)32 << 10) /* of one script, at most */
#endif

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

static int64_t clock_us(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

/* A system call, where the monotonic clock is none. */
static int64_t thread_cpu_us(void) {
    return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

int script_budget_scale(void) {
    return BUDGET_SCALE;
}

/* ---- memory ---- */

/* A call makes the same few tables as the one before, which the collector then frees a hundred at
 * a time: more than what malloc() keeps at hand. So some of what a script gives back waits for it
 * here, by size. */
struct spare {
    struct spare *next;
};

/* As malloc() cuts its blocks, on 64 bits: 24 bytes, 40, 56, ... */
static size_t size_number(size_t size) {
    return size <= SPARE_LEAST ? 0 : (size - SPARE_LEAST + SPARE_STEP - 1) / SPARE_STEP;
}

/* So that each block of a number fits where another one was. */
static size_t rounded(size_t size) {
    return size <= SPARE_LARGEST ? SPARE_LEAST + size_number(size) * SPARE_STEP : size;
}

static void give_back(struct script *script, void *block, size_t size) {
    if (!block || size > SPARE_LARGEST || script->spare_bytes + rounded(size) > SPARE_BYTES) {
        free(block);
        return;
    }
    struct spare *spare = block, **first = &script->spares[size_number(size)];
    spare->next = *first;
    *first = spare;
    script->spare_bytes += rounded(size);
}

static void *take(struct script *script, void *block, size_t size) {
    struct spare **first =
        block || size > SPARE_LARGEST ? NULL : &script->spares[size_number(size)];
    if (!first || !*first)
        return realloc(block, rounded(size));
    struct spare *spare = *first;
    *first = spare->next;
    script->spare_bytes -= rounded(size);
    return spare;
}

void script_free_spares(struct script *script) {
    for (size_t i = 0; i < SPARE_SIZES; i++)
        while (script->spares[i]) {
            struct spare *spare = script->spares[i];
            script->spares[i] = spare->next;
            free(spare);
        }
    script->spare_bytes = 0;
}

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
        give_back(script, block, old);
        script->memory -= old;
        return NULL;
    }
    size_t maximum = script->limits.memory_bytes;
    bool fits = size <= old || (size <= maximum && script->memory - old <= maximum - size);
    if (fits && out_of_time(script, old, size))
        return NULL;
    void *moved = fits ? take(script, block, size) : NULL;
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

/* Of one thread. The signal handler runs on the same one, at any moment. */
struct watch {
    bool has_timer;
    timer_t timer;
    _Atomic int64_t due_us;          /* when it goes off, by the monotonic clock; 0: it does not */
    struct script *volatile running; /* the innermost, with those that call it behind; or NULL */
};
static _Thread_local struct watch watch;

static bool set_timer(int64_t due_us) {
    struct itimerspec at = {.it_value = {due_us / 1000000, due_us % 1000000 * 1000}};
    watch.due_us = due_us;
    if (timer_settime(watch.timer, TIMER_ABSTIME, &at, NULL) == 0)
        return true;
    watch.due_us = 0;
    return false;
}

/* lua_sethook() is made to be called from a signal handler (Lua 5.4 reference manual and ldebug.c),
 * clocks and timers are too (POSIX). The timer signals its own thread, the one that runs the
 * scripts, so nothing else moves meanwhile. */
// NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): see above
static void on_budget_signal(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (info->si_code != SI_TIMER)
        return;
    int before = errno;
    int64_t least_us = INT64_MAX;
    for (struct script *script = watch.running; script; script = script->outer) {
        int64_t left_us = script->budget_us - (thread_cpu_us() - script->started_us);
        if (left_us <= 0)
            lua_sethook(script->running, kill_hook, LUA_MASKCOUNT, 1);
        else if (left_us < least_us)
            least_us = left_us;
    }
    watch.due_us = 0;
    if (least_us != INT64_MAX)
        set_timer(clock_us(CLOCK_MONOTONIC) + (least_us > LEAST_US ? least_us : LEAST_US));
    errno = before;
}

static pthread_key_t thread_end;
static bool prepared;

static void drop_timer(void *context) {
    struct watch *ended = context;
    timer_delete(ended->timer);
    ended->has_timer = false;
}

static void prepare(void) {
    struct sigaction action = {.sa_sigaction = on_budget_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    prepared = pthread_key_create(&thread_end, drop_timer) == 0 &&
               sigaction(BUDGET_SIGNAL, &action, NULL) == 0;
}

/* Makes the timer that signals this thread. */
static bool make_timer(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t budget;
    sigemptyset(&budget);
    sigaddset(&budget, BUDGET_SIGNAL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = BUDGET_SIGNAL};
    event.sigev_notify_thread_id = gettid();
    pthread_once(&once, prepare);
    if (!prepared || pthread_sigmask(SIG_UNBLOCK, &budget, NULL) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &watch.timer) != 0)
        return false;
    watch.has_timer = true;
    pthread_setspecific(thread_end, &watch);
    return true;
}

/* Whether the timer of this thread will go off, and at `due_us` at the latest. */
static bool will_look(int64_t now_us, int64_t due_us) {
    if (watch.due_us > now_us && watch.due_us <= due_us)
        return true;
    return (watch.has_timer || make_timer()) && set_timer(due_us);
}

void script_start_budget(struct script *script, lua_State *on, int64_t budget_us) {
    script->running = on;
    script->budget_us = budget_us * BUDGET_SCALE;
    script->began_us = clock_us(CLOCK_MONOTONIC);
    script->started_us = thread_cpu_us();
    script->overtime = false;
    script->outer = watch.running;
    atomic_signal_fence(memory_order_seq_cst);
    watch.running = script; /* from here on a signal finds it */
    if (!HAS_SIGNALS || !will_look(script->began_us, script->began_us + script->budget_us))
        lua_sethook(on, poll_hook, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
}

/* Once it is not `running` any more, a signal that comes late does nothing to it. Returns the CPU
 * time used. */
int64_t script_end_budget(struct script *script) {
    watch.running = script->outer;
    atomic_signal_fence(memory_order_seq_cst);
    lua_sethook(script->running, NULL, 0, 0);
    script->running = script->L;
    int64_t used_us = clock_us(CLOCK_MONOTONIC) - script->began_us;
    if (used_us >= SHORT_US)
        used_us = thread_cpu_us() - script->started_us;
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
