#include "kit/survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "machine.h"

#define CONNECT_MS 4000
#define TRIES      2

/* --- one read at a time --------------------------------------------------------------------------
 */

static void came_up(struct link_listener *listener) {
    struct surveyor *surveyor = listener->owner;
    surveyor->up = true;
}

static void went_down(struct link_listener *listener, const char *reason) {
    struct surveyor *surveyor = listener->owner;
    surveyor->up = false;
    surveyor->failed = true;
    snprintf(surveyor->reason, sizeof surveyor->reason, "%s", reason);
}

static void patience_ended(uv_timer_t *timer) {
    struct surveyor *surveyor = timer->data;
    surveyor->expired = true;
}

bool surveyor_open(struct surveyor *surveyor, const char *url) {
    *surveyor = (struct surveyor){.listener = {.up = came_up, .down = went_down}};
    surveyor->listener.owner = surveyor;
    if (uv_loop_init(&surveyor->loop)) {
        snprintf(surveyor->reason, sizeof surveyor->reason, "the system gives no event loop");
        return false;
    }
    uv_timer_init(&surveyor->loop, &surveyor->patience);
    surveyor->patience.data = surveyor;
    const struct link_settings settings = {.connect_timeout_ms = CONNECT_MS};
    surveyor->link =
        link_open(&surveyor->loop, url, &settings, surveyor->reason, sizeof surveyor->reason);
    if (!surveyor->link)
        return false;
    link_listen(surveyor->link, &surveyor->listener);
    uv_timer_start(&surveyor->patience, patience_ended, 2UL * CONNECT_MS, 0);
    while (!surveyor->up && !surveyor->failed && !surveyor->expired)
        uv_run(&surveyor->loop, UV_RUN_ONCE);
    uv_timer_stop(&surveyor->patience);
    if (surveyor->expired)
        snprintf(surveyor->reason, sizeof surveyor->reason, "no connection in %d s",
                 CONNECT_MS * 2 / 1000);
    return surveyor->up;
}

void surveyor_close(struct surveyor *surveyor) {
    if (surveyor->link) {
        link_unlisten(surveyor->link, &surveyor->listener);
        link_close(surveyor->link);
    }
    if (surveyor->patience.data) {
        uv_close((uv_handle_t *)&surveyor->patience, NULL);
        uv_run(&surveyor->loop, UV_RUN_DEFAULT);
        uv_loop_close(&surveyor->loop);
    }
}

static void read_done(struct transaction *transaction, enum err result,
                      const struct modbus_answer *answer) {
    struct surveyor *surveyor = transaction->owner;
    surveyor->done = true;
    surveyor->result = result;
    if (answer)
        surveyor->answer = *answer;
}

enum err surveyor_read(struct surveyor *surveyor, int unit, enum register_kind kind,
                       uint16_t address, uint16_t count, int64_t timeout_ms) {
    /* A link that went connects again by itself; its next word is awaited. */
    surveyor->failed = false;
    while (!surveyor->up && !surveyor->failed)
        uv_run(&surveyor->loop, UV_RUN_ONCE);
    if (!surveyor->up)
        return ERR_CLOSED;
    surveyor->transaction = (struct transaction){
        .request = {.unit = (uint8_t)unit,
                    .function = (uint8_t)poll_function(kind),
                    .address = address,
                    .count = count},
        .timeout_ms = timeout_ms,
        .done = read_done,
        .owner = surveyor,
    };
    surveyor->done = false;
    enum err err = link_submit(surveyor->link, &surveyor->transaction, LINK_READ);
    while (err == ERR_OK && !surveyor->done)
        uv_run(&surveyor->loop, UV_RUN_ONCE);
    return err == ERR_OK ? surveyor->result : err;
}

/* --- a survey ------------------------------------------------------------------------------------
 */

struct visit { /* what one survey needs in all its steps */
    struct survey *survey;
    struct surveyor *surveyor;
    int unit;
    const struct driver *driver;
};

/* Reads into the registers. *has: the device has them. */
static enum survey_end visit_read(const struct visit *visit, enum register_kind kind,
                                  uint16_t address, uint16_t count, bool *has) {
    enum err err = ERR_TIMEOUT;
    for (int i = 0; i < TRIES && err == ERR_TIMEOUT; i++)
        err = surveyor_read(visit->surveyor, visit->unit, kind, address, count,
                            visit->driver->timeout_ms);
    const struct modbus_answer *answer = &visit->surveyor->answer;
    if (err == ERR_TIMEOUT) {
        snprintf(visit->survey->trouble, sizeof visit->survey->trouble,
                 "no answer in time (register %u)", address);
        return SURVEY_ABSENT;
    }
    if (err != ERR_OK) {
        snprintf(visit->survey->trouble, sizeof visit->survey->trouble, "the connection went: %s",
                 visit->surveyor->reason);
        return SURVEY_LOST;
    }
    if (modbus_unit_absent(answer->exception)) {
        snprintf(visit->survey->trouble, sizeof visit->survey->trouble,
                 "the gateway says that there is no such unit (exception %u, %s)",
                 answer->exception, modbus_exception_name(answer->exception));
        return SURVEY_ABSENT;
    }
    *has = answer->exception == 0;
    if (*has)
        registers_put(visit->survey->registers, kind, address, answer->words, count);
    return SURVEY_DONE;
}

static enum survey_end visit_chain(const struct visit *visit, bool whole_models) {
    struct sunspec_walk *walk = &visit->survey->walk;
    struct sunspec_read read;
    sunspec_start(walk, visit->driver->sunspec_bases, (size_t)visit->driver->sunspec_base_count);
    while (sunspec_next(walk, &read)) {
        bool has;
        enum survey_end end = visit_read(visit, REGISTER_HOLDING, read.address, read.count, &has);
        if (end != SURVEY_DONE)
            return end;
        sunspec_take(walk, has ? visit->surveyor->answer.words : NULL);
    }
    for (size_t i = 0; whole_models && i < walk->model_count; i++) {
        const struct sunspec_model *model = &walk->models[i];
        unsigned most = (unsigned)visit->driver->limits.max_words;
        for (unsigned at = 0; at < model->length; at += most) {
            unsigned count = model->length - at < most ? model->length - at : most;
            bool has;
            enum survey_end end =
                visit_read(visit, REGISTER_HOLDING, (uint16_t)(model->address + 2 + at),
                           (uint16_t)count, &has);
            if (end != SURVEY_DONE)
                return end;
        }
    }
    return SURVEY_DONE;
}

bool survey_address(const struct survey *survey, const struct point *point, uint16_t *address) {
    *address = point->address;
    for (int i = 0; i < point->model_count; i++) {
        uint16_t base;
        if (sunspec_find(&survey->walk, point->models[i], &base)) {
            *address = (uint16_t)(base + point->address);
            return true;
        }
    }
    return point->model_count == 0;
}

/* Polled, or fit to be read after a write; what is only ever written is left alone. */
static bool readable(const struct point *point) {
    if (point->kind == REGISTER_VALUE)
        return false; /* a hook's */
    return point->period_ms != POINT_NEVER ||
           (point->read_back && point->read_back_point == POINT_NONE);
}

static enum survey_end visit_blocks(const struct visit *visit) {
    const struct driver *driver = visit->driver;
    struct block_item *items = calloc((size_t)driver->point_count + 1, sizeof *items);
    struct block_plan plan;
    size_t count = 0;
    for (int i = 0; items && i < driver->point_count; i++)
        if (readable(&driver->points[i]) &&
            survey_address(visit->survey, &driver->points[i], &items[count].address))
            items[count++].point = i;
    if (!items || block_plan_make(&plan, driver->points, items, count, &driver->limits) != ERR_OK) {
        free(items);
        snprintf(visit->survey->trouble, sizeof visit->survey->trouble, "out of memory");
        return SURVEY_LOST;
    }
    free(items);
    visit->survey->asked = (int)count;
    enum survey_end end = SURVEY_DONE;
    for (size_t i = 0; i < plan.block_count && end == SURVEY_DONE;) {
        const struct block *block = &plan.blocks[i];
        bool has = true;
        if (!block->refused)
            end = visit_read(visit, block->kind, block->address, block->words, &has);
        if (has || block_plan_split(&plan, i, driver->points) != ERR_OK)
            i++;
    }
    block_plan_free(&plan);
    return end;
}

static enum survey_end visit_fingerprints(const struct visit *visit) {
    visit->survey->fingerprint_right = visit->driver->fingerprint_count > 0;
    for (size_t i = 0; i < visit->driver->fingerprint_count; i++) {
        const struct driver_fingerprint *row = &visit->driver->fingerprints[i];
        const struct point as = {.encoding = row->encoding,
                                 .words = row->words,
                                 .scale = 1,
                                 .id = POINT_NONE,
                                 .scale_point = POINT_NONE};
        bool has;
        char text[129];
        double value;
        enum survey_end end = visit_read(visit, row->kind, row->address, row->words, &has);
        if (end != SURVEY_DONE)
            return end;
        const uint16_t *words = visit->surveyor->answer.words;
        bool right = has;
        if (has && row->is_text)
            right = point_decode_text(&as, words, text, sizeof text) == POINT_OK &&
                    strncmp(text, row->text, strlen(row->text)) == 0;
        else if (has)
            right = point_decode(&as, words, 0, &value) == POINT_OK && value == (double)row->raw;
        visit->survey->fingerprint_right = visit->survey->fingerprint_right && right;
    }
    return SURVEY_DONE;
}

/* --- what it says --------------------------------------------------------------------------------
 */

static void judge_point(struct survey *survey, const struct driver *driver, int index) {
    const struct point *point = &driver->points[index];
    uint16_t address;
    if (!survey_address(survey, point, &address) ||
        !registers_have(survey->registers, point->kind, address, point->words))
        return;
    const uint16_t *words = &survey->registers->words[point->kind][address];
    enum point_quality quality;
    survey->read[index] = true;
    survey->answered++;
    if (point->id >= POINT_TEXT_FIRST) {
        char text[129];
        quality = point_decode_text(point, words, text, sizeof text);
        survey->telling += quality == POINT_OK && text[0];
    } else {
        double factor = point->scale_point == POINT_NONE ? 0 : survey->values[point->scale_point];
        quality = point_decode(point, words, factor, &survey->values[index]);
        survey->telling += quality == POINT_OK && survey->values[index] != 0;
    }
    survey->plausible += quality != POINT_IMPOSSIBLE;
}

enum survey_end survey_take(struct survey *survey, struct surveyor *surveyor, int unit,
                            const struct driver *driver, bool whole_models) {
    const struct visit visit = {survey, surveyor, unit, driver};
    size_t count = (size_t)driver->point_count + 1;
    *survey = (struct survey){.registers = registers_new()};
    survey->values = calloc(count, sizeof *survey->values);
    survey->read = calloc(count, sizeof *survey->read);
    if (!survey->registers || !survey->values || !survey->read) {
        snprintf(survey->trouble, sizeof survey->trouble, "out of memory");
        return SURVEY_LOST;
    }
    for (size_t i = 0; i < count; i++)
        survey->values[i] = NAN;
    enum survey_end end = visit_fingerprints(&visit);
    if (end == SURVEY_DONE && driver->sunspec)
        end = visit_chain(&visit, whole_models);
    if (end == SURVEY_DONE)
        end = visit_blocks(&visit);
    if (end != SURVEY_DONE)
        return end;
    for (int scaled = 0; scaled < 2; scaled++) /* scale factors first */
        for (int i = 0; i < driver->point_count; i++)
            if ((driver->points[i].scale_point != POINT_NONE) == (scaled == 1) &&
                readable(&driver->points[i]))
                judge_point(survey, driver, i);
    return SURVEY_DONE;
}

void survey_free(struct survey *survey) {
    registers_free(survey->registers);
    free(survey->values);
    free(survey->read);
    *survey = (struct survey){0};
}
