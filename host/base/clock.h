/* Two clocks that never mix. `struct wall` is what people and the API say: milliseconds since 1970
 * UTC; it may step. `struct mono` only runs: milliseconds since some moment before the program
 * started. Pure modules take both as a `struct now`; only clock_now() reads the system.
 *
 * Trust (ARBITRATION section 1): a gateway may boot without battery or network at a wall time of
 * 1970. `floor` is the last wall time known to be true; while the system's clock is behind it,
 * `trusted` is false and `now.wall` is the floor plus the time that has run since it was set: a
 * lower bound of the true time. */
#ifndef DERD_BASE_CLOCK_H
#define DERD_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wall {
    int64_t ms;
};

struct mono {
    int64_t ms;
};

struct now {
    struct wall wall;
    struct mono mono;
    bool trusted;
};

/* Before this there was no derd: a clock that says so has not been set. 2024-01-01 UTC. */
#define CLOCK_OLDEST_MS INT64_C(1704067200000)
#define CLOCK_BOOT_SIZE 37

struct clock {
    atomic_int_fast64_t shift_ms; /* added to the system's wall clock: rehearsals, tests only */
    struct wall floor;            /* last wall time known to be true; 0: none */
    struct mono floor_mono;       /* when the floor was set */
    char boot[CLOCK_BOOT_SIZE];   /* of the system: while it is the same, so is the monotonic clock
                                     of all programs; "": not known */
};

void clock_init(struct clock *clock, struct wall floor, int64_t shift_ms);
struct now clock_now(const struct clock *clock);
struct mono clock_mono(void);
int64_t clock_mono_us(void);  /* the same clock, for what takes less than a millisecond */
struct wall clock_wall(void); /* the system's, as it is: for log lines and file names */

#define WALL_TEXT_SIZE                                                                             \
    28 /* "2026-11-23T12:00:00.000Z" and its NUL, with room for a year of 5 digits */

#define WALL_TEXT_LENGTH 24 /* of each that wall_format() makes */

/* RFC 3339 in UTC with milliseconds and Z. Any thread. */
void wall_format(struct wall wall, char text[WALL_TEXT_SIZE]);
/* RFC 3339: "Z" or an offset, 0 to 9 digits of fraction (cut to ms). False when it is not that, or
 * names a moment that does not exist (30 February; second 60 is taken as 59.999). */
bool wall_parse(const char *text, size_t length, struct wall *out);

#endif
