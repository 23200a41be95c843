/* Time stamps: what is taken as one is written as one, and means the same moment. */
#include "fuzz.h"

#include "base/clock.h"

static void check_text(const char *text, size_t length) {
    struct wall wall, again;
    char form[WALL_TEXT_SIZE];
    if (!wall_parse(text, length, &wall))
        return;
    wall_format(wall, form);
    must(strlen(form) == 24 && form[23] == 'Z');
    must(wall_parse(form, strlen(form), &again));
    must(again.ms == wall.ms);
}

/* Any number can be written, and is read back where the calendar has it. */
static void check_number(int64_t ms) {
    const int64_t first = INT64_C(-62167219200000), last = INT64_C(253402300799999);
    struct wall again;
    char form[WALL_TEXT_SIZE];
    wall_format((struct wall){ms}, form);
    must(wall_parse(form, strlen(form), &again));
    must((ms < first || ms > last) || again.ms == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    char *text = exact_copy(data, size);
    check_text(text, size);
    free(text);
    check_number((int64_t)feed_long(&feed));
    return 0;
}
