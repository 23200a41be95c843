/* A point of any kind against any registers: what is decoded is possible, and what is written is
 * read back as what was written, within one step. */
#include "fuzz.h"

#include <math.h>

#include "point.h"

static struct point take_point(struct feed *feed) {
    struct point point = {.name = "activePower",
                          .part = POINT_NONE,
                          .scale_point = POINT_NONE,
                          .read_back_point = POINT_NONE};
    unsigned flags = feed_byte(feed);
    point.id = feed_byte(feed) % (POINT_COUNT + 1);
    if (point.id == POINT_COUNT)
        point.id = POINT_NONE;
    point.encoding = feed_byte(feed) % (ENCODING_STRING + 1);
    point.kind = point.encoding == ENCODING_BIT ? REGISTER_COIL : REGISTER_HOLDING;
    point.words = point.encoding == ENCODING_STRING
                      ? (uint16_t)(1 + feed_byte(feed) % POINT_MAX_WORDS)
                      : (uint16_t)encoding_words(point.encoding);
    point.low_word_first = flags & 1;
    point.scale = feed_double(feed);
    point.offset = flags & 2 ? feed_double(feed) : 0;
    if (!isfinite(point.scale) || point.scale == 0)
        point.scale = 1;
    if (!isfinite(point.offset))
        point.offset = 0;
    bool whole = point.encoding >= ENCODING_UINT16 && point.encoding <= ENCODING_INT64;
    if (flags & 4 && whole && (point.mask = feed_long(feed)) != 0)
        point.shift = __builtin_ctzll(point.mask);
    if (flags & 8)
        point.scale_point = 0;
    point.marker_count = feed_byte(feed) % (POINT_MAX_MARKERS + 1);
    for (int i = 0; i < point.marker_count; i++)
        point.markers[i] = feed_long(feed);
    if (point.id == POINT_STATE && (point.value_count = feed_byte(feed) % 4) > 0)
        for (int i = 0; i < point.value_count; i++)
            point.values[i] =
                (struct point_value_name){feed_byte(feed), feed_byte(feed) % STATE_COUNT};
    point.writable = true;
    point.write_minimum = -1e9;
    point.write_maximum = 1e9;
    return point;
}

static bool is_text(const struct point *point) {
    return point->encoding == ENCODING_STRING ||
           (point->id != POINT_NONE && point->id >= POINT_TEXT_FIRST);
}

static void check_decoded(const struct point *point, const uint16_t *words, double factor) {
    double value = 1;
    enum point_quality quality = point_decode(point, words, factor, &value);
    must((quality == POINT_OK) == !isnan(value));
    if (quality != POINT_OK)
        return;
    must(isfinite(value));
    if (point->id == POINT_NONE || point->id == POINT_STATE)
        return;
    const struct point_word *word = point_word(point->id);
    must(value >= word->minimum && value <= word->maximum);
}

static void check_text(const struct point *point, const uint16_t *words) {
    char text[2 * POINT_MAX_WORDS + 1];
    for (size_t room = 1; room <= sizeof text; room += sizeof text - 1) {
        char *small = malloc(room);
        must(small);
        enum point_quality quality = point_decode_text(point, words, small, room);
        must(strlen(small) < room);
        must(quality == POINT_OK || small[0] == '\0');
        for (const char *at = small; *at; at++)
            must((unsigned char)*at >= ' ' && *at != 0x7f);
        free(small);
    }
}

/* Of what is written, the magnitude is never above what was decided. */
static void check_encoded(const struct point *point, double value, double factor) {
    uint16_t words[POINT_MAX_WORDS] = {0};
    if (point->offset != 0 || point->mask || point->id == POINT_STATE)
        return;
    /* Numbers as they occur: in denormal ones a step is not a step. */
    if (fabs(point->scale) < 1e-9 || fabs(point->scale) > 1e9 || !(fabs(factor) <= 20) ||
        (value != 0 && fabs(value) < 1e-9))
        return;
    if (point_encode(point, value, factor, ROUND_TOWARD_ZERO, words) != ERR_OK)
        return;
    must(value >= point->write_minimum && value <= point->write_maximum);
    double raw = point_raw(point, words);
    double step = fabs(point->scale) * (point->scale_point == POINT_NONE ? 1 : pow(10, factor));
    bool is_float = point->encoding == ENCODING_FLOAT32 || point->encoding == ENCODING_FLOAT64;
    double shown = raw * (point->scale < 0 ? -step : step);
    double room = is_float ? fabs(value) * 1e-6 + 1e-30 : fabs(value) * 1e-9;
    must(fabs(shown) <= fabs(value) + room);
    must(is_float || fabs(shown - value) <= step + room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct point point = take_point(&feed);
    double factor = point.scale_point == POINT_NONE ? 0 : (double)(int8_t)feed_byte(&feed);
    if (factor == -128)
        factor = NAN;
    double value = feed_double(&feed);
    uint16_t *words = calloc(point.words, sizeof *words); /* of exact size */
    must(words);
    for (unsigned i = 0; i < point.words; i++)
        words[i] = point.encoding == ENCODING_BIT ? feed_word(&feed) & 1 : feed_word(&feed);
    if (is_text(&point)) {
        check_text(&point, words);
    } else {
        check_decoded(&point, words, factor);
        double shown;
        enum point_quality quality = point_decode_number(&point, value, &shown);
        must((quality == POINT_OK) == !isnan(shown));
        check_encoded(&point, value, factor);
    }
    free(words);
    return 0;
}
