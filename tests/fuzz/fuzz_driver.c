/* Driver files, in the sandbox and all its limits: what is accepted can be polled (its points make
 * blocks) and decodes any registers to nothing impossible. */
#include "fuzz.h"

#include <math.h>

#include "block.h"
#include "driver.h"
#include "script/script.h"

static void check_points(const struct driver *driver) {
    static const uint16_t patterns[] = {0, 0xffff, 0x8000, 0x7fff, 0x0041};
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        must(point->name[0] && point->words <= POINT_MAX_WORDS);
        must(point->part == POINT_NONE || point->part < driver->part_count);
        must(point->scale_point == POINT_NONE || point->scale_point < driver->point_count);
        if (point->kind == REGISTER_VALUE)
            continue;
        must(point->words >= 1);
        uint16_t *words = calloc(point->words, sizeof *words);
        must(words);
        for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
            char text[2 * POINT_MAX_WORDS + 1];
            double value;
            for (int w = 0; w < point->words; w++)
                words[w] = point->encoding == ENCODING_BIT ? patterns[p] & 1 : patterns[p];
            if (point->encoding == ENCODING_STRING || point->id >= POINT_TEXT_FIRST)
                (void)point_decode_text(point, words, text, sizeof text);
            else
                must((point_decode(point, words, 0, &value) == POINT_OK) == !isnan(value));
        }
        free(words);
    }
}

/* Each point that is polled stands in exactly one block. */
static void check_blocks(const struct driver *driver) {
    struct block_item items[DRIVER_MAX_POINTS];
    struct block_plan plan;
    size_t count = 0, planned = 0;
    for (int i = 0; i < driver->point_count; i++)
        if (driver->points[i].kind != REGISTER_VALUE &&
            driver->points[i].period_ms != POINT_NEVER && driver->points[i].model_count == 0)
            items[count++] = (struct block_item){i, driver->points[i].address};
    if (block_plan_make(&plan, driver->points, items, count, &driver->limits) != ERR_OK)
        return;
    for (size_t b = 0; b < plan.block_count; b++) {
        const struct block *block = &plan.blocks[b];
        must(block->words >= 1 && block->words <= driver->limits.max_words);
        must(block->address + block->words <= 65536 && block->count > 0);
        for (size_t i = 0; i < block->count; i++) {
            const struct block_item *item = &plan.items[block->first + i];
            const struct point *point = &driver->points[item->point];
            must(item->address >= block->address &&
                 item->address + point->words <= block->address + block->words);
        }
        planned += block->count;
    }
    must(planned == count);
    block_plan_free(&plan);
}

/* The driver's own name, so that a seed may be of any file. */
static void name_of(const json_t *tree, char name[DRIVER_NAME_SIZE]) {
    const char *own = json_string_value(json_object_get(tree, "name"));
    snprintf(name, DRIVER_NAME_SIZE, "%s", own ? own : "driver");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct report report;
    struct script_limits limits = script_limits_default();
    char name[DRIVER_NAME_SIZE];
    if (size > 32768)
        return -1;
    limits.load_cpu_us = 20000;
    report_init(&report);
    char *text = exact_copy(data, size);
    struct script *script = script_open("driver.lua", text, size, &limits, &report);
    json_t *tree = script ? script_tree(script, &report) : NULL;
    must((tree == NULL) == !report_empty(&report));
    if (tree) {
        name_of(tree, name);
        struct driver *driver = driver_compile(tree, name, &report);
        must((driver == NULL) == !report_empty(&report));
        if (driver) {
            must(driver->part_count >= 1 && driver->part_count <= DRIVER_MAX_PARTS);
            check_points(driver);
            check_blocks(driver);
            driver_release(driver);
        }
        json_decref(tree);
    }
    if (script)
        script_close(script);
    free(text);
    report_free(&report);
    return 0;
}
