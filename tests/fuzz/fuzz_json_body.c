/* The JSON body of a request, what a constraint says in it, and the writer of answers. */
#include "fuzz.h"

#include "api/body.h"
#include "api/draft.h"
#include "api/drafts.h"
#include "api/json.h"
#include "cmd/admin.h"
#include "vocabulary.h"

static int depth_of(const json_t *tree) {
    int deepest = 0;
    size_t i;
    const char *key;
    json_t *value;
    if (json_is_array(tree)) {
        json_array_foreach(tree, i, value) {
            int depth = depth_of(value);
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    json_object_foreach((json_t *)tree, key, value) {
        int depth = depth_of(value);
        deepest = depth > deepest ? depth : deepest;
    }
    return json_is_object(tree) ? deepest + 1 : 0;
}

/* Every mistake has a sentence, and the thing that its pointer is in exists. */
static void check_report(const json_t *tree, const struct report *report) {
    must(report->count > 0);
    for (size_t i = 0; i < report->count; i++) {
        const char *at = report->items[i].where;
        const json_t *value = tree;
        must(report->items[i].text[0]);
        must(at[0] == '\0' || at[0] == '/');
        while (*at == '/' && strchr(at + 1, '/')) {
            char step[REPORT_MAXIMUM * 4];
            size_t length = 0;
            for (at++; *at && *at != '/' && length + 1 < sizeof step; at++) {
                char c = *at;
                if (c == '~' && (at[1] == '0' || at[1] == '1'))
                    c = *++at == '0' ? '~' : '/';
                step[length++] = c;
            }
            step[length] = '\0';
            if (*at && *at != '/')
                return; /* a very long name */
            value = json_is_array(value) ? json_array_get(value, strtoul(step, NULL, 10))
                                         : json_object_get(value, step);
            must(value);
        }
    }
}

static void check_draft(const json_t *tree, const struct door *door, struct now now) {
    struct constraint draft;
    struct report report;
    memset(&draft, 0, sizeof draft);
    report_init(&report);
    if (draft_read(tree, door, now, &draft, &report)) {
        must(report_empty(&report));
        must(draft.wish.priority >= 0);
        must(draft.invalid_at.ms > draft.valid_at.ms && draft.invalid_at.ms > now.wall.ms);
        must(draft.invalid_at.ms <= now.wall.ms + 2 * door->horizon_ms);
        must(constraint_check(&draft, door, now, &report));
    } else {
        check_report(tree, &report);
    }
    report_free(&report);
}

static void check_drafts(const json_t *tree, const struct door *door, struct now now) {
    struct drafts drafts;
    struct report report;
    report_init(&report);
    bool read =
        drafts_read(json_object_get(tree, "constraints"), 1, 50, door, now, &drafts, &report);
    must(read == report_empty(&report));
    must(!read || (drafts.count >= 1 && drafts.count <= 50));
    if (!read)
        check_report(tree, &report);
    drafts_free(&drafts);
    report_free(&report);
}

static void check_command(const json_t *tree) {
    json_t *answer = NULL;
    const struct admin_command *command = admin_command_find(tree, &answer);
    must((command != NULL) == (answer == NULL));
    must(!answer || json_is_false(json_object_get(answer, "ok")));
    json_decref(answer);
}

/* Whatever a device says is JSON when it is written, and unchanged when it was UTF-8. */
static void check_writer(const char *text, double number, int64_t integer) {
    struct buf out;
    struct json json;
    buf_init(&out, 1 << 20);
    json_start(&json, &out);
    json_array_open(&json);
    json_write_string(&json, text);
    json_write_double(&json, number);
    json_write_integer(&json, integer);
    json_write_time(&json, (struct wall){integer});
    json_array_close(&json);
    must(!out.failed);
    json_t *read = json_loadb(out.data, out.length, 0, NULL);
    must(json_array_size(read) == 4);
    json_t *plain = json_string(text); /* NULL: no UTF-8 */
    must(!plain || json_equal(plain, json_array_get(read, 0)));
    const json_t *back = json_array_get(read, 1);
    must(__builtin_isfinite(number) ? json_number_value(back) == number : json_is_null(back));
    must(json_integer_value(json_array_get(read, 2)) == integer);
    json_decref(plain);
    json_decref(read);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct door doors[] = {
        {.device_type = DEVICE_BATTERY,
         .has_soc = true,
         .controllable = true,
         .horizon_ms = 90000000},
        {.cluster = true, .sees_grid = true, .horizon_ms = 90000000},
    };
    static const struct now now = {{INT64_C(1795795200000)}, {1000000}, true};
    struct problem problem = {0};
    struct feed feed = {data, size};
    if (size > 65536)
        return -1;
    char *body = exact_copy(data, size);
    json_t *tree = body_parse(body, size, &problem);
    if (tree) {
        must(json_is_object(tree) && depth_of(tree) <= BODY_DEPTH);
        char *text = json_dumps(tree, JSON_COMPACT);
        must(text);
        json_t *again = body_parse(text, strlen(text), &problem);
        must(again && json_equal(tree, again));
        for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
            check_draft(tree, &doors[i], now);
            check_drafts(tree, &doors[i], now);
        }
        check_command(tree);
        json_decref(again);
        free(text);
    } else {
        must(problem.status == 400 && problem.detail[0]);
    }
    json_decref(tree);
    free(body);
    double number = feed_double(&feed);
    int64_t integer = (int64_t)feed_long(&feed);
    char *text = text_copy(feed.data, feed.size);
    check_writer(text, number, integer);
    free(text);
    return 0;
}
