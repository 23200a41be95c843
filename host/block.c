/* Merging is greedy: items are sorted by period, kind and address, and each joins the block before
 * it while the limits allow. For points that do not overlap no other way to cut them needs fewer
 * blocks, and who writes a driver can foresee the result.
 */
#include "block.h"

#include <stdlib.h>
#include <string.h>

#define REGISTER_SPACE 0x10000

struct sort_item { /* an item with all that its place depends on */
    struct block_item item;
    enum register_kind kind;
    uint16_t words;
    int64_t period_ms;
};

static int compare_items(const void *left, const void *right) {
    const struct sort_item *a = left, *b = right;
    if (a->period_ms != b->period_ms)
        return a->period_ms < b->period_ms ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->item.address != b->item.address)
        return a->item.address < b->item.address ? -1 : 1;
    return (a->item.point > b->item.point) - (a->item.point < b->item.point);
}

/* True when a register of [from, to) is one that must never be read. */
static bool meets_hole(const struct block_limits *limits, enum register_kind kind, unsigned from,
                       unsigned to) {
    for (size_t i = 0; i < limits->hole_count; i++) {
        const struct block_hole *hole = &limits->holes[i];
        if (hole->kind == kind && from <= hole->last && to > hole->first)
            return true;
    }
    return false;
}

static enum err check_item(const struct sort_item *item, const struct block_limits *limits) {
    unsigned end = (unsigned)item->item.address + item->words;
    if (item->words == 0 || item->words > limits->max_words || end > REGISTER_SPACE)
        return ERR_RANGE;
    return meets_hole(limits, item->kind, item->item.address, end) ? ERR_CONFLICT : ERR_OK;
}

/* Takes the item into the block when that breaks no limit. */
static bool block_join(struct block *block, const struct sort_item *item,
                       const struct block_limits *limits) {
    if (block->period_ms != item->period_ms || block->kind != item->kind)
        return false;
    unsigned end = (unsigned)block->address + block->words;
    unsigned first = item->item.address, item_end = first + item->words;
    if (first > end &&
        ((int)(first - end) > limits->max_gap || meets_hole(limits, item->kind, end, first)))
        return false;
    unsigned new_end = item_end > end ? item_end : end;
    if ((int)(new_end - block->address) > limits->max_words)
        return false;
    block->words = (uint16_t)(new_end - block->address);
    block->count++;
    return true;
}

enum err block_plan_make(struct block_plan *plan, const struct point *points,
                         const struct block_item *items, size_t item_count,
                         const struct block_limits *limits) {
    *plan = (struct block_plan){0};
    if (item_count == 0)
        return ERR_OK;
    enum err err = ERR_MEMORY;
    struct sort_item *sorted = calloc(item_count, sizeof *sorted);
    plan->blocks = calloc(item_count, sizeof *plan->blocks);
    plan->items = calloc(item_count, sizeof *plan->items);
    if (!sorted || !plan->blocks || !plan->items)
        goto out;
    for (size_t i = 0; i < item_count; i++) {
        const struct point *point = &points[items[i].point];
        sorted[i] = (struct sort_item){items[i], point->kind, point->words, point->period_ms};
        err = check_item(&sorted[i], limits);
        if (err != ERR_OK)
            goto out;
    }
    qsort(sorted, item_count, sizeof *sorted, compare_items);
    for (size_t i = 0; i < item_count; i++) {
        plan->items[plan->item_count++] = sorted[i].item;
        if (plan->block_count &&
            block_join(&plan->blocks[plan->block_count - 1], &sorted[i], limits))
            continue;
        plan->blocks[plan->block_count++] = (struct block){.kind = sorted[i].kind,
                                                           .address = sorted[i].item.address,
                                                           .words = sorted[i].words,
                                                           .period_ms = sorted[i].period_ms,
                                                           .first = i,
                                                           .count = 1};
    }
    err = ERR_OK;
    /* Most devices have few blocks of many points: only these are kept. */
    struct block *blocks = realloc(plan->blocks, plan->block_count * sizeof *blocks);
    if (blocks)
        plan->blocks = blocks;
out:
    free(sorted);
    if (err != ERR_OK)
        block_plan_free(plan);
    return err;
}

void block_plan_free(struct block_plan *plan) {
    free(plan->blocks);
    free(plan->items);
    *plan = (struct block_plan){0};
}

static unsigned item_end(const struct block_item *item, const struct point *points) {
    return (unsigned)item->address + points[item->point].words;
}

/* Address and length from the items that the block holds. */
static void block_measure(struct block *block, const struct block_plan *plan,
                          const struct point *points) {
    const struct block_item *items = &plan->items[block->first];
    unsigned end = 0;
    for (size_t i = 0; i < block->count; i++)
        if (item_end(&items[i], points) > end)
            end = item_end(&items[i], points);
    block->address = items[0].address;
    block->words = (uint16_t)(end - items[0].address);
}

/* Where to cut: at the widest gap, since the registers between points are what a device most often
 * refuses; among equals, nearest to the middle. Returns the number of items in the first half. */
static size_t place_to_cut(const struct block_item *items, size_t count,
                           const struct point *points) {
    size_t best = count / 2, best_distance = count;
    unsigned best_gap = 0, end = item_end(&items[0], points);
    for (size_t i = 1; i < count; i++) {
        unsigned gap = items[i].address > end ? items[i].address - end : 0;
        size_t distance = i > count / 2 ? i - count / 2 : count / 2 - i;
        if (gap > best_gap || (gap == best_gap && distance < best_distance)) {
            best = i;
            best_gap = gap;
            best_distance = distance;
        }
        if (item_end(&items[i], points) > end)
            end = item_end(&items[i], points);
    }
    return best;
}

enum err block_plan_split(struct block_plan *plan, size_t index, const struct point *points) {
    if (index >= plan->block_count)
        return ERR_RANGE;
    struct block *block = &plan->blocks[index];
    if (block->count == 1) {
        block->refused = true;
        return ERR_OK;
    }
    struct block *blocks = realloc(plan->blocks, (plan->block_count + 1) * sizeof *blocks);
    if (!blocks)
        return ERR_MEMORY;
    plan->blocks = blocks;
    block = &blocks[index];
    size_t cut = place_to_cut(&plan->items[block->first], block->count, points);
    memmove(block + 1, block, (plan->block_count - index) * sizeof *block);
    plan->block_count++;
    block[0].count = cut;
    block[1].first += cut;
    block[1].count -= cut;
    block_measure(&block[0], plan, points);
    block_measure(&block[1], plan, points);
    return ERR_OK;
}
