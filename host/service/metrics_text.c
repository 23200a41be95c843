#include "service/metrics_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/json.h"

#define ESCAPED_SIZE 260

void metrics_family(struct buf *out, const char *name, enum metric_type type, const char *help) {
    static const char *const types[] = {"gauge", "counter", "histogram"};
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void begin(struct buf *out, const char *name, const char *end, const char *labels) {
    buf_text(out, name);
    buf_text(out, end);
    if (labels[0]) {
        buf_char(out, '{');
        buf_text(out, labels);
        buf_char(out, '}');
    }
    buf_char(out, ' ');
}

void metrics_sample(struct buf *out, const char *name, const char *labels, double value) {
    if (!isfinite(value))
        return;
    struct json number = {.out = out}; /* digits that read back as the same number */
    begin(out, name, "", labels);
    json_write_double(&number, value);
    buf_char(out, '\n');
}

void metrics_count(struct buf *out, const char *name, const char *labels, uint64_t value) {
    begin(out, name, "", labels);
    buf_format(out, "%" PRIu64 "\n", value);
}

void metrics_histogram(struct buf *out, const char *name, const char *labels,
                       const struct histogram *histogram) {
    uint64_t counts[HISTOGRAM_BUCKETS + 1];
    uint64_t total = 0;
    const char *comma = labels[0] ? "," : "";
    for (int i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        counts[i] = atomic_load_explicit((atomic_uint_fast64_t *)&histogram->counts[i],
                                         memory_order_relaxed);
        total += counts[i];
    }
    if (total == 0)
        return;
    uint64_t up_to = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        up_to += counts[i];
        buf_format(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                   (double)histogram_bound_us(i) / 1e6, up_to);
    }
    buf_format(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, total);
    uint64_t sum_us =
        atomic_load_explicit((atomic_uint_fast64_t *)&histogram->sum_us, memory_order_relaxed);
    begin(out, name, "_sum", labels);
    buf_format(out, "%.6f\n", (double)sum_us / 1e6);
    begin(out, name, "_count", labels);
    buf_format(out, "%" PRIu64 "\n", total);
}

void metrics_label(char labels[METRICS_LABELS_SIZE], const char *name, const char *value) {
    char escaped[ESCAPED_SIZE];
    size_t length = 0;
    for (; *value && length + 2 < sizeof escaped; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            escaped[length++] = '\\';
        escaped[length++] = *value == '\n' ? 'n' : *value;
    }
    escaped[length] = '\0';
    size_t used = strlen(labels);
    size_t needed = strlen(name) + length + 5;
    if (!*value && used + needed < METRICS_LABELS_SIZE)
        snprintf(labels + used, METRICS_LABELS_SIZE - used, "%s%s=\"%s\"", used ? "," : "", name,
                 escaped);
}
