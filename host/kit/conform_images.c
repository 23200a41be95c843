/* Images: whatever stands in the registers, nothing raises and nothing impossible is published; a
 * marker for "not available" is unknown and not a number. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "kit/conform.h"
#include "machine.h"

#define MOST_VARIANTS 8

static bool located(const struct point *point, const struct mirror_chain *chain) {
    for (int i = 0; i < point->model_count; i++)
        for (size_t j = 0; j < chain->count; j++)
            if (chain->models[j].id == point->models[i])
                return true;
    return point->model_count == 0;
}

/* The point that is read in its place, because it stands first: itself, or NULL. */
static const struct point *reader_of(const struct driver *driver, const struct mirror_chain *chain,
                                     const struct point *point) {
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *other = &driver->points[i];
        if (other->part == point->part && strcmp(other->name, point->name) == 0 &&
            located(other, chain))
            return other;
    }
    return NULL;
}

/* Devices may have some SunSpec models and not others. What stands behind other models in this
 * image is left out in the next one, until each point was the one that is read. Adds the models to
 * leave out; false when there is nothing more to see. */
static bool next_variant(const struct driver *driver, const struct mirror_chain *chain,
                         uint16_t *left_out, size_t *count) {
    size_t before = *count;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        const struct point *reader = reader_of(driver, chain, point);
        if (!reader || reader == point || !located(point, chain))
            continue;
        for (int j = 0; j < reader->model_count; j++) {
            bool known = false;
            for (size_t k = 0; k < *count; k++)
                known = known || left_out[k] == reader->models[j];
            if (!known && *count < SUNSPEC_MAX_MODELS)
                left_out[(*count)++] = reader->models[j];
        }
    }
    return *count > before;
}

static void look_at_markers(struct conform *conform, struct bench *bench, int marker) {
    const struct machine *machine = bench_machine(bench);
    for (size_t i = 0; i < machine->plan.item_count; i++) {
        int index = machine->plan.items[i].point;
        const struct point *point = &conform->driver->points[index];
        if (!mirror_has_marker(point, marker) || point->encoding == ENCODING_STRING)
            continue;
        if (point->id >= POINT_TEXT_FIRST)
            continue; /* an empty text */
        if (!isnan(machine->values[index]))
            conform_problem(conform,
                            "%s at register %u: its marker for \"not available\" is read as %g, "
                            "expected null",
                            point->name, machine->plan.items[i].address, machine->values[index]);
    }
}

static void run_image(struct conform *conform, const struct mirror_chain *chain,
                      enum mirror_fill fill, int marker) {
    struct bench bench = {0};
    struct registers *registers = registers_new();
    json_t *parameters = conform_parameters(conform);
    if (registers) {
        mirror_chain_put(chain, true, registers);
        mirror_fill(conform->driver, chain, fill, marker, registers);
    }
    if (conform_bench(conform, &bench, parameters, registers)) {
        conform_look(conform, &bench);
        if (!bench_poll(&bench))
            conform_problem(conform, "it went away: %s", text_of(bench_machine(&bench)->why));
        conform_look(conform, &bench);
        if (fill == MIRROR_MARKERS)
            look_at_markers(conform, &bench, marker);
    }
    bench_close(&bench);
    registers_free(registers);
    json_decref(parameters);
}

static void run_variant(struct conform *conform, const struct mirror_chain *chain,
                        const char *which) {
    conform_begin(conform, "registers of all zeros%s raise nothing, publish nothing impossible",
                  which);
    run_image(conform, chain, MIRROR_ZEROS, 0);
    conform_end(conform);
    conform_begin(conform, "registers of all ones%s raise nothing, publish nothing impossible",
                  which);
    run_image(conform, chain, MIRROR_ONES, 0);
    conform_end(conform);
    conform_begin(conform, "registers of plausible values%s raise nothing", which);
    run_image(conform, chain, MIRROR_PLAUSIBLE, 0);
    conform_end(conform);
    int markers = mirror_marker_count(conform->driver);
    for (int marker = 0; marker < markers; marker++) {
        conform_begin(conform, "not-available marker %d of each point%s becomes null", marker + 1,
                      which);
        run_image(conform, chain, MIRROR_MARKERS, marker);
        conform_end(conform);
    }
}

void conform_images(struct conform *conform) {
    uint16_t left_out[SUNSPEC_MAX_MODELS];
    size_t count = 0;
    for (int variant = 0; variant < MOST_VARIANTS; variant++) {
        struct mirror_chain chain;
        char which[120] = "";
        mirror_chain_make(conform->driver, left_out, count, &chain);
        if (chain.count)
            snprintf(which, sizeof which, " (%zu models from %u%s)", chain.count,
                     chain.models[0].id, count ? ", others left out" : "");
        run_variant(conform, &chain, which);
        if (!next_variant(conform->driver, &chain, left_out, &count))
            return;
    }
}
