#include "base/merge_patch.h"

// NOLINTNEXTLINE(misc-no-recursion)
json_t *merge_patch(const json_t *target, const json_t *patch) {
    const char *key;
    json_t *value;
    if (!json_is_object(patch))
        return json_incref((json_t *)patch);
    json_t *merged = json_is_object(target) ? json_copy((json_t *)target) : json_object();
    json_object_foreach((json_t *)patch, key, value) {
        if (json_is_null(value))
            json_object_del(merged, key);
        else if (json_object_set_new(merged, key,
                                     merge_patch(json_object_get(merged, key), value)) != 0) {
            json_decref(merged);
            return NULL;
        }
    }
    return merged;
}
