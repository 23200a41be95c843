/* JSON Merge Patch: against the rules of RFC 7396, member by member. The first line is what is
 * there, the rest the patch. */
#include "fuzz.h"

#include "api/body.h"
#include "base/merge_patch.h"

/* `merged` is what the RFC says of `target` and `patch`. */
static void check(const json_t *target, const json_t *patch, const json_t *merged) {
    const char *key;
    json_t *value;
    if (!json_is_object(patch)) {
        must(json_equal(patch, merged));
        return;
    }
    must(json_is_object(merged));
    json_object_foreach((json_t *)patch, key, value) {
        const json_t *now = json_object_get(merged, key);
        if (json_is_null(value))
            must(!now);
        else
            check(json_object_get(target, key), value, now);
    }
    json_object_foreach((json_t *)target, key, value)
        must(json_object_get(patch, key) || json_equal(value, json_object_get(merged, key)));
    json_object_foreach((json_t *)merged, key, value)
        must(json_object_get(patch, key) || json_object_get(target, key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct problem problem;
    char *line = feed_line(&feed);
    json_t *target = json_loads(line, 0, NULL);
    json_t *patch = body_parse((const char *)feed.data, feed.size, &problem);
    if (patch) {
        json_t *before = json_deep_copy(target);
        json_t *merged = merge_patch(target, patch);
        must(merged && (!target || json_equal(before, target)));
        check(json_is_object(target) ? target : NULL, patch, merged);
        json_t *twice = merge_patch(merged, patch);
        must(json_equal(merged, twice));
        json_decref(twice);
        json_decref(merged);
        json_decref(before);
    }
    json_decref(patch);
    json_decref(target);
    free(line);
    return 0;
}
