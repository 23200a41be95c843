#include "sunspec.h"

#include <stdio.h>
#include <string.h>

/* SunSpec Information Model Specification: base addresses, marker, end model. */
static const uint16_t default_bases[] = {40000, 50000, 0};
#define DEFAULT_BASES (sizeof default_bases / sizeof default_bases[0])
#define MARKER_HIGH   0x5375 /* "Su" */
#define MARKER_LOW    0x6E53 /* "nS" */
#define MARKER_WORDS  2
#define HEADER_WORDS  2
#define END_MODEL     0xFFFF
#define LAST_REGISTER 0xFFFFU

void sunspec_start(struct sunspec_walk *walk, const uint16_t *bases, size_t count) {
    *walk = (struct sunspec_walk){.phase = SUNSPEC_MARKER};
    if (count == 0) {
        bases = default_bases;
        count = DEFAULT_BASES;
    }
    walk->base_count = count < SUNSPEC_MAX_BASES ? count : SUNSPEC_MAX_BASES;
    memcpy(walk->bases, bases, walk->base_count * sizeof *bases);
}

bool sunspec_next(const struct sunspec_walk *walk, struct sunspec_read *read) {
    switch (walk->phase) {
    case SUNSPEC_MARKER:
        *read = (struct sunspec_read){walk->bases[walk->base], MARKER_WORDS};
        return true;
    case SUNSPEC_HEADER:
        *read = (struct sunspec_read){walk->at, HEADER_WORDS};
        return true;
    case SUNSPEC_END:
        break;
    }
    return false;
}

static void next_base(struct sunspec_walk *walk) {
    walk->phase = SUNSPEC_MARKER;
    if (++walk->base < walk->base_count)
        return;
    walk->phase = SUNSPEC_END;
    if (!walk->trouble[0])
        snprintf(walk->trouble, sizeof walk->trouble,
                 "there is no SunSpec marker at register %u%s: is SunSpec Modbus switched on?",
                 (unsigned)walk->bases[0], walk->base_count > 1 ? " or the other bases" : "");
}

/* The chain ends before its end model. A base where nothing was found is not the right one. */
static void break_chain(struct sunspec_walk *walk, const char *reason) {
    snprintf(walk->trouble, sizeof walk->trouble, "the model chain breaks at register %u: %s",
             (unsigned)walk->at, reason);
    if (walk->model_count == 0)
        next_base(walk);
    else
        walk->phase = SUNSPEC_END;
}

static void take_marker(struct sunspec_walk *walk, const uint16_t *words) {
    unsigned header = (unsigned)walk->bases[walk->base] + MARKER_WORDS;
    if (!words || words[0] != MARKER_HIGH || words[1] != MARKER_LOW ||
        header + HEADER_WORDS - 1 > LAST_REGISTER) {
        next_base(walk);
        return;
    }
    walk->trouble[0] = '\0';
    walk->at = (uint16_t)header;
    walk->visited = 0;
    walk->phase = SUNSPEC_HEADER;
}

static void take_header(struct sunspec_walk *walk, const uint16_t *words) {
    if (!words) {
        break_chain(walk, "the device refuses to read it");
        return;
    }
    uint16_t id = words[0], length = words[1], known = 0;
    if (id == END_MODEL) {
        if (walk->model_count == 0)
            break_chain(walk, "there is no model in it");
        else
            walk->phase = SUNSPEC_END;
        return;
    }
    if (length == 0) {
        break_chain(walk, "a model of length 0");
        return;
    }
    unsigned next = (unsigned)walk->at + HEADER_WORDS + length;
    if (next - 1 > LAST_REGISTER) {
        break_chain(walk, "a model that ends beyond register 65535");
        return;
    }
    if (!sunspec_find(walk, id, &known))
        walk->models[walk->model_count++] = (struct sunspec_model){id, walk->at, length};
    if (++walk->visited == SUNSPEC_MAX_MODELS)
        break_chain(walk, "only the first 64 models are looked at");
    else if (next + HEADER_WORDS - 1 > LAST_REGISTER)
        break_chain(walk, "no room is left for an end model");
    else
        walk->at = (uint16_t)next;
}

void sunspec_take(struct sunspec_walk *walk, const uint16_t *words) {
    if (walk->phase == SUNSPEC_MARKER)
        take_marker(walk, words);
    else if (walk->phase == SUNSPEC_HEADER)
        take_header(walk, words);
}

bool sunspec_find(const struct sunspec_walk *walk, uint16_t model, uint16_t *address) {
    for (size_t i = 0; walk && i < walk->model_count; i++)
        if (walk->models[i].id == model) {
            *address = walk->models[i].address;
            return true;
        }
    return false;
}
