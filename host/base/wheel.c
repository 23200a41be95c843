/* One ring of timers for each millisecond of the next SLOTS, a bit for each ring that has any, and
 * two rings more: what is due at once, and what is farther away, which is looked through twice in a
 * turn of the wheel. The loop's timer is set for the next ring that has any; it is not set anew
 * when that one is stopped, since a turn for nothing costs less than looking for the next one each
 * time. */
#include "base/wheel.h"

#include <stdlib.h>

#define SLOTS 4096 /* a power of two */
#define BITS  64
#define NEVER UINT64_MAX

struct wheel {
    uv_timer_t timer;
    unsigned users;
    bool turning;
    uint64_t from_ms;   /* the first millisecond whose ring is not over */
    uint64_t armed_ms;  /* that the loop's timer is set for, NEVER: it is not */
    uint64_t sorted_ms; /* that `far` was looked through */
    struct wheel_timer *soon, *far;
    struct wheel_timer *calling; /* what was due at once when the turn began */
    struct wheel_timer *slots[SLOTS];
    uint64_t bits[SLOTS / BITS];
};

static void wheel_turn(uv_timer_t *timer);

/* ---- rings ---- */

static void ring_append(struct wheel_timer **ring, struct wheel_timer *timer) {
    timer->ring = ring;
    if (*ring) {
        timer->next = *ring;
        timer->before = (*ring)->before;
        timer->before->next = timer;
        timer->next->before = timer;
    } else {
        timer->next = timer->before = timer;
        *ring = timer;
    }
}

static void ring_remove(struct wheel_timer *timer) {
    struct wheel_timer **ring = timer->ring;
    if (timer->next == timer) {
        *ring = NULL;
    } else {
        timer->next->before = timer->before;
        timer->before->next = timer->next;
        if (*ring == timer)
            *ring = timer->next;
    }
    timer->next = timer->before = NULL;
    timer->ring = NULL;
}

/* ---- the wheel ---- */

static void wheel_place(struct wheel *wheel, struct wheel_timer *timer) {
    uint64_t slot = timer->due_ms % SLOTS;
    if (timer->due_ms < wheel->from_ms) {
        ring_append(&wheel->soon, timer);
    } else if (timer->due_ms - wheel->from_ms < SLOTS) {
        ring_append(&wheel->slots[slot], timer);
        wheel->bits[slot / BITS] |= UINT64_C(1) << slot % BITS;
    } else {
        ring_append(&wheel->far, timer);
    }
}

static void wheel_remove(struct wheel *wheel, struct wheel_timer *timer) {
    struct wheel_timer **ring = timer->ring;
    ring_remove(timer);
    if (*ring || ring == &wheel->soon || ring == &wheel->far || ring == &wheel->calling)
        return;
    uint64_t slot = (uint64_t)(ring - wheel->slots);
    wheel->bits[slot / BITS] &= ~(UINT64_C(1) << slot % BITS);
}

/* When the next ring that has any is due; NEVER. */
static uint64_t wheel_next(const struct wheel *wheel) {
    if (wheel->soon)
        return 0;
    uint64_t next_ms = wheel->far ? wheel->sorted_ms + SLOTS / 2 : NEVER;
    for (uint64_t ahead = 0; ahead < SLOTS;) {
        uint64_t slot = (wheel->from_ms + ahead) % SLOTS;
        uint64_t bits = wheel->bits[slot / BITS] >> slot % BITS;
        if (bits) {
            uint64_t due_ms = wheel->from_ms + ahead + (uint64_t)__builtin_ctzll(bits);
            return due_ms < next_ms ? due_ms : next_ms;
        }
        ahead += BITS - slot % BITS;
    }
    return next_ms;
}

static void wheel_arm(struct wheel *wheel, uint64_t due_ms) {
    uint64_t now_ms = uv_now(wheel->timer.loop);
    wheel->armed_ms = due_ms;
    if (due_ms == NEVER)
        uv_timer_stop(&wheel->timer);
    else
        uv_timer_start(&wheel->timer, wheel_turn, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void wheel_call(struct wheel *wheel, struct wheel_timer *timer) {
    wheel_remove(wheel, timer);
    timer->due(timer);
}

/* What has come near enough goes to its slot. */
static void wheel_sort(struct wheel *wheel, uint64_t now_ms) {
    struct wheel_timer *rest = wheel->far;
    wheel->far = NULL;
    wheel->sorted_ms = now_ms;
    if (rest)
        rest->before->next = NULL;
    while (rest) {
        struct wheel_timer *timer = rest;
        rest = timer->next;
        wheel_place(wheel, timer);
    }
}

/* What a call sets to be due at once waits for the turn after this one. */
static void wheel_begin(struct wheel *wheel) {
    while (wheel->soon) {
        struct wheel_timer *timer = wheel->soon;
        ring_remove(timer);
        ring_append(&wheel->calling, timer);
    }
}

static void wheel_turn(uv_timer_t *loop_timer) {
    struct wheel *wheel = loop_timer->data;
    uint64_t now_ms = uv_now(loop_timer->loop);
    wheel->turning = true;
    wheel_begin(wheel);
    while (wheel->calling)
        wheel_call(wheel, wheel->calling);
    while (wheel->from_ms <= now_ms) {
        uint64_t slot = wheel->from_ms % SLOTS;
        if (slot % BITS == 0 && !wheel->bits[slot / BITS] && now_ms - wheel->from_ms >= BITS) {
            wheel->from_ms += BITS;
            continue;
        }
        wheel->from_ms++; /* what is set from now on for this millisecond is due at once */
        while (wheel->slots[slot])
            wheel_call(wheel, wheel->slots[slot]);
    }
    if (wheel->far && now_ms - wheel->sorted_ms >= SLOTS / 2)
        wheel_sort(wheel, now_ms);
    wheel->turning = false;
    if (wheel->users)
        wheel_arm(wheel, wheel_next(wheel));
}

/* ---- what users ask ---- */

struct wheel *wheel_hold(uv_loop_t *loop) {
    struct wheel *wheel = loop->data;
    if (!wheel) {
        wheel = calloc(1, sizeof *wheel);
        if (!wheel)
            return NULL;
        uv_timer_init(loop, &wheel->timer); /* never fails */
        wheel->timer.data = wheel;
        wheel->from_ms = wheel->sorted_ms = uv_now(loop);
        wheel->armed_ms = NEVER;
        loop->data = wheel;
    }
    wheel->users++;
    return wheel;
}

static void wheel_closed(uv_handle_t *handle) {
    free(handle->data);
}

void wheel_release(struct wheel *wheel) {
    if (--wheel->users)
        return;
    wheel->timer.loop->data = NULL;
    uv_close((uv_handle_t *)&wheel->timer, wheel_closed);
}

void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms, wheel_due *due) {
    if (timer->ring)
        wheel_remove(wheel, timer);
    if (wheel->armed_ms == NEVER && !wheel->turning) /* it is empty, and may have stood for long */
        wheel->from_ms = wheel->sorted_ms = uv_now(wheel->timer.loop);
    timer->due_ms = due_ms;
    timer->due = due;
    wheel_place(wheel, timer);
    if (!wheel->turning && due_ms < wheel->armed_ms)
        wheel_arm(wheel, due_ms);
}

void wheel_stop(struct wheel *wheel, struct wheel_timer *timer) {
    if (timer->ring)
        wheel_remove(wheel, timer);
}

bool wheel_set_by(const struct wheel_timer *timer, uint64_t due_ms) {
    return timer->ring && timer->due_ms <= due_ms;
}
