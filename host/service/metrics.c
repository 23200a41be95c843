#include "service/metrics.h"

#include "service/metrics_text.h"

void metrics_write(const struct metrics_sources *sources, struct buf *out) {
    char labels[METRICS_LABELS_SIZE] = "";
    int64_t begun_us = clock_mono_us();
    metrics_label(labels, "version", DERD_VERSION);
    metrics_family(out, "derd_build_info", METRIC_GAUGE, "1, with the version of derd.");
    metrics_count(out, "derd_build_info", labels, 1);
    if (sources->host)
        metrics_write_host(sources, out);
    metrics_write_devices(sources, out);
    metrics_family(out, "derd_metrics_seconds", METRIC_GAUGE,
                   "How long it took to make this text.");
    metrics_sample(out, "derd_metrics_seconds", "", (double)(clock_mono_us() - begun_us) / 1e6);
}
