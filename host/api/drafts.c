#include "api/drafts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/change.h"
#include "api/draft.h"
#include "store/store.h"

void drafts_free(struct drafts *drafts) {
    free(drafts->items);
    *drafts = (struct drafts){0};
}

static bool word_in(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t step = strcspn(at, " ");
        if (step == length && strncmp(at, word, length) == 0)
            return true;
        at += step;
    }
    return false;
}

void drafts_check_members(const json_t *tree, const char *known, struct report *report) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)tree, key, value) {
        char where[80];
        if (word_in(known, key))
            continue;
        snprintf(where, sizeof where, "/%.60s", key);
        report_add(report, where, "unknown field; known: %s", known);
    }
}

/* The id is taken out: it is no field of a constraint. */
static void read_id(json_t *fields, char id[ID_SIZE], struct report *report) {
    const json_t *given = json_object_get(fields, "id");
    id[0] = '\0';
    if (json_is_string(given) && uuid_valid(json_string_value(given)))
        change_lower_id(json_string_value(given), id);
    else if (given && !json_is_null(given))
        report_add(report, "/id", "expected a UUID like \"6ba7b810-9dad-41d1-80b4-00c04fd430c8\"");
    (void)json_object_del(fields, "id");
}

static void read_item(const json_t *item, const struct door *door, struct now now,
                      struct constraint *draft, struct report *report) {
    char id[ID_SIZE];
    json_t *fields = json_is_object(item) ? json_copy((json_t *)item) : NULL;
    *draft = (struct constraint){0};
    if (!fields) {
        report_add(report, "", "expected an object, like {\"priority\": 1000, ...}");
        return;
    }
    struct report of_id;
    report_init(&of_id);
    read_id(fields, id, &of_id);
    (void)!draft_read(fields, door, now, draft, report);
    report_move(report, &of_id, "");
    report_free(&of_id);
    memcpy(draft->id, id, sizeof draft->id);
    json_decref(fields);
}

static void check_twice(const struct drafts *drafts, size_t index, struct report *report) {
    const char *id = drafts->items[index].id;
    for (size_t i = 0; i < index && id[0]; i++)
        if (strcmp(drafts->items[i].id, id) == 0) {
            report_add(report, "/id", "this id is that of /constraints/%zu; give each one once", i);
            return;
        }
}

bool drafts_read(const json_t *list, size_t least, size_t most, const struct door *door,
                 struct now now, struct drafts *drafts, struct report *report) {
    size_t before = report->total;
    size_t count = json_array_size(list);
    *drafts = (struct drafts){0};
    if (least == 0 && (!list || json_is_null(list)))
        return true;
    if (!json_is_array(list)) {
        report_add(report, "/constraints", "expected a list of constraints");
        return false;
    }
    if (count < least || count > most) {
        report_add(report, "/constraints", "expected %zu to %zu constraints, got %zu", least, most,
                   count);
        return false;
    }
    if (count == 0)
        return true; /* no memory for none is no mistake */
    drafts->items = calloc(count, sizeof *drafts->items);
    if (!drafts->items) {
        report_add(report, "", "the host is short of memory");
        return false;
    }
    drafts->count = count;
    for (size_t i = 0; i < count; i++) {
        struct report mistakes;
        char prefix[32];
        report_init(&mistakes);
        read_item(json_array_get(list, i), door, now, &drafts->items[i], &mistakes);
        check_twice(drafts, i, &mistakes);
        snprintf(prefix, sizeof prefix, "/constraints/%zu", i);
        report_move(report, &mistakes, prefix);
        report_free(&mistakes);
    }
    return report->total == before;
}
