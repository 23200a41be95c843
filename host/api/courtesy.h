/* Who reads much lets the others go first. All threads of the HTTP server give way to the devices
 * (COURTESY_QUIET). That is enough while few of them have something to do; but 64 of them weigh
 * more than the engine, and who wants to set a limit stands in a row with the 64. So those that
 * read more than half of what a reading thread does on average, while the API is busy, step back to
 * COURTESY_BUSY, and come forward again when they read less, or the API has time. Requests that
 * change something are not counted: what they are allowed is rates.h's.
 *
 * Who sets a limit is let to the front (COURTESY_FRONT) once his token is known to be good for that
 * and within its rate: with a tenth of the weight of the 64 he would get a tenth of the processor.
 *
 * To come forward takes RLIMIT_NICE (the service's unit has it) or root; without it a thread that
 * has stepped back stays there. Time is given by the caller. */
#ifndef DERD_API_COURTESY_H
#define DERD_API_COURTESY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define COURTESY_FRONT     0 /* nice, that of the engine */
#define COURTESY_QUIET     10
#define COURTESY_BUSY      19
#define COURTESY_WINDOW_MS 100
#define COURTESY_READS     100 /* of all in a window: from here on the API is busy */

struct courtesy { /* of all threads; zeroed it is new */
    atomic_int_fast64_t window;
    atomic_uint_fast32_t reads, readers; /* in this window */
    atomic_uint_fast32_t mean;           /* reads of a reader in the last one; 0: it was not busy */
};

struct courteous { /* of one thread, which alone touches it */
    int nice;
    int64_t window;
    uint32_t reads, last_reads; /* in this window, in the one before it */
};

/* A request has come; `reads`: it changes nothing. The niceness that the thread should have. Pure
 * but for the counts. Any thread, with its own `self`. */
int courtesy_count(struct courtesy *all, struct courteous *self, bool reads, int64_t now_us);

/* The thread that calls begins, at COURTESY_QUIET; and goes on at `nice`. */
void courtesy_begin(struct courteous *self);
void courtesy_take(struct courteous *self, int nice); /* NULL is fine */

#endif
