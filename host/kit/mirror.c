#include "kit/mirror.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAN_FLOAT32 0x7FC00000U
#define NAN_FLOAT64 0x7FF8000000000000U

/* --- the SunSpec chain ---------------------------------------------------------------------------
 */

static void chain_add(struct mirror_chain *chain, uint16_t id, uint16_t length) {
    size_t i = 0;
    while (i < chain->count && chain->models[i].id < id)
        i++;
    if (i < chain->count && chain->models[i].id == id) {
        if (chain->models[i].length < length)
            chain->models[i].length = length;
        return;
    }
    if (chain->count == SUNSPEC_MAX_MODELS)
        return;
    memmove(chain->models + i + 1, chain->models + i, (chain->count - i) * sizeof *chain->models);
    chain->models[i] = (struct sunspec_model){.id = id, .length = length};
    chain->count++;
}

static bool listed(const uint16_t *list, size_t count, uint16_t id) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == id)
            return true;
    return false;
}

void mirror_chain_make(const struct driver *driver, const uint16_t *left_out, size_t left_out_count,
                       struct mirror_chain *chain) {
    *chain = (struct mirror_chain){.base = driver->sunspec_bases[0]};
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        int length = point->address + point->words - 2; /* without ID and L */
        for (int j = 0; j < point->model_count; j++)
            if (!listed(left_out, left_out_count, point->models[j]))
                chain_add(chain, point->models[j], (uint16_t)(length > 1 ? length : 1));
    }
    uint16_t at = (uint16_t)(chain->base + 2);
    for (size_t i = 0; i < chain->count; i++) {
        chain->models[i].address = at;
        at = (uint16_t)(at + 2 + chain->models[i].length);
    }
}

void mirror_chain_put(const struct mirror_chain *chain, bool bodies, struct registers *registers) {
    static const uint16_t marker[] = {0x5375, 0x6E53}, end[] = {0xFFFF, 0};
    if (!chain->count)
        return;
    uint16_t at = (uint16_t)(chain->base + 2);
    registers_put(registers, REGISTER_HOLDING, chain->base, marker, 2);
    for (size_t i = 0; i < chain->count; i++) {
        const uint16_t head[] = {chain->models[i].id, chain->models[i].length};
        registers_put(registers, REGISTER_HOLDING, at, head, 2);
        const uint16_t zero = 0;
        for (uint16_t j = 0; bodies && j < chain->models[i].length; j++)
            registers_put(registers, REGISTER_HOLDING, (uint16_t)(at + 2 + j), &zero, 1);
        at = (uint16_t)(at + 2 + chain->models[i].length);
    }
    registers_put(registers, REGISTER_HOLDING, at, end, 2);
}

/* --- what stands in a point ----------------------------------------------------------------------
 */

static void split(const struct point *point, uint64_t pattern, uint16_t *words) {
    for (int i = 0; i < point->words; i++) {
        int place = point->low_word_first ? i : point->words - 1 - i;
        words[i] = (uint16_t)(pattern >> (16 * place));
    }
}

static bool is_float(const struct point *point) {
    return point->encoding == ENCODING_FLOAT32 || point->encoding == ENCODING_FLOAT64;
}

bool mirror_has_marker(const struct point *point, int marker) {
    return marker < point->marker_count + (is_float(point) ? 1 : 0);
}

int mirror_marker_count(const struct driver *driver) {
    int most = 0;
    for (int i = 0; i < driver->point_count; i++)
        while (driver->points[i].kind != REGISTER_VALUE &&
               mirror_has_marker(&driver->points[i], most))
            most++;
    return most;
}

static void put_marker(const struct point *point, int marker, uint16_t *words) {
    uint64_t nan_pattern = point->encoding == ENCODING_FLOAT64 ? NAN_FLOAT64 : NAN_FLOAT32;
    split(point, marker < point->marker_count ? point->markers[marker] : nan_pattern, words);
}

/* A value that such a device could well have, in the vocabulary's unit. */
static double plausible(const struct driver *driver, const struct point *point) {
    enum device_type type = driver->parts[point->part == POINT_NONE ? 0 : point->part].type;
    double sign = type == DEVICE_INVERTER ? -1 : 1;
    switch ((enum point_id)point->id) {
    case POINT_ACTIVE_POWER:
    case POINT_DC_POWER:
        return sign * 1500;
    case POINT_ACTIVE_POWER_L1:
    case POINT_ACTIVE_POWER_L2:
    case POINT_ACTIVE_POWER_L3:
        return sign * 500;
    case POINT_APPARENT_POWER:
        return 1500;
    case POINT_VOLTAGE_L1:
    case POINT_VOLTAGE_L2:
    case POINT_VOLTAGE_L3:
        return 230;
    case POINT_FREQUENCY:
    case POINT_STATE_OF_CHARGE:
        return 50;
    case POINT_STATE_OF_HEALTH:
        return 99;
    case POINT_DC_VOLTAGE:
        return 400;
    case POINT_TEMPERATURE:
        return 25;
    case POINT_ENERGY_IMPORT:
    case POINT_ENERGY_EXPORT:
    case POINT_CAPACITY:
    case POINT_RATED_POWER:
        return 10000;
    case POINT_MAX_CHARGE_POWER:
    case POINT_MAX_DISCHARGE_POWER:
        return 5000;
    case POINT_MIN_CURRENT:
        return 6;
    case POINT_MAX_CURRENT:
    case POINT_CURRENT_LIMIT:
        return 16;
    case POINT_PHASES:
    case POINT_ACTIVE_PHASES:
        return 3;
    case POINT_CURRENT_L1:
    case POINT_CURRENT_L2:
    case POINT_CURRENT_L3:
        return 2;
    default:
        return 0;
    }
}

static bool encode(const struct point *point, double value, uint16_t *words) {
    struct point open = *point; /* as if it could be written, whatever the value */
    open.writable = true;
    open.write_minimum = -INFINITY;
    open.write_maximum = INFINITY;
    return point_encode(&open, value, 0, ROUND_NEAREST, words) == ERR_OK;
}

static void put_text(const struct point *point, uint16_t *words) {
    static const char text[] = "KIT 1";
    for (int i = 0; i < point->words; i++) {
        size_t at = 2 * (size_t)i;
        uint8_t high = at < sizeof text ? (uint8_t)text[at] : 0;
        uint8_t low = at + 1 < sizeof text ? (uint8_t)text[at + 1] : 0;
        words[i] = (uint16_t)(high << 8 | low);
    }
}

static void put_plausible(const struct driver *driver, const struct point *point, uint16_t *words) {
    memset(words, 0, POINT_MAX_WORDS * sizeof *words);
    double value = plausible(driver, point);
    if (point->encoding == ENCODING_STRING)
        put_text(point, words);
    else if (point->id >= POINT_TEXT_FIRST)
        split(point, 12345, words);
    else if (point->value_count)
        split(point, (uint64_t)point->values[point->value_count - 1].raw << point->shift, words);
    else if (point->id == POINT_NONE)
        split(point, 0, words); /* a scale factor of 10^0 among them */
    else if (point->encoding == ENCODING_BIT)
        words[0] = value != 0;
    else if (!encode(point, value, words) && !encode(point, -value, words) &&
             !encode(point, 1, words))
        split(point, 1, words);
}

static void put_point(const struct driver *driver, const struct point *point, uint16_t address,
                      enum mirror_fill fill, int marker, struct registers *registers) {
    uint16_t words[POINT_MAX_WORDS];
    memset(words, 0, sizeof words);
    if (fill == MIRROR_ONES)
        memset(words, point->encoding == ENCODING_BIT ? 0 : 0xFF, sizeof words);
    if (fill == MIRROR_ONES && point->encoding == ENCODING_BIT)
        words[0] = 1;
    if (fill == MIRROR_PLAUSIBLE || fill == MIRROR_MARKERS)
        put_plausible(driver, point, words);
    if (fill == MIRROR_MARKERS && mirror_has_marker(point, marker))
        put_marker(point, marker, words);
    registers_put(registers, point->kind, address, words, point->words);
}

/* What must stand there for the driver to be the right one. */
static void put_fingerprints(const struct driver *driver, struct registers *registers) {
    for (size_t i = 0; i < driver->fingerprint_count; i++) {
        const struct driver_fingerprint *row = &driver->fingerprints[i];
        struct point as = {.encoding = row->encoding, .words = row->words};
        uint16_t words[POINT_MAX_WORDS] = {0};
        if (!row->is_text)
            split(&as, (uint64_t)row->raw, words);
        for (size_t j = 0; row->is_text && row->text[j] && j / 2 < POINT_MAX_WORDS; j++)
            words[j / 2] |= (uint16_t)((uint8_t)row->text[j] << (j % 2 ? 0 : 8));
        registers_put(registers, row->kind, row->address, words, row->words);
    }
}

void mirror_fill(const struct driver *driver, const struct mirror_chain *chain,
                 enum mirror_fill fill, int marker, struct registers *registers) {
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->kind == REGISTER_VALUE)
            continue;
        if (point->model_count == 0)
            put_point(driver, point, point->address, fill, marker, registers);
        for (int j = 0; j < point->model_count; j++)
            for (size_t k = 0; k < chain->count; k++)
                if (chain->models[k].id == point->models[j])
                    put_point(driver, point, (uint16_t)(chain->models[k].address + point->address),
                              fill, marker, registers);
    }
    put_fingerprints(driver, registers);
    mirror_chain_put(chain, false, registers);
}

void mirror_follow(const void *context, struct registers *registers) {
    const struct driver *driver = context;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *written = &driver->points[i];
        uint16_t words[POINT_MAX_WORDS];
        double value;
        if (written->read_back_point == POINT_NONE || written->model_count ||
            written->kind == REGISTER_VALUE)
            continue;
        const struct point *shown = &driver->points[written->read_back_point];
        if (point_decode(written, &registers->words[written->kind][written->address], 0, &value) ==
                POINT_OK &&
            encode(shown, value, words))
            registers_put(registers, shown->kind, shown->address, words, shown->words);
    }
}
