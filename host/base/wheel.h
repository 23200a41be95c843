/* A timing wheel: timers by the thousand on one loop, each set, set anew and stopped in constant
 * time with no memory of its own, behind a single timer of the loop. What is set for a moment is
 * called in the first turn of the loop at or after it, in the order in which it was set; never from
 * inside a function of this header. All moments are in milliseconds of uv_now(). Loop's thread
 * only.
 *
 * A loop has one wheel, at loop->data; whoever uses it holds it, and the last to let go closes it
 * (at a later turn of the loop). A wheel with nothing set does not keep its loop alive. */
#ifndef DERD_BASE_WHEEL_H
#define DERD_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct wheel;
struct wheel_timer;

typedef void wheel_due(struct wheel_timer *timer);

struct wheel_timer { /* memory of the caller, zeroed before its first use; the wheel's but for owner
                      */
    void *owner;
    struct wheel_timer *next, *before; /* a ring; NULL: not set */
    struct wheel_timer **ring;         /* that it is in */
    wheel_due *due;
    uint64_t due_ms;
};

/* One more user; NULL: no memory. */
struct wheel *wheel_hold(uv_loop_t *loop);
/* No timer of this user may be set any more. */
void wheel_release(struct wheel *wheel);
/* Sets it anew if it is set. A moment that is over: the next turn. */
void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms, wheel_due *due);
void wheel_stop(struct wheel *wheel, struct wheel_timer *timer); /* also one that is not set */
/* Whether it is set, for this moment or an earlier one. */
bool wheel_set_by(const struct wheel_timer *timer, uint64_t due_ms);

#endif
