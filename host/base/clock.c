#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WALL_FIRST_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define WALL_LAST_MS  INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define CYCLE_DAYS    146097                   /* of 400 years */
#define MARCH_DAYS    60 /* of year 0, a leap year, before the first of March */

static int64_t read_ms(clockid_t id) {
    struct timespec at;
    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

struct mono clock_mono(void) {
    return (struct mono){read_ms(CLOCK_MONOTONIC)};
}

int64_t clock_mono_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

struct wall clock_wall(void) {
    return (struct wall){read_ms(CLOCK_REALTIME)};
}

void clock_init(struct clock *clock, struct wall floor, int64_t shift_ms) {
    *clock = (struct clock){.shift_ms = shift_ms, .floor = floor, .floor_mono = clock_mono()};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fread(clock->boot, CLOCK_BOOT_SIZE - 1, 1, file) != 1)
        clock->boot[0] = '\0';
    if (file)
        (void)fclose(file);
}

struct now clock_now(const struct clock *clock) {
    struct now now = {.mono = clock_mono(),
                      .wall = {clock_wall().ms + atomic_load(&clock->shift_ms)}};
    now.trusted = now.wall.ms >= clock->floor.ms;
    if (!now.trusted)
        now.wall.ms = clock->floor.ms + (now.mono.ms - clock->floor_mono.ms);
    return now;
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar (H. Hinnant's algorithm). */
static int64_t days_from_date(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * CYCLE_DAYS + day_of_era - 719468;
}

/* The same the other way round, for days from 0000-03-01 on: years then begin with March, so that
 * the leap day is their last. Unsigned and small, since the API writes a moment for each value. */
static void date_from_days(uint32_t days, uint32_t *year, uint32_t *month, uint32_t *day) {
    uint32_t era = days / CYCLE_DAYS;
    uint32_t day_of_era = days % CYCLE_DAYS;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static void put_two(char *to, uint32_t value) {
    to[0] = (char)('0' + value / 10);
    to[1] = (char)('0' + value % 10);
}

void wall_format(struct wall wall, char text[WALL_TEXT_SIZE]) {
    static const char last[] = "9999-12-31T23:59:59.999Z";
    const uint32_t day_ms = 86400000;
    memcpy(text, last, sizeof last);
    if (wall.ms < WALL_FIRST_MS || wall.ms > WALL_LAST_MS)
        return;
    uint64_t since = (uint64_t)(wall.ms - WALL_FIRST_MS);
    uint32_t days = (uint32_t)(since / day_ms);
    uint32_t in_day = (uint32_t)(since % day_ms);
    uint32_t year, month, day;
    /* A cycle of 400 years later all is the same, and no day is before the first of March. */
    date_from_days(days + CYCLE_DAYS - MARCH_DAYS, &year, &month, &day);
    year -= 400;
    put_two(text, year / 100);
    put_two(text + 2, year % 100);
    put_two(text + 5, month);
    put_two(text + 8, day);
    put_two(text + 11, in_day / 3600000);
    put_two(text + 14, in_day / 60000 % 60);
    put_two(text + 17, in_day / 1000 % 60);
    text[20] = (char)('0' + in_day % 1000 / 100);
    put_two(text + 21, in_day % 100);
}

/* Reads exactly `digits` decimal digits at *at and moves on, or returns -1. */
static int take_digits(const char **at, const char *end, int digits) {
    int value = 0;
    if (end - *at < digits)
        return -1;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool take_char(const char **at, const char *end, const char *accepted) {
    if (*at == end || **at == '\0' || !strchr(accepted, **at))
        return false;
    (*at)++;
    return true;
}

/* "Z", "+02:00": minutes to subtract, or false. */
static bool take_offset(const char **at, const char *end, int *minutes) {
    *minutes = 0;
    if (take_char(at, end, "Zz"))
        return true;
    if (*at == end || (**at != '+' && **at != '-'))
        return false;
    int sign = *(*at)++ == '-' ? -1 : 1;
    int hours = take_digits(at, end, 2);
    if (!take_char(at, end, ":"))
        return false;
    int rest = take_digits(at, end, 2);
    if (hours < 0 || hours > 23 || rest < 0 || rest > 59)
        return false;
    *minutes = sign * (hours * 60 + rest);
    return true;
}

bool wall_parse(const char *text, size_t length, struct wall *out) {
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = text;
    const char *end = text + length;
    int year = take_digits(&at, end, 4);
    bool ok = take_char(&at, end, "-");
    int month = take_digits(&at, end, 2);
    ok = ok && take_char(&at, end, "-");
    int day = take_digits(&at, end, 2);
    ok = ok && take_char(&at, end, "Tt ");
    int hour = take_digits(&at, end, 2);
    ok = ok && take_char(&at, end, ":");
    int minute = take_digits(&at, end, 2);
    ok = ok && take_char(&at, end, ":");
    int second = take_digits(&at, end, 2);
    if (!ok || year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (month == 2 && leap ? 1 : 0))
        return false;
    int milliseconds = 0;
    if (take_char(&at, end, ".")) {
        int digits = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++, digits++)
            if (digits < 3)
                milliseconds = milliseconds * 10 + (*at - '0');
        if (digits < 1 || digits > 9)
            return false;
        for (int i = digits; i < 3; i++)
            milliseconds *= 10;
    }
    if (second == 60) {
        second = 59;
        milliseconds = 999;
    }
    int offset_minutes;
    if (!take_offset(&at, end, &offset_minutes) || at != end)
        return false;
    int64_t seconds = days_from_date(year, month, day) * 86400 + (int64_t)hour * 3600 +
                      (int64_t)(minute - offset_minutes) * 60 + second;
    int64_t ms = seconds * 1000 + milliseconds;
    if (ms < WALL_FIRST_MS || ms > WALL_LAST_MS) /* by its offset: it could not be written in UTC */
        return false;
    out->ms = ms;
    return true;
}
