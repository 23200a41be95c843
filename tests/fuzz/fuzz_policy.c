/* Policy files, in the sandbox and all its limits, and the parameters that a site gives one. First
 * line: the parameters as JSON; the rest is the file. */
#include "fuzz.h"

#include "script/policy.h"

static bool device_type(void *context, const char *key, enum device_type *type) {
    (void)context;
    *type = key[0] % 2 ? DEVICE_METER : DEVICE_CHARGING_STATION;
    return strlen(key) < 8;
}

static void check_policy(const struct policy *policy, const char *given_text) {
    struct report report;
    report_init(&report);
    must(policy->every_ms >= 1000 && policy->every_ms <= 3600000);
    must(policy->parameter_count <= POLICY_MAX_PARAMETERS);
    must(policy->after == POINT_NONE || policy->after < policy->parameter_count);
    json_t *given = json_loads(given_text, 0, NULL);
    json_t *values = policy_parameters(policy, given, "parameters", device_type, NULL, &report);
    must((values == NULL) == !report_empty(&report));
    json_decref(values);
    json_decref(given);
    report_free(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct script_limits limits = script_limits_default();
    struct report report;
    if (size > 32768)
        return -1;
    limits.load_cpu_us = 20000;
    report_init(&report);
    char *given = feed_line(&feed);
    char *text = exact_copy(feed.data, feed.size);
    struct script *script = script_open("policy.lua", text, feed.size, &limits, &report);
    json_t *tree = script ? script_tree(script, &report) : NULL;
    if (tree) {
        const char *name = json_string_value(json_object_get(tree, "name"));
        struct policy *policy = policy_compile(tree, name ? name : "policy", &report);
        must((policy == NULL) == !report_empty(&report));
        if (policy)
            check_policy(policy, given);
        policy_free(policy);
        json_decref(tree);
    }
    if (script)
        script_close(script);
    free(text);
    free(given);
    report_free(&report);
    return 0;
}
