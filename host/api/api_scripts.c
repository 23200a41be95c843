/* Drivers and policies as the library lists them: the cards hold ready JSON. */
#include <string.h>

#include "api/handlers.h"
#include "api/list.h"
#include "api/precondition.h"

struct script_list {
    const struct script_card *first;
};

static const char *script_id(const void *context, size_t index) {
    return ((const struct script_list *)context)->first[index].name;
}

static void script_write(const void *context, size_t index, struct json *json) {
    json_write_raw(json, ((const struct script_list *)context)->first[index].json);
}

static void answer_list(struct exchange *x, enum script_kind kind) {
    if (!x->directory) {
        exchange_unavailable(x, 2, "The host is starting and has not read its scripts yet.");
        return;
    }
    size_t first = 0;
    while (first < x->directory->script_count && x->directory->scripts[first].kind != kind)
        first++;
    size_t end = first;
    while (end < x->directory->script_count && x->directory->scripts[end].kind == kind)
        end++;
    struct script_list list = {x->directory->scripts ? x->directory->scripts + first : NULL};
    list_answer(x,
                &(struct list_source){
                    .context = &list, .count = end - first, .id = script_id, .write = script_write},
                LIST_LIMIT_DEFAULT);
}

static void answer_one(struct exchange *x, enum script_kind kind) {
    const char *word = kind == SCRIPT_DRIVER ? "driver" : "policy";
    const struct script_card *card =
        x->directory ? directory_script(x->directory, kind, x->step_name) : NULL;
    if (!card) {
        exchange_problem(x, 404, "There is no %s \"%.100s\".", word, x->step_name);
        return;
    }
    precondition_version(card->json, strlen(card->json), x->version);
    exchange_json(x, 200);
    buf_text(&x->body, card->json);
}

void api_driver_list(struct exchange *x) {
    answer_list(x, SCRIPT_DRIVER);
}

void api_driver_get(struct exchange *x) {
    answer_one(x, SCRIPT_DRIVER);
}

void api_policy_list(struct exchange *x) {
    answer_list(x, SCRIPT_POLICY);
}

void api_policy_get(struct exchange *x) {
    answer_one(x, SCRIPT_POLICY);
}
